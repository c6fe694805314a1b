"""The copy reads as the store does, in other chunks, and is whole or not there."""

import errno
import resource
import subprocess
import sys
from pathlib import Path
from zipfile import ZipFile

import numpy as np
import pandas as pd
import pytest
import xarray as xr
import zarr

from darts_mim.errors import DamagedStoreError
from darts_mim.stores.absent_chunks import absent_times
from darts_mim.stores.rechunk import rechunk_for_training

TIMES = pd.date_range("2024", periods=20, freq="h", name="time")


def rain(dtype="float32"):
    values = np.random.default_rng(0).integers(1, 100, size=(20, 6, 5)).astype(dtype)
    coords = {"time": TIMES, "y": np.arange(6.0)[::-1], "x": ("x", np.arange(5), {"units": "km"})}
    made = xr.DataArray(values, dims=("time", "y", "x"), coords=coords, name="rain", attrs={"units": "mm"})
    if made.dtype.kind == "f":
        made[3, 2, 1] = np.nan
    return made


def write(path, series=None, *, without=(), zarr_format=3, **encoding):
    series = rain() if series is None else series
    encoding = {"rain": {"chunks": (20, 2, 5), **encoding}}
    held = series.to_dataset() if isinstance(series, xr.DataArray) else series
    held.to_zarr(path, encoding=encoding, consolidated=False, zarr_format=zarr_format)
    for key in without:
        (path / "rain" / key).unlink()
    return path


def opened(path):
    return xr.open_zarr(path, chunks=None, consolidated=False)


def copied(store, to, **settings):
    path = rechunk_for_training(store, to, chunk_bytes=4 * 6 * 5 * 4, verbose=False, **settings)
    assert path == to and sorted(each.name for each in to.parent.glob(f"*{to.name}*")) == [to.name]
    return xr.open_zarr(path, chunks=None)  # consolidated: no warning


PACKING = {
    "float": {},
    "packed": {"dtype": "i2", "scale_factor": 0.5, "add_offset": 3.0, "_FillValue": -9},
    "marked": {"_FillValue": -1.0},
}


@pytest.mark.parametrize("memory", [1, 2**30])
@pytest.mark.parametrize("zarr_format", [2, 3])
@pytest.mark.parametrize("packing", PACKING)
def test_what_is_read_is_identical(tmp_path, packing, zarr_format, memory):
    path = write(tmp_path / "rain.zarr", zarr_format=zarr_format, **PACKING[packing])
    copy = copied(path, tmp_path / "copy.zarr", memory=memory)
    xr.testing.assert_identical(copy.load(), opened(path).load())
    for name in ("rain", "time"):
        for kept in ("dtype", "scale_factor", "add_offset", "_FillValue", "calendar"):
            np.testing.assert_equal(copy[name].encoding.get(kept), opened(path)[name].encoding.get(kept))
    raw = zarr.open_array(tmp_path / "copy.zarr", path="rain", mode="r")
    np.testing.assert_array_equal(raw[:], zarr.open_array(path, path="rain", mode="r")[:])


def test_chunks_are_whole_grids_compressed_and_checked(tmp_path):
    copied(write(tmp_path / "rain.zarr"), tmp_path / "copy.zarr")
    array = zarr.open_array(tmp_path / "copy.zarr", path="rain", mode="r")
    assert array.metadata.zarr_format == 3 and array.chunks == (4, 6, 5)
    assert [type(codec).__name__ for codec in array.compressors] == ["BloscCodec", "Crc32cCodec"]
    assert zarr.open_array(tmp_path / "copy.zarr", path="time", mode="r").chunks == (20,)


def test_no_chunk_is_left_out(tmp_path):
    nothing = rain("int16") * 0
    copied(nothing.chunk(time=5), tmp_path / "copy.zarr")
    array = zarr.open_array(tmp_path / "copy.zarr", path="rain", mode="r")
    assert array.fill_value == 0 and array.nchunks_initialized == array.nchunks > 1


