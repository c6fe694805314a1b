"""Forecasts in a store equal those in memory, and are complete or absent, whatever happens on the way."""

import json
import os
import resource
import subprocess
import sys
import threading
import time
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import xarray as xr
from stores import killed_forecasts

from darts_mim.errors import GapError, LeakError, TooShortError
from darts_mim.stores import forecast_store
from darts_mim.stores.forecast_store import open_forecasts, stored_forecast, stored_forecasts

AXIS = pd.date_range("2024-01-01", periods=30, freq="h")
ROWS = np.arange(2, 27, 2)
SIZE = 2 * 3 * 4  # lead, y, x


@pytest.fixture(autouse=True)
def small_blocks(monkeypatch):
    monkeypatch.setattr(forecast_store, "BLOCK", 4)


def forecasts(rows, *, axis=AXIS, dtype="f8", dims=("init_time", "lead_time", "y", "x"), lead=None):
    """Numbers that say where they belong; none from the rows 8, 10 and 18 to 24."""
    rows = rows[~np.isin(rows, [8, 10, *range(18, 25)])]
    if not len(rows):
        raise GapError("Rows 18 to 24 are a gap.")
    leads = np.arange(1, 3)
    values = rows[:, None, None, None] * 100.0 + leads[:, None, None] + np.arange(12).reshape(3, 4) / 16
    values[:, :, 0, 1] = np.nan  # a cell of the sea
    coords = {
        "init_time": axis.values[rows],
        "lead_time": leads * np.timedelta64(3600, "s").astype("m8[ns]") if lead is None else lead,
        "valid_time": (("init_time", "lead_time"), axis.values[rows[:, None] + leads]),
        "lat": (("y", "x"), np.arange(12.0).reshape(3, 4), {"units": "degrees_north"}),
        "band": "red",
    }
    attrs = {"units": "hours", "range": np.array([0, 5]), "known": True, "unit": None}
    made = xr.DataArray(values.astype(dtype), coords, ("init_time", "lead_time", "y", "x"), "speed", attrs)
    if "realization" in dims:
        made = xr.concat([made, made + 1, made + 2], "realization", combine_attrs="override")
    return made.transpose(*dims)


def store(path, forecast=forecasts, *, axis=AXIS, rows=ROWS, asked="speed", **options):
    own = {"axis": axis, "rows": rows, "horizon": 2, "origin_size": SIZE, "asked": asked}
    return stored_forecasts(path, forecast, **own | options)


class Counting:
    """Forecasts that say which blocks were asked for, and break at one."""

    def __init__(self, breaks_at=None):
        self.blocks, self.breaks_at = [], breaks_at

    def __call__(self, rows):
        if rows[0] == self.breaks_at:
            raise RuntimeError("out of memory")
        self.blocks.append(int(rows[0]))
        return forecasts(rows)


SAMPLED = ("realization", "init_time", "lead_time", "y", "x")
ORDERS = [("init_time", "lead_time", "y", "x"), ("init_time", "lead_time", "x", "y"), SAMPLED]


@pytest.mark.parametrize("dims", ORDERS)
@pytest.mark.parametrize("dtype", ["f4", "f8"])
def test_the_store_gives_what_memory_would(tmp_path, dtype, dims):
    def ask(rows):
        return forecasts(rows, dtype=dtype, dims=dims)

    made = store(tmp_path / "run.zarr", ask)
    assert made.chunks is not None
    xr.testing.assert_identical(made.compute(), ask(ROWS))
    assert made.dtype == dtype and made["init_time"].dtype == AXIS.values.dtype
    xr.testing.assert_identical(open_forecasts(tmp_path / "run.zarr"), made)
    assert [path.name for path in tmp_path.iterdir()] == ["run.zarr"]


