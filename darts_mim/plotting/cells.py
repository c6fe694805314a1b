"""Where on the grid a model is good, and where it is better than another."""

from typing import Any

import numpy as np
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import PathPatch
from matplotlib.path import Path

from darts_mim.backtesting.result import BacktestResult
from darts_mim.grid.grid import Grid
from darts_mim.plotting.maps import colour_bar, draw_map
from darts_mim.plotting.style import INK, MUTED, beyond, in_print, score_scale

MOST_SKILL = 1.0  # to either side of 0 on the map


def plot_cells(
    result: BacktestResult,
    reference: str | None = None,
    metric: str | None = None,
    *,
    model: str | None = None,
    channel: Any = None,
    compared: xr.Dataset | None = None,
) -> Figure:
    """Maps of the score of every cell, and of the skill over ``reference``; origins and leads are pooled.

    Cells whose skill may be luck are hatched; of the others, 5 % are luck on average. Cells that were not
    observed are grey.

    Args:
        result: What :func:`darts_mim.backtesting.backtest.backtest` returned.
        reference: Name of the model it is held against; None: no map of skill.
        metric: Name of a metric that counts cell by cell, a mean loss where there is a reference;
            default: the first that was scored.
        model: Whose score; default: the first.
        channel: Label of the channel shown; default: the first.
        compared: What ``result.compare_cells(model, reference, metric)`` gave, if that is there already.

    Raises:
        ValueError: If there is no such channel or model, or the metric does not count cell by cell.

    >>> from darts_mim.backtesting.backtest import backtest
    >>> from darts_mim.baselines import Climatology, Persistence
    >>> import pandas as pd
    >>> time = pd.date_range("2024-01-01", periods=72, freq="h")
    >>> values = np.random.default_rng(0).normal(size=(72, 2, 3))
    >>> rain = xr.DataArray(values, {"time": time}, ("time", "y", "x"))
    >>> models = {"mean": Climatology("1D"), "last frame": Persistence()}
    >>> fitted = {name: model.fit(rain[:48]) for name, model in models.items()}
    >>> result = backtest(fitted, rain, start=time[48], horizon=2)
    >>> [axes.get_title(loc="left") for axes in plot_cells(result, "last frame").axes[:2]]
    ['Mean squared error', 'Skill over last frame']
    """
    chosen, name = result.metric(metric), model or result.models[0]
    score = one_channel(result.cell_scores(chosen.name).sel(model=name), result.grid, channel)
    units = in_print(str(score.attrs.get("units", "") or chosen.units(result.units)))
    figure, panels = _panels(result.grid, 1 if reference is None else 2)
    scale = score_scale(score.values, chosen)
    mesh = draw_map(panels[0], score.values, result.grid, scale)
    colour_bar(figure, mesh, panels[:1], units, extend=beyond(score.values, scale))
    panels[0].set_title(chosen.title, fontsize=11, color=INK, loc="left")
    if reference is not None:
        if compared is None:
            compared = result.compare_cells(name, reference, chosen.name)
        found = one_channel(compared, result.grid, channel)
        mesh, extend = draw_cell_skill(panels[1], found, result.grid)
        colour_bar(figure, mesh, panels[1:], "", extend=extend)
        figure.axes[-1].yaxis.set_major_formatter(lambda share, _: f"{100 * share:.0f} %".replace("-", "−"))
        panels[1].set_title(f"Skill over {reference}", fontsize=11, color=INK, loc="left")
        panels[1].set_xlabel("hatched: may be luck", fontsize=9, color=MUTED, loc="left")
    return figure


def draw_cell_skill(axes: Axes, compared: xr.Dataset, grid: Grid) -> tuple[Any, str]:
    """The map of skill of one channel: blue is better, red worse; hatched where it may be luck."""
    skill, luck = compared["skill"].values, ~compared["significant"].values
    known = np.abs(skill[np.isfinite(skill)])
    reach = float(np.clip(np.quantile(known, 0.98), 0.05, MOST_SKILL)) if known.size else MOST_SKILL
    scale = {"vmin": -reach, "vmax": reach, "cmap": "RdBu"}
    mesh = draw_map(axes, skill, grid, scale)
    hatch(axes, np.asarray(mesh.get_coordinates()), luck & np.isfinite(skill))
    return mesh, beyond(skill, scale)


def hatch(axes: Axes, corners: np.ndarray, where: np.ndarray) -> None:
    """Fade and hatch some cells of a map.

    Args:
        axes: The map.
        corners: (row + 1, column + 1, 2), x and y of the cells' corners.
        where: (row, column), which cells.
    """
    if not where.any():
        return
    sides = [corners[:-1, :-1], corners[:-1, 1:], corners[1:, 1:], corners[1:, :-1], corners[:-1, :-1]]
    boxes = np.stack(sides, axis=2)[where]
    outline = Path.make_compound_path(*[Path(box, closed=True) for box in boxes])
    style = {"facecolor": (1, 1, 1, 0.5), "edgecolor": MUTED, "linewidth": 0, "hatch": "/////"}
    patch = PathPatch(outline, **style)
    patch.set_hatch_linewidth(0.5)
    axes.add_patch(patch)


def one_channel(fields: Any, grid: Grid, channel: Any) -> Any:
    """One channel of maps that may have several, checked."""
    label = grid.channels[0] if channel is None else channel
    if label not in grid.channels:
        raise ValueError(f"There is no channel {label!r}. Choose from {list(grid.channels)}.")
    dim = grid.canonical_dims[0]
    if dim in fields.dims:
        fields = fields.isel({dim: grid.channels.index(label)}, drop=True)
    return fields.transpose(..., *grid.spatial_dims)


def _panels(grid: Grid, n: int) -> tuple[Figure, np.ndarray]:
    shape = float(np.clip(grid.height / grid.width, 0.4, 1.6))
    width = min(2.1, 2.5 / shape)
    figure = Figure(figsize=(n * (width + 0.95), width * shape + 0.8), dpi=170, layout="constrained")
    panels = figure.subplots(1, n, squeeze=False)[0]
    for axes in panels:
        axes.set_box_aspect(shape)
    return figure, panels
