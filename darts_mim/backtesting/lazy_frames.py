"""Frames of a series that is not in memory, gathered by position as forecasts are, without being read."""

from typing import Any, TypeVar

import dask.array as da
import numpy as np
import xarray as xr

T = TypeVar("T", xr.DataArray, xr.Dataset)


def laid_out(series: xr.DataArray | xr.Dataset, at: np.ndarray, time_dim: str, like: T, step: int) -> T:
    """The frames at (init_time, lead_time), in the layout of forecasts from no origin at all.

    Args:
        series: Dask's.
        at: (init_time, lead_time): positions along time; negative ones are missing and become NaN.
        time_dim: Which dim of the series is time.
        like: Forecasts on the series' grid; coordinates on init_time are left out.
        step: Origins of a chunk.

    >>> hours = xr.DataArray([0.0, 1.0, 2.0, 3.0], dims="time").chunk(time=2)
    >>> like = xr.DataArray(np.empty((0, 2)), dims=("init_time", "lead_time"))
    >>> laid_out(hours, np.array([[1, 2], [3, -1]]), "time", like, 1).values
    array([[ 1.,  2.],
           [ 3., nan]])
    """
    without = like.drop_vars([name for name, one in like.coords.items() if "init_time" in one.dims])

    def of(frames: xr.DataArray, one: xr.DataArray) -> xr.Variable:
        data = frames_at(frames.variable, at, time_dim, one.dtype, step)
        dims = ("init_time", "lead_time", *(dim for dim in frames.dims if dim != time_dim))
        return xr.Variable(dims, data, one.attrs).transpose(*one.dims)

    if isinstance(like, xr.DataArray):
        assert isinstance(series, xr.DataArray)
        coords = without.coords
        return xr.DataArray(of(series, like), coords, name=like.name)
    variables = {name: of(series[name], one) for name, one in like.data_vars.items()}
    return xr.Dataset(variables, without.coords, like.attrs)


def frames_at(
    frames: xr.Variable, at: np.ndarray, time_dim: str, dtype: np.dtype[Any], step: int
) -> da.Array:
    """(*at.shape, the other dims in their order): frames by position, NaN where it is negative.

    What belongs to ``step`` of the first dim of ``at`` is one chunk, and is read as one, each frame once.
    """
    data: Any = frames.transpose(time_dim, ...).data
    parts = [_part(data, at[first : first + step], dtype) for first in range(0, len(at), step)]
    return da.concatenate(parts)


def _part(data: da.Array, at: np.ndarray, dtype: np.dtype[Any]) -> da.Array:
    missing = at < 0
    wanted = np.unique(at[~missing])
    if not len(wanted):
        return da.full((*at.shape, *data.shape[1:]), np.nan, dtype=dtype)
    apart = np.ptp(wanted) + 1 > len(wanted)
    held = (data[wanted] if apart else data[wanted[0] : wanted[-1] + 1]).rechunk({0: -1})
    return da.map_blocks(
        _gathered,
        held,
        at=np.searchsorted(wanted, at).clip(max=len(wanted) - 1),
        missing=missing,
        kind=dtype,
        dtype=dtype,
        new_axis=list(range(1, at.ndim)),
        chunks=(*((n,) for n in at.shape), *held.chunks[1:]),
    )


def _gathered(held: np.ndarray, *, at: np.ndarray, missing: np.ndarray, kind: np.dtype[Any]) -> np.ndarray:
    frames = held[at].astype(kind, copy=False)
    frames[missing] = np.nan
    return frames
