"""Pictures of a differencing diagnosis: what each cell needs, what differences do, and Figure 1."""

from typing import TYPE_CHECKING, Any

import numpy as np
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.colors import BoundaryNorm, ListedColormap
from matplotlib.dates import AutoDateLocator, ConciseDateFormatter
from matplotlib.figure import Figure
from matplotlib.patches import Patch
from matplotlib.ticker import MaxNLocator, NullLocator, PercentFormatter

from darts_mim.diagnostics.differencing.cell_tests import TESTED
from darts_mim.diagnostics.differencing.regions import PARTS
from darts_mim.diagnostics.differencing.summary import strongest_season
from darts_mim.diagnostics.differencing.treatment import Treatment
from darts_mim.plotting import COLOURS, INK, MUTED, RULE, colour_bar, draw_map, in_print

if TYPE_CHECKING:
    from darts_mim.diagnostics.differencing.diagnose import DifferencingDiagnosis

VERDICTS = {"stationary": "#56B4E9", "unclear": "#E69F00", "unit root": "#D55E00"}
MOST_CHANNELS = 2
MOST_BARS, FEWEST_BARS = 10, 5


def plot_differencing(diagnosis: "DifferencingDiagnosis") -> Figure:
    """What the tests say of every cell, as it is and after what is suggested; seasons; autocorrelation.

    A cell is stationary where ADF rejects a unit root and KPSS keeps stationarity, has a unit root
    where it is the other way round, and is unclear where both reject or neither does.

    >>> import pandas as pd
    >>> from darts_mim.diagnostics.differencing.diagnose import diagnose_differencing
    >>> noise = np.random.default_rng(0).normal(size=(200, 2, 3))
    >>> time = pd.date_range("2024", periods=200, freq="h")
    >>> walks = xr.DataArray(noise.cumsum(0), {"time": time}, ("time", "y", "x"))
    >>> figure = plot_differencing(diagnose_differencing(walks))
    >>> figure.axes[0].get_title()
    'As it is'
    """
    treatment = diagnosis.suggest().treatment
    channels = list(diagnosis.grid.channels)[:MOST_CHANNELS]
    figure = Figure(figsize=(10.4, 1.2 + 2.9 * (len(channels) + 1)), dpi=150, layout="constrained")
    panels = figure.subplots(len(channels) + 1, 3, squeeze=False)
    for row, channel in zip(panels, channels, strict=False):
        _maps(figure, row, diagnosis, treatment, channel if len(diagnosis.grid.channels) > 1 else None)
    grid = panels[-1, 0].get_gridspec()
    for axes in panels[-1]:
        axes.remove()
    _shares(figure.add_subplot(grid[-1, :2]), diagnosis, treatment)
    _memory(figure.add_subplot(grid[-1, 2]), diagnosis, treatment)
    handles = [Patch(color=colour, label=name) for name, colour in VERDICTS.items()]
    figure.legend(
        handles=handles, loc="outside upper right", ncols=3, frameon=False, fontsize=9.5, labelcolor=INK
    )
    figure.suptitle("What each cell needs", x=0.01, ha="left", fontsize=14, fontweight="bold", color=INK)
    return figure


def verdicts(dataset: xr.Dataset, treatment: Treatment) -> xr.DataArray:
    """0 stationary, 1 unclear, 2 unit root; NaN where a cell was not tested."""
    at = {"seasonal": treatment.label, "order": treatment.order}
    no_unit_root, moving = dataset["adf_rejected"].sel(at), dataset["kpss_rejected"].sel(at)
    verdict = xr.where(no_unit_root & ~moving, 0.0, xr.where(~no_unit_root & moving, 2.0, 1.0))
    return verdict.where(np.isfinite(dataset["adf_pvalue"].sel(at)))


def _of(array: xr.DataArray, diagnosis: "DifferencingDiagnosis", channel: Any) -> np.ndarray:
    """One channel's map, (row, column)."""
    dim = diagnosis.grid.canonical_dims[0]
    if dim in array.dims:
        position = 0 if channel is None else diagnosis.grid.channels.index(channel)
        array = array.isel({dim: position})
    return array.transpose(*diagnosis.grid.spatial_dims).values


