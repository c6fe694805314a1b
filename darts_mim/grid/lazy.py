"""Series that are not in memory: on a disk, or still to be computed."""

from typing import Any, TypeVar

import numpy as np
import xarray as xr

T = TypeVar("T", bound=xr.DataArray | xr.Dataset)


def is_lazy(series: xr.DataArray | xr.Dataset) -> bool:
    """Whether some of the values are not in memory: dask's, or a file's that was opened and not loaded.

    >>> field = xr.DataArray(np.zeros((4, 2)), dims=("time", "x"))
    >>> is_lazy(field), is_lazy(field.chunk(time=2))
    (False, True)
    """
    arrays = [series] if isinstance(series, xr.DataArray) else series.data_vars.values()
    return not all(array.variable._in_memory for array in arrays)  # pyright: ignore[reportPrivateUsage]


def as_dask(series: T) -> T:
    """A lazy series as dask has it, in the chunks that it is stored in; one in memory as it is.

    What was opened with ``chunks=None`` is loaded whole by the first sum that is done with it; as dask it
    stays where it is until it is asked for.
    """
    if not is_lazy(series):
        return series
    chunked: Any = (
        series.map(_chunked, keep_attrs=True) if isinstance(series, xr.Dataset) else _chunked(series)
    )
    return chunked


def _chunked(array: xr.DataArray) -> xr.DataArray:
    if array.chunks is not None:
        return array
    if not is_lazy(array):  # a variable beside others that are
        return array.chunk()
    return array.chunk({dim: _chunks(array, axis) for axis, dim in enumerate(array.dims)})


def _chunks(array: xr.DataArray, axis: int) -> tuple[int, ...] | str:
    """Sizes along a dim, of the chunks that are stored; a part of an array may begin amid a chunk."""
    dim, size = array.dims[axis], array.shape[axis]
    stored = array.encoding.get("preferred_chunks", {}).get(dim)
    if not isinstance(stored, int):
        return "auto"
    start = _selected(array)[axis].start or 0
    ends = np.arange((start // stored + 1) * stored, start + size, stored) - start
    return tuple(np.diff(ends, prepend=0, append=size).tolist())


def _selected(array: xr.DataArray) -> list[slice]:
    """Which part of a file's array it is, as far as slices say so."""
    held: Any = array.variable._data  # pyright: ignore[reportPrivateUsage]
    while hasattr(held, "array") and not hasattr(held, "key"):
        held = held.array
    key = held.key.tuple if hasattr(held, "key") else ()
    slices = [one for one in key if isinstance(one, slice)]
    plain = len(slices) == array.ndim and all(one.step in (None, 1) for one in slices)
    return slices if plain else [slice(0, None)] * array.ndim
