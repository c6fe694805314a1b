"""A backtest that was stopped goes on where it was, and never reads what was made of something else."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import xarray as xr
from sklearn.base import BaseEstimator

from darts_mim import GridPipeline, GridScaler, MIMModel
from darts_mim.backtesting import jobs
from darts_mim.backtesting.backtest import backtest
from darts_mim.backtesting.store import state_of
from darts_mim.baselines import Climatology, DampedAnomaly, Drift, Persistence
from darts_mim.errors import GapError

QUIET = {"enable_progress_bar": False, "enable_model_summary": False, "accelerator": "cpu"}
FITS: list[int] = []  # frames of every fit of a counter, in order


def flow(n=60, *, seed=0, dtype="f8"):
    time = pd.date_range("2024-01-01", periods=n, freq="3h")
    values = np.random.default_rng(seed).gamma(2.0, 5.0, (n, 2, 3, 4)).astype(dtype)
    return xr.DataArray(
        values, {"time": time, "channel": ["in", "out"]}, ("time", "channel", "y", "x"), attrs={"units": "mm"}
    )


def ask(series, **options):
    return {"series": series, "start": series.time[40], "horizon": 3, "metrics": ["mse"]} | options


class Counter(BaseEstimator):
    """Counts its fits; the one on so many frames breaks."""

    breaks_at = None

    def __init__(self, share=1.0):
        self.share = share

    def fit(self, series):
        if series.sizes["time"] == self.breaks_at:
            raise RuntimeError("out of memory")
        FITS.append(series.sizes["time"])
        self.mean_ = float(series.mean())
        return self

    def predict(self, n, series):
        return Persistence().fit(series).predict(n) * self.share + self.mean_


@pytest.fixture(autouse=True)
def forget(monkeypatch):
    FITS.clear()
    monkeypatch.setattr(Counter, "breaks_at", None)


@pytest.mark.parametrize("dtype", ["f4", "f8"])
def test_only_what_is_missing_is_computed_again(tmp_path, monkeypatch, dtype):
    series = flow(dtype=dtype)
    asked = ask(series, refit_every=4)
    expected = backtest({"mean": Counter(), "drift": Drift()}, **asked)
    assert FITS == [40, 44, 48, 52, 56]
    FITS.clear()
    monkeypatch.setattr(Counter, "breaks_at", 52)
    with pytest.raises(RuntimeError, match="out of memory") as caught:
        backtest({"mean": Counter(), "drift": Drift()}, **asked, store=tmp_path / "kept")
    assert caught.value.__notes__ == ["This came of 'mean', fold 4 of 5, in a backtest."]
    assert FITS == [40, 44, 48]
    monkeypatch.setattr(Counter, "breaks_at", None)
    resumed = backtest({"mean": Counter(), "drift": Drift()}, **asked, store=tmp_path / "kept")
    assert FITS == [40, 44, 48, 52, 56]
    for name in ("mean", "drift"):
        xr.testing.assert_identical(resumed.forecasts[name], expected.forecasts[name])
        assert resumed.forecasts[name].dtype == dtype
    pd.testing.assert_frame_equal(resumed.folds, expected.folds)
    assert backtest({"mean": Counter()}, **asked, store=tmp_path / "kept").n_origins == 18
    assert len(FITS) == 5
    assert not list((tmp_path / "kept").glob(".*"))


SCRIPT = """
import os, signal, sys
import numpy as np, pandas as pd, xarray as xr
from darts_mim.backtesting import jobs
from darts_mim.backtesting.backtest import backtest
from darts_mim.baselines import DampedAnomaly, Drift
time = pd.date_range("2024-01-01", periods=60, freq="3h")
values = np.random.default_rng(0).gamma(2.0, 5.0, (60, 2, 3))
rain = xr.DataArray(values, {"time": time}, ("time", "y", "x"))
replace, left = os.replace, 3
def killed(source, target):  # all is written, and not yet in place
    global left
    if str(target).endswith(".zarr"):
        if not left:
            os.kill(os.getpid(), signal.SIGKILL)
        left -= 1
    replace(source, target)
