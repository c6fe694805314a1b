"""A backtest of a series that is not in memory gives what one in memory gives, and never reads it whole."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import xarray as xr
from sklearn.base import BaseEstimator

from darts_mim import Persistence, backtest
from darts_mim.backtesting.clock import Clock, Walk
from darts_mim.errors import GapError, LeakError, LeakWarning
from darts_mim.grid.grid import Grid
from darts_mim.stores import forecast_store

READ: list[int] = []  # frames of each read of the values on disk
BEGUN: list[float] = []  # what Random knew in each block that it began


@pytest.fixture(autouse=True)
def small_blocks(monkeypatch):
    monkeypatch.setattr(forecast_store, "BLOCK", 8)


@pytest.fixture
def reads(monkeypatch):
    """How many frames each read of a store took."""
    from xarray.backends.zarr import ZarrArrayWrapper

    READ.clear()
    plain = ZarrArrayWrapper.__getitem__

    def counted(self, key):
        values = plain(self, key)
        if np.ndim(values) == 3:
            READ.append(len(values))
        return values

    monkeypatch.setattr(ZarrArrayWrapper, "__getitem__", counted)
    return READ


class Last(BaseEstimator):
    """The last frame again, by the frames that it needs and no others."""

    def fit(self, series):
        return self

    def predict(self, n, series):
        last = series.isel(time=-1).compute()
        if last.isnull().sum() > 1:  # the sea
            raise GapError("The last frame holds NaN.")
        step = series.indexes["time"][1] - series.indexes["time"][0]
        times = [series.indexes["time"][-1] + step * k for k in range(1, n + 1)]
        return xr.concat([last.assign_coords(time=time) for time in times], "time").transpose(*series.dims)


class Peeking(Last):
    def historical_forecasts(self, series, *, forecast_horizon, start, stride):
        times = series.indexes["time"]
        first = int(times.searchsorted(start))
        origins = np.arange(first - 1, len(times) - forecast_horizon, stride)
        made = [
            series.isel(time=slice(at + 1, at + 1 + forecast_horizon))
            .assign_coords(time=(np.arange(forecast_horizon) + 1) * (times[1] - times[0]).to_timedelta64())
            .rename(time="lead_time")
            .compute()
            for at in origins
        ]
        return xr.concat(made, pd.Index(times[origins], name="init_time"))


def stored(tmp_path, *, dtype="f4", order=("time", "y", "x"), missing=(), n=90):
    time = pd.date_range("2024-01-01", periods=n, freq="h")
    values = np.random.default_rng(0).gamma(2.0, 5.0, (n, 3, 5)).astype(dtype)
    values[:, 0, 1] = np.nan  # the sea
    values[63, 2, 2] = np.nan
    coords = {"time": time, "lat": ("y", [1.0, 2.0, 4.0])}
    rain = xr.DataArray(values, coords, ("time", "y", "x"), "rain", {"units": "mm"}).drop_isel(
        time=np.array(missing, dtype=int)
    )
    rain = rain.transpose(*order)
    chunks = {"time": 7, "y": 3, "x": 5}
    path = tmp_path / "series.zarr"
    encoding = {"rain": {"chunks": [chunks[dim] for dim in order]}}
    rain.to_dataset().to_zarr(path, consolidated=False, encoding=encoding)
    return rain, path


def opened(path, chunks):
    return xr.open_zarr(path, consolidated=False, chunks=chunks)["rain"]


def ask(**options):
    return {"start": "2024-01-02T16:00", "horizon": 3, "metrics": ["mse", "mae"]} | options


@pytest.mark.parametrize("chunks", [{}, None], ids=["dask", "not opened"])
@pytest.mark.parametrize("order", [("time", "y", "x"), ("y", "time", "x")])
@pytest.mark.parametrize(
    ("dtype", "stride", "missing", "keeps"),
    [("f4", 1, (), True), ("f8", 1, (50, 51, 70), True), ("f4", 5, (60,), False)],
)
def test_it_equals_the_one_in_memory(tmp_path, chunks, order, dtype, stride, missing, keeps):
    rain, path = stored(tmp_path, dtype=dtype, order=order, missing=missing)
    asked = ask(stride=stride)
    models = {"last": Last(), "normal": Persistence().fit(rain.isel(time=slice(0, 40)))}
    expected = backtest(models, rain, **asked)
    made = backtest(models, opened(path, chunks), **asked, store=tmp_path / "kept" if keeps else None)
    for name in models:
        xr.testing.assert_identical(made.forecasts[name].compute(), expected.forecasts[name])
        assert (made.forecasts[name].chunks is not None) == keeps
    assert made.observed.chunks is not None and made.observed.dtype == dtype
    xr.testing.assert_identical(made.observed.compute(), expected.observed)
    xr.testing.assert_allclose(made.scores, expected.scores, rtol=1e-12)
    assert made.origins_offered == expected.origins_offered


def test_variables_of_a_dataset_stay_lazy(tmp_path):
    rain, path = stored(tmp_path, missing=(55,))
    both = rain.to_dataset().assign(snow=(rain * 2).astype("f8").transpose("y", "x", "time"))
    lazy = xr.open_zarr(path, consolidated=False)
    lazy = lazy.assign(snow=(lazy["rain"] * 2).astype("f8").transpose("y", "x", "time"))
    expected = backtest(
        {"last": Persistence().fit(both)},
        both[["rain", "snow"]].isel(time=slice(0, None)),
        **ask(refit_every=20),
    )
    made = backtest({"last": Persistence()}, lazy, **ask(refit_every=20), store=tmp_path / "kept")
    xr.testing.assert_identical(made.observed.compute(), expected.observed)
    xr.testing.assert_identical(made.forecasts["last"].compute(), expected.forecasts["last"])
    xr.testing.assert_allclose(made.scores, expected.scores, rtol=1e-12)


def test_it_never_reads_the_series_whole_nor_twice(tmp_path, reads):
    _, path = stored(tmp_path)
    backtest(Last(), opened(path, {}), **ask(), store=tmp_path / "kept")
    assert max(reads) <= 7  # a chunk
    reads.clear()
    result = backtest(Last(), opened(path, {}), **ask(), store=tmp_path / "kept")
    # the first frame (a grid is learnt), the mask (the sea), and the truth once; neighbours share chunks
    assert sum(reads) <= 7 + 91 + 1.5 * 91 + 7
    assert result.n_origins == 47


def test_a_fingerprint_reads_nothing(tmp_path, reads):
    from darts_mim.backtesting.store import Store

    rain, path = stored(tmp_path)
    for chunks in ({}, None):
        series = opened(path, chunks)
        grid = Grid.of(series, with_mask=False)
        clock = Clock.of(series, grid, start=rain["time"][40], horizon=3, stride=1)
        walks = [Walk(series=one, grid=grid, clock=clock) for one in (series, opened(path, chunks))]
        stores = [Store.at(tmp_path / "kept", walk) for walk in walks]
        assert stores[0].asked == stores[1].asked
        part = Walk(series=series.isel(time=slice(1, None)), grid=grid, clock=clock)
        assert Store.at(tmp_path / "kept", part).asked != stores[0].asked
    assert not reads


@pytest.mark.parametrize("keeps", [True, False])
def test_leaks_are_found_and_not_kept(tmp_path, keeps):
    rain, path = stored(tmp_path)
    series = opened(path, {})
    store = tmp_path / "kept" if keeps else None
    with pytest.raises(LeakError, match="knows what comes after"):
        backtest(Peeking(), series, **ask(), store=store)
    assert not keeps or not list(store.iterdir())
    known = backtest(Last(), rain, **ask())
    given = known.observed.fillna(0.0)
    with pytest.warns(LeakWarning, match="equal the truth in every cell"):
        backtest({"given": given}, series, **ask())


class Random(Last):
    """Learns another number at each fit, and breaks in its third block."""

    breaks = True

    def fit(self, series):
        self.number_ = np.random.default_rng().random()
        return self

    def historical_forecasts(self, series, **asked):
        BEGUN.append(self.number_)
        if len(BEGUN) == 3 and self.breaks:
            raise RuntimeError("out of memory")
        return Persistence().fit(series).historical_forecasts(series, **asked) + np.float32(self.number_)


def test_a_fold_that_learns_otherwise_starts_anew(tmp_path, monkeypatch):
    rain, _ = stored(tmp_path)
    asked = ask(refit_every=100)
    with pytest.raises(RuntimeError, match="out of memory"):
        backtest(Random(), rain, **asked, store=tmp_path / "kept")
    monkeypatch.setattr(Random, "breaks", False)
    made = backtest(Random(), rain, **asked, store=tmp_path / "kept").forecasts["Random"]
    assert len(BEGUN) > 6 and len(set(BEGUN)) == 2
    last = Persistence().fit(rain).historical_forecasts(rain, forecast_horizon=3, start=asked["start"])
    error = (made - last).values
    assert np.nanmax(error) - np.nanmin(error) < 1e-4  # all by one fit


SCRIPT = """
import os, sys, time
import xarray as xr
from darts_mim.stores import forecast_store
forecast_store.BLOCK = 8
from darts_mim.backtesting.backtest import backtest
from darts_mim.baselines import Persistence
class Slow(Persistence):
    def historical_forecasts(self, series, **asked):
        with open(sys.argv[1] + "/log", "a") as log:
            log.write(str(asked["start"]) + "\\n")
        time.sleep(0.1)
        return super().historical_forecasts(series, **asked)