def _maps(
    figure: Figure, row: np.ndarray, diagnosis: "DifferencingDiagnosis", treatment: Treatment, channel: Any
) -> None:
    data, grid = diagnosis.dataset, diagnosis.grid
    colours = {
        "cmap": ListedColormap(list(VERDICTS.values())),
        "norm": BoundaryNorm([-0.5, 0.5, 1.5, 2.5], 3),
    }
    raw, other = Treatment(), treatment
    titles = "As it is", f"Suggested: {treatment.name}"
    if treatment == raw and len(data["order"]) > 1:
        other, titles = Treatment(order=1), ("As it is, as suggested", "Differenced")
    for axes, title, which in zip(row, titles, (raw, other), strict=False):
        draw_map(axes, _of(verdicts(data, which), diagnosis, channel), grid, colours)
        axes.set_title(title, fontsize=10, color=INK)
    strongest = strongest_season(data)
    period = treatment.period or (strongest[0] if strongest else None)
    if period is not None:
        title, field = f"Strength of the {period} season", data["seasonal_strength"].sel(period=period)
        scale = {"vmin": 0.0, "vmax": 1.0, "cmap": "GnBu"}
    else:
        title, field = "Autocorrelation at one step", data["lag1_autocorrelation"].isel(seasonal=0, order=0)
        scale = {"vmin": -1.0, "vmax": 1.0, "cmap": "RdBu_r"}
    mesh = draw_map(row[2], _of(field, diagnosis, channel), grid, scale)
    row[2].set_title(title, fontsize=10, color=INK)
    colour_bar(figure, mesh, row[2:], "")
    if channel is not None:
        row[0].set_ylabel(str(channel), fontsize=10, color=INK)


def _shares(axes: Axes, diagnosis: "DifferencingDiagnosis", treatment: Treatment) -> None:
    """How many cells are what after which treatment."""
    data = diagnosis.dataset
    tested = data["status"].values == TESTED
    asked = [
        Treatment.of(str(label), int(order))
        for order in data["order"].values[:2]
        for label in data["seasonal"].values
    ][:MOST_BARS]
    asked += [treatment] if treatment not in asked else []
    given = [verdicts(data, one).values[tested] for one in asked]
    left = np.zeros(len(asked))
    for number, colour in enumerate(VERDICTS.values()):
        share = [float((found == number).sum()) / max(1, tested.sum()) for found in given]
        axes.barh(range(len(asked)), share, left=left, color=colour, height=0.72)
        left += share
    axes.set_yticks(range(len(asked)), [one.name for one in asked])
    for tick, one in zip(axes.get_yticklabels(), asked, strict=True):
        tick.set_fontweight("bold" if one == treatment else "normal")
    if not tested.any():
        said = "No cell could be tested:\nruns without a gap are too short, or constant."
        axes.text(0.5, 0.5, said, ha="center", va="center", color=MUTED, transform=axes.transAxes)
    axes.set_ylim(max(len(asked), FEWEST_BARS) - 0.5, -0.5)
    axes.set_xlim(0, 1)
    axes.xaxis.set_major_formatter(PercentFormatter(1.0, symbol=" %"))
    _plain(axes, "Share of the cells; bold: suggested")


def _memory(axes: Axes, diagnosis: "DifferencingDiagnosis", treatment: Treatment) -> None:
    """Mean autocorrelation as it is and after what is suggested."""
    data = diagnosis.dataset
    for one, colour in zip(dict.fromkeys([Treatment(), treatment]), COLOURS, strict=False):
        acf = data["mean_autocorrelation"].sel(seasonal=one.label, order=one.order)
        axes.plot(acf["step"], acf, color=colour, linewidth=2, label=one.name)
    axes.axhline(0, color=INK, linewidth=0.8)
    axes.legend(frameon=False, fontsize=9, labelcolor=INK)
    axes.xaxis.set_major_locator(MaxNLocator(5, integer=True))
    axes.set_xlabel("Steps apart", fontsize=9.5, color=MUTED, loc="left")
    _plain(axes, "Autocorrelation over the cells")
    axes.grid(axis="y", color=RULE, linewidth=0.8)


