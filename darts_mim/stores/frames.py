"""The frames of a series that is not in memory, by row on its regular time axis."""

from copy import copy
from functools import cached_property, reduce
from itertools import pairwise
from typing import Any

import numpy as np
import xarray as xr

from darts_mim.grid.grid import Grid
from darts_mim.grid.lazy import as_dask, is_lazy
from darts_mim.grid.times import regular_axis, times_of
from darts_mim.grid.windows import MISSING, WHOLE, row_kinds
from darts_mim.stores.absent_chunks import warn_if_absent
from darts_mim.stores.block_cache import BlockCache
from darts_mim.stores.read_cost import warn_if_costly
from darts_mim.stores.stored import Watch, read_frames

CACHE_BYTES = 2**28
BLOCK_BYTES = 2**24  # small chunks are read together up to this, larger ones one by one


class LazyFrames:
    """Frames as darts wants them, (time, component) in float32, read block by block when asked for.

    Looks like an array of two dims that can be sliced along the first: missing times are rows of NaN. A
    block is a run of whole chunks of the store; blocks that were read last stay in memory, within a limit.
    Frames whose chunks the store does not have are missing, with a warning.

    Args:
        series: A DataArray or Dataset that is not in memory.
        grid: Its grid.
        cache_bytes: What blocks may take of memory.

    Raises:
        DamagedStoreError: When frames are read and cannot be, naming them.
        StoreChangedError: When they are read, if the store is no longer as it was opened.

    >>> import pandas as pd
    >>> rain = xr.DataArray(
    ...     np.arange(12.0).reshape(3, 2, 2),
    ...     dims=("time", "y", "x"),
    ...     coords={"time": pd.to_datetime(["2024-01-01", "2024-01-02", "2024-01-04"])},
    ... ).chunk(time=1)
    >>> frames = LazyFrames(rain, Grid.of(rain))
    >>> frames.shape
    (4, 4)
    >>> frames[1:3]
    array([[ 4.,  5.,  6.,  7.],
           [nan, nan, nan, nan]], dtype=float32)
    """

    dtype = np.dtype(np.float32)

    def __init__(
        self,
        series: xr.DataArray | xr.Dataset,
        grid: Grid,
        *,
        cache_bytes: int = CACHE_BYTES,
    ) -> None:
        self.series, self.grid, self.cache_bytes = series, grid, cache_bytes
        self.masked: np.ndarray | None = None  # components to read as 0
        times = times_of(series, grid.time_dim)
        self.axis = regular_axis(times)
        self.watch = Watch(series)
        absent = times.isin(warn_if_absent(series, grid.time_dim))
        self.position = self.axis.get_indexer(times)  # row of each frame
        self.at = np.full(len(self.axis), -1)  # frame of each row, -1 where there is none
        self.at[self.position[~absent]] = np.flatnonzero(~absent)
        self.bounds = _bounds(series, grid, cache_bytes)
        sizes = np.diff(self.bounds) * grid.n_components * self.dtype.itemsize
        self.cache = BlockCache(self._read, sizes.tolist(), cache_bytes)

    def with_zero(self, masked: np.ndarray) -> "LazyFrames":
        """The same frames, 0 where components are masked."""
        frames = copy(self)
        frames.masked = masked
        frames.cache = BlockCache(frames._read, self.cache.sizes.tolist(), self.cache_bytes)
        vars(frames).pop("kinds", None)  # without the mask they were others
        return frames

    @property
    def shape(self) -> tuple[int, int]:
        """(time, component), missing times included."""
        return len(self.axis), self.grid.n_components

    def __len__(self) -> int:
        return len(self.axis)

    def __getitem__(self, rows: slice) -> np.ndarray:
        """The frames of some rows; not to be written to."""
        start, stop, step = rows.indices(len(self))
        at = self.at[start:stop]
        there = at[at >= 0]
        if not len(there):
            return np.full((len(range(start, stop, step)), self.shape[1]), np.nan, dtype=self.dtype)
        frames = self._between(int(there[0]), int(there[-1]) + 1)
        if len(there) < len(at):
            filled = np.full((len(at), self.shape[1]), np.nan, dtype=self.dtype)
            filled[at >= 0] = frames[there - there[0]]
            frames = filled
        return frames[::step]

    def _between(self, first: int, stop: int) -> np.ndarray:
        """Frames of the store; a view of a block if they lie in one."""
        blocks = range(self.block_of(first), self.block_of(stop - 1) + 1)
        parts = [
            self.cache[block][max(first - self.bounds[block], 0) : stop - self.bounds[block]]
            for block in blocks
        ]
        return parts[0] if len(parts) == 1 else np.concatenate(parts)

    def nearest(self, rows: np.ndarray) -> np.ndarray:
        """The frame of each row; of a missing one, the next there is."""
        return np.searchsorted(self.position, rows).clip(max=len(self.position) - 1)

    def block_of(self, frame: Any) -> Any:
        """The block that a frame of the store, or each of several, lies in."""
        return np.searchsorted(self.bounds, frame, side="right") - 1

    def _read(self, block: int) -> np.ndarray:
        start, stop = self.bounds[block : block + 2].tolist()
        part = read_frames(
            self.series,
            self.grid.time_dim,
            slice(start, stop),
            watch=self.watch,
            scheduler="synchronous",  # blocks are read in threads already
        )
        values = self.grid.components(part, own=True).astype(self.dtype, copy=False)
        if self.masked is not None:
            values = np.where(self.masked, np.float32(0), values)
        return values

    def warn_if_costly(self, length: int, crop: tuple[int, int] | None) -> None:
        """Warn if the chunks of the store make windows of that many frames, and that crop, dear to read."""
        cells = None if crop is None else dict(zip(self.grid.spatial_dims, crop, strict=True))
        warn_if_costly(self.series, self.grid.time_dim, length, crop=cells, cache=self.cache_bytes)

    @cached_property
    def kinds(self) -> np.ndarray:
        """What each row is good for, as ``row_kinds`` says. Numbers that may be NaN are read once for it."""
        kinds = np.full(len(self), MISSING, dtype=np.int8)
        if all(variable.dtype.kind in "iub" for variable in _arrays(self.series)):
            kinds[self.at >= 0] = WHOLE
            return kinds
        blocks = np.arange(len(self.bounds) - 1)
        self.cache.plan(first=blocks, last=blocks)
        for block, (start, stop) in enumerate(pairwise(self.bounds.tolist())):
            kinds[self.position[start:stop]] = row_kinds(self.cache[block], self.masked)
            self.cache.drawn()
        self.cache.plan(first=blocks[:0], last=blocks[:0])
        kinds[self.at < 0] = MISSING
        return kinds


