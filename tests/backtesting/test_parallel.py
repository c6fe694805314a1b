"""Forecasters and folds as dask tasks: the same comes out, whoever computes it."""

import re
import threading
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context

import dask
import numpy as np
import pandas as pd
import pytest
import xarray as xr
from sklearn.base import BaseEstimator

from darts_mim import GridPipeline, GridScaler, MIMModel, SeasonalAnomaly
from darts_mim.backtesting.backtest import backtest
from darts_mim.backtesting.store import Store
from darts_mim.baselines import Autoregression, Climatology, DampedAnomaly, Drift, Persistence
from darts_mim.errors import LeakError, TooShortError
from darts_mim.models._compat import QuantileRegression

QUIET = {"enable_progress_bar": False, "enable_model_summary": False, "accelerator": "cpu"}


def flow(n=60, *, seed=0, dtype="f8"):
    time = pd.date_range("2024-01-01", periods=n, freq="3h")
    values = np.random.default_rng(seed).gamma(2.0, 5.0, (n, 2, 3, 4)).astype(dtype)
    return xr.DataArray(values, {"time": time, "channel": ["in", "out"]}, ("time", "channel", "y", "x"))


def ask(series, **options):
    return {"series": series, "start": series.time[40], "horizon": 2} | options


def simple():
    steps = [("day", SeasonalAnomaly("1D")), ("scale", GridScaler()), ("ar", Autoregression(2))]
    return {"damped": DampedAnomaly("1D"), "drift": Drift(), "piped": GridPipeline(steps)}


def assert_same(one, other):
    assert one.models == other.models and one.origins_offered == other.origins_offered
    for name in one.models:
        xr.testing.assert_identical(one.forecasts[name], other.forecasts[name])
    xr.testing.assert_identical(one.scores, other.scores)
    xr.testing.assert_identical(one.observed, other.observed)


@pytest.mark.parametrize("scheduler", ["synchronous", "threads"])
@pytest.mark.parametrize(
    "protocol", [{}, {"refit_every": 4}, {"refit_every": 3, "train_length": 30, "gap": 1}]
)
def test_the_same_comes_out(scheduler, protocol):
    series = flow().drop_isel(time=[44, 50])
    models = simple() if protocol else {name: model.fit(series[:40]) for name, model in simple().items()}
    expected = backtest(models, **ask(series, **protocol))
    with dask.config.set(scheduler=scheduler):
        assert_same(backtest(models, **ask(series, **protocol), parallel=True), expected)


@pytest.fixture(scope="module")
def process():
    """One, for all tests: it takes seconds to start."""
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool:
        yield {"scheduler": "processes", "pool": pool}


def test_the_same_comes_out_of_processes(tmp_path, process):
    series = flow()
    expected = backtest(simple(), **ask(series, refit_every=10))
    with dask.config.set(process):
        parallel = backtest(simple(), **ask(series, refit_every=10), parallel=True, store=tmp_path)
    assert_same(parallel, expected)
    assert len(list(tmp_path.glob("*.zarr"))) == 6
    assert_same(backtest(simple(), **ask(series, refit_every=10), store=tmp_path), expected)


def mim(**options):
    small = {"hidden": 4, "layers": 2, "kernel_size": 3, "n_epochs": 1, "random_state": 0}
    return MIMModel(4, 2, **small, pl_trainer_kwargs=QUIET, **options)


def test_networks_in_threads_draw_as_alone():
    """All threads share torch's random generator: networks take turns."""
    series = flow(dtype="f4") / 10
    models = {"mim": mim(), "samples": mim(likelihood=QuantileRegression([0.1, 0.5, 0.9]))}
    asked = ask(series, refit_every=10, num_samples=3, metrics=["mse"])
    expected = backtest(models, **asked)
    with dask.config.set(scheduler="threads", num_workers=4):
        parallel = backtest(models, **asked, parallel=True)
    assert_same(parallel, expected)
    assert "realization" in parallel.forecasts["samples"].dims
    assert "realization" not in parallel.forecasts["mim"].dims


class Meets(Persistence):
    """Waits for the other: it would wait for ever if one came after the other."""

    barrier = threading.Barrier(2, timeout=60)

    def fit(self, series):
        Meets.barrier.wait()
        return super().fit(series)


def test_jobs_run_at_the_same_time():
    with dask.config.set(scheduler="threads", num_workers=2):
        result = backtest({"one": Meets(), "two": Meets()}, **ask(flow(), refit_every=99), parallel=True)
    assert result.n_origins == 19


class Breaks(BaseEstimator):
    def __init__(self, error=RuntimeError):
        self.error = error

    def fit(self, series):
        return self

    def predict(self, n, series):
        raise self.error("out of memory")


@pytest.mark.parametrize("parallel", [False, True])
def test_errors_name_the_forecaster(parallel):
    series = flow()
    asked = ask(series, refit_every=10, parallel=parallel)
    with pytest.raises(RuntimeError, match="out of memory") as caught:
        backtest({"last": Persistence(), "rival": Breaks()}, **asked)
    (note,) = caught.value.__notes__  # of either fold, where they run at the same time
    assert re.fullmatch(r"This came of 'rival', fold [12] of 2, in a backtest\.", note)
    with pytest.raises(TooShortError, match="'ar' cannot be fitted for fold 1"):
        models = {"last": Persistence(), "ar": Autoregression(4)}
        backtest(models, **asked | {"start": series.time[6]})
    with pytest.raises(LeakError, match="'normal' was fitted on frames until"):
        backtest({"normal": Climatology("1D").fit(series)}, **ask(series, parallel=parallel))


def test_errors_of_another_process_name_the_forecaster(tmp_path, process):
    """A file where a folder was: the worker cannot write."""
    series = flow()
    store = tmp_path / "kept"
    open_store = Store.at

    def broken(*asked):
        opened = open_store(*asked)
        store.rmdir()
        store.write_text("")
        return opened

    with pytest.MonkeyPatch.context() as patched, dask.config.set(process):
        patched.setattr(Store, "at", broken)
        with pytest.raises(OSError, match="Not a directory") as caught:
            backtest(Drift(), **ask(series, refit_every=99), parallel=True, store=store)
    assert caught.value.__notes__ == ["This came of 'Drift', fold 1 of 1, in a backtest."]


@pytest.mark.parametrize("parallel", [False, True])
def test_progress_counts_origins(parallel, capsys):
    series = flow()
    backtest(simple(), **ask(series, refit_every=10, parallel=parallel))
    assert capsys.readouterr().out == ""
    backtest(simple(), **ask(series, refit_every=10, parallel=parallel), verbose=True)
    assert "57/57" in capsys.readouterr().out  # 3 forecasters, 19 origins
    fitted = {"one": mim().fit(series[:40].astype("f4") / 10)}
    backtest(fitted, **ask(series.astype("f4") / 10, parallel=parallel), verbose=True)
    assert "19/19" in capsys.readouterr().out
