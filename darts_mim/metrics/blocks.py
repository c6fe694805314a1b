"""Two fields read in blocks, and what the blocks gave put together: memory stays small, pooling exact."""

from collections.abc import Collection, Hashable, Iterator, Mapping, Sequence
from itertools import accumulate, pairwise, product
from math import prod
from typing import Any

import dask
import numpy as np
import xarray as xr

from darts_mim.metrics.block import Counted, Cut, Laid
from darts_mim.metrics.statistic import Statistic

BLOCK = 2**16  # cells: what scoring makes along the way then fits in the processor's cache


def blocks(
    forecast: xr.Variable, observed: xr.Variable, whole: Collection[Hashable]
) -> Iterator[tuple[Cut, np.ndarray, np.ndarray]]:
    """Both fields' values in memory, block by block, with where each block stands.

    Lazy fields are read once: a block is made of whole chunks of both. Dims in ``whole`` are not cut.
    """
    for chunk in _chunks(forecast, observed, whole):
        near, truth = dask.compute(_at(forecast, chunk), _at(observed, chunk))
        fields = [(field.values, field.dims) for field in (near, truth)]
        for cut in _cuts(near.sizes, whole):
            here = {dim: _shifted(cut[dim], chunk.get(dim)) for dim in cut}
            near_here, truth_here = (values[tuple(cut[dim] for dim in dims)] for values, dims in fields)
            yield here, near_here, truth_here


class Total:
    """The sum of what blocks counted: added where they share cells, side by side where not."""

    def __init__(self, *fields: xr.DataArray) -> None:
        self.fields = fields
        self.sums: dict[str, Laid] = {}
        self.labels: Mapping[str, Any] = {}

    def add(self, cut: Cut, part: Counted) -> None:
        """Take in what the block at ``cut`` counted."""
        for name, (dims, values) in (("value", part.value), ("weight", part.weight)):
            if name not in self.sums:
                sizes = {dim: n for field in self.fields for dim, n in field.sizes.items()}
                shape = [n if d in part.labels else sizes[d] for d, n in zip(dims, values.shape, strict=True)]
                self.sums[name] = Laid(dims, np.zeros(shape))
            self.sums[name].values[tuple(cut.get(dim, slice(None)) for dim in dims)] += values
        self.labels = part.labels

    def statistic(self) -> Statistic:
        """Of all the blocks."""
        value, weight = (self._labelled(*self.sums[name]) for name in ("value", "weight"))
        return Statistic(value=value, weight=weight)

    def _labelled(self, dims: Sequence[Hashable], values: np.ndarray) -> xr.DataArray:
        coords: dict[Hashable, Any] = {dim: labels for dim, labels in self.labels.items() if dim in dims}
        for field in self.fields:
            kept = {name: c for name, c in field.coords.items() if set(c.dims) <= set(dims)}
            coords |= {name: c.variable for name, c in kept.items() if name not in coords}
        return xr.DataArray(values, coords, dims)


def _at(field: xr.Variable, cut: Cut) -> xr.Variable:
    return field.isel({dim: where for dim, where in cut.items() if dim in field.dims})


def _shifted(where: slice, by: slice | None) -> slice:
    start = by.start if by is not None else 0
    return slice(where.start + start, where.stop + start)


def _chunks(forecast: xr.Variable, observed: xr.Variable, whole: Collection[Hashable]) -> Iterator[Cut]:
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
