"""Reading frames of a store: what is damaged or has changed since it was opened is one clear error."""

from collections.abc import Iterator, Sequence
from itertools import product
from pathlib import Path
from time import monotonic
from traceback import walk_tb
from typing import Any, TypeVar

import numpy as np
import pandas as pd
import xarray as xr
import zarr
from dask.base import get_scheduler
from zarr.storage import LocalStore, ZipStore

from darts_mim.errors import DamagedStoreError, StoreChangedError
from darts_mim.grid.times import times_of
from darts_mim.stores.absent_chunks import chunk_key
from darts_mim.stores.backing import Array, Source, sources

MEANING = ("scale_factor", "add_offset", "_FillValue", "missing_value")  # attributes that change the values
NAMED = 3  # damaged chunks in a message
PATIENCE = 10.0  # seconds from one look at a store's metadata to the next, where no file's date tells

T = TypeVar("T", bound=xr.DataArray | xr.Dataset)


class Watch:
    """The stores behind a series, and whether they were written to since it was looked.

    The metadata of a store are read again only if their file has another date or size than before; where
    there is no such file, as in a bucket, once in ``PATIENCE`` seconds.

    Args:
        series: A lazy DataArray or Dataset.
    """

    def __init__(self, series: xr.DataArray | xr.Dataset) -> None:
        self.sources = sources(series)
        self._seen: list[Any] = []
        self._looked = -PATIENCE

    def require_unchanged(self) -> None:
        """See that they are laid out as they were when the series was opened.

        Raises:
            StoreChangedError: If they are not, or are gone.
        """
        seen, now = [_stamp(source.array) for source in self.sources], monotonic()
        if seen == self._seen and (None not in seen or now - self._looked < PATIENCE):
            return
        for source in self.sources:
            _require_unchanged(source)
        self._seen, self._looked = seen, now


def _stamp(array: Array) -> Any:
    """When the metadata were written and how long they are; None if no file says so."""
    store: Any = array.store
    if isinstance(store, LocalStore):
        name = "zarr.json" if array.metadata.zarr_format == 3 else ".zarray"
        path = store.root / array.path / name
    elif isinstance(store, ZipStore):
        path = Path(store.path)
    else:
        return None
    try:
        found = path.stat()
    except OSError:
        return "gone"
    return found.st_mtime_ns, found.st_size, found.st_ino


def read_frames(
    series: T, time_dim: str, frames: slice, *, watch: Watch | None = None, scheduler: str | None = None
) -> T:
    """The frames of a lazy series that are asked for, in memory.

    Args:
        series: A lazy DataArray or Dataset; nothing of it is kept in memory but what is returned.
        time_dim: The dim of its times.
        frames: Positions on that dim.
        watch: Of the series, where several parts of it are read: what is behind it is looked up once.
        scheduler: Of dask, if none was chosen for the process; by default its threads.

    Raises:
        DamagedStoreError: If something cannot be read or decoded; it names the times and the chunk.
        StoreChangedError: If the store is not as it was when the series was opened, or is gone: zarr would
            read fill values.

    >>> series = xr.DataArray([1, 2, 3], coords={"time": pd.date_range("2024", periods=3)}).chunk(time=1)
    >>> read_frames(series, "time", slice(1, 3)).values
    array([2, 3])
    """
    watch = watch or Watch(series)
    part = series.isel({time_dim: frames})
    try:
        read = part.compute(**({} if scheduler is None or get_scheduler() else {"scheduler": scheduler}))
    except Exception as error:
        require_unchanged(series, behind=watch.sources)
        damage = _damage(part, time_dim, watch.sources)
        if damage is None and not isinstance(error, OSError) and not _of_zarr(error):
            raise  # what is computed with the frames went wrong
        raise DamagedStoreError(_told(part, time_dim, damage, error)) from error
    watch.require_unchanged()
    return read


def _of_zarr(error: Exception) -> bool:
    frames = walk_tb(error.__traceback__)
    return any(str(frame.f_globals.get("__name__", "")).startswith("zarr.") for frame, _ in frames)


def _told(part: xr.DataArray | xr.Dataset, time_dim: str, damage: "Damage | None", error: Exception) -> str:
    times = part.indexes.get(time_dim, pd.RangeIndex(part.sizes[time_dim]))
    asked = f"{times[0]} to {times[-1]}"
    if damage is None:
        return (
            f"The frames from {asked} could not be read ({type(error).__name__}: {error}), and no chunk of "
            f"theirs was found damaged. See whether the disk or the connection is well and run it again; if "
            f"it stays, write the store again from where the data came from."
        )
    keys, hit, why = damage
    more = f" and {len(keys) - NAMED} more" if len(keys) > NAMED else ""
    within = f"those from {hit[0]} to {hit[-1]}" if len(hit) else "some"
    return (
        f"Of the frames from {asked}, {within} cannot be read: {', '.join(keys[:NAMED])}{more} damaged "
        f"({type(why).__name__}: {why}). Write the store again from where the data came from, or leave these "
        f"times out, e.g. series.drop_sel({time_dim}=[...])."
    )