def _arrays(series: xr.DataArray | xr.Dataset) -> list[xr.DataArray]:
    return [series] if isinstance(series, xr.DataArray) else list(series.data_vars.values())


def _bounds(series: xr.DataArray | xr.Dataset, grid: Grid, cache_bytes: int) -> np.ndarray:
    """Where blocks begin and end, which are whole chunks.

    A chunk of which two would not fit the memory is cut, and then read once for each part.
    """
    n, frame = series.sizes[grid.time_dim], grid.n_components * LazyFrames.dtype.itemsize
    ends = [_chunk_ends(array, grid.time_dim) for array in _arrays(series) if is_lazy(array)]
    common = reduce(np.intersect1d, ends)
    wanted = max(1, BLOCK_BYTES // frame)
    largest = max(1, cache_bytes // (2 * frame))
    bounds = [0]
    for before, end in pairwise([0, *common.tolist()]):
        if end - bounds[-1] > wanted and before > bounds[-1]:
            bounds.append(before)
        while end - bounds[-1] > largest:
            bounds.append(bounds[-1] + largest)
    return np.array([*bounds, n])


def _chunk_ends(array: xr.DataArray, time_dim: str) -> np.ndarray:
    """The frames after which a chunk of the store ends."""
    return np.cumsum(as_dask(array).chunksizes[time_dim])
