"""Two fields read in blocks, and what the blocks gave put together: memory stays small, pooling exact."""

from collections.abc import Collection, Hashable, Iterator, Mapping
from itertools import accumulate, pairwise, product
from math import prod
from typing import Any

import dask
import numpy as np
import xarray as xr

from darts_mim.metrics.statistic import Statistic

BLOCK = 2**18  # cells: what scoring makes along the way then fits in the processor's cache
Cut = Mapping[Hashable, slice]


def blocks(
    forecast: xr.DataArray, observed: xr.DataArray, whole: Collection[Hashable]
) -> Iterator[tuple[Cut, xr.DataArray, xr.DataArray]]:
    """Both fields in memory, block by block, with where each block stands.

    Lazy fields are read once: a block is made of whole chunks of both. Dims in ``whole`` are not cut.
    """
    for chunk in _chunks(forecast, observed, whole):
        near, truth = dask.compute(_at(forecast, chunk), _at(observed, chunk))
        for cut in _cuts(near.sizes, whole):
            here = {dim: _shifted(cut[dim], chunk.get(dim)) for dim in cut}
            yield here, _at(near, cut), _at(truth, cut)


class Total:
    """The sum of the blocks' statistics: added where they share cells, side by side where not."""

    def __init__(self, *fields: xr.DataArray) -> None:
        self.fields = fields
        self.sums: dict[str, xr.DataArray] = {}

    def add(self, cut: Cut, part: Statistic) -> None:
        """Take in the statistic of the block at ``cut``."""
        for name, array in (("value", part.value), ("weight", part.weight)):
            self.sums[name] = self._added(self.sums.get(name), array, cut)

    def statistic(self) -> Statistic:
        """Of all the blocks."""
        value, weight = (self._labelled(self.sums[name]) for name in ("value", "weight"))
        return Statistic(value=value, weight=weight)

    def _added(self, total: xr.DataArray | None, part: xr.DataArray, cut: Cut) -> xr.DataArray:
        sizes: dict[Hashable, int] = {d: n for field in self.fields for d, n in field.sizes.items()}
        if total is None:
            own = {name: part[name] for name in part.dims if name not in sizes and name in part.coords}
            shape = [sizes.get(dim, part.sizes[dim]) for dim in part.dims]
            total = xr.DataArray(np.zeros(shape), own, part.dims)
        place = tuple(cut.get(dim, slice(None)) for dim in part.dims)
        total.values[place] += part.values
        return total

    def _labelled(self, total: xr.DataArray) -> xr.DataArray:
        coords: dict[Hashable, Any] = {}
        for field in self.fields:
            kept = {name: c for name, c in field.coords.items() if set(c.dims) <= set(total.dims)}
            coords |= {name: c.variable for name, c in kept.items() if name not in coords}
        return xr.DataArray(total.variable, {**total.coords, **coords})


def _at(field: xr.DataArray, cut: Cut) -> xr.DataArray:
    return field.isel({dim: where for dim, where in cut.items() if dim in field.dims})


def _shifted(where: slice, by: slice | None) -> slice:
    start = by.start if by is not None else 0
    return slice(where.start + start, where.stop + start)


def _chunks(forecast: xr.DataArray, observed: xr.DataArray, whole: Collection[Hashable]) -> Iterator[Cut]:
    """Cut where a chunk of each lazy field ends."""
    ends: dict[Hashable, set[int]] = {}
    for field in (forecast, observed):
        for dim, sizes in field.chunksizes.items():
            own = set(accumulate(sizes))
            ends[dim] = own & ends[dim] if dim in ends else own
    cuts = {
        dim: [slice(*pair) for pair in pairwise([0, *sorted(at - {0})])]
        for dim, at in ends.items()
        if dim not in whole
    }
    for chosen in product(*cuts.values()):
        yield dict(zip(cuts, chosen, strict=True))


def _cuts(sizes: Mapping[Hashable, int], whole: Collection[Hashable]) -> Iterator[Cut]:
    """Cut the outer dims until a block is small."""
    cells, cuts = prod(sizes.values()), {}
    for dim, size in sizes.items():
        each = cells // max(size, 1)  # cells at one index of this dim
        step = max(size, 1) if dim in whole else max(1, min(size, BLOCK // max(each, 1)))
        cuts[dim] = [slice(first, min(first + step, size)) for first in range(0, max(size, 1), step)]
        cells = each * step
    for chosen in product(*cuts.values()):
        yield dict(zip(cuts, chosen, strict=True))
