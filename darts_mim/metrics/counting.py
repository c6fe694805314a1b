"""Several metrics count two fields in one pass: what is read, and what is made on the way, they share."""

from collections.abc import Collection, Hashable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import dask.array as da
import numpy as np
import xarray as xr

from darts_mim.metrics.block import QUANTILES, SAMPLES, Block, Cut
from darts_mim.metrics.blocks import Total, blocks, is_lazy, on_dask, shifted
from darts_mim.metrics.statistic import Dims, Statistic, listed

if TYPE_CHECKING:
    from darts_mim.metrics.metric import Metric


def count(
    metrics: Sequence["Metric"], forecast: xr.DataArray, observed: xr.DataArray, dims: Dims
) -> list[Statistic]:
    """What each metric counts along ``dims``.

    Lazy fields are read once, a few chunks at a time, and counted where they are read: each part is a task of
    dask's active scheduler.

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
    lazy = any(is_lazy(field) for field in (near_in_order, observed.variable))
    plan = _Plan(
        metrics=list(counting.values()),
        dims=dims,
        fields=_unread(observed) if lazy else observed,
        whole=whole,
        own=own,
        levels=levels,
    )
    if lazy:
        total = _Counts.of(plan, observed.sizes)
        for cut, part in on_dask(_count, plan, near_in_order, observed.variable, whole):
            total.add(cut, part)
    else:
        total = _count(plan, near_in_order.values, observed.values, {})
    total.require_none_lost(plan.metrics)
    found = dict(zip(counting, total.totals, strict=True))
    return [found[metric.counts_as].statistic(*fields) for metric in metrics]


@dataclass(frozen=True, kw_only=True)
class _Plan:
    """What is counted in each part of the fields."""

    metrics: Sequence["Metric"]
    dims: Sequence[Hashable]
    fields: xr.DataArray  # the truth: its dims and labels
    whole: Collection[Hashable]
    own: str | None
    levels: np.ndarray | None


@dataclass(frozen=True, kw_only=True)
class _Counts:
    """What was counted: of each metric, and the truths that nothing was forecast for."""

    totals: Sequence[Total]
    lost: Total

    @classmethod
    def of(cls, plan: _Plan, sizes: Mapping[Hashable, int]) -> "_Counts":
        """Of no cells yet."""
        return cls(totals=[Total(sizes) for _ in plan.metrics], lost=Total(sizes))

    def add(self, cut: Cut, part: "_Counts") -> None:
        """Take in what was counted in the part at ``cut``."""
        if part.lost.sums:
            self.lost.add(cut, part.lost.counted())
        elif not self.lost.sums:
            for total, other in zip(self.totals, part.totals, strict=True):
                total.add(cut, other.counted())

    def require_none_lost(self, metrics: Sequence["Metric"]) -> None:
        """Raises a ValueError if a truth has no forecast."""
        if not self.lost.sums:
            return
        windows = self.lost.sums["value"].values
        raise ValueError(
            f"The forecast is NaN at cells that were observed, in {int((windows > 0).sum())} of "
            f"{windows.size} windows. Leave those windows out or fill the cells: "
            f"{', '.join(metric.name for metric in metrics)} cannot guess what was meant."
        )


def _count(plan: _Plan, forecast: np.ndarray, observed: np.ndarray, at: Cut) -> _Counts:
    """Of a part of the fields, in memory, that stands at ``at``."""
    counts = _Counts.of(plan, dict(zip(plan.fields.dims, observed.shape, strict=True)))
    for cut, near, truth in blocks(forecast, observed, plan.fields.dims, plan.whole):
        here = shifted(cut, at)
        block = Block(near, truth, plan.dims, fields=plan.fields, cut=here, own=plan.own, levels=plan.levels)
        if block.lost is not None and block.lost.any():
            counts.lost.add(cut, block.sums(block.lost))
        if not counts.lost.sums:
            for metric, total in zip(plan.metrics, counts.totals, strict=True):
                total.add(cut, metric.count(block))
    return counts


def _unread(field: xr.DataArray) -> xr.DataArray:
    """The same dims and labels without the values."""
    labels = {dim: field[dim].variable for dim in field.dims if dim in field.indexes}
    return xr.DataArray(da.zeros(field.shape, dtype=bool, chunks=-1), labels, field.dims)
