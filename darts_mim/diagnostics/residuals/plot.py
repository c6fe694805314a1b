"""A picture of what a model's errors still hold: where, for how long, among neighbours, and over time."""

from typing import TYPE_CHECKING, Any

import numpy as np
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.dates import AutoDateLocator, ConciseDateFormatter
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator, PercentFormatter

from darts_mim.backtesting.lead_labels import lead_labels
from darts_mim.plotting import (
    COLOURS,
    INK,
    MARKERS,
    MOST_FRAMES,
    MOST_TICKS,
    MUTED,
    RULE,
    colour_bar,
    draw_map,
    in_print,
)

if TYPE_CHECKING:
    from darts_mim.diagnostics.residuals.diagnose import ResidualDiagnosis

DATES = ["%Y", "%b %Y", "%d %b", "%d %b %H:%M", "%H:%M", "%H:%M:%S"]  # of years, months, ... on an axis
DAY = np.timedelta64(24 * 3600 * 10**9, "ns")
BINS = 48  # of the error over time: single origins would hide its course


def plot_residuals(diagnosis: "ResidualDiagnosis", *, channel: Any = None) -> Figure:
    """Maps of autocorrelated errors by lead, and their course by lag, among neighbours and over time.

    Cells whose errors pass as white carry a dot; those without errors, or never observed, are grey.

    Args:
        diagnosis: From :func:`.residuals.diagnose_residuals`.
        channel: Label of the channel shown; default: the first.

    Raises:
        ValueError: If there is no such channel.

    >>> from darts_mim.diagnostics.residuals.diagnose import diagnose_residuals
    >>> import pandas as pd
    >>> time = pd.date_range("2024-01-01", periods=100, freq="h")
    >>> rain = np.random.default_rng(0).normal(size=(100, 4, 3))
    >>> rain = xr.DataArray(rain, {"time": time}, ("time", "y", "x"))
    >>> last = rain[:-1].rename(time="init_time").expand_dims(lead_time=time[1:2] - time[0], axis=1)
    >>> last = last.assign_coords(valid_time=last.init_time + last.lead_time)
    >>> figure = plot_residuals(diagnose_residuals(last, rain, model="last frame"))
    >>> figure.axes[0].get_title().splitlines()
    ['1 h ahead', 'in 100 % of cells']
    """
    data, name = _one_channel(diagnosis, channel)
    n_leads = data.sizes["lead_time"]
    leads = np.unique(np.linspace(0, n_leads - 1, min(n_leads, MOST_FRAMES)).round().astype(int))
    shape = float(np.clip(diagnosis.grid.height / diagnosis.grid.width, 0.4, 1.6))
    figure = Figure(figsize=(10.5, 4.0 + 2.0 * shape + 0.9), dpi=150, layout="constrained")
    halves: Any = figure.subfigures(2, 1, height_ratios=(2.0 * shape + 0.9, 3.6), hspace=0.04)
    top, bottom = halves
    _maps(top, data, diagnosis, leads, shape)
    panels = bottom.subplots(1, 3)
    _by_lag(panels[0], data, leads)
    _by_lead(panels[1], data)
    _over_time(panels[2], data, leads)
    heading = " · ".join(filter(None, (f"Errors of {diagnosis.model}", name)))
    figure.suptitle(heading, x=0.01, ha="left", fontsize=13, fontweight="bold", color=INK)
    return figure


def _one_channel(diagnosis: "ResidualDiagnosis", channel: Any) -> tuple[xr.Dataset, str]:
    grid, dim = diagnosis.grid, diagnosis.grid.canonical_dims[0]
    label = grid.channels[0] if channel is None else channel
    if label not in grid.channels:
        raise ValueError(f"There is no channel {label!r}. Choose from {list(grid.channels)}.")
    if dim not in diagnosis.dataset.dims:
        return diagnosis.dataset, str(grid.name or "")
    named = [str(grid.name or ""), str(label)]
    return diagnosis.dataset.isel({dim: grid.channels.index(label)}), ", ".join(filter(None, named))


def _maps(
    figure: Any, data: xr.Dataset, diagnosis: "ResidualDiagnosis", leads: np.ndarray, shape: float
) -> None:
    """Autocorrelation of each cell; a dot where it passes as white."""
    panels = figure.subplots(1, len(leads), squeeze=False, sharex=True, sharey=True)
    shown = data.isel(lead_time=leads)
    r = shown["lag1_autocorrelation"].values
    known = np.abs(r[np.isfinite(r)])
    reach = float(max(0.1, np.quantile(known, 0.99))) if known.size else 1.0
    scale = {"vmin": -reach, "vmax": reach, "cmap": "RdBu_r"}
    dot = min(2.2, 55 / max(diagnosis.grid.width, diagnosis.grid.height / shape))  # points, within a cell
    for axes, field, white, share, label in zip(
        panels[0],
        r,
        shown["whiteness_rejected"].values == 0,
        shown["share_rejected"].values,
        lead_labels(shown["lead_time"]),
        strict=True,
    ):
        mesh = draw_map(axes, field, diagnosis.grid, scale)
        edges = np.asarray(mesh.get_coordinates())
        columns, rows = (edges[0, :-1, 0] + edges[0, 1:, 0]) / 2, (edges[:-1, 0, 1] + edges[1:, 0, 1]) / 2
        at = np.argwhere(white)
        axes.plot(columns[at[:, 1]], rows[at[:, 0]], ".", color=INK, markersize=dot, alpha=0.8)
        told = "unknown" if np.isnan(share) else f"in {share:.0%} of cells".replace("%", " %")
        axes.set_title(f"{label} ahead\n{told}", fontsize=9.5, color=INK)
        axes.set_box_aspect(shape)
    colour_bar(figure, panels[0][0].collections[0], panels, "autocorrelation", extend="both")
    said = (
        "Autocorrelation beyond what the lead explains; dot: none, the errors pass as white; grey: no errors"
    )
    figure.suptitle(said, x=0.01, ha="left", fontsize=10, color=MUTED)


