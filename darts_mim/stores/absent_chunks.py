"""Chunks that are absent from a store: zarr reads the fill value, often 0, in their place, without a word."""

import asyncio
import warnings
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, replace
from itertools import product
from typing import Any

import numpy as np
import pandas as pd
import xarray as xr
from zarr.abc.store import RangeByteRequest, SuffixByteRequest
from zarr.codecs import Crc32cCodec, ShardingCodec
from zarr.core.buffer import default_buffer_prototype
from zarr.core.sync import sync  # zarr's stores live in its own event loop

from darts_mim.errors import AbsentChunksWarning, DamagedStoreError
from darts_mim.grid.times import times_of
from darts_mim.stores.backing import Array, Source, sources

AT_ONCE = 16  # requests that wait for a store together
METADATA = ("zarr.json", ".zarray")
NOT_IN_SHARD = np.uint64(2**64 - 1)  # zarr's mark in a shard's index


@dataclass(frozen=True, kw_only=True)
class Absence:
    """Chunks that are absent behind a series, and read as something else than NaN."""

    times: pd.DatetimeIndex  # of the series, in order
    key: str = ""  # of the first chunk
    key_times: pd.DatetimeIndex | None = None  # of its frames
    fill: Any = None  # what is read there


def absent_times(series: xr.DataArray | xr.Dataset, time_dim: str) -> pd.DatetimeIndex:
    """The times of which some chunk is absent from the store, so that zarr makes their values up.

    A frame counts as absent if any chunk of its grid is, also one that the series leaves out. Where what is
    read in place of a chunk is NaN, nothing is made up, and its times are not among these. Frames are told by
    their times: a series that was moved in time by ``shift``, or is made of other frames than its own as
    differences are, is asked before that.

    Args:
        series: As opened by xarray or dask, sliced, computed with, or in memory (which has none).
        time_dim: The dim of its times.

    Raises:
        DamagedStoreError: If chunks are absent, and which times are theirs cannot be told, as of a series
            whose times are not those of the store.

    >>> frames = xr.DataArray(np.zeros(3), coords={"time": pd.date_range("2024", periods=3)})
    >>> len(absent_times(frames, "time"))
    0
    """
    return absence(series, time_dim).times


def warn_if_absent(series: xr.DataArray | xr.Dataset, time_dim: str) -> pd.DatetimeIndex:
    """:func:`absent_times`, with an AbsentChunksWarning that says which and what to do, if there are any."""
    found = absence(series, time_dim)
    if len(found.times):
        warnings.warn(
            f"{described(found)} They are taken as missing. If they are not, but hold nothing else than "
            f"{found.fill} and were left out for that (write_empty_chunks=False, which is zarr's default), "
            f'say so in a copy: rechunk_for_training(store, to, absent="fill").',
            AbsentChunksWarning,
            stacklevel=2,
        )
    return found.times


def described(found: Absence) -> str:
    """What is absent, in a sentence for errors and warnings."""
    first = found.times[:1] if found.key_times is None else found.key_times
    return (
        f"{len(found.times)} times lie in chunks that are absent from the store, where zarr reads "
        f"{found.fill}; the first is {found.key} ({first[0]} to {first[-1]})."
    )


def absence(series: xr.DataArray | xr.Dataset, time_dim: str) -> Absence:
    """What :func:`absent_times` finds, with the first of the chunks.

    Raises:
        DamagedStoreError: As there.
    """
    behind = sources(series)
    present = [None if pd.isnull(source.fill) else present_chunks(source.array) for source in behind]
    lacking = [
        source for source, here in zip(behind, present, strict=True) if here is not None and not here.all()
    ]
    if not lacking:
        return Absence(times=pd.DatetimeIndex([]))
    own = times_of(series, time_dim)
    try:
        found = _all_in_time(series, time_dim, behind, present)
    except LookupError as error:
        raise DamagedStoreError(
            f"{lacking[0].place} lacks chunks, where zarr reads {lacking[0].fill}, and which times are "
            f"theirs cannot be told: {error.args[0]}. Open the store with xr.open_zarr and leave its "
            f'times as they are, or write the chunks: rechunk_for_training(store, to, absent="fill").'
        ) from None
    if not found:
        return Absence(times=own[:0])
    every = np.concatenate([one.times.values for one in found])
    return replace(found[0], times=own[own.isin(every)])


def _all_in_time(
    series: xr.DataArray | xr.Dataset,
    time_dim: str,
    behind: Sequence[Source],
    present: Sequence[np.ndarray | None],
) -> list[Absence]:
    """The absences of each array in the series' own times, all of which some array has to have."""
    own = times_of(series, time_dim)
    known, found = own[:0], list[Absence]()
    for source, here in zip(behind, present, strict=True):
        axis = source.time_axis(series, time_dim)
        if axis is None:
            continue
        times = source.times(axis)
        known = known.union(times)
        if here is not None:
            found += _in_time(source, here, axis, times, own)
    unknown = own[~own.isin(known)]
    if len(unknown):
        raise LookupError(f"the series has {unknown[0]}, and the store has not")
    return found