def test_a_dataset_a_nameless_array_and_months(tmp_path):
    def both(rows):
        return xr.Dataset({"u": forecasts(rows), "v": forecasts(rows, dtype="f4") * 2}, attrs={"a": 1})

    xr.testing.assert_identical(store(tmp_path / "both", both).compute(), both(ROWS))
    for i, name in enumerate((None, "lat")):  # the second is a coordinate's
        made = store(tmp_path / str(i), lambda rows, name=name: forecasts(rows).rename(name))
        xr.testing.assert_identical(made.compute(), forecasts(ROWS).rename(name))
    months = pd.date_range("2020-01-31", periods=30, freq="ME").as_unit("s")

    def monthly(rows):
        return forecasts(rows, axis=months, lead=np.array([1, 2]))

    made = store(tmp_path / "months", monthly, axis=months)
    xr.testing.assert_identical(made.compute(), monthly(ROWS))
    assert made["valid_time"].dtype == "M8[s]"


@pytest.mark.parametrize("chunk_bytes", [1, 2 * 3 * 4 * 8, 300])
def test_large_forecasts_are_cut_into_many_files(tmp_path, monkeypatch, chunk_bytes):
    """An array of 3 samples is cut by origins first, then by samples, then by leads."""
    monkeypatch.setattr(forecast_store, "CHUNK_BYTES", chunk_bytes)
    made = store(tmp_path / "run", lambda rows: forecasts(rows, dims=SAMPLED), rows=ROWS[:3], origin_size=72)
    xr.testing.assert_identical(made.compute(), forecasts(ROWS[:3], dims=SAMPLED))
    each = [size[0] for size in store(tmp_path / "run", rows=ROWS[:3], origin_size=72).chunks]
    assert each == ([1, 1, 1, 3, 4] if chunk_bytes == 1 else [1, 1, 2, 3, 4])
    lazy = forecasts(ROWS[:3]).chunk(y=(1, 2), x=(1, 3))
    one = stored_forecast(tmp_path / "one", lambda: lazy, asked=1)
    xr.testing.assert_identical(one.compute(), lazy.compute())


def test_integers_and_lazy_forecasts_come_as_floats(tmp_path):
    def whole(rows):
        return forecasts(rows).isel(x=[0, 3]).astype(int).chunk(y=1)

    np.testing.assert_array_equal(store(tmp_path / "run", whole), whole(ROWS).astype("f4"))


def test_others_can_read_it_and_see_what_could_not_be_forecast(tmp_path):
    store(tmp_path / "run.zarr")
    found = xr.open_zarr(tmp_path / "run.zarr", decode_timedelta=True)
    np.testing.assert_array_equal(found["init_time"], AXIS[ROWS])
    could = ~np.isin(ROWS, [8, 10, *range(18, 25)])
    np.testing.assert_array_equal(found["was_forecast"], could)
    np.testing.assert_array_equal(found["speed"].notnull().any(["lead_time", "y", "x"]), could)
    np.testing.assert_array_equal(found["valid_time"], AXIS.values[ROWS[:, None] + [1, 2]])
    assert found["speed"].chunks[0] == (4, 4, 4, 1)


def test_what_was_stopped_goes_on(tmp_path):
    path, first = tmp_path / "run.zarr", Counting(breaks_at=18)
    with pytest.raises(RuntimeError, match="out of memory"):
        store(path, first)
    assert not path.exists() and first.blocks == [2, 10]
    second, done = Counting(), []
    made = store(path, second, advance=done.append)
    assert second.blocks == [18, 26] and sum(done) == len(ROWS)
    xr.testing.assert_identical(made.compute(), forecasts(ROWS))
    third, done = Counting(), []
    xr.testing.assert_identical(store(path, third, advance=done.append), made)
    assert not third.blocks and done == [len(ROWS)]


@pytest.mark.parametrize(
    "change", [{"asked": "another"}, {"rows": ROWS[1:]}, {"axis": AXIS + pd.Timedelta("1h")}, {"horizon": 2}]
)
def test_what_was_begun_for_another_is_not_gone_on_with(tmp_path, change):
    with pytest.raises(RuntimeError):
        store(tmp_path / "run", Counting(breaks_at=18))
    rows, asked = change.get("rows", ROWS), []

    def forecast(block):
        asked.append(int(block[0]))
        return forecasts(block, axis=change.get("axis", AXIS))

    store(tmp_path / "run", forecast, **change)
    assert asked == rows[::4].tolist()[2 if change == {"horizon": 2} else 0 :]  # that is what was begun