def _by_lag(axes: Axes, data: xr.Dataset, leads: np.ndarray) -> None:
    _dress(
        axes, "In time", "autocorrelation by lag, mean over cells\nthin: lags that the lead explains", "Lag"
    )
    curves = data["mean_autocorrelation"].values
    lags = np.arange(1, curves.shape[1] + 1)
    for number, lead in enumerate(leads):
        colour, first = COLOURS[number % len(COLOURS)], int(data["first_lag"][lead])
        axes.plot(lags[:first], curves[lead, :first], color=colour, linewidth=0.8)
        axes.plot(
            lags[first - 1 :],
            curves[lead, first - 1 :],
            color=colour,
            linewidth=2.0,
            marker=MARKERS[number % len(MARKERS)],
            markersize=3.5,
            label=f"{lead_labels(data['lead_time'])[lead]} ahead",
        )
    axes.axhline(0, color=INK, linewidth=1)
    every = -(-curves.shape[1] // (MOST_TICKS - 2))
    axes.set_xticks(lags[every - 1 :: every], lead_labels(data["lag"])[every - 1 :: every])
    axes.legend(frameon=False, fontsize=8.5, labelcolor=INK)


def _by_lead(axes: Axes, data: xr.Dataset) -> None:
    _dress(
        axes,
        "In space",
        "share of times at which neighbouring cells\nerr alike; number: Moran's I",
        "Lead time",
    )
    share, i = data["morans_i_share_positive"].values, data["morans_i"].values
    x = np.arange(len(share))
    axes.plot(x, share, color=COLOURS[0], marker="o" if len(x) <= 12 else None, markersize=6, linewidth=2.6)
    axes.axhline(0.05, color=MUTED, linewidth=1, linestyle="--")
    axes.annotate(
        "chance",
        (1, 0.05),
        (-2, -12),
        ("axes fraction", "data"),
        "offset points",
        ha="right",
        color=MUTED,
        fontsize=8.5,
    )
    every = -(-len(x) // MOST_TICKS)
    for position in x[::every][np.isfinite(share[::every])]:
        axes.annotate(
            f"{float(np.round(i[position], 2)) + 0.0:.2f}",
            (position, share[position]),
            (0, 8),
            textcoords="offset points",
            ha="center",
            fontsize=8.5,
            color=COLOURS[0],
        )
    axes.set_xticks(x[::every], lead_labels(data["lead_time"])[::every])
    top = np.nanmax([0.1, *share])
    axes.set(ylim=(0, 1.18 * top), xlim=(-0.4, len(x) - 0.6))
    axes.yaxis.set_major_formatter(PercentFormatter(1.0, symbol=" %", decimals=0))


def _over_time(axes: Axes, data: xr.Dataset, leads: np.ndarray) -> None:
    """Squared error of the shortest and the longest lead in bins of time, and its trend."""
    error = data["mean_squared_error"]
    units = in_print(error.attrs["units"])
    _dress(axes, "Over time", f"mean squared error{f', {units}' if units else ''}\nstraight: trend", "")
    times = data["init_time"].values
    days = (times - times[0]) / DAY
    starts = np.arange(0, len(times), -(-len(times) // BINS))
    for number in sorted({0, len(leads) - 1}):
        lead, colour = int(leads[number]), COLOURS[number % len(COLOURS)]
        values = error.isel(lead_time=lead).values
        known = np.isfinite(values)
        middle = np.add.reduceat(days, starts) / np.add.reduceat(np.ones(len(days)), starts)
        with np.errstate(invalid="ignore"):  # a bin of gaps leaves the line open
            course = np.add.reduceat(np.where(known, values, 0.0), starts) / np.add.reduceat(
                known, starts, dtype=int
            )
        axes.plot(times[0] + middle * DAY, course, color=colour, linewidth=1.2, alpha=0.75)
        slope, p = (float(data[f"squared_error_trend{end}"][lead]) for end in ("", "_pvalue"))
        line = values[known].mean() + slope * (days[[0, -1]] - days[known].mean())
        label = f"{lead_labels(data['lead_time'])[lead]} ahead" + ("" if np.isnan(p) else f": p = {p:.2g}")
        axes.plot(times[[0, -1]], line, color=colour, linewidth=2.4, label=label)
    locator = AutoDateLocator(minticks=2, maxticks=6)
    axes.xaxis.set_major_locator(locator)
    axes.xaxis.set_major_formatter(
        ConciseDateFormatter(locator, formats=DATES, zero_formats=DATES, show_offset=False)
    )
    axes.set_ylim(0, 1.3 * axes.get_ylim()[1])  # room for the legend
    axes.yaxis.set_major_locator(MaxNLocator(5))
    axes.legend(frameon=False, fontsize=8.5, labelcolor=INK)


def _dress(axes: Axes, title: str, subtitle: str, below: str) -> None:
    axes.set_title(title, loc="left", fontsize=11, fontweight="bold", color=INK, pad=32)
    axes.annotate(subtitle, (0, 1), (0, 5), "axes fraction", "offset points", fontsize=8.5, color=MUTED)
    axes.spines[["top", "right", "left"]].set_visible(False)
    axes.spines["bottom"].set_color(MUTED)
    axes.grid(axis="y", color=RULE, linewidth=0.8)
    axes.set_axisbelow(True)
    axes.tick_params(colors=MUTED, labelsize=8.5, length=0, pad=5)
    axes.set_xlabel(below, fontsize=9, color=MUTED, loc="left")
