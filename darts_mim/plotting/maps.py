"""Maps: one forecast beside the truth, and any field of the grid."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.collections import QuadMesh
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator, NullLocator

from darts_mim.backtesting.lead_labels import lead_labels
from darts_mim.errors import GridDimsError
from darts_mim.grid.grid import Grid
from darts_mim.plotting.style import INK, MISSING, MUTED, RULE, in_print, said_time

Series = xr.DataArray | xr.Dataset

MOST_FRAMES = 4  # of one forecast, side by side


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
    guess, truth = (frames_of(series, grid, channel) for series in (forecast, observed))
    shown = _evenly(len(guess)) if times is None else _positions(guess, times)
    guess = guess[shown]
    truth = truth[_positions(truth, guess["valid_time"].values)]
    difference = guess.values - truth.values
    scale, reach = field_scale(guess.values, truth.values), reach_of(difference)
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
    for axes, label in zip(panels[0], frame_labels(guess), strict=True):
        axes.set_title(label, fontsize=9.5, color=INK)
    units = in_print(guess.attrs["units"])
    beyond = "both" if (np.abs(difference) > reach).any() else "neither"
    colour_bar(figure, meshes[0], panels[:2], units)
    colour_bar(figure, meshes[-1], panels[2:], units, extend=beyond)
    figure.suptitle(title or _heading(guess, model, len(shown)), fontsize=12, fontweight="bold", color=INK)
    return figure


def frames_of(series: Series, grid: Grid, channel: Any) -> xr.DataArray:
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


def field_scale(guess: np.ndarray, truth: np.ndarray) -> dict[str, Any]:
    """One scale for both. Where 0 means nothing it starts there, pale."""
    low, high = _extremes(np.stack([guess, truth]))
    if 0 <= _extremes(truth)[0] <= 0.25 * high:
        return {"vmin": 0.0, "vmax": high or 1.0, "cmap": "GnBu"}
    return {"vmin": low, "vmax": high, "cmap": "viridis"}


def reach_of(difference: np.ndarray) -> float:
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
    row, column = (axis_of(grid, dim) for dim in grid.spatial_dims)
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


def axis_of(grid: Grid, dim: str) -> np.ndarray | None:
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


def frame_labels(fields: xr.DataArray) -> list[str]:
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
