"""Series that are not in memory: on a disk, or still to be computed."""

from typing import TypeVar

import xarray as xr

T = TypeVar("T", xr.DataArray, xr.Dataset)


def is_lazy(series: xr.DataArray | xr.Dataset) -> bool:
    """Whether some of the values are not in memory: dask's, or a file's that was opened and not loaded.

    >>> import numpy as np
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
    if isinstance(series, xr.Dataset):
        return series.map(as_dask, keep_attrs=True) if is_lazy(series) else series
    if not is_lazy(series) or series.chunks is not None:
        return series
    stored = series.encoding.get("preferred_chunks", {})
    return series.chunk({dim: stored.get(dim, "auto") for dim in series.dims})
