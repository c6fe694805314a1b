"""The zarr arrays behind a lazy series: where they are, and how the series reads them."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
import xarray as xr
import zarr
from dask.blockwise import Blockwise

Array = zarr.Array[Any]


@dataclass(frozen=True, kw_only=True)
class Source:
    """One zarr array behind a series, and how the series reads it."""

    array: Array
    decode: tuple[Callable[[Any], Any], ...] = ()  # missing values, scale and offset, in this order

    @property
    def place(self) -> str:
        """Store and path as one text."""
        return str(self.array.store_path)

    @property
    def dims(self) -> tuple[str | None, ...]:
        """Names of the dims as the store has them; none where it does not name them."""
        metadata: Any = self.array.metadata
        named = getattr(metadata, "dimension_names", None)  # of Zarr format 3
        return tuple(named or metadata.attributes.get("_ARRAY_DIMENSIONS", ()))

    @property
    def fill(self) -> Any:
        """What the series reads where a chunk is absent."""
        value = self.array.fill_value
        filled = np.full(1, 0 if value is None else value, self.array.dtype)
        for decode in self.decode:
            filled = decode(filled)
        return np.asarray(filled)[0]

    def time_axis(self, series: xr.DataArray | xr.Dataset, time_dim: str) -> int | None:
        """Which axis is time; None of what is the same at all times.

        Raises:
            LookupError: If it cannot be told.
        """
        if time_dim in self.dims:
            return self.dims.index(time_dim)
        if self.dims and set(self.dims) <= set(series.dims):
            return None
        timed = [i for i, dim in enumerate(self.dims) if isinstance(self._index(dim), pd.DatetimeIndex)]
        if len(timed) != 1:
            raise LookupError(f"which of its dims {list(self.dims)} is time cannot be told")
        return timed[0]

    def times(self, axis: int) -> pd.DatetimeIndex:
        """Times of the stored frames.

        Raises:
            LookupError: If the store has none.
        """
        index = self._index(self.dims[axis])
        if not isinstance(index, pd.DatetimeIndex) or len(index) != self.array.shape[axis]:
            raise LookupError(f"beside it there are no times for its dim {self.dims[axis]!r}")
        return index

    def _index(self, dim: str | None) -> pd.Index | None:
        group = self.array.path.rpartition("/")[0]
        try:
            beside = xr.open_zarr(self.array.store, group=group, consolidated=False, chunks=None)
        except FileNotFoundError:
            return None
        return beside.indexes.get(dim)


def backing_arrays(series: xr.DataArray | xr.Dataset) -> list[Array]:
    """The zarr arrays that a lazy series is read from.

    Coordinates are not looked at. What is in memory, or is read from files of another kind, has none.

    >>> frames = zarr.create_array({}, shape=(4, 3, 2), chunks=(2, 3, 2), dtype="f4")
    >>> import dask.array
    >>> series = xr.DataArray(dask.array.from_zarr(frames), dims=("time", "y", "x"))
    >>> [array.shape for array in backing_arrays(2 * series[1:])]
    [(4, 3, 2)]
    """
    return list({source.place: source.array for source in sources(series)}.values())


def sources(series: xr.DataArray | xr.Dataset) -> list[Source]:
    """The zarr arrays that a lazy series is read from, and how each is read."""
    variables = [series.variable] if isinstance(series, xr.DataArray) else series.data_vars.variables.values()
    found: dict[tuple[str, str], Source] = {}
    for variable in variables:
        for held in _held(variable._data):  # pyright: ignore[reportPrivateUsage]
            source = _unwrapped(held)
            if source is not None:
                found.setdefault((source.place, repr(source.decode)), source)
    return list(found.values())


def _held(data: Any) -> Iterator[Any]:
    """What may be an array of a store: xarray's own wrapper, or all that a dask graph holds."""
    graph = data.__dask_graph__() if hasattr(data, "__dask_graph__") else None
    if graph is None:
        yield data
        return
    for layer in getattr(graph, "layers", {"": graph}).values():
        if isinstance(layer, Blockwise):  # to list its tasks would make them all
            yield from _arguments([layer.task, *(one for one, _ in layer.indices)])
        else:
            yield from _arguments(list(layer.values()))


def _arguments(tasks: Any) -> Iterator[Any]:
    if isinstance(tasks, list | tuple):
        for task in tasks:
            yield from _arguments(task)
    elif isinstance(tasks, dict):
        yield from _arguments(list(tasks.values()))
    elif type(tasks).__module__ == "dask._task_spec":
        parts = (getattr(tasks, name, None) for name in ("args", "kwargs", "value"))
        yield from _arguments([part for part in parts if part is not None])
    else:
        yield tasks


def _unwrapped(held: Any) -> Source | None:
    """Through xarray's lazy wrappers, each of which keeps the next as ``array`` or ``_array``."""
    decode: list[Callable[[Any], Any]] = []
    while type(held).__module__.startswith("xarray."):
        if callable(getattr(held, "func", None)):
            decode.insert(0, held.func)
        held = getattr(held, "array", None) if hasattr(held, "array") else getattr(held, "_array", None)
    return Source(array=held, decode=tuple(decode)) if isinstance(held, zarr.Array) else None