def test_forecasts_are_replaced_by_others_and_nothing_else_is(tmp_path):
    path = tmp_path / "run.zarr"
    store(path)
    with pytest.raises(RuntimeError):
        store(path, Counting(breaks_at=18), asked="more")
    xr.testing.assert_identical(open_forecasts(path).compute(), forecasts(ROWS))  # until the others are whole
    xr.testing.assert_equal(store(path, lambda rows: forecasts(rows) + 1, asked="other"), forecasts(ROWS) + 1)
    assert [one.name for one in tmp_path.iterdir()] == ["run.zarr"]
    forecasts(ROWS).drop_vars("band").drop_attrs().to_dataset().to_zarr(tmp_path / "mine", consolidated=False)
    (tmp_path / "text").write_text("mine")
    for other in ("mine", "text"):
        with pytest.raises(FileExistsError, match=r"holds no forecasts. Choose another path"):
            store(tmp_path / other)
        with pytest.raises(ValueError, match="holds no forecasts"):
            open_forecasts(tmp_path / other)
    with pytest.raises(FileNotFoundError, match="Nothing is at"):
        open_forecasts(tmp_path / "none")
    with pytest.raises(ValueError, match="only a local path"):
        store("s3://bucket/run.zarr")


@pytest.mark.parametrize("error", [GapError, TooShortError])
def test_nothing_to_forecast_from_leaves_nothing(tmp_path, error):
    def none(rows):
        raise error("the frame at noon is missing")

    with pytest.raises(error, match="at noon"):
        store(tmp_path / "run", none)
    assert not list(tmp_path.iterdir())


def test_what_never_began_leaves_nothing(tmp_path):
    def none(rows):
        raise TypeError("that cannot be")

    with pytest.raises(TypeError, match="cannot be"):
        store(tmp_path / "run", none)
    assert not list(tmp_path.iterdir())


def test_what_fails_the_check_is_not_kept(tmp_path):
    def leak(made):
        xr.testing.assert_identical(made.compute(), forecasts(ROWS))
        raise LeakError("it knows the future")

    def fault(made):
        raise RuntimeError("out of memory")

    with pytest.raises(RuntimeError, match="out of memory"):  # which says nothing of the forecasts
        store(tmp_path / "run", check=fault)
    asked = Counting()
    with pytest.raises(LeakError, match="knows the future"):
        store(tmp_path / "run", asked, check=leak)
    assert not asked.blocks and not list(tmp_path.iterdir())


def test_a_run_that_asks_for_the_same_waits(tmp_path):
    asked = Counting()

    def slowly(rows):
        time.sleep(0.05)
        return asked(rows)

    made = []
    runs = [threading.Thread(target=lambda: made.append(store(tmp_path / "run", slowly))) for _ in range(2)]
    for run in runs:
        run.start()
    for run in runs:
        run.join()
    assert asked.blocks == [2, 10, 18, 26]
    xr.testing.assert_identical(*made)
    assert [path.name for path in tmp_path.iterdir()] == ["run"]


@pytest.mark.parametrize("moved", [0, 1])
def test_stopped_while_it_is_moved(tmp_path, monkeypatch, moved):
    """In place of forecasts that were there: before these are put aside, and between the two moves."""
    path, replace = tmp_path / "run.zarr", os.replace
    store(path, asked="old")
    moves = []

    def stopped(source, target):
        if path in (Path(source), Path(target)):
            moves.append(target)
            if len(moves) > moved:
                raise KeyboardInterrupt
        replace(source, target)

    with monkeypatch.context() as during:
        during.setattr(os, "replace", stopped)
        with pytest.raises(KeyboardInterrupt):
            store(path)
    assert path.exists() == (moved == 0)
    again = Counting()
    xr.testing.assert_identical(store(path, again).compute(), forecasts(ROWS))
    assert not again.blocks
    assert [one.name for one in tmp_path.iterdir()] == ["run.zarr"]