def _in_time(
    source: Source, present: np.ndarray, axis: int, times: pd.DatetimeIndex, own: pd.DatetimeIndex
) -> list[Absence]:
    length = source.array.chunks[axis]
    blocks = ~present.all(axis=tuple(i for i in range(present.ndim) if i != axis))
    rows = np.repeat(blocks, length)[: len(times)]
    hit = np.flatnonzero(rows & times.isin(own))
    if not hit.size:
        return []
    block = int(hit[0]) // length
    chunk = np.argwhere(~present)[np.flatnonzero(np.argwhere(~present)[:, axis] == block)[0]]
    return [
        Absence(
            times=own[own.isin(times[rows])],
            key=f"{source.place}/{chunk_key(source.array, tuple(chunk.tolist()))}",
            key_times=times[block * length : (block + 1) * length],
            fill=source.fill,
        )
    ]


def chunk_key(array: Array, chunk: tuple[int, ...]) -> str:
    """Name below its array of what holds a chunk: its own file, or its shard's."""
    if array.shards is not None:
        chunk = tuple(i * c // s for i, c, s in zip(chunk, array.chunks, array.shards, strict=True))
    return array.metadata.encode_chunk_key(chunk)


def present_chunks(array: Array) -> np.ndarray:
    """Whether each chunk is there, on the grid of chunks: one listing, and the index of each shard.

    >>> import zarr
    >>> frames = zarr.create_array({}, shape=(5, 3), chunks=(2, 3), dtype="i1", fill_value=0)
    >>> frames[2:] = 1
    >>> present_chunks(frames)[:, 0]
    array([False,  True,  True])
    """
    shape, chunks, shards = array.shape, array.chunks, array.shards or array.chunks
    grid = _grid(shape, shards)
    keys = [array.metadata.encode_chunk_key(at) for at in product(*map(range, grid))]
    there = sync(_exist(array, keys))
    if array.shards is None:
        return there.reshape(grid)
    per_shard = _grid(shards, chunks)
    inside = np.zeros((len(keys), *per_shard), bool)
    held = [key for key, is_there in zip(keys, there, strict=True) if is_there]
    inside[there] = np.reshape(sync(_chunks_of_shards(array, held, per_shard)), (-1, *per_shard))
    n = len(grid)
    order = [axis for i in range(n) for axis in (i, n + i)]  # shard, chunk in it, by dim
    whole = inside.reshape(*grid, *per_shard).transpose(order)
    whole = whole.reshape([a * b for a, b in zip(grid, per_shard, strict=True)])
    return whole[tuple(map(slice, _grid(shape, chunks)))]


def _grid(shape: tuple[int, ...], chunks: tuple[int, ...]) -> tuple[int, ...]:
    return tuple(-(-size // chunk) for size, chunk in zip(shape, chunks, strict=True))


async def _exist(array: Array, keys: Sequence[str]) -> np.ndarray:
    below = f"{array.path}/" if array.path else ""
    listed = {key async for key in array.store.list_prefix(below)}
    if any(below + name in listed for name in METADATA):
        return np.array([below + key in listed for key in keys], bool)
    # A store that can be listed holds the array's metadata: plain HTTP cannot be, and lists nothing.
    return np.array(await _each(keys, lambda key: array.store.exists(below + key)), bool)


async def _chunks_of_shards(
    array: Array, keys: Sequence[str], per_shard: tuple[int, ...]
) -> list[np.ndarray]:
    """From the index of each shard: offset and length of each chunk, 16 bytes, perhaps with a checksum."""
    codecs: Sequence[Any] = getattr(array.metadata, "codecs", ())
    sharding = next(codec for codec in codecs if isinstance(codec, ShardingCodec))
    size = 16 * int(np.prod(per_shard))
    stored = size + 4 * sum(isinstance(codec, Crc32cCodec) for codec in sharding.index_codecs)
    at_start = sharding.index_location.value == "start"
    where = RangeByteRequest(0, stored) if at_start else SuffixByteRequest(stored)
    below = f"{array.path}/" if array.path else ""

    async def read(key: str) -> np.ndarray:
        index = await array.store.get(below + key, default_buffer_prototype(), where)
        if index is None or len(index) < size:
            return np.ones(per_shard, bool)  # damaged: found where it is read
        places = np.frombuffer(index.to_bytes()[:size], "<u8").reshape(*per_shard, 2)
        return places[..., 0] != NOT_IN_SHARD

    return await _each(keys, read)


async def _each(keys: Sequence[str], ask: Callable[[str], Awaitable[Any]]) -> list[Any]:
    turn = asyncio.Semaphore(AT_ONCE)

    async def in_turn(key: str) -> Any:
        async with turn:
            return await ask(key)

    return await asyncio.gather(*map(in_turn, keys))
