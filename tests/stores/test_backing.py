"""The arrays of a store are found behind whatever was made of a series."""

import dask
import dask.array as da
import numpy as np
import pandas as pd
import pytest
import xarray as xr
import zarr

from darts_mim.grid.lazy import as_dask
from darts_mim.grid.scaling import GridScaler
from darts_mim.stores.backing import backing_arrays, sources

TIMES = pd.date_range("2024", periods=10, freq="h", name="time")


def field(name="rain", seed=0):
    values = np.random.default_rng(seed).normal(size=(10, 3, 5)).astype("float32")
    return xr.DataArray(values, dims=("time", "y", "x"), coords={"time": TIMES}, name=name)


@pytest.fixture
def path(tmp_path):
    both = xr.Dataset({"rain": field(), "wind": field("wind", 1)})
    both.chunk(time=4).to_zarr(tmp_path / "both.zarr", consolidated=False)
    return tmp_path / "both.zarr"


def paths(series):
    return sorted(array.path for array in backing_arrays(series))


@pytest.mark.parametrize("chunks", [None, {}, {"time": 8}])
def test_one_array_a_variable(path, chunks):
    opened = xr.open_zarr(path, chunks=chunks, consolidated=False)
    assert paths(opened) == ["rain", "wind"]
    assert paths(opened["rain"]) == ["rain"]
    assert paths(opened["rain"][2:7, 1]) == ["rain"]
    assert paths(opened["rain"].transpose("x", "time", "y")) == ["rain"]
    assert paths(opened["rain"].isel(x=[0, 3])) == ["rain"]
    assert paths(as_dask(opened["rain"][2:])[1:] + 1) == ["rain"]


MADE = {
    "arithmetic": lambda ds: 2 * ds["rain"] + ds["wind"],
    "a mean": lambda ds: (ds["rain"] - ds["wind"].mean("time"))[3:],
    "stacked": lambda ds: ds.to_dataarray("channel"),
    "joined": lambda ds: xr.concat([ds["rain"][:4], ds["wind"][4:]], "time"),
    "optimised": lambda ds: dask.optimize(ds["rain"][:5] + ds["wind"][:5])[0],
    "gathered": lambda ds: ds["rain"].reindex(time=TIMES[::-1]) * ds["wind"],
}


@pytest.mark.parametrize("made", MADE)
def test_through_a_dask_graph(path, made):
    assert paths(MADE[made](xr.open_zarr(path, consolidated=False))) == ["rain", "wind"]


def test_through_a_transformer(path):
    rain = xr.open_zarr(path, consolidated=False)["rain"]
    assert paths(GridScaler().fit(rain).transform(rain)) == ["rain"]


def test_through_an_inlined_array(path):
    opened = xr.open_dataset(path, engine="zarr", chunks={}, inline_array=True, consolidated=False)
    assert paths(opened["rain"] + 1) == ["rain"]


def test_dask_s_own_reading(path):
    rain = xr.DataArray(da.from_zarr(zarr.open_array(path, path="rain", mode="r")))
    assert paths(rain + 1) == ["rain"]


def test_nothing_is_behind_what_is_in_memory(path):
    opened = xr.open_zarr(path, chunks=None, consolidated=False)
    opened["rain"].load()
    assert backing_arrays(field()) == [] and paths(opened) == ["wind"]
    assert backing_arrays(field().chunk(time=2)) == []


def test_files_of_another_kind_have_none(tmp_path):
    pytest.importorskip("h5netcdf")
    field().to_netcdf(tmp_path / "rain.nc", engine="h5netcdf")
    for chunks in (None, {}):
        with xr.open_dataset(tmp_path / "rain.nc", engine="h5netcdf", chunks=chunks) as opened:
            assert backing_arrays(opened) == []


@pytest.mark.parametrize("zarr_format", [2, 3])
@pytest.mark.parametrize(("missing", "fill"), [(0, np.nan), (-1, 5.0)])
def test_the_fill_value_as_the_series_reads_it(tmp_path, zarr_format, missing, fill):
    """Held against what xarray reads of a store without any chunk: packed, with another mark for missing or
    with the same."""
    packed = field().clip(-1, 1)
    packed.encoding = {"dtype": "i2", "scale_factor": 0.5, "add_offset": 5.0, "_FillValue": missing}
    path = tmp_path / "packed.zarr"
    packed.to_dataset().to_zarr(path, consolidated=False, zarr_format=zarr_format)
    for chunk in path.glob("rain/c/0/0/0" if zarr_format == 3 else "rain/0.0.0"):
        chunk.unlink()
    opened = xr.open_zarr(path, chunks=None, consolidated=False)["rain"]
    if zarr_format == 2:
        fill = np.nan  # there the mark for missing is the fill value
    np.testing.assert_equal([source.fill for source in sources(opened)], [fill])
    np.testing.assert_equal(opened.values, np.full(opened.shape, fill))
