"""Statistics of many models' forecasts, some origins at a time."""

from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd
import xarray as xr

from darts_mim.grid.grid import Grid
from darts_mim.metrics.pointwise import Metric, Statistic

Series = xr.DataArray | xr.Dataset

BLOCK = 2**20  # cells


def statistics_of(
    metrics: Sequence[Metric], forecasts: Mapping[str, Series], observed: Series, grid: Grid
) -> dict[str, Statistic]:
    """By metric, on (model, init_time, lead_time, channel)."""
    truth = _canonical(observed, grid)
    fields = [_canonical(forecast, grid) for forecast in forecasts.values()]
    # Some origins at a time: what scoring makes along the way then fits in the processor's cache.
    step = max(1, BLOCK // truth[0].size)
    blocks = [slice(first, first + step) for first in range(0, len(truth), step)]
    models = pd.Index(list(forecasts), name="model")

    def of_one(metric: Metric, field: xr.DataArray) -> Statistic:
        parts = [metric.statistic(field[block], truth[block], grid.spatial_dims) for block in blocks]
        return _joined(parts, "init_time")

    return {metric.name: _joined([of_one(metric, field) for field in fields], models) for metric in metrics}


def _joined(parts: Sequence[Statistic], dim: Any) -> Statistic:
    values, weights = (
        xr.concat([array.reset_coords(drop=True) for array in arrays], dim, join="exact")
        for arrays in ([part.value for part in parts], [part.weight for part in parts])
    )
    return Statistic(value=values, weight=weights)


def _canonical(forecast: Series, grid: Grid) -> xr.DataArray:
    array = grid.canonical(forecast)
    array = array.mean("realization") if "realization" in array.dims else array
    dim = grid.canonical_dims[0]  # a coordinate named "channel" would be in its way
    return array if dim == "channel" else array.drop_vars("channel", errors="ignore").rename({dim: "channel"})
