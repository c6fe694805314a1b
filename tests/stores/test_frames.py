"""Frames read from a store are those of memory, and a block is no more than memory allows."""

import numpy as np
import pandas as pd
import pytest
import xarray as xr

from darts_mim.grid.grid import Grid
from darts_mim.grid.windows import fill_axis, row_kinds
from darts_mim.stores import frames as frames_module
from darts_mim.stores.frames import LazyFrames


def rain(n=50, dtype="float32"):
    values = np.random.default_rng(1).normal(size=(n, 3, 4)) * 100
    time = pd.date_range("2024-03-30", periods=n, freq="5min")
    return xr.DataArray(values.astype(dtype), {"time": time}, ("time", "lat", "lon"), name="rain")


def frames_of(series, **options):
    lazy = series.chunk(time=8)
    return LazyFrames(lazy, Grid.of(lazy), **options)


@pytest.mark.parametrize("dtype", ["float32", "float64", "int16"])
@pytest.mark.parametrize("cache_bytes", [2**28, 4000])
def test_rows_are_those_of_the_filled_axis(dtype, cache_bytes):
    series = rain(dtype=dtype).drop_isel(time=[0, 13, 14, 31])
    wanted, axis = fill_axis(series.values.reshape(-1, 12).astype(np.float32), series.indexes["time"])
    frames = frames_of(series, cache_bytes=cache_bytes)
    assert frames.axis.equals(axis) and frames.shape == wanted.shape
    for rows in (
        slice(0, 5),
        slice(5, 20),
        slice(12, 14),
        slice(40, 60),
        slice(7, 7),
        slice(None),
        slice(-3, None),
    ):
        np.testing.assert_array_equal(frames[rows], wanted[rows])
    np.testing.assert_array_equal(frames.kinds, row_kinds(wanted))


def test_kinds_mind_the_mask():
    series = rain()
    series[:, 0, 1] = np.nan
    series[3, 2, 2] = np.nan
    series[9] = np.inf
    masked = np.zeros(12, dtype=bool)
    masked[1] = True
    frames = frames_of(series)
    assert frames.kinds[0] == 1
    zeroed = frames.with_zero(masked)
    np.testing.assert_array_equal(zeroed.kinds, row_kinds(series.values.reshape(-1, 12), masked))
    assert zeroed.kinds[[0, 3, 9]].tolist() == [0, 1, 2] and (zeroed[0:50][:, 1] == 0).all()


def test_whole_numbers_are_not_read_to_find_what_is_missing():
    lazy = rain(dtype="int16").drop_isel(time=[5]).chunk(time=8)

    def refuse(values):
        raise AssertionError("was read")

    frames = LazyFrames(
        xr.apply_ufunc(refuse, lazy, dask="parallelized", output_dtypes=["int16"]), Grid.of(lazy)
    )
    assert frames.kinds.tolist() == [0] * 5 + [2] + [0] * 44


@pytest.mark.parametrize("cache_bytes", [2**28, 40 * 48 * 8, 3 * 48 * 8, 48])
def test_blocks_are_whole_chunks_unless_one_is_too_large(cache_bytes, monkeypatch):
    monkeypatch.setattr(frames_module, "BLOCK_BYTES", 17 * 48)
    frames = frames_of(rain(), cache_bytes=cache_bytes)
    sizes = np.diff(frames.bounds)
    if cache_bytes >= 2 * 16 * 48:
        assert frames.bounds.tolist() == [0, 16, 32, 48, 50]
    assert frames.bounds[0] == 0 and frames.bounds[-1] == 50 and (sizes > 0).all()
    assert sizes.max() * 48 * 2 <= max(cache_bytes, 96)


def test_variables_of_a_dataset_in_chunks_of_their_own(monkeypatch):
    both = xr.Dataset({"u": rain().chunk(time=10), "v": -rain().chunk(time=15)})
    monkeypatch.setattr(frames_module, "BLOCK_BYTES", 30 * 24 * 4)
    frames = LazyFrames(both, Grid.of(both))
    assert frames.bounds.tolist() == [0, 30, 50]
    np.testing.assert_array_equal(frames[:][:, :12], -frames[:][:, 12:])
