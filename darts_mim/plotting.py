"""Pictures of a backtest: error by lead, skill by lead, maps of forecast, truth and difference.

Each function returns a :class:`matplotlib.figure.Figure` that no global state holds on to: save it
with ``figure.savefig(...)``, or make it the last line of a notebook cell.
"""

from collections.abc import Sequence
from typing import Any, cast

import numpy as np
import pandas as pd
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.collections import QuadMesh
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator, MaxNLocator, NullLocator, PercentFormatter
from sklearn.isotonic import isotonic_regression

from darts_mim.backtesting.lead_labels import lead_labels
from darts_mim.backtesting.result import BacktestResult
from darts_mim.errors import GridDimsError
from darts_mim.grid.grid import Grid

Series = xr.DataArray | xr.Dataset

# Okabe and Ito's colours, which the colour-blind can tell apart; the model of interest comes first.
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#4d4d4d")
MARKERS = "osD^vPX"
INK, MUTED, RULE, MISSING = "#1f2933", "#616e7c", "#e4e7eb", "#cbd2d9"
MOST_FRAMES = 4  # of one forecast, side by side
MOST_TICKS = 8
FAR_WORSE = -1.0  # a skill below this would flatten the others
FAR_APART = 5  # largest error by smallest, from which a linear scale would flatten the smaller


def plot_scores(result: BacktestResult, metric: str | None = None) -> Figure:
    """Error by lead time, a line a model, named at its end.

    >>> from darts_mim.backtesting.backtest import backtest
    >>> from darts_mim.baselines import Persistence
    >>> time = pd.date_range("2024-01-01", periods=8, freq="h")
    >>> rain = xr.DataArray(np.arange(48.0).reshape(8, 2, 3), {"time": time}, ("time", "y", "x"))
    >>> result = backtest(Persistence().fit(rain), rain, start=time[4], horizon=2)
    >>> plot_scores(result, "mae").axes[0].get_title(loc="left")
    'Mean absolute error by lead time'
    """
    chosen = result.metric(metric)
    scores = result.scores[chosen.name]
    low, high = float(scores.min()), float(scores.max())
    logarithmic = low > 0 and high > FAR_APART * low
    notes = (
        in_print(scores.attrs["units"]),
        f"{result.n_origins:,} forecasts of each model",
        "logarithmic scale" if logarithmic else "",
    )
    figure, axes = _canvas(f"{chosen.title} by lead time", "; ".join(filter(None, notes)))
    _lines(axes, scores, result.models)
    if logarithmic:
        axes.set_yscale("log")
        axes.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
        axes.yaxis.set_minor_locator(NullLocator())
        axes.yaxis.set_major_formatter("{x:,g}")
    elif chosen.perfect == 0 and low >= 0:
        axes.set_ylim(0, 1.08 * high or 1.0)
    _name_lines(axes, scores, result.models)
    return figure


