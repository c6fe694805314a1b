"""Two fields cut into blocks, and what the blocks gave put together: memory stays small, pooling exact."""

from collections.abc import Callable, Collection, Hashable, Iterable, Iterator, Mapping, Sequence
from itertools import accumulate, islice, pairwise, product
from math import prod
from typing import Any

import dask
import numpy as np
import xarray as xr
from dask.base import get_scheduler
from dask.delayed import Delayed
from dask.system import CPU_COUNT

from darts_mim.metrics.block import Counted, Cut, Laid
from darts_mim.metrics.statistic import Statistic

BLOCK = 2**16  # cells: what scoring makes along the way then fits in the processor's cache
CHUNK = 2**20  # cells that a task reads, where the chunks of lazy fields are smaller
AHEAD = 4  # tasks in flight for each thread of a scheduler


def blocks(
    forecast: np.ndarray, observed: np.ndarray, dims: Sequence[Hashable], whole: Collection[Hashable]
) -> Iterator[tuple[Cut, np.ndarray, np.ndarray]]:
    """Both fields' values, block by block, with where each block stands. Dims in ``whole`` are not cut.

    Args:
        forecast: In memory; it may have a dim in front that the truth has not, which is not cut.
        observed: In memory, on ``dims``.
        dims: Names of the truth's dims.
        whole: See above.
    """
    sizes = dict(zip(dims, observed.shape, strict=True))
    samples = forecast.size // max(observed.size, 1)
    for cut in _cuts(sizes, whole, BLOCK // max(samples, 1)):
        place = tuple(cut[dim] for dim in dims)
        yield cut, forecast[..., *place], observed[place]


def on_dask(
    count: Callable[..., Any],
    plan: Any,
    forecast: xr.Variable,
    observed: xr.Variable,
    whole: Collection[Hashable],
) -> Iterator[tuple[Cut, Any]]:
    """What ``count(plan, forecast, observed, cut)`` makes of each part of two fields, some of them lazy.

    Each is a task of dask's active scheduler, so that with a client of ``dask.distributed`` its workers read
    and count. A bounded number is in flight. A part is whole chunks of both, so that each is read once; dims
    in ``whole`` are not cut.

    Args:
        count: A function of a module. Where it is called both parts are NumPy arrays.
        plan: What it needs besides; it travels once.
        forecast: On the truth's dims, perhaps with one in front.
        observed: The truth.
        whole: See above.
    """
    forecast, observed = (_in_chunks(field) for field in (forecast, observed))
    plan, counted = _shared(plan), dask.delayed(count, pure=False)

    def tasks() -> Iterator[tuple[Cut, Delayed]]:
        for cut in _chunks(forecast, observed, whole):
            parts = (_at(field, cut) for field in (forecast, observed))
            yield cut, counted(plan, *map(_task, parts), cut)

    yield from _computed(tasks())


def _computed(tasks: Iterable[tuple[Cut, Delayed]]) -> Iterator[tuple[Cut, Any]]:
    tasks, client = iter(tasks), _client()
    threads = sum(client.nthreads().values()) if client else dask.config.get("num_workers", CPU_COUNT)
    while group := list(islice(tasks, AHEAD * max(1, threads))):
        yield from zip([cut for cut, _ in group], dask.compute(*(task for _, task in group)), strict=True)


def _client() -> Any:
    """The client of ``dask.distributed`` that computes, if there is one."""
    owner = getattr(get_scheduler(), "__self__", None)
    return owner if hasattr(owner, "scatter") and hasattr(owner, "nthreads") else None


def _shared(value: Any) -> Any:
    client = _client()
    return value if client is None else client.scatter(value, hash=False)


def _task(part: xr.Variable) -> Any:
    """What a task takes for a part of a field; a single chunk as it is, not copied."""
    data: Any = part.data
    if part.chunks is None:
        return _shared(data)
    return data.to_delayed().item() if data.npartitions == 1 else data


def is_lazy(field: xr.Variable) -> bool:
    """Whether its values are not in memory."""
    return not field._in_memory  # pyright: ignore[reportPrivateUsage]


def _in_chunks(field: xr.Variable) -> xr.Variable:
    """What is in a file and not yet dask's, in the chunks that it is stored in."""
    if not is_lazy(field) or field.chunks is not None:
        return field
    stored = field.encoding.get("preferred_chunks", {})
    return field.chunk({dim: stored.get(dim, "auto") for dim in field.dims})


class Total:
    """The sum of what blocks counted: added where they share cells, side by side where not.

    Args:
        sizes: Of the dims of what the blocks are cut from.
    """

    def __init__(self, sizes: Mapping[Hashable, int]) -> None:
        self.sizes = sizes
        self.sums: dict[str, Laid] = {}
        self.labels: Mapping[str, Any] = {}

    def add(self, cut: Cut, part: Counted) -> None:
        """Take in what the block at ``cut`` counted."""
        for name, (dims, values) in (("value", part.value), ("weight", part.weight)):
            if name not in self.sums:
                shape = [
                    n if d in part.labels else self.sizes[d] for d, n in zip(dims, values.shape, strict=True)
                ]
                self.sums[name] = Laid(dims, np.zeros(shape))
            self.sums[name].values[tuple(cut.get(dim, slice(None)) for dim in dims)] += values
        self.labels = part.labels

    def counted(self) -> Counted:
        """Of all the blocks, as one block."""
        return Counted(self.sums["value"], self.sums["weight"], self.labels)

    def statistic(self, *fields: xr.DataArray) -> Statistic:
        """Of all the blocks, with the coordinates of the fields."""
        value, weight = (self._labelled(fields, *self.sums[name]) for name in ("value", "weight"))
        return Statistic(value=value, weight=weight)

    def _labelled(
        self, fields: Sequence[xr.DataArray], dims: Sequence[Hashable], values: np.ndarray
    ) -> xr.DataArray:
        coords: dict[Hashable, Any] = {dim: labels for dim, labels in self.labels.items() if dim in dims}
        for field in fields:
            kept = {name: c for name, c in field.coords.items() if set(c.dims) <= set(dims)}
            coords |= {name: c.variable for name, c in kept.items() if name not in coords}
        return xr.DataArray(values, coords, dims)


def _at(field: xr.Variable, cut: Cut) -> xr.Variable:
    return field.isel({dim: where for dim, where in cut.items() if dim in field.dims})


def shifted(cut: Cut, by: Cut) -> Cut:
    """Where a block of a part stands in the whole, if the part stands at ``by``.

    >>> shifted({"x": slice(0, 2)}, {"x": slice(6, 9)})
    {'x': slice(6, 8, None)}
    """
    starts = {dim: by[dim].start if dim in by else 0 for dim in cut}
    return {dim: slice(at.start + starts[dim], at.stop + starts[dim]) for dim, at in cut.items()}


def _chunks(forecast: xr.Variable, observed: xr.Variable, whole: Collection[Hashable]) -> Iterator[Cut]:
    """Cut where a chunk of each lazy field ends, in parts of up to CHUNK cells if chunks are smaller."""
    ends: dict[Hashable, set[int]] = {}
    for field in (forecast, observed):
        for dim, sizes in field.chunksizes.items():
            own = set(accumulate(sizes))
            ends[dim] = own & ends[dim] if dim in ends else own
    cuts = {dim: sorted(at - {0} or {0}) for dim, at in ends.items() if dim not in whole}
    held = dict(forecast.sizes) | {dim: _longest(at) for dim, at in cuts.items()}
    for dim in reversed(cuts):
        others = prod(n for other, n in held.items() if other != dim)
        cuts[dim] = _joined(cuts[dim], CHUNK // max(int(others), 1))
        held[dim] = _longest(cuts[dim])
    for chosen in product(*([slice(*pair) for pair in pairwise([0, *at])] for at in cuts.values())):
        yield dict(zip(cuts, chosen, strict=True))


def _longest(ends: Sequence[int]) -> int:
    return max(end - start for start, end in pairwise([0, *ends]))


def _joined(ends: Sequence[int], most: int) -> list[int]:
    """Fewer ends, so that from one to the next there are up to so many cells where there were fewer.

    >>> _joined([2, 4, 6, 8, 10], 5)
    [4, 8, 10]
    """
    kept = [0]
    for end, following in pairwise([*ends, ends[-1] + most + 1]):
        if following - kept[-1] > most:
            kept.append(end)
    return kept[1:]


def _cuts(sizes: Mapping[Hashable, int], whole: Collection[Hashable], most: int) -> Iterator[Cut]:
    """Cut the outer dims until a block is small."""
    cells, cuts = prod(sizes.values()), {}
    for dim, size in sizes.items():
        each = cells // max(size, 1)  # cells at one index of this dim
        step = max(size, 1) if dim in whole else max(1, min(size, most // max(each, 1)))
        cuts[dim] = [slice(first, min(first + step, size)) for first in range(0, max(size, 1), step)]
        cells = each * step
    for chosen in product(*cuts.values()):
        yield dict(zip(cuts, chosen, strict=True))