def _plain(axes: Axes, title: str, colour: str = INK) -> None:
    axes.set_title(title, loc="left", fontsize=10, color=colour)
    axes.spines[:].set_visible(False)
    axes.tick_params(colors=MUTED, labelsize=9, length=0)
    axes.set_axisbelow(True)


def plot_regions(diagnosis: "DifferencingDiagnosis", channel: Any = None) -> Figure:
    """Means, deviations and distributions of each region over time, as the paper's Figure 1 shows them.

    Args:
        diagnosis: What ``diagnose_differencing`` found.
        channel: Label of the channel shown; default: the first.

    Raises:
        ValueError: If there is no such channel.
    """
    grid = diagnosis.grid
    if channel is not None and channel not in grid.channels:
        raise ValueError(f"channel={channel!r} came; the channels are {grid.channels}. Choose one of them.")
    data, dim = diagnosis.dataset, grid.canonical_dims[0]
    if dim in data["region_mean"].dims:
        data = data.isel({dim: 0 if channel is None else grid.channels.index(channel)})
    mean = data["region_mean"].stack(region=("region_row", "region_column"))
    deviation = data["region_std"].stack(region=("region_row", "region_column"))
    density = data["region_density"].stack(region=("region_row", "region_column"))
    figure = Figure(figsize=(10.4, 6.4), dpi=150, layout="constrained")
    halves: Any = figure.subfigures(2, 1, height_ratios=(1.15, 1))
    top, bottom = halves
    lines = top.subplots(2, 1, sharex=True)
    smooth = min(diagnosis.periods.values(), default=1)  # a season would hide how the level moves
    rows, columns = grid.spatial_dims
    places = [f"{rows} {row}, {columns} {column}" for row, column in mean["region"].values]
    for number in range(mean.sizes["region"]):
        colour = COLOURS[number % len(COLOURS)]
        for axes, field in zip(lines, (mean, deviation), strict=True):
            shown = field.isel(region=number).rolling({grid.time_dim: smooth}, min_periods=1).mean()
            axes.plot(shown[grid.time_dim], shown, color=colour, linewidth=1.4)
    units = in_print(str(mean.attrs.get("units", "")))
    note = f", running mean of {smooth} frames" if smooth > 1 else ""
    for axes, title in zip(
        lines, (f"Mean by region{note}", "Standard deviation within the region"), strict=True
    ):
        _plain(axes, title + (f", {units}" if units else ""))
        axes.grid(axis="y", color=RULE, linewidth=0.8)
    locator = AutoDateLocator()
    lines[1].xaxis.set_major_locator(locator)
    lines[1].xaxis.set_major_formatter(ConciseDateFormatter(locator))
    panels = bottom.subplots(1, mean.sizes["region"], sharey=True, squeeze=False)[0]
    _distributions(panels, density, places, units)
    return figure


def _distributions(panels: np.ndarray, density: xr.DataArray, places: list[str], units: str) -> None:
    """How the values of each region are distributed early, midway and late."""
    for number, axes in enumerate(panels):
        colour = COLOURS[number % len(COLOURS)]
        for part, style in zip(PARTS, (":", "--", "-"), strict=True):
            shown = density.isel(region=number).sel(part=part)
            axes.plot(
                density["value"], shown.where(shown > 0), style, color=colour, linewidth=1.5, label=part
            )
        axes.set_yscale("log")
        axes.xaxis.set_major_locator(MaxNLocator(4))
        _plain(axes, places[number], colour)
        axes.yaxis.set_minor_locator(NullLocator())
        axes.grid(axis="y", color=RULE, linewidth=0.8)
    panels[0].set_ylabel("share of the values", fontsize=9.5, color=MUTED)
    panels[0].set_xlabel(units, fontsize=9.5, color=MUTED, loc="left")
    panels[-1].legend(frameon=False, fontsize=9, labelcolor=INK)
