"""What is damaged, changed or gone is one clear error that names the times."""

import shutil

import dask.array as da
import numpy as np
import pandas as pd
import pytest
import xarray as xr
import zarr
from zarr.codecs import BloscCodec, Crc32cCodec, ZstdCodec

from darts_mim.errors import DamagedStoreError, StoreChangedError
from darts_mim.grid.scaling import GridScaler
from darts_mim.stores.backing import sources
from darts_mim.stores.stored import read_frames, require_unchanged

TIMES = pd.date_range("2024", periods=10, freq="h", name="time")
CODECS = {
    "bare": (),
    "zstd": (ZstdCodec(),),
    "blosc": (BloscCodec(),),
    "checked": (ZstdCodec(), Crc32cCodec()),
}


def field(dtype="float32"):
    values = np.random.default_rng(0).integers(1, 100, size=(10, 3, 5)).astype(dtype)
    return xr.DataArray(values, dims=("time", "y", "x"), coords={"time": TIMES}, name="rain")


def write(path, series=None, **encoding):
    series = field() if series is None else series
    encoding = {"rain": {"chunks": (4, 3, 5), **encoding}}
    series.to_dataset().to_zarr(path, encoding=encoding, consolidated=False, mode="w", zarr_format=3)
    return path


def opened(path, chunks=None):
    return xr.open_zarr(path, chunks=chunks, consolidated=False)["rain"]


@pytest.mark.parametrize("chunks", [None, {}])
def test_frames_of_a_sound_store(tmp_path, chunks):
    series = opened(write(tmp_path / "rain.zarr"), chunks)
    xr.testing.assert_identical(read_frames(series, "time", slice(3, 9)), field()[3:9])
    both = series.to_dataset()
    xr.testing.assert_identical(read_frames(both, "time", slice(3, 9)), field()[3:9].to_dataset())
    assert not series.variable._in_memory


def cut_off(chunk):
    chunk.write_bytes(chunk.read_bytes()[:-7])


def overwrite(chunk):
    chunk.write_bytes(b"no frames at all")


def empty(chunk):
    chunk.write_bytes(b"")


@pytest.mark.parametrize("chunks", [None, {}])
@pytest.mark.parametrize("damage", [cut_off, overwrite, empty])
@pytest.mark.parametrize("codecs", CODECS)
def test_a_damaged_chunk(tmp_path, codecs, damage, chunks):
    path = write(tmp_path / "rain.zarr", compressors=CODECS[codecs])
    damage(path / "rain/c/1/0/0")
    series = opened(path, chunks)
    said = (
        r"frames from 2024-01-01 02:00:00 to 2024-01-01 06:00:00, those from 2024-01-01 04:00:00 to "
        r"2024-01-01 06:00:00 cannot be read: .*rain.zarr/rain/c/1/0/0 damaged"
    )
    with pytest.raises(DamagedStoreError, match=said) as raised:
        read_frames(series, "time", slice(2, 7))
    assert raised.value.__cause__ is not None
    np.testing.assert_array_equal(read_frames(series, "time", slice(8, 10)), field()[8:])


def test_a_flipped_bit_is_found_by_a_checksum(tmp_path):
    for codecs, found in ((CODECS["bare"], False), ((Crc32cCodec(),), True)):
        path = write(tmp_path / "rain.zarr", compressors=codecs)
        chunk = path / "rain/c/0/0/0"
        held = bytearray(chunk.read_bytes())
        held[17] ^= 4
        chunk.write_bytes(held)
        series = opened(path)
        if found:
            with pytest.raises(DamagedStoreError, match=r"rain/c/0/0/0 damaged.*checksum"):
                read_frames(series, "time", slice(0, 2))
        else:
            assert (read_frames(series, "time", slice(0, 4)) != field()[:4]).sum() == 1


def test_damage_in_a_shard_and_in_several_chunks(tmp_path):
    path = write(tmp_path / "rain.zarr", chunks=(2, 3, 5), shards=(4, 3, 5))
    for key in ("0", "2"):
        overwrite(path / "rain/c" / key / "0/0")
    with pytest.raises(
        DamagedStoreError, match=r"01 01:00:00 to .* 09:00:00 cannot .*c/0/0/0, .*c/2/0/0 dam"
    ):
        read_frames(opened(path), "time", slice(1, 10))


def test_damage_behind_a_transformer(tmp_path):
    path = write(tmp_path / "rain.zarr")
    series = opened(path, {})
    scaled = GridScaler().fit(series).transform(series)
    overwrite(path / "rain/c/2/0/0")
    with pytest.raises(DamagedStoreError, match="rain/c/2/0/0 damaged"):
        read_frames(scaled, "time", slice(8, 9))


