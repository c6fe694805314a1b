"""Chunks that are absent are found, each with its times; what zarr would read there is made up."""

from pathlib import Path
from zipfile import ZipFile

import dask.array as da
import numpy as np
import pandas as pd
import pytest
import xarray as xr
import zarr
from zarr.storage import MemoryStore, ZipStore

from darts_mim.errors import AbsentChunksWarning, DamagedStoreError
from darts_mim.grid.scaling import GridScaler
from darts_mim.stores.absent_chunks import absent_times, present_chunks, warn_if_absent

TIMES = pd.date_range("2024", periods=10, freq="h", name="time")


def ones(dtype="int8", dims=("time", "y", "x")):
    sizes = {"time": 10, "y": 6, "x": 5}
    values = np.ones([sizes[dim] for dim in dims], dtype)
    return xr.DataArray(values, dims=dims, coords={"time": TIMES}, name="rain")


def write(series, path, *, without=(), **settings):
    """A store in which the chunks of some keys are absent."""
    encoding = {"rain": {"chunks": (4, 6, 5), **settings.pop("encoding", {})}}
    series.to_dataset().to_zarr(path, encoding=encoding, consolidated=False, **settings)
    for key in without:
        (path / "rain" / key).unlink()
    return path


def opened(path, chunks=None):
    return xr.open_zarr(path, chunks=chunks, consolidated=False)["rain"]


@pytest.mark.parametrize("chunks", [None, {}, {"time": 8}])
@pytest.mark.parametrize("zarr_format", [2, 3])
@pytest.mark.parametrize("dtype", ["int8", "float32"])
def test_a_chunk_in_the_middle(tmp_path, dtype, zarr_format, chunks):
    fill = {"_FillValue": None}
    if zarr_format == 3:
        fill["fill_value"] = 0
    series = ones(dtype)
    path = write(series, tmp_path / "rain.zarr", zarr_format=zarr_format, encoding=fill)
    whole = opened(path, chunks)
    assert len(absent_times(whole, "time")) == 0
    (path / "rain" / ("c/1/0/0" if zarr_format == 3 else "1.0.0")).unlink()
    rain = opened(path, chunks)
    made_up = TIMES[(rain.values == 0).any(axis=(1, 2))]  # as zarr reads it
    assert list(made_up) == list(TIMES[4:8])
    assert list(absent_times(opened(path, chunks), "time")) == list(made_up)


def test_of_a_slice_only_its_own_times(tmp_path):
    path = write(ones(), tmp_path / "rain.zarr", without=["c/1/0/0"])
    for chunks in (None, {}):
        rain = opened(path, chunks)
        assert list(absent_times(rain[6:], "time")) == list(TIMES[6:8])
        assert list(absent_times(rain[:4], "time")) == []
        assert list(absent_times(rain.isel(time=[0, 5, 9]), "time")) == [TIMES[5]]
        assert list(absent_times(rain.to_dataset()[["rain"]][{"time": slice(7)}], "time")) == list(TIMES[4:7])


def test_behind_what_was_computed(tmp_path):
    first = write(ones("float32"), tmp_path / "a.zarr", without=["c/0/0/0"], encoding={"fill_value": 0})
    second = write(ones("float32"), tmp_path / "b.zarr", without=["c/2/0/0"], encoding={"fill_value": 0})
    a, b = opened(first, {}), opened(second, {})
    gone = [*TIMES[:4], *TIMES[8:]]
    assert list(absent_times(2 * a + b, "time")) == gone
    assert list(absent_times(xr.Dataset({"a": a, "b": b}), "time")) == gone
    assert list(absent_times(xr.Dataset({"a": a, "b": b}).to_dataarray("channel"), "time")) == gone
    scaled = GridScaler().fit(a).transform(a)
    assert list(absent_times(scaled, "time")) == list(TIMES[:4])
    later = b.assign_coords(time=TIMES + pd.Timedelta("10h"))
    later.to_dataset().to_zarr(tmp_path / "later.zarr", consolidated=False, write_empty_chunks=True)
    joined = xr.concat([a, opened(tmp_path / "later.zarr", {})], "time")
    assert list(absent_times(joined, "time")) == list(TIMES[:4])


@pytest.mark.parametrize("dims", [("y", "time", "x"), ("x", "y", "time")])
def test_time_anywhere_and_chunks_in_space(tmp_path, dims):
    size = {"time": 3, "y": 4, "x": 5}
    cut = {"chunks": tuple(size[dim] for dim in dims)}
    at = {"time": 2, "y": 1, "x": 0}
    key = "/".join(str(at[dim]) for dim in dims)
    path = write(ones(dims=dims), tmp_path / "rain.zarr", encoding=cut, without=[f"c/{key}"])
    for chunks in (None, {}):
        assert list(absent_times(opened(path, chunks), "time")) == list(TIMES[6:9])


def test_inside_shards(tmp_path):
    """Of chunks (2, 3, 5) in shards (4, 6, 5): a shard absent, and in another one the chunk of all zeros."""
    series = ones()
    series[2:4, 3:] = 0
    cut = {"chunks": (2, 3, 5), "shards": (4, 6, 5)}
    path = write(series, tmp_path / "rain.zarr", encoding=cut, without=["c/2/0/0"])
    array = zarr.open_array(path, path="rain", mode="r")
    present = np.array([[1, 1], [1, 0], [1, 1], [1, 1], [0, 0]], bool)[..., None]
    np.testing.assert_array_equal(present_chunks(array), present)
    for chunks in (None, {}):
        assert list(absent_times(opened(path, chunks), "time")) == [*TIMES[2:4], *TIMES[8:]]