def test_a_full_disk_is_one_clear_error(tmp_path):
    """No file may grow beyond some bytes: what is written then fails, as it does where no room is left."""
    path = tmp_path / "run.zarr"
    with pytest.raises(RuntimeError):
        store(path, Counting(breaks_at=18))
    before = resource.getrlimit(resource.RLIMIT_FSIZE)

    def no_room(rows):
        resource.setrlimit(resource.RLIMIT_FSIZE, (100, before[1]))
        return forecasts(rows) + np.random.default_rng(0).random((len(forecasts(rows)), 2, 3, 4))

    try:
        with pytest.raises(OSError, match=r"run.zarr could not be written: .*Make room") as caught:
            store(path, lambda rows: forecasts(rows) if rows[0] == 18 else no_room(rows))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert caught.value.__cause__ is not None and not path.exists()
    again = Counting()
    xr.testing.assert_identical(store(path, again).compute(), forecasts(ROWS))
    assert again.blocks == [26]  # the others were kept


def test_a_place_that_cannot_be_written_is_known_before_anything_is_forecast(tmp_path):
    (tmp_path / "file").write_text("")
    asked = Counting()
    with pytest.raises(OSError, match=r"could not be written: Not a directory\. There is nothing"):
        store(tmp_path / "file" / "run.zarr", asked)
    assert not asked.blocks


def test_killed_at_any_moment_it_ends_as_if_never_killed(tmp_path):
    """Twelve kills: what was kept is never forecast again, and no half of it is ever taken for whole."""
    script = Path(killed_forecasts.__file__)
    environment = os.environ | {"PYTHONPATH": str(script.parents[2])}
    command = [sys.executable, str(script), "7", "12", str(tmp_path)]
    ended = subprocess.run(command, capture_output=True, text=True, env=environment, timeout=120, check=False)
    assert ended.returncode == 0, ended.stderr
    log = [json.loads(line) for line in (tmp_path / "log").read_text().splitlines()]
    killed, kept = 0, set()
    for entry in log:
        if "begun" in entry:
            assert entry["begun"] not in kept
        else:
            assert kept <= set(entry.get("killed", kept)) or entry.get("whole", True)
            kept = set(entry.get("killed", []))
            killed += "killed" in entry
    assert killed == 12
    assert any(entry.get("killed") for entry in log)  # some were killed on the way
    made = open_forecasts(tmp_path / "run.zarr").compute()
    xr.testing.assert_identical(made, killed_forecasts.fields(killed_forecasts.ROWS))
    never = killed_forecasts.store(tmp_path / "never.zarr").compute()
    xr.testing.assert_identical(made, never)
    files = [
        sorted(str(f.relative_to(tmp_path / one)) for f in (tmp_path / one).rglob("*") if f.is_file())
        for one in ("run.zarr", "never.zarr")
    ]
    assert files[0] == files[1] and not list(tmp_path.glob(".*"))
    for name in files[0]:
        if not Path(name).name.startswith("."):
            assert (tmp_path / "run.zarr" / name).read_bytes() == (
                tmp_path / "never.zarr" / name
            ).read_bytes()


def test_one_forecast(tmp_path):
    rain = xr.DataArray(
        np.random.default_rng(0).random((3, 2, 4), dtype="f4"),
        {"time": pd.date_range("2024-02-01", periods=3, freq="D")},
        ("time", "y", "x"),
        "rain",
        {"units": "mm"},
    )
    path, made = tmp_path / "rain", []

    def forecast():
        made.append(1)
        return rain.chunk(time=2) if len(made) > 1 else rain

    for asked in ("first", "first", "second"):  # in memory, read, lazy
        xr.testing.assert_identical(stored_forecast(path, forecast, asked=asked).compute(), rain)
    assert len(made) == 2 and [one.name for one in tmp_path.iterdir()] == ["rain"]
    both = rain.to_dataset().assign(snow=rain / 2)
    xr.testing.assert_identical(stored_forecast(tmp_path / "both", lambda: both, asked=1).compute(), both)
