"""What is in memory is told from what is not, and stays where it is."""

import numpy as np
import pandas as pd
import pytest
import xarray as xr

from darts_mim.grid.lazy import as_dask, is_lazy


@pytest.fixture
def stored(tmp_path):
    rng = np.random.default_rng(0)
    rain = xr.DataArray(
        rng.normal(size=(10, 3, 5)).astype("float32"),
        dims=("time", "y", "x"),
        coords={"time": pd.date_range("2024", periods=10, freq="h")},
        name="rain",
        attrs={"units": "mm"},
    )
    rain.to_dataset().chunk(time=4).to_zarr(tmp_path / "rain.zarr", consolidated=False)
    return rain, tmp_path / "rain.zarr"


@pytest.mark.parametrize("chunks", [None, {}])
def test_a_store_is_lazy_until_it_is_loaded(stored, chunks):
    rain, path = stored
    opened = xr.open_zarr(path, chunks=chunks, consolidated=False)
    assert is_lazy(opened) and is_lazy(opened["rain"]) and is_lazy(opened["rain"][2:7])
    assert not is_lazy(opened.load()) and not is_lazy(opened["rain"]) and not is_lazy(rain)


@pytest.mark.parametrize("chunks", [None, {}])
def test_dask_has_the_chunks_of_the_store(stored, chunks):
    rain, path = stored
    opened = xr.open_zarr(path, chunks=chunks, consolidated=False)
    lazy = as_dask(opened["rain"])
    assert lazy.chunksizes == {"time": (4, 4, 2), "y": (3,), "x": (5,)}
    assert is_lazy(opened["rain"]), "to ask for its chunks must not load it"
    xr.testing.assert_identical(lazy.compute(), rain)
    xr.testing.assert_identical(as_dask(opened).compute(), rain.to_dataset())


@pytest.mark.parametrize(
    ("part", "chunks"), [(slice(3, 9), (1, 4, 1)), (slice(4, 8), (4,)), (slice(5, 7), (2,))]
)
def test_a_part_keeps_the_borders_of_the_chunks(stored, part, chunks):
    rain, path = stored
    for opened in (
        xr.open_zarr(path, chunks=None, consolidated=False),
        xr.open_zarr(path, consolidated=False),
    ):
        lazy = as_dask(opened["rain"].isel(time=part))
        assert lazy.chunksizes["time"] == chunks
        np.testing.assert_array_equal(lazy, rain.isel(time=part))


def test_what_is_in_memory_stays_as_it_is(stored):
    rain, _ = stored
    assert as_dask(rain) is rain
    both = rain.to_dataset()
    assert as_dask(both) is both