def test_shards_that_begin_with_their_index():
    codec = zarr.codecs.ShardingCodec(chunk_shape=(2,), index_location="start")
    frames = zarr.create(shape=(12,), dtype="i1", codecs=[codec], chunks=(6,), store={}, zarr_format=3)
    frames[2:8] = 1
    np.testing.assert_array_equal(present_chunks(frames), [False, True, True, True, False, False])


def test_in_a_zip(tmp_path):
    series = ones()
    series[4:8] = 0  # a chunk of nothing else than the fill value is left out
    folder = write(series, tmp_path / "rain.zarr")
    path = tmp_path / "rain.zarr.zip"
    with ZipFile(path, "w") as zipped:
        for file in filter(Path.is_file, folder.rglob("*")):
            zipped.write(file, file.relative_to(folder))
    with ZipStore(path, mode="r") as store:
        rain = xr.open_zarr(store, chunks=None, consolidated=False)["rain"]
        assert list(absent_times(rain, "time")) == list(TIMES[4:8])
        assert rain.sum() == 6 * 5 * 6  # and the store is still open


def test_nan_where_a_chunk_is_absent_needs_no_mention(tmp_path):
    path = write(ones("float32"), tmp_path / "float.zarr", without=["c/1/0/0"])
    assert list(absent_times(opened(path), "time")) == []
    packed = {"dtype": "i2", "_FillValue": 0, "scale_factor": 0.5}
    path = write(ones("float32"), tmp_path / "packed.zarr", encoding=packed, without=["c/1/0/0"])
    assert list(absent_times(opened(path, {}), "time")) == []
    assert np.isnan(opened(path)[4:8]).all()
    raw = xr.open_zarr(path, consolidated=False, mask_and_scale=False)["rain"]
    assert list(absent_times(raw, "time")) == list(TIMES[4:8])


def test_other_dims_names_than_the_store_s(tmp_path):
    path = write(ones(), tmp_path / "rain.zarr", without=["c/1/0/0"])
    renamed = opened(path).rename(time="t", y="lat")
    assert list(absent_times(renamed, "t")) == list(TIMES[4:8])


@pytest.mark.parametrize("chunks", [None, {}])
def test_other_times_than_the_store_s_are_an_error(tmp_path, chunks):
    path = write(ones(), tmp_path / "rain.zarr")
    moved = opened(path, chunks).assign_coords(time=TIMES + pd.Timedelta("30min"))
    assert list(absent_times(moved, "time")) == []
    (path / "rain" / "c/1/0/0").unlink()
    with pytest.raises(DamagedStoreError, match="2024-01-01 00:30:00, and the store has not"):
        absent_times(moved, "time")


def test_a_store_without_times_is_an_error(tmp_path):
    path = write(ones().drop_vars("time"), tmp_path / "rain.zarr", without=["c/1/0/0"])
    timed = opened(path).assign_coords(time=TIMES)
    with pytest.raises(DamagedStoreError, match="there are no times for its dim 'time'"):
        absent_times(timed, "time")
    bare = zarr.create_array({}, shape=(10, 6), chunks=(4, 6), dtype="i1")
    bare[:4] = 1
    timed = xr.DataArray(da.from_zarr(bare), dims=("time", "y"), coords={"time": TIMES})
    with pytest.raises(DamagedStoreError, match=r"which of its dims \[\] is time cannot be told"):
        absent_times(timed, "time")


def test_what_is_the_same_at_all_times_is_not_asked(tmp_path):
    path = write(ones(), tmp_path / "rain.zarr")
    land = ones()[0].drop_vars("time").rename("land")
    land[:3] = 0
    land.to_dataset().chunk(y=3).to_zarr(path, mode="a", consolidated=False)
    assert zarr.open_array(path, path="land", mode="r").nchunks_initialized == 1
    both = xr.open_zarr(path, consolidated=False)
    assert list(absent_times(both["rain"] * both["land"], "time")) == []


class Unlisted(MemoryStore):
    """A store that can be asked for a key but not for its keys, as plain HTTP."""

    asked = 0

    async def list_prefix(self, prefix):
        for _ in ():
            yield ""

    async def exists(self, key):
        self.asked += 1
        return await super().exists(key)


class Listed(Unlisted):
    async def list_prefix(self, prefix):
        async for key in MemoryStore.list_prefix(self, prefix):
            yield key


@pytest.mark.parametrize(("kind", "asked"), [(Listed, 0), (Unlisted, 3)])
def test_one_listing_and_each_chunk_only_where_there_is_none(kind, asked):
    store = kind()
    series = ones()
    series[4:8] = 0
    series.to_dataset().chunk(time=4).to_zarr(store, consolidated=False)
    array = zarr.open_array(store, path="rain", mode="r")
    array.store.asked = 0
    np.testing.assert_array_equal(present_chunks(array).ravel(), [True, False, True])
    assert array.store.asked == asked


def test_the_warning_says_what_and_what_to_do(tmp_path):
    path = write(ones(), tmp_path / "rain.zarr", without=["c/1/0/0"])
    said = (
        r"4 times lie in chunks .* zarr reads 0; the first is .*rain.zarr/rain/c/1/0/0 "
        r"\(2024-01-01 04:00:00 to 2024-01-01 07:00:00\).* "
        r"rechunk_for_training\(store, to, absent=\"fill\"\)"
    )
    with pytest.warns(AbsentChunksWarning, match=said):
        assert list(warn_if_absent(opened(path), "time")) == list(TIMES[4:8])
    assert list(warn_if_absent(opened(path)[:4], "time")) == []