def test_damage_where_the_times_are_not_the_store_s(tmp_path):
    path = write(tmp_path / "rain.zarr")
    overwrite(path / "rain/c/0/0/0")
    moved = opened(path).assign_coords(time=TIMES + pd.Timedelta("365D"))
    with pytest.raises(DamagedStoreError, match="from 2024-12-31 00:00:00 to 2024-12-31 01:00:00 could not"):
        read_frames(moved, "time", slice(0, 2))


def test_what_is_computed_may_fail_by_itself(tmp_path):
    def fail(block):
        raise ZeroDivisionError("of the user's")

    series = opened(write(tmp_path / "rain.zarr"), {})
    made = series.copy(data=da.map_blocks(fail, series.data, dtype="f4"))
    with pytest.raises(ZeroDivisionError, match="of the user's"):
        read_frames(made, "time", slice(0, 2))


def test_a_disk_that_fails_for_a_moment(tmp_path):
    def fail(block):
        raise TimeoutError("no answer")

    series = opened(write(tmp_path / "rain.zarr"), {})
    made = series.copy(data=da.map_blocks(fail, series.data, dtype="f4"))
    with pytest.raises(
        DamagedStoreError, match=r"from 2024-01-01 00.* could not be read \(Tim.*no answer.*run it again"
    ):
        read_frames(made, "time", slice(0, 2))


@pytest.mark.parametrize("chunks", [None, {}])
def test_a_store_that_is_gone(tmp_path, chunks):
    """zarr itself reads fill values there."""
    path = write(tmp_path / "rain.zarr")
    series = opened(path, chunks)
    shutil.rmtree(path)
    assert np.isnan(series[0].values).all()
    with pytest.raises(StoreChangedError, match=r"rain is no longer there\. Put it back"):
        read_frames(series, "time", slice(0, 2))


CHANGES = {
    "shape": (lambda path: write(path, field()[:8]), r"shape was \(10, 3, 5\), is \(8, 3, 5\)"),
    "chunks": (
        lambda path: write(path, chunks=(5, 3, 5)),
        r"chunk_grid was .*\(4, 3, 5\).* is .*\(5, 3, 5\)",
    ),
    "shards": (lambda path: write(path, shards=(8, 3, 5)), "codecs was .* is .*sharding_indexed"),
    "dtype": (lambda path: write(path, field("float64")), "data_type was float32, is float64"),
    "codecs": (lambda path: write(path, compressors=()), "codecs was .*zstd"),
    "fill value": (lambda path: write(path, fill_value=7), "fill_value was NaN, is 7.0"),
    "packing": (lambda path: write(path, scale_factor=2.0), r"scale_factor was None, is 2\.0"),
    "metadata": (lambda path: (path / "rain/zarr.json").write_text("{"), "metadata cannot be read"),
}


@pytest.mark.parametrize("chunks", [None, {}])
@pytest.mark.parametrize("change", CHANGES)
def test_a_store_that_was_written_anew(tmp_path, change, chunks):
    path = write(tmp_path / "rain.zarr")
    series = opened(path, chunks)
    require_unchanged(series)
    require_unchanged(series, behind=sources(series))
    write_anew, said = CHANGES[change]
    write_anew(path)
    for ask in (require_unchanged, lambda series: read_frames(series, "time", slice(0, 2))):
        with pytest.raises(StoreChangedError, match=f"has changed since it was opened: .*{said}"):
            ask(series)


def test_what_does_not_change_the_values_is_no_change(tmp_path):
    path = write(tmp_path / "rain.zarr")
    series = opened(path)
    zarr.open_array(path, path="rain").attrs["comment"] = "checked by hand"
    require_unchanged(series)
    require_unchanged(field())


def test_format_2(tmp_path):
    path = tmp_path / "rain.zarr"
    field().to_dataset().chunk(time=4).to_zarr(path, zarr_format=2, consolidated=False)
    series = opened(path)
    require_unchanged(series)
    overwrite(path / "rain/1.0.0")
    with pytest.raises(DamagedStoreError, match=r"rain/1\.0\.0 damaged"):
        read_frames(series, "time", slice(0, 5))
    field()[:6].to_dataset().to_zarr(path, zarr_format=2, consolidated=False, mode="w")
    with pytest.raises(StoreChangedError, match="shape was"):
        require_unchanged(series)
