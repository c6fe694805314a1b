"""Statistics of series that are not in memory: counted block by block where it is read, then merged."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from itertools import groupby, islice, product
from typing import Any, TypeVar

import dask
import numpy as np
import xarray as xr
from dask.base import get_scheduler
from dask.delayed import Delayed
from dask.system import CPU_COUNT

K = TypeVar("K")
S = TypeVar("S")
Cells = tuple[slice, slice, slice]  # channels, rows, columns

BLOCK = 2**22  # values of a block: a task holds one, and what it makes of it along the way
CELLS = 2**26  # values of the cells that are looked at over all frames together
AHEAD = 4  # blocks in flight for each thread of a scheduler


def merged(
    tasks: Iterable[tuple[K, Delayed]], merge: Callable[[S, S], S] | None = None
) -> Iterator[tuple[K, S]]:
    """What the tasks give, computed by dask's active scheduler, a bounded number of them at a time.

    With a client of ``dask.distributed``, what neighbours of one key give is merged where it was computed, so
    that little travels. Results and merges have the tasks' order, so that each run gives the same. A key may
    come again: merge on.

    Args:
        tasks: Key and task, made one after the other as they are wanted.
        merge: Makes one of two results; None leaves each as it is.

    >>> each = ((n > 2, dask.delayed(n)) for n in range(5))
    >>> sum(value for key, value in merged(each) if key)
    7
    """
    tasks = iter(tasks)
    while group := list(islice(tasks, AHEAD * threads())):
        if merge is None or _client() is None:
            runs = group
        else:
            by_key = groupby(group, lambda pair: pair[0])
            runs = [(key, _tree([task for _, task in run], merge)) for key, run in by_key]
        yield from zip([key for key, _ in runs], dask.compute(*(task for _, task in runs)), strict=True)


def _tree(tasks: list[Delayed], merge: Callable[[Any, Any], Any]) -> Delayed:
    both = dask.delayed(merge, pure=False)
    while len(tasks) > 1:
        odd = tasks[len(tasks) & ~1 :]
        tasks = [both(*pair) for pair in zip(tasks[::2], tasks[1::2], strict=False)] + odd
    return tasks[0]


def threads() -> int:
    """How many tasks the active scheduler runs at a time.

    >>> with dask.config.set(scheduler="sync"):
    ...     threads()
    1
    """
    client = _client()
    if client is not None:
        return max(1, sum(client.nthreads().values()))
    if dask.config.get("scheduler", None) in ("sync", "synchronous", "single-threaded"):
        return 1
    return dask.config.get("num_workers", CPU_COUNT)


def _client() -> Any:
    """The client of ``dask.distributed`` that computes, if there is one."""
    owner = getattr(get_scheduler(), "__self__", None)
    return owner if hasattr(owner, "scatter") and hasattr(owner, "nthreads") else None


def shared(value: Any) -> Any:
    """A large value that many tasks take: with a client it travels once, and not with each of them."""
    client = _client()
    return value if client is None else client.scatter(value, hash=False)


def statistics(
    array: xr.DataArray, statistic: Callable[[xr.DataArray, Cells], S], merge: Callable[[S, S], S]
) -> Iterator[tuple[Cells, S]]:
    """What ``statistic`` makes of the blocks of a lazy array; see :func:`merged`.

    A block is whole chunks, so that each chunk is read once. It has the labels of its frames and no more.

    Args:
        array: Dask's, (..., time, channel, row, column).
        statistic: Of one block, in memory, and of which cells that is. It is sent to where blocks are read,
            so it is a function of a module, perhaps a ``functools.partial`` of it.
        merge: Makes one of two statistics.

    Yields:
        Which cells, and their statistic; cells come again where they have many blocks.

    >>> frames = xr.DataArray(np.arange(6.0).reshape(3, 1, 1, 2), dims=("time", "channel", "y", "x"))
    >>> highest = statistics(frames.chunk(time=2), lambda block, cells: int(block.max()), max)
    >>> list(highest)
    [((slice(0, 1, None), slice(0, 1, None), slice(0, 2, None)), 5)]
    """
    of_block = dask.delayed(statistic, pure=False)
    bare = array.reset_coords(drop=True).drop_vars(array.dims[-3:], errors="ignore")
    blocks = ((box, cells_of(box)) for box in boxes(array, BLOCK))
    tasks = ((cells, of_block(bare.isel(box), cells)) for box, cells in blocks)
    yield from merged(tasks, merge)


def cells_of(box: Mapping[str, slice]) -> Cells:
    """Which channels, rows and columns a box holds."""
    channels, rows, columns = list(box.values())[-3:]
    return channels, rows, columns


def boxes(array: xr.DataArray, values: int) -> Iterator[dict[str, slice]]:
    """Runs of whole chunks along each dim, of up to so many values, or one chunk if that has more.

    Those of the same cells follow each other, in order of time.

    >>> frames = xr.DataArray(np.zeros((5, 1, 1, 4)), dims=("time", "channel", "y", "x")).chunk(time=1, x=2)
    >>> [(box["time"], box["x"]) for box in boxes(frames, 12)]
    [(slice(0, 3, None), slice(0, 4, None)), (slice(3, 5, None), slice(0, 4, None))]
    """
    chunks = {str(dim): sizes for dim, sizes in array.variable.chunksizes.items()}
    held, cuts = {dim: max(sizes, default=1) for dim, sizes in chunks.items()}, dict[str, list[slice]]()
    for dim, sizes in reversed(chunks.items()):
        others = int(np.prod([n for other, n in held.items() if other != dim], dtype=np.int64))
        cuts[dim] = _runs(sizes, values // max(1, others))
        held[dim] = max((cut.stop - cut.start for cut in cuts[dim]), default=1)
    dims = [*array.dims[-3:], *array.dims[:-3]]
    for chosen in product(*(cuts[str(dim)] for dim in dims)):
        box = dict(zip(dims, chosen, strict=True))
        yield {str(dim): box[dim] for dim in array.dims}


def _runs(chunks: Sequence[int], most: int) -> list[slice]:
    start, found = 0, list[slice]()
    ends = np.cumsum(chunks).tolist()
    for end, following in zip(ends, [*ends[1:], None], strict=True):
        if end > start and (following is None or following - start > most):
            found.append(slice(start, end))
            start = end
    return found


def cell_blocks(
    arrays: Sequence[xr.DataArray], n_frames: int, values: int | None = None
) -> Iterator[tuple[Cells, list[np.ndarray]]]:
    """All frames of a few cells at a time, in memory.

    Of a store whose chunks hold whole frames that takes a pass over it for each block of cells; where chunks
    hold fewer cells than a block, each is read once.

    Args:
        arrays: Dask's, (..., time, channel, row, column), on one grid.
        n_frames: For how many frames a cell takes memory.
        values: How many values a block of cells may have; CELLS by default.

    Yields:
        Which cells, and of each array (..., time, channel, row, column).
    """
    n_cells = max(1, (values or CELLS) // max(1, n_frames))
    for cells in _cell_boxes(arrays[0], n_cells):
        yield cells, [_together(array[..., *cells]) for array in arrays]


def _cell_boxes(array: xr.DataArray, n_cells: int) -> Iterator[Cells]:
    chunks = [array.variable.chunksizes[dim] for dim in array.dims[-3:]]
    held, cuts = [max(sizes) for sizes in chunks], list[list[slice]]([[], [], []])
    for axis in (2, 1, 0):
        most = max(1, n_cells // int(np.prod(held[:axis] + held[axis + 1 :])))
        if held[axis] <= most:
            cuts[axis] = _runs(chunks[axis], most)
            held[axis] = max(cut.stop - cut.start for cut in cuts[axis])
            continue
        rest = n_cells // int(np.prod(held[axis + 1 :]))  # one chunk is more than fits: it is cut
        held[axis] = int(np.clip(rest, 1, held[axis]))
        stop = array.shape[axis - 3]
        cuts[axis] = [slice(at, min(at + held[axis], stop)) for at in range(0, stop, held[axis])]
    yield from product(*cuts)  # pyright: ignore[reportReturnType]


def _together(array: xr.DataArray) -> np.ndarray:
    """The values of a part of a lazy array, block by block, so that no whole chunk is kept for its sake."""
    found = np.empty(array.shape, array.dtype)
    copy = dask.delayed(_copied, pure=False)
    tasks = ((tuple(box.values()), copy(array[tuple(box.values())].data)) for box in boxes(array, BLOCK))
    for place, values in merged(tasks):
        found[place] = values
    return found


def _copied(values: np.ndarray) -> np.ndarray:
    return values.copy()
