"""Several metrics count two fields in one pass: what is read, and what is made on the way, they share."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import xarray as xr

from darts_mim.metrics.block import QUANTILES, SAMPLES, Block
from darts_mim.metrics.blocks import Total, blocks
from darts_mim.metrics.statistic import Dims, Statistic, listed

if TYPE_CHECKING:
    from darts_mim.metrics.metric import Metric


def count(
    metrics: Sequence["Metric"], forecast: xr.DataArray, observed: xr.DataArray, dims: Dims
) -> list[Statistic]:
    """What each metric counts along ``dims``. Lazy fields are read once, chunk by chunk.

    Args:
        metrics: Those that count. Samples are scored by their mean and quantiles by that of level 0.5,
            unless a metric reads them; a forecast without is one sample, and its own median.
        forecast: On the truth's dims and coordinates, perhaps with ``realization`` or ``quantile``.
        observed: The truth; cells that are NaN are left out.
        dims: Dims whose cells are counted together.

    Raises:
        ValueError: If the forecast is NaN where the truth was observed.

    >>> from darts_mim.metrics import mae, rmse
    >>> truth = xr.DataArray([0.0, 0.0], dims="x")
    >>> total, squares = count([mae, rmse], truth + [1.0, 7.0], truth, "x")
    >>> mae.score(total).item(), rmse.score(squares).item()
    (4.0, 5.0)
    """
    dims = listed(dims)
    own = next((dim for dim in (SAMPLES, QUANTILES) if dim in forecast.dims), None)
    first = [] if own is None else [own]
    levels = forecast[own].values if own == QUANTILES else None
    whole = {*first, *(dim for metric in metrics for dim in metric.whole(observed, dims))}
    fields = observed, forecast.isel(dict.fromkeys(first, 0), drop=True)
    near_in_order = forecast.variable.transpose(*first, *observed.dims)
    counting = {metric.counts_as: metric for metric in metrics}
    totals, lost = {key: Total(*fields) for key in counting}, Total(observed)
    for cut, near, truth in blocks(near_in_order, observed.variable, whole):
        block = Block(near, truth, dims, fields=observed, cut=cut, own=own, levels=levels)
        if block.lost is not None and block.lost.any():
            lost.add(cut, block.sums(block.lost))
        if not lost.sums:
            for key, metric in counting.items():
                totals[key].add(cut, metric.count(block))
    if lost.sums:
        windows = lost.sums["value"].values
        raise ValueError(
            f"The forecast is NaN at cells that were observed, in {int((windows > 0).sum())} of "
            f"{windows.size} windows. Leave those windows out or fill the cells: "
            f"{', '.join(metric.name for metric in counting.values())} cannot guess what was meant."
        )
    return [totals[metric.counts_as].statistic() for metric in metrics]
