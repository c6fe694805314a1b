"""What it costs to read random windows of a store, as it is cut into chunks."""

import warnings
from collections.abc import Mapping
from typing import Any

import numpy as np
import xarray as xr

from darts_mim.errors import CostlyStoreWarning
from darts_mim.stores.backing import Source, sources

CACHE = 256 * 2**20  # bytes of frames that training keeps at hand
COSTLY = 4.0  # from here on a warning: most of the time goes into decoding what is thrown away


def read_factor(
    series: xr.DataArray | xr.Dataset,
    time_dim: str,
    length: int,
    crop: Mapping[str, int] | None = None,
) -> float:
    """How many times its own size a random window makes the store decode, if nothing is kept.

    Of chunks of c frames, a window of L begins anywhere and touches (L + c - 1) / c of them in the mean:
    (L + c - 1) / L times its frames. Rows and columns of a crop likewise. Shards are read in parts, so it is
    the chunks in them that count.

    Args:
        series: A lazy DataArray or Dataset.
        time_dim: The dim of its times.
        length: Frames of a window.
        crop: Cells of a window by dim; whole along dims that are not named.

    Returns:
        1 or more; 1 for what is not read from zarr.

    >>> import dask.array, zarr
    >>> frames = zarr.create_array({}, shape=(1000, 6, 8), chunks=(10, 6, 4), dtype="i1")
    >>> series = xr.DataArray(dask.array.from_zarr(frames), dims=("time", "y", "x"))
    >>> round(read_factor(series, "time", 5), 2), round(read_factor(series, "time", 5, {"x": 2, "y": 3}), 2)
    (2.8, 12.78)
    """
    decoded = wanted = 0.0
    for source in sources(series):
        sizes = dict(series.sizes) | {time_dim: length} | dict(crop or {})
        touched, own = source.array.dtype.itemsize, source.array.dtype.itemsize
        for axis, dim in enumerate(_dims(source, series, time_dim)):
            stored, chunk = source.array.shape[axis], source.array.chunks[axis]
            size = min(sizes.get(dim, stored), stored)
            touched *= chunk * _mean_chunks(stored, chunk, size)
            own *= size
        decoded, wanted = decoded + touched, wanted + own
    return decoded / wanted if wanted else 1.0


def _dims(source: Source, series: xr.DataArray | xr.Dataset, time_dim: str) -> list[Any]:
    """Dims of an array under the series' names, where it has them; those without names in their order."""
    array = source.array
    if not source.dims:
        arrays = [series] if isinstance(series, xr.DataArray) else series.data_vars.values()
        alike = [list(one.dims) for one in arrays if one.ndim == array.ndim]
        return alike[0] if alike else [None] * array.ndim
    dims: list[Any] = list(source.dims)
    try:
        axis = source.time_axis(series, time_dim)
    except LookupError:
        return dims
    if axis is not None:
        dims[axis] = time_dim
    return dims


def _mean_chunks(stored: int, chunk: int, size: int) -> float:
    """How many chunks a run of cells touches, in the mean over all places where it can begin."""
    starts = np.arange(stored - size + 1)
    return float(np.mean((starts + size - 1) // chunk - starts // chunk + 1))


def warn_if_costly(
    series: xr.DataArray | xr.Dataset,
    time_dim: str,
    length: int,
    *,
    crop: Mapping[str, int] | None = None,
    cache: int = CACHE,
) -> float:
    """The factor by which training reads more than it needs, with a CostlyStoreWarning if it is large.

    Training draws the windows of a few neighbouring blocks of frames together and keeps what it has read. If
    the chunks that a window touches, on the whole grid, fit into ``cache``, each is read once an epoch and
    the factor is 1, whatever the crops. If they do not, each window decodes all its chunks anew: the factor
    is ``read_factor``. A warning is due from 4 on.

    Args:
        series: A lazy DataArray or Dataset.
        time_dim: The dim of its times.
        length: Frames of a window.
        crop: Cells of a window by dim; whole along dims that are not named.
        cache: Bytes that training may keep.

    Returns:
        The factor.

    >>> warn_if_costly(xr.DataArray(np.zeros((9, 3)), dims=("time", "x")), "time", 4)
    1.0
    """
    lengths = [
        source.array.chunks[_dims(source, series, time_dim).index(time_dim)]
        for source in sources(series)
        if time_dim in _dims(source, series, time_dim)
    ]
    frame = series.nbytes / max(1, series.sizes[time_dim])
    needed = max(((length + chunk - 2) // chunk + 1) * chunk for chunk in lengths) * frame if lengths else 0
    if needed <= cache:
        return 1.0
    factor = read_factor(series, time_dim, length, crop)
    if factor >= COSTLY:
        warnings.warn(
            f"A window of {length} frames makes the store decode {factor:.0f} times its size: the chunks "
            f"that it touches, up to {max(lengths)} frames long, take {needed / 2**20:.0f} MiB of whole "
            f"frames, and {cache / 2**20:.0f} MiB are kept. Copy it once into smaller ones: "
            f"rechunk_for_training(store, to{', crop=...' if crop else ''}), and train on the copy.",
            CostlyStoreWarning,
            stacklevel=2,
        )
    return factor
