"""What metrics count in the forecasts of many models."""

from collections.abc import Mapping, Sequence

import numpy as np
import xarray as xr

from darts_mim.grid.grid import Grid
from darts_mim.metrics.block import QUANTILES, SAMPLES
from darts_mim.metrics.coords import require_same_coords
from darts_mim.metrics.counting import count
from darts_mim.metrics.metric import Metric
from darts_mim.metrics.statistic import Statistic

Series = xr.DataArray | xr.Dataset


def statistics_of(
    metrics: Sequence[Metric], forecasts: Mapping[str, Series], observed: Series, grid: Grid
) -> dict[str, Statistic]:
    """By metric, on (model, init_time, lead_time, channel); all metrics of a model in one pass.

    Metrics that read samples or quantiles score these, all others their mean or median; a forecast
    without is one sample, and its own median. Where a metric cannot score a model, such as ``crps_fair``
    one sample, nothing is counted, and the score is NaN.

    Raises:
        GridMismatchError: If a forecast is on another grid than the truth.
        ValueError: If a metric can score none of the models, or counts different things in two of them.
    """
    truth = _of_channels(grid, observed)
    counted: dict[str, dict[str, Statistic]] = {}
    for model, forecast in forecasts.items():
        field = _of_channels(grid, forecast)
        require_same_coords(_one(field), truth)
        able = [metric for metric in metrics if metric.objection(field) is None]
        found = count(able, field, truth, grid.spatial_dims)
        counted[model] = {metric.name: one for metric, one in zip(able, found, strict=True)}
    return {metric.name: _together(metric, counted, forecasts) for metric in metrics}


def cell_statistics(metric: Metric, forecast: Series, observed: Series, grid: Grid) -> Statistic:
    """What the metric counts in each cell, all origins summed, in bounded memory.

    Args:
        metric: One that counts cell by cell: not of whole fields or frames, such as ssim or sse.
        forecast: On (init_time, lead_time, ...), as in ``BacktestResult.forecasts``; samples and quantiles
            as in :func:`statistics_of`.
        observed: The truth, in that layout.
        grid: Of both.

    Returns:
        On (lead_time, channel, row, column), under the grid's names; dims of the metric's own, such as
        ``part``, are in front.

    Raises:
        ValueError: If the metric does not count cell by cell, or cannot score this forecast.
    """
    truth, field = grid.canonical(observed), grid.canonical(forecast)
    if not counts_cells(metric, truth, grid):
        raise ValueError(
            f"{metric} counts whole fields, so that one cell has no score. Ask for the cells of a metric "
            f"that counts cell by cell, such as mse, mae, bias or csi."
        )
    if said := metric.objection(field):
        raise ValueError(said)
    require_same_coords(_one(field), truth)
    return count([metric], field, truth, ["init_time"])[0]


def counts_cells(metric: Metric, truth: xr.DataArray, grid: Grid) -> bool:
    """Whether a cell of the truth, in the grid's own order, has a score of its own."""
    return not set(grid.spatial_dims) & set(metric.whole(truth, grid.spatial_dims))


def _together(
    metric: Metric, counted: Mapping[str, Mapping[str, Statistic]], forecasts: Mapping[str, Series]
) -> Statistic:
    """Of all models, along ``model``; nothing counted where one could not be scored."""
    found = [one[metric.name] for one in counted.values() if metric.name in one]
    if not found:
        model, forecast = next(iter(forecasts.items()))
        said = metric.objection(forecast if isinstance(forecast, xr.DataArray) else forecast.to_dataarray())
        raise ValueError(f"{metric} can score none of the models; of {model!r}: {said}")
    sizes = {str(dict(one.value.sizes)) for one in found}
    if len(sizes) > 1:
        raise ValueError(
            f"{metric} has a number for each rank among the samples, and the models differ in how many they "
            f"have. Keep as many of each, e.g. .isel(realization=slice(20)), or run a backtest of each."
        )
    nothing = Statistic(value=0 * found[0].value, weight=0 * found[0].weight)
    each = [one.get(metric.name, nothing) for one in counted.values()]
    return Statistic(
        value=_stacked([one.value for one in each], list(counted)),
        weight=_stacked([one.weight for one in each], list(counted)),
    )


def _stacked(arrays: Sequence[xr.DataArray], models: list[str]) -> xr.DataArray:
    """Along ``model``; all were counted against one truth, so that their labels are the same."""
    first = arrays[0].reset_coords(drop=True)
    values = np.stack([one.values for one in arrays])
    return xr.DataArray(values, {"model": models, **first.coords}, ("model", *first.dims))


def _of_channels(grid: Grid, series: Series) -> xr.DataArray:
    """(init_time, lead_time, channel, row, column), with the name "channel" whatever the grid's is."""
    array, dim = grid.canonical(series), grid.canonical_dims[0]
    return array if dim == "channel" else array.drop_vars("channel", errors="ignore").rename({dim: "channel"})


def _one(forecast: xr.DataArray) -> xr.DataArray:
    return forecast.isel({dim: 0 for dim in (SAMPLES, QUANTILES) if dim in forecast.dims}, drop=True)