Damage = tuple[list[str], pd.Index, Exception]  # keys of chunks, their times, what the first one raised


def _damage(part: xr.DataArray | xr.Dataset, time_dim: str, behind: Sequence[Source]) -> Damage | None:
    """What of the store cannot be read, found chunk by chunk."""
    keys, hit, first = list[str](), pd.DatetimeIndex([]), None
    for source in behind:
        try:
            axis = source.time_axis(part, time_dim)
            times = None if axis is None else source.times(axis)
            rows = None if times is None else np.flatnonzero(times.isin(times_of(part, time_dim)))
        except (LookupError, ValueError, OSError):
            continue  # which chunks are read is not known, and a store may be too large to try all of it
        for chunk in _chunks(source.array, axis, rows):
            try:
                source.array[_region(source.array, chunk)]
            except Exception as error:
                first = first or error
                keys.append(f"{source.place}/{chunk_key(source.array, chunk)}")
                if axis is not None and times is not None:
                    length = source.array.chunks[axis]
                    hit = hit.union(times[chunk[axis] * length : (chunk[axis] + 1) * length])
    if first is None:
        return None
    own = part.indexes[time_dim]
    return list(dict.fromkeys(keys)), own[own.isin(hit)], first


def _chunks(array: Array, axis: int | None, rows: np.ndarray | None) -> Iterator[tuple[int, ...]]:
    """Chunks that hold some of the rows."""
    grid = [range(-(-size // chunk)) for size, chunk in zip(array.shape, array.chunks, strict=True)]
    along: list[Any] = list(grid)
    if axis is not None and rows is not None:
        along[axis] = np.unique(rows // array.chunks[axis]).tolist()
    yield from product(*along)


def _region(array: Array, chunk: tuple[int, ...]) -> tuple[slice, ...]:
    return tuple(slice(i * size, (i + 1) * size) for i, size in zip(chunk, array.chunks, strict=True))


def require_unchanged(series: xr.DataArray | xr.Dataset, *, behind: Sequence[Source] | None = None) -> None:
    """See that the stores behind a series are laid out as they were when it was opened.

    Shape, chunks, shards, type, codecs, fill value and what decodes the values are compared, by one read of
    each array's metadata. Values that were written anew in the same layout are not found.

    Args:
        series: A lazy DataArray or Dataset.
        behind: ``sources(series)``, where it is at hand.

    Raises:
        StoreChangedError: If they are not, or are gone; it says what changed.

    >>> store = {}
    >>> frames = zarr.create_array(store, shape=(4, 3), chunks=(2, 3), dtype="i1")
    >>> import dask.array
    >>> series = xr.DataArray(dask.array.from_zarr(frames))
    >>> require_unchanged(series)
    >>> frames = zarr.create_array(store, shape=(4, 3), chunks=(1, 3), dtype="i1", overwrite=True)
    >>> require_unchanged(series)
    Traceback (most recent call last):
    darts_mim.errors.StoreChangedError: memory://... has changed since it was opened: chunk_grid was ...
    """
    for source in sources(series) if behind is None else behind:
        _require_unchanged(source)


def _require_unchanged(source: Source) -> None:
    array = source.array
    opened = f"{source.place} has changed since it was opened"
    try:
        now = zarr.open_array(array.store, path=array.path, mode="r", zarr_format=array.metadata.zarr_format)
    except FileNotFoundError as error:
        raise StoreChangedError(
            f"{source.place} is no longer there. Put it back and open it again."
        ) from error
    except Exception as error:
        raise StoreChangedError(
            f"{opened}: its metadata cannot be read ({type(error).__name__}: {error}). Write it again."
        ) from error
    before, after = _layout(array), _layout(now)
    changed = [name for name in before.keys() | after.keys() if before.get(name) != after.get(name)]
    if changed:
        what = "; ".join(f"{name} was {before.get(name)}, is {after.get(name)}" for name in sorted(changed))
        raise StoreChangedError(f"{opened}: {what}. Open it again.")


def _layout(array: Array) -> dict[str, str]:
    held = dict(array.metadata.to_dict())
    attributes: Any = held.pop("attributes", {})
    meaning = {name: attributes[name] for name in MEANING if name in attributes}
    return {name: str(value) for name, value in (held | meaning).items()}
