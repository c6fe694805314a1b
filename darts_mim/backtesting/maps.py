"""Scores of each cell, and one model against another in each."""

from collections.abc import Iterator
from typing import TYPE_CHECKING, TypeVar

import xarray as xr

from darts_mim.backtesting.clock import Series
from darts_mim.backtesting.comparing import mean_loss, origin_steps
from darts_mim.backtesting.scoring import cell_statistics
from darts_mim.grid.grid import Grid
from darts_mim.metrics import cell_comparison
from darts_mim.metrics.counting import count
from darts_mim.metrics.metric import Metric
from darts_mim.metrics.origins import Origins

if TYPE_CHECKING:
    from darts_mim.backtesting.result import BacktestResult

BLOCK = 2**20  # cells whose losses are held at once
Maps = TypeVar("Maps", xr.DataArray, xr.Dataset)


def cell_scores(result: "BacktestResult", metric: str | None, by: str | None) -> xr.DataArray:
    """See :meth:`darts_mim.backtesting.result.BacktestResult.cell_scores`."""
    pooled = _pooled(by)
    chosen = result.metric(metric)
    scores = [
        chosen.score(cell_statistics(chosen, forecast, result.observed, result.grid).sum(pooled))
        for forecast in result.forecasts.values()
    ]
    models = xr.DataArray(result.models, dims="model", name="model")
    maps = xr.concat([one.reset_coords(drop=True) for one in scores], models, join="exact")
    return _on_grid(maps, result.grid).assign_attrs(units=chosen.units(result.units))


def compare_cells(
    result: "BacktestResult", model: str, reference: str, metric: str | None, by: str | None
) -> xr.Dataset:
    """See :meth:`darts_mim.backtesting.result.BacktestResult.compare_cells`."""
    pooled = _pooled(by)
    chosen, steps = mean_loss(result, metric), origin_steps(result.observed)
    ours, theirs = (result.forecasts[result.model(name)] for name in (model, reference))
    compared = cell_comparison.compare_cells(
        _cell_losses(ours, theirs, result.observed, result.grid, chosen, pooled),
        dim="init_time",
        origins=Origins.of(
            xr.DataArray(steps, {"init_time": steps}, "init_time"),
            "init_time",
            horizon=result.observed.sizes["lead_time"],
        ),
    )
    return _on_grid(compared, result.grid).assign_attrs(model=model, reference=reference, metric=chosen.name)


def _pooled(by: str | None) -> list[str]:
    if by not in ("lead_time", None):
        raise ValueError(f"by={by!r} came. Maps are by='lead_time', or pool the leads with by=None.")
    return [] if by else ["lead_time"]


def _on_grid(maps: Maps, grid: Grid) -> Maps:
    """With the grid's coordinates; without a channel dim where the series has neither one nor variables."""
    if grid.channel_dim is None and grid.variables is None:
        maps = maps.isel({grid.canonical_dims[0]: 0}, drop=True)
    fitting = {
        name: coord
        for name, coord in grid.coords.coords.items()
        if set(coord.dims) <= set(maps.dims) and (name not in maps.dims or coord.dims == (name,))
    }
    return maps.assign_coords(fitting)


def _cell_losses(
    ours: Series, theirs: Series, observed: Series, grid: Grid, metric: Metric, pooled: list[str]
) -> Iterator[tuple[xr.DataArray, xr.DataArray]]:
    """Of some origins at a time, so that memory is bounded; NaN where nothing was observed."""
    truth, *both = (_of_cells(grid, series) for series in (observed, ours, theirs))
    step = max(1, BLOCK // truth[0].size)
    for first in range(0, len(truth), step):
        several = {"init_time": slice(first, first + step)}
        seen = truth[several].notnull().any(pooled)
        a, b = (
            count([metric], forecast[several], truth[several], [])[0].value.sum(pooled).where(seen)
            for forecast in both
        )
        yield a, b


def _of_cells(grid: Grid, series: Series) -> xr.DataArray:
    """In the grid's own order, with labels of its dims alone."""
    array = grid.canonical(series)
    return array.drop_vars([name for name in array.coords if name not in array.dims])