Slow.__module__ = "slow"
rain = xr.open_zarr(sys.argv[1] + "/series.zarr", consolidated=False)["rain"]
for moment in [float(one) for one in sys.argv[2:]] + [None]:
    child = os.fork()
    if not child:
        slow = Slow().fit(rain.isel(time=slice(0, 40)))
        backtest({"slow": slow}, rain, start="2024-01-02T16:00", horizon=3, store=sys.argv[1] + "/kept")
        os._exit(0)
    if moment is not None:
        time.sleep(moment)
        os.kill(child, 9)
    status = os.waitpid(child, 0)[1]
sys.exit(status)
"""


def test_a_killed_backtest_loses_a_block(tmp_path):
    rain, _ = stored(tmp_path)
    moments = np.random.default_rng(3).uniform(0.1, 1.0, 10).round(3).astype(str)
    environment = os.environ | {"PYTHONPATH": str(Path(__file__).parents[2])}
    command = [sys.executable, "-c", SCRIPT, str(tmp_path), *moments]
    ended = subprocess.run(command, capture_output=True, text=True, env=environment, timeout=200, check=False)
    assert ended.returncode == 0, ended.stderr
    begun = (tmp_path / "log").read_text().splitlines()
    checks = 3  # of the forecasts of three origins, by predict: not among these
    assert len(begun) <= 48 / 8 + 10 + checks
    (kept,) = (tmp_path / "kept").iterdir()
    expected = backtest({"last": Persistence().fit(rain[:40])}, rain, **ask()).forecasts["last"]
    xr.testing.assert_identical(forecast_store.open_forecasts(kept).compute(), expected)


def test_a_store_that_cannot_be_made_is_one_clear_error(tmp_path):
    rain, _ = stored(tmp_path)
    (tmp_path / "file").write_text("")
    for folder in (tmp_path / "file", tmp_path / "file" / "kept"):
        with pytest.raises(OSError, match=r"cannot be used: .*Choose a folder"):
            backtest(Last(), rain, **ask(), store=folder)