def test_chunks_of_a_crop(tmp_path):
    copied(write(tmp_path / "rain.zarr"), tmp_path / "copy.zarr", crop=(3, 2))
    array = zarr.open_array(tmp_path / "copy.zarr", path="rain", mode="r")
    assert array.chunks == (20, 3, 2)


def test_a_flipped_bit_of_the_copy_is_found(tmp_path):
    copied(write(tmp_path / "rain.zarr"), tmp_path / "copy.zarr")
    chunk = tmp_path / "copy.zarr/rain/c/1/0/0"
    held = bytearray(chunk.read_bytes())
    held[len(held) // 2] ^= 1
    chunk.write_bytes(held)
    with pytest.raises(DamagedStoreError, match=r"copy.zarr/rain/c/1/0/0 damaged"):
        rechunk_for_training(tmp_path / "copy.zarr", tmp_path / "second.zarr", verbose=False)
    assert not (tmp_path / "second.zarr").exists()


def test_a_dataset_with_what_has_no_time(tmp_path):
    both = xr.Dataset({"rain": rain(), "wind": rain("float64").rename("wind").expand_dims("channel", 1)})
    both = both.assign_coords(channel=["u"], lat=(("y", "x"), np.ones((6, 5))), hour=("time", TIMES.hour))
    both["land"] = both["rain"][0].drop_vars("time") > 50
    both.attrs["source"] = "made up"
    copy = copied(both.chunk(time=7, y=3), tmp_path / "copy.zarr")
    xr.testing.assert_identical(copy.load(), both)


def test_a_lazy_series_cut_and_computed_with(tmp_path):
    series = xr.open_zarr(write(tmp_path / "rain.zarr"), consolidated=False)["rain"]
    copy = copied(2 * series[3:17, ::2], tmp_path / "copy.zarr")
    xr.testing.assert_identical(copy["rain"].load(), (2 * rain())[3:17, ::2])


def test_one_variable_of_several(tmp_path):
    both = xr.Dataset({"rain": rain(), "wind": rain()})
    copy = copied(write(tmp_path / "both.zarr", both), tmp_path / "copy.zarr", variable="rain")
    assert list(copy.data_vars) == ["rain"]
    with pytest.raises(ValueError, match=r"variable='snow' came; the store has \['rain', 'wind'\]"):
        copied(tmp_path / "both.zarr", tmp_path / "second.zarr", variable=["rain", "snow"])


def test_a_zip(tmp_path):
    folder = write(tmp_path / "rain.zarr")
    with ZipFile(tmp_path / "rain.zip", "w") as zipped:
        for file in filter(Path.is_file, folder.rglob("*")):
            zipped.write(file, file.relative_to(folder))
    copy = copied(tmp_path / "rain.zip", tmp_path / "copy.zarr")
    xr.testing.assert_identical(copy.load(), opened(folder).load())


def test_absent_chunks_are_refused_or_taken_for_data(tmp_path):
    path = write(tmp_path / "rain.zarr", rain("int16"), chunks=(5, 6, 5), without=["c/1/0/0"])
    with pytest.raises(DamagedStoreError, match=r"5 times lie in .*rain/c/1/0/0 .*pass absent=\"fill\""):
        copied(path, tmp_path / "copy.zarr")
    assert not (tmp_path / "copy.zarr").exists()
    copy = copied(path, tmp_path / "copy.zarr", absent="fill")
    assert (copy["rain"][5:10] == 0).all() and (copy["rain"] == 0).sum() == 5 * 6 * 5
    assert len(absent_times(copy, "time")) == 0
    with pytest.raises(ValueError, match="absent='fil' came"):
        copied(path, tmp_path / "third.zarr", absent="fil")


def test_what_is_there_stays(tmp_path):
    path = write(tmp_path / "rain.zarr")
    before = sorted(path.rglob("*"))
    with pytest.raises(FileExistsError, match="Choose another path"):
        rechunk_for_training(path, path)
    assert sorted(path.rglob("*")) == before
    with pytest.raises(ValueError, match="a local path is wanted"):
        rechunk_for_training(path, "s3://bucket/rain.zarr")


def test_packing_that_does_not_hold_the_values(tmp_path):
    series = rain().chunk(time=5)
    series.encoding = {"dtype": "i2", "scale_factor": 3.0, "_FillValue": -9}
    with pytest.raises(ValueError, match=r"does not read back as it was written.*drop_encoding\(\)"):
        copied(series, tmp_path / "copy.zarr")
    assert list(tmp_path.iterdir()) == []


def test_a_full_disk_amid_the_frames(tmp_path, monkeypatch):
    write_zarr, calls = xr.Dataset.to_zarr, []

    def full(self, *args, **settings):
        calls.append(settings)
        if len(calls) == 4:
            raise OSError(errno.ENOSPC, "No space left on device")
        return write_zarr(self, *args, **settings)

    path = write(tmp_path / "rain.zarr")
    monkeypatch.setattr(xr.Dataset, "to_zarr", full)
    with pytest.raises(OSError, match=r"copy.zarr could not be written \(No space left") as raised:
        copied(path, tmp_path / "copy.zarr", memory=1)
    assert raised.value.errno == errno.ENOSPC
    assert [each.name for each in tmp_path.iterdir()] == ["rain.zarr"]


def test_a_limit_of_the_system_s(tmp_path):
    """zarr's own writing fails, by a limit on the size of a file."""
    path = write(tmp_path / "rain.zarr", rain() + np.random.default_rng(1).random((20, 6, 5)))
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (3000, before[1]))
    try:
        with pytest.raises(OSError, match=r"could not be written.*nothing is left of it") as raised:
            rechunk_for_training(path, tmp_path / "copy.zarr", verbose=False)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert raised.value.errno == errno.EFBIG
    assert [each.name for each in tmp_path.iterdir()] == ["rain.zarr"]