os.replace = killed
models = {"damped": DampedAnomaly("1D"), "drift": Drift()}
backtest(models, rain, start=time[40], horizon=2, refit_every=6, store=sys.argv[1])
"""


def test_a_killed_run_goes_on(tmp_path, monkeypatch):
    """Killed while what the fourth of eight jobs made is moved into place; another process goes on."""
    environment = os.environ | {"PYTHONPATH": str(Path(__file__).parents[2])}
    command = [sys.executable, "-c", SCRIPT, str(tmp_path)]
    ended = subprocess.run(command, capture_output=True, text=True, env=environment, check=False)
    assert ended.returncode == -signal.SIGKILL, ended.stderr
    names = sorted(path.name for path in tmp_path.iterdir())
    assert [name.startswith(".") for name in names] == [True, False, False, False]  # it is in nobody's way
    fitted, fits = jobs.fitted, []
    monkeypatch.setattr(jobs, "fitted", lambda *asked: fits.append(str(asked[1])) or fitted(*asked))
    time = pd.date_range("2024-01-01", periods=60, freq="3h")
    values = np.random.default_rng(0).gamma(2.0, 5.0, (60, 2, 3))
    rain = xr.DataArray(values, {"time": time}, ("time", "y", "x"))
    asked = {"series": rain, "start": time[40], "horizon": 2, "refit_every": 6}
    resumed = backtest({"damped": DampedAnomaly("1D"), "drift": Drift()}, **asked, store=tmp_path)
    assert fits == ["fold 2 of 4", *["fold 3 of 4"] * 2, *["fold 4 of 4"] * 2]
    assert len(list(tmp_path.glob("*.zarr"))) == 8 and not list(tmp_path.glob(".*"))
    expected = backtest({"damped": DampedAnomaly("1D"), "drift": Drift()}, **asked)
    for name in expected.models:
        xr.testing.assert_identical(resumed.forecasts[name], expected.forecasts[name])


def moved(series):
    return series.assign_coords(time=series.time + np.timedelta64(3, "h"))


@pytest.mark.parametrize(
    "change",
    [
        lambda one: one | {"series": one["series"].where(one["series"] != one["series"][3, 0, 0, 0], 0.1)},
        lambda one: one | {"series": moved(one["series"]), "start": moved(one["series"]).time[40]},
        lambda one: one | {"series": one["series"].assign_coords(y=[3.0, 2.0, 1.0])},
        lambda one: one | {"series": one["series"].astype("f4")},
        lambda one: one | {"horizon": 2},
        lambda one: one | {"stride": 2},
        lambda one: one | {"start": one["series"].time[41]},
        lambda one: one | {"refit_every": 5},
        lambda one: one | {"train_length": 30},
        lambda one: one | {"gap": 1},
        lambda one: one | {"forecasters": {"mean": Counter(share=0.9)}},
    ],
    ids=[
        "value",
        "times",
        "coords",
        "dtype",
        "horizon",
        "stride",
        "start",
        "folds",
        "length",
        "gap",
        "model",
    ],
)
def test_another_backtest_finds_nothing(tmp_path, change):
    asked = {"forecasters": {"mean": Counter()}, **ask(flow(), refit_every=20)}
    backtest(**asked, store=tmp_path)
    FITS.clear()
    other = change(asked)
    stored = backtest(**other, store=tmp_path)
    assert FITS  # all anew
    xr.testing.assert_identical(stored.forecasts["mean"], backtest(**other).forecasts["mean"])
    FITS.clear()
    backtest(**asked, store=tmp_path)
    assert not FITS  # and what was there still is


def test_another_metric_or_name_finds_it(tmp_path):
    asked = ask(flow(), refit_every=20)
    backtest({"mean": Counter()}, **asked, store=tmp_path)
    FITS.clear()
    more = backtest(
        {"mean": Counter(), "last": Persistence()}, **asked | {"metrics": ["mae"]}, store=tmp_path
    )
    assert list(more.scores) == ["mae"] and not FITS


class Asked(Persistence):
    times = 0

    def historical_forecasts(self, series, **asked):
        Asked.times += 1
        return super().historical_forecasts(series, **asked)


def test_fixed_models_are_told_apart_by_what_they_learnt(tmp_path):
    series = flow()
    normals = [Climatology("1D").fit(series[:n]) for n in (40, 39)]
    one, other = (backtest({"normal": model}, **ask(series), store=tmp_path) for model in normals)
    assert (one.forecasts["normal"] != other.forecasts["normal"]).any()
    assert len(list(tmp_path.iterdir())) == 2
    again = backtest({"normal": Climatology("1D").fit(series[:40])}, **ask(series), store=tmp_path)
    xr.testing.assert_identical(again.forecasts["normal"], one.forecasts["normal"])
    assert len(list(tmp_path.iterdir())) == 2
    Asked.times = 0
    for _ in range(2):
        backtest({"last": Asked().fit(series[:40])}, **ask(series), store=tmp_path)
    assert Asked.times == 1


def mim(**options):
    small = {"hidden": 4, "layers": 2, "kernel_size": 3, "n_epochs": 1, "random_state": 0}
    return MIMModel(4, 2, **small, pl_trainer_kwargs=QUIET, **options)


def test_networks_are_told_apart_by_their_weights(tmp_path):
    series = flow(dtype="f4") / 10
    first, same, other = (mim().fit(part) for part in (series[:40], series[:40], series[:39]))
    asked = ask(series, horizon=2)
    expected = backtest({"mim": first}, **asked, store=tmp_path)
    again = backtest({"mim": same}, **asked, store=tmp_path)
    assert len(list(tmp_path.iterdir())) == 1
    xr.testing.assert_identical(again.forecasts["mim"], expected.forecasts["mim"])
    backtest({"mim": other}, **asked, store=tmp_path)
    backtest(
        {"mim": GridPipeline([("scale", GridScaler()), ("mim", other)]).fit(series[:40])},
        **asked,
        store=tmp_path,
    )
    assert len(list(tmp_path.iterdir())) == 3
    assert str(state_of(mim())) == str(state_of(mim())) != str(state_of(mim(lr=0.5)))


def test_a_fold_without_an_origin_is_kept_too(tmp_path):
    whole = flow()
    series = whole.drop_isel(time=[42, 43, 44, 45, 46])
    asked = {"series": series, "start": whole.time[43], "horizon": 1, "refit_every": 2, "metrics": ["mse"]}
    first, again = (backtest(Drift(window=3), **asked, store=tmp_path) for _ in range(2))
    xr.testing.assert_identical(first.forecasts["Drift"], again.forecasts["Drift"])
    short = asked | {"series": series[:43], "stride": 2}
    for _ in range(2):
        with pytest.raises(GapError, match=r"none of 3 origins.*missing or holds"):
            backtest(Drift(window=3), **short, store=tmp_path)


class Unpicklable(Counter):
    def __getstate__(self):
        raise TypeError("a connection cannot be pickled")


def test_what_cannot_be_told_apart_is_refused(tmp_path):
    with pytest.raises(
        TypeError, match=r"cannot be used with 'line': .*deterministically hashed.*Leave store"
    ):
        backtest({"line": Unpicklable()}, **ask(flow(), refit_every=4), store=tmp_path)