def plot_skill(result: BacktestResult, reference: str, metric: str | None = None) -> Figure:
    """Skill over ``reference`` by lead time: above 0 is better than it, 100 % is perfect.

    The band is the 95 % interval of the first model, for metrics that have one. Models far worse
    than the reference are named below instead of drawn.

    >>> from darts_mim.backtesting.backtest import backtest
    >>> from darts_mim.baselines import Climatology, Persistence
    >>> time = pd.date_range("2024-01-01", periods=72, freq="h")
    >>> values = np.random.default_rng(0).normal(size=(72, 2, 3))
    >>> rain = xr.DataArray(values, {"time": time}, ("time", "y", "x"))
    >>> models = {"mean": Climatology("1D"), "last frame": Persistence()}
    >>> fitted = {name: model.fit(rain[:48]) for name, model in models.items()}
    >>> result = backtest(fitted, rain, start=time[48], horizon=2)
    >>> plot_skill(result, "last frame").axes[0].get_title(loc="left")
    'Skill over last frame'
    """
    chosen = result.metric(metric)
    skill = result.skill(reference, chosen.name).drop_sel(model=reference)
    drawn = skill.isel(model=(skill.max("lead_time") >= FAR_WORSE).values)
    first = result.models[0]
    banded = chosen.is_mean_loss and first in drawn["model"].values
    aim = "lower" if chosen.perfect == 0 else "nearer to perfect"
    figure, axes = _canvas(
        f"Skill over {reference}",
        f"How much {aim} the {chosen.title.lower()} is" + ("; band: 95 % interval" if banded else ""),
    )
    axes.axhline(0, color=INK, linewidth=1)
    _lines(axes, drawn, result.models)
    reached = [-0.02, 0.02, *drawn.values.ravel()]
    if banded:
        band = result.compare(first, reference, chosen.name)
        leads = range(band.sizes["lead_time"])
        axes.fill_between(leads, band["low"], band["high"], color=COLOURS[0], alpha=0.14, lw=0)
        reached += [*band["low"].values, *band["high"].values]
    low, high = max(np.nanmin(reached), FAR_WORSE), np.nanmax(reached)
    margin = 0.06 * (high - low)
    axes.set_ylim(max(low - margin, FAR_WORSE), min(high + margin, 1.0))
    axes.yaxis.set_major_formatter(PercentFormatter(1.0, symbol=" %"))
    _name_lines(axes, drawn, result.models)
    left_out = [name for name in skill["model"].values if name not in drawn["model"].values]
    if left_out:
        note = f"Not drawn, more than {1 - FAR_WORSE:g} times the error: {', '.join(left_out)}"
        axes.set_xlabel(f"Lead time\n{note}", fontsize=10, color=MUTED, loc="left")
    return figure


def plot_maps(
    forecast: Series,
    observed: Series,
    *,
    grid: Grid | None = None,
    channel: Any = None,
    times: Sequence[Any] | None = None,
    model: str | None = None,
    title: str | None = None,
) -> Figure:
    """Maps of one forecast, of what happened, and of the difference; a column a time.

    Forecast and truth have one colour scale, the difference one that is white at 0; both hold for
    all columns. Cells that were not observed are grey.

    Args:
        forecast: A forecast, on the series' time dim or on ``lead_time``.
        observed: What happened, at those times at least.
        grid: Of the series; told from ``observed`` if that has a time dim.
        channel: Label of the channel shown; default: the first.
        times: Which of the forecast times are shown; default: up to four, evenly spread.
        model: Who made the forecast, for the title.
        title: Written above; default: the model, the series, the channel and the time.

    >>> time = pd.date_range("2024-01-01", periods=6, freq="h")
    >>> rain = xr.DataArray(np.arange(36.0).reshape(6, 2, 3), {"time": time}, ("time", "y", "x"))
    >>> figure = plot_maps(rain + 1, rain, times=time[1:3])
    >>> [axes.get_title() for axes in figure.axes[:2]]
    ['01:00', '02:00']
    """
    grid = Grid.of(observed) if grid is None else grid
    guess, truth = (_frames(series, grid, channel) for series in (forecast, observed))
    shown = _evenly(len(guess)) if times is None else _positions(guess, times)
    guess = guess[shown]
    truth = truth[_positions(truth, guess["valid_time"].values)]
    difference = guess.values - truth.values
    scale, reach = _scale(guess.values, truth.values), _reach(difference)
    rows = {
        "Forecast": (guess.values, scale),
        "Truth": (truth.values, scale),
        "Forecast\n− truth": (difference, {"vmin": -reach, "vmax": reach, "cmap": "RdBu_r"}),
    }
    figure, panels = _panels(*guess.shape)
    meshes: list[QuadMesh] = []
    for (name, (fields, scale)), line in zip(rows.items(), panels, strict=True):
        line[0].set_ylabel(name, fontsize=10, color=INK)
        meshes += [draw_map(axes, field, grid, scale) for axes, field in zip(line, fields, strict=True)]
    for axes, label in zip(panels[0], _frame_labels(guess), strict=True):
        axes.set_title(label, fontsize=9.5, color=INK)
    units = in_print(guess.attrs["units"])
    beyond = "both" if (np.abs(difference) > reach).any() else "neither"
    colour_bar(figure, meshes[0], panels[:2], units)
    colour_bar(figure, meshes[-1], panels[2:], units, extend=beyond)
    figure.suptitle(title or _heading(guess, model, len(shown)), fontsize=12, fontweight="bold", color=INK)
    return figure