def test_a_folder_that_cannot_be_made(tmp_path):
    path = write(tmp_path / "rain.zarr")
    (tmp_path / "file").touch()
    with pytest.raises(OSError, match="could not be written"):
        copied(path, tmp_path / "file" / "copy.zarr")


@pytest.mark.slow  # a process of its own
def test_memory_is_bounded(tmp_path):
    """240 MB of frames are copied in 48 MB."""
    program = (
        "import resource, sys, xarray as xr\n"
        "from darts_mim.stores.rechunk import rechunk_for_training as copy\n"
        "before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss\n"
        "copy(sys.argv[1], sys.argv[2], memory=48 * 2**20, absent='fill', verbose=False)\n"
        "print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)"
    )
    times = pd.date_range("2024", periods=1500, freq="h", name="time")
    settings = {"shape": (1500, 200, 200), "chunks": (10, 200, 100), "dtype": "f4", "fill_value": 1}
    group = zarr.create_group(tmp_path / "large.zarr")
    group.create_array("rain", dimension_names=("time", "y", "x"), **settings)
    xr.Dataset(coords={"time": times}).to_zarr(tmp_path / "large.zarr", mode="a", consolidated=False)
    run = [sys.executable, "-c", program, str(tmp_path / "large.zarr"), str(tmp_path / "copy.zarr")]
    ended = subprocess.run(run, capture_output=True, text=True, timeout=60, check=True)
    assert int(ended.stdout) * 1024 < 90e6
    assert opened(tmp_path / "copy.zarr")["rain"][-1].sum() == 200 * 200


def test_progress_is_shown_if_asked_for(tmp_path, capsys):
    rechunk_for_training(rain().chunk(time=5), tmp_path / "copy.zarr")
    assert "Copy to" in capsys.readouterr().out
    rechunk_for_training(rain().chunk(time=5), tmp_path / "second.zarr", verbose=False)
    assert capsys.readouterr().out == ""