def _canvas(title: str, subtitle: str) -> tuple[Figure, Axes]:
    figure = Figure(figsize=(6.2, 3.7), dpi=150, layout="constrained")
    axes = figure.subplots()
    axes.set_title(title, loc="left", fontsize=13, fontweight="bold", color=INK, pad=26)
    axes.annotate(subtitle, (0, 1), (0, 9), "axes fraction", "offset points", fontsize=9.5, color=MUTED)
    axes.spines[["top", "right", "left"]].set_visible(False)
    axes.spines["bottom"].set_color(MUTED)
    axes.grid(axis="y", color=RULE, linewidth=0.8)
    axes.set_axisbelow(True)
    axes.tick_params(colors=MUTED, labelsize=9.5, length=0, pad=6)
    axes.set_xlabel("Lead time", fontsize=10, color=MUTED, loc="left")
    return figure, axes


def _colour(name: str, models: Sequence[str]) -> str:
    return COLOURS[models.index(name) % len(COLOURS)]


def _lines(axes: Axes, scores: xr.DataArray, models: Sequence[str]) -> None:
    """A line a model of ``scores`` (model, lead_time); the y limits are settled by now."""
    leads = scores.sizes["lead_time"]
    for name in scores["model"].values:
        axes.plot(
            range(leads),
            scores.sel(model=name),
            color=_colour(name, models),
            marker=MARKERS[models.index(name) % len(MARKERS)] if leads <= 12 else None,
            markersize=6,
            linewidth=2.6 if name == models[0] else 1.8,
            zorder=3 if name == models[0] else 2,
            clip_on=True,
        )
    every = -(-leads // MOST_TICKS)
    axes.set_xticks(range(0, leads, every), lead_labels(scores["lead_time"])[::every])
    axes.set_xlim(-0.04 * max(leads - 1, 1), 1.02 * max(leads - 1, 1))


def _name_lines(axes: Axes, scores: xr.DataArray, models: Sequence[str]) -> None:
    """Each model's name at the end of its line, moved apart where the lines end close together."""
    if not scores.sizes["model"]:
        return
    last = scores.sizes["lead_time"] - 1
    low, high = axes.get_ylim()
    values = scores.isel(lead_time=last).values
    ends = values.clip(low, high)
    to_axes = (axes.transData + axes.transAxes.inverted()).transform
    heights = _spread(to_axes([(last, end) for end in ends])[:, 1], gap=0.075)
    for name, value, end, height in zip(scores["model"].values, values, ends, heights, strict=True):
        axes.annotate(
            f"{name} ↓" if value < end else name,
            (last, end),
            (1.045, height),
            textcoords="axes fraction",
            color=_colour(name, models),
            fontsize=10.5,
            fontweight="bold" if name == models[0] else "normal",
            verticalalignment="center",
            arrowprops={"arrowstyle": "-", "color": _colour(name, models), "lw": 0.7, "shrinkB": 5},
        )


def _spread(wanted: np.ndarray, gap: float) -> np.ndarray:
    """Positions at least ``gap`` apart that are nearest to those wanted.

    >>> _spread(np.array([0.5, 0.5, 0.0]), gap=0.1)
    array([0.45, 0.55, 0.  ])
    """
    order = np.argsort(wanted, kind="stable")
    steps = gap * np.arange(len(wanted))
    placed = np.empty(len(wanted))
    placed[order] = isotonic_regression(wanted[order] - steps) + steps
    return placed


def _frames(series: Series, grid: Grid, channel: Any) -> xr.DataArray:
    """One channel as (frame, row, column), with ``valid_time`` on the frames."""
    array = grid.canonical(series)
    array = array.mean("realization", keep_attrs=True) if "realization" in array.dims else array
    if array.ndim != 4:
        raise GridDimsError(
            f"The dims are {tuple(series.dims)}; maps want one forecast, frame after frame. Select "
            f"it, e.g. .isel(init_time=0)."
        )
    label = grid.channels[0] if channel is None else channel
    if label not in grid.channels:
        raise ValueError(f"There is no channel {label!r}. Choose from {list(grid.channels)}.")
    frame = array.dims[0]
    if frame == grid.time_dim:
        array = array.assign_coords(valid_time=(frame, array[frame].values))
    source = series[label] if isinstance(series, xr.Dataset) else series
    names = [str(grid.name or "")] if source.name is None else [str(source.name)]
    if grid.n_channels > 1 and not isinstance(series, xr.Dataset):
        names.append(str(label))
    return (
        array.isel({array.dims[1]: grid.channels.index(label)}, drop=True)
        .astype(float)
        .assign_attrs(units=str(source.attrs.get("units", "")), heading=", ".join(filter(None, names)))
    )


def _positions(fields: xr.DataArray, times: Any) -> np.ndarray:
    valid = pd.DatetimeIndex(fields["valid_time"].values)
    wanted = pd.DatetimeIndex(np.atleast_1d(np.asarray(times, "M8[ns]")))
    at = valid.get_indexer(wanted)
    if (at < 0).any():
        raise ValueError(
            f"{wanted[at < 0][0]} is not among the {len(valid)} times from {valid[0]} to {valid[-1]}."
        )
    return at


def _evenly(n: int) -> np.ndarray:
    return np.unique(np.linspace(0, n - 1, min(n, MOST_FRAMES)).round().astype(int))


def _scale(guess: np.ndarray, truth: np.ndarray) -> dict[str, Any]:
    """One scale for both. Where 0 means nothing it starts there, pale."""
    low, high = _extremes(np.stack([guess, truth]))
    if 0 <= _extremes(truth)[0] <= 0.25 * high:
        return {"vmin": 0.0, "vmax": high or 1.0, "cmap": "GnBu"}
    return {"vmin": low, "vmax": high, "cmap": "viridis"}


def _reach(difference: np.ndarray) -> float:
    """How far the difference's scale goes to either side; a few far cells do not set it."""
    size = np.abs(difference[np.isfinite(difference)])
    if not size.any():
        return 1.0
    usual = 1.5 * float(np.quantile(size, 0.995))
    return min(float(size.max()), usual) if usual else float(size.max())


def _extremes(values: np.ndarray) -> tuple[float, float]:
    finite = values[np.isfinite(values)]
    return (float(finite.min()), float(finite.max())) if finite.size else (0.0, 0.0)


def _panels(frames: int, height: int, width: int) -> tuple[Figure, np.ndarray]:
    shape = float(np.clip(height / width, 0.4, 1.6))
    across = 1.2 if frames > 2 else 1.8
    size = (1.5 + (across + 0.08) * frames, 1.0 + 3 * (across * shape + 0.1))
    figure = Figure(figsize=size, dpi=150, layout="constrained")
    panels = figure.subplots(3, frames, squeeze=False, sharex=True, sharey=True)
    for axes in panels.flat:
        axes.set_box_aspect(shape)
    return figure, panels


def draw_map(axes: Axes, field: np.ndarray, grid: Grid, scale: dict[str, Any]) -> QuadMesh:
    """One field of the grid, on its coordinates; cells that are NaN are grey."""
    row, column = (_coordinate(grid, dim) for dim in grid.spatial_dims)
    height, width = field.shape
    x = np.arange(width) if column is None else column
    y = np.arange(height) if row is None else row
    mesh = axes.pcolormesh(_edges(x), _edges(y), field, rasterized=True, **scale)
    axes.set_facecolor(MISSING)
    axes.spines[:].set_color(RULE)
    axes.tick_params(colors=MUTED, labelsize=7.5, length=2)
    axes.xaxis.set_major_locator(NullLocator() if column is None else MaxNLocator(3))
    axes.yaxis.set_major_locator(NullLocator() if row is None else MaxNLocator(4))
    if row is None:  # without a coordinate the first row is at the top, as in an image
        axes.set_ylim(height - 0.5, -0.5)
    return mesh


def _edges(centres: np.ndarray) -> np.ndarray:
    """Where cells end; a lone cell is 1 wide, where matplotlib would make it nothing.

    >>> _edges(np.array([0, 2, 3])), _edges(np.array([5]))
    (array([-1. ,  1. ,  2.5,  3.5]), array([4.5, 5.5]))
    """
    steps = np.diff(centres.astype(float)) if len(centres) > 1 else np.ones(1)
    return np.concatenate(
        [
            centres[:1] - steps[0] / 2,
            centres[:-1] + steps[: len(centres) - 1] / 2,
            centres[-1:] + steps[-1] / 2,
        ]
    )


def _coordinate(grid: Grid, dim: str) -> np.ndarray | None:
    """The dim's coordinate, where it can be an axis: numbers that only rise or only fall."""
    if dim not in grid.coords.coords or grid.coords[dim].dtype.kind not in "iuf":
        return None
    steps = np.diff(grid.coords[dim].values.astype(float))
    return grid.coords[dim].values if (steps > 0).all() or (steps < 0).all() else None


def colour_bar(
    figure: Figure, mesh: QuadMesh, panels: np.ndarray, units: str, *, extend: str = "neither"
) -> None:
    """A colour bar for all panels together."""
    aspect = 18 * len(panels)
    bar = figure.colorbar(mesh, ax=panels, shrink=0.92, aspect=aspect, pad=0.02, extend=extend)
    bar.set_label(units, fontsize=9, color=MUTED)
    bar.outline.set_visible(False)
    bar.ax.tick_params(colors=MUTED, labelsize=8, length=0)
    bar.ax.yaxis.set_major_locator(MaxNLocator(5))


def _frame_labels(fields: xr.DataArray) -> list[str]:
    """When each frame is, and how far ahead that was."""
    valid = pd.DatetimeIndex(fields["valid_time"].values)
    clock = "{0:%H:%M}" if (valid != valid.normalize()).any() else ""
    day = "{0.day} {0:%b}" if len(valid.normalize().unique()) > 1 or not clock else ""
    labels = [" ".join(filter(None, (day, clock))).format(time) for time in valid]
    if "lead_time" not in fields.coords:
        return labels
    leads = lead_labels(fields["lead_time"])
    return [f"{label}\n{lead} ahead" for label, lead in zip(labels, leads, strict=True)]


def _heading(fields: xr.DataArray, model: str | None, columns: int) -> str:
    made = "init_time" in fields.coords
    when = said_time(fields["init_time" if made else "valid_time"].values.flat[0])
    said = [model or "", fields.attrs["heading"], f"made {when}" if made else when]
    return (" · " if columns > 2 else "\n").join(filter(None, said))


def in_print(units: str) -> str:
    """Units with raised digits: ``mm^2`` as mm²."""
    return units.replace("^2", "²").replace("degC", "°C")


def said_time(when: Any) -> str:
    """A time as a reader says it.

    >>> said_time("2016-01-23 14:30"), said_time(np.datetime64("2016-01-23"))
    ('Sat 23 Jan 2016, 14:30', 'Sat 23 Jan 2016')
    """
    time = cast(pd.Timestamp, pd.Timestamp(when))
    clock = "" if time == time.normalize() else f", {time:%H:%M}"
    return f"{time:%a} {time.day} {time:%b %Y}{clock}"
