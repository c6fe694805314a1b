"""Forecasts from many origins: in blocks or one by one, and what is not as it was asked for."""

import numpy as np
import pandas as pd
import pytest
import xarray as xr

from darts_mim import GridPipeline, GridScaler, MIMModel, SeasonalAnomaly
from darts_mim.backtesting import forecasts as module
from darts_mim.backtesting.backtest import backtest
from darts_mim.backtesting.forecasts import can_sample, sampling
from darts_mim.baselines import Climatology, Persistence
from darts_mim.errors import GridDimsError, GridMismatchError
from darts_mim.models._compat import QuantileRegression

QUIET = {"enable_progress_bar": False, "enable_model_summary": False, "accelerator": "cpu"}


def flow(n=60, *, seed=0, dtype="f8"):
    time = pd.date_range("2024-01-01", periods=n, freq="3h")
    values = np.random.default_rng(seed).gamma(2.0, 5.0, (n, 2, 3, 4)).astype(dtype)
    return xr.DataArray(values, {"time": time, "channel": ["in", "out"]}, ("time", "channel", "y", "x"))


def ask(whole, **options):
    return {"series": whole, "start": whole.time[40], "horizon": 2, "metrics": ["mse"]} | options


def mim(**options):
    small = {"hidden": 4, "layers": 2, "kernel_size": 3, "n_epochs": 1, "random_state": 0}
    return MIMModel(4, 2, **small, pl_trainer_kwargs=QUIET, **options)


@pytest.mark.filterwarnings("ignore:(?s).*origins are left out")
@pytest.mark.parametrize(("block", "stride"), [(1, 3), (4, 2), (7, 1)])
def test_blocks_make_no_difference(block, stride, monkeypatch):
    whole = flow(dtype="f4") / 10
    series = whole.drop_isel(time=[43, 50, 51])
    steps = [("day", SeasonalAnomaly("1D")), ("scale", GridScaler()), ("mim", mim())]
    models = {"piped": GridPipeline(steps), "mim": mim()}
    fitted = {name: model.fit(series[:40]) for name, model in models.items()}
    asked = ask(whole, series=series, stride=stride)
    at_once = backtest(fitted, **asked)
    monkeypatch.setattr(module, "BLOCK", block)
    in_blocks = backtest(fitted, **asked)
    for name in models:
        assert in_blocks.origins_offered[name] == at_once.origins_offered[name] < len(range(39, 58, stride))
        one, other = in_blocks.forecasts[name], at_once.forecasts[name]
        np.testing.assert_array_equal(one["init_time"], other["init_time"])
        np.testing.assert_allclose(one, other, rtol=1e-4, atol=1e-5)


def test_a_series_may_be_lazy():
    series = flow()
    models = {"normal": Climatology("1D"), "last": Persistence()}
    for options in ({}, {"refit_every": 6}):
        fitted = models if options else {name: one.fit(series[:40]) for name, one in models.items()}
        lazy = backtest(fitted, **ask(series, series=series.chunk(time=7), **options))
        xr.testing.assert_identical(lazy.scores, backtest(fitted, **ask(series, **options)).scores)


def changed(change):
    class Model(Persistence):
        def historical_forecasts(self, series, **asked):
            return change(super().historical_forecasts(series, **asked))

    return Model()


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        (
            lambda made: made.isel(lead_time=0),
            GridDimsError,
            r"of 'rival' have the dims .* wanted are init_time",
        ),
        (lambda made: made.isel(lead_time=[0]), GridMismatchError, "have the lead_time"),
        (
            lambda made: made.assign_coords(valid_time=made["valid_time"] + np.timedelta64(3, "h")),
            GridMismatchError,
            "'rival' forecast the times",
        ),
        (lambda made: made.isel(x=slice(2)), GridMismatchError, "another grid"),
    ],
    ids=["no leads", "one lead", "times", "grid"],
)
def test_what_comes_is_checked(change, error, message):
    series = flow()
    with pytest.raises(error, match=message):
        backtest({"rival": changed(change).fit(series)}, **ask(series))


def test_more_than_was_asked_for_is_left_out():
    series = flow()
    more = changed(lambda made: made)
    ask_for_all = more.historical_forecasts
    more.historical_forecasts = lambda series, **asked: ask_for_all(series, forecast_horizon=2)
    result = backtest({"rival": more.fit(series)}, **ask(series, stride=3))
    np.testing.assert_array_equal(result.forecasts["rival"]["init_time"], series.time[39:58:3])


class Samples(Persistence):
    def predict(self, n, series=None, num_samples=1):
        made = super().predict(n, series)
        return xr.concat([made + k for k in range(num_samples)], "realization")

    historical_forecasts = property()


def test_who_can_sample():
    train = flow(dtype="f4")[:20] / 10
    likely = mim(likelihood=QuantileRegression([0.1, 0.5, 0.9])).fit(train)
    plain = mim().fit(train)  # before it is fitted, a network of darts does not know
    assert can_sample(likely) and can_sample(GridPipeline([("scale", GridScaler()), ("mim", likely)]))
    assert not can_sample(plain) and not can_sample(Persistence())
    assert sampling(Persistence(), 5, 7) == {} == sampling(plain, 5, 7)
    assert sampling(likely, 5, 7) == {"num_samples": 5, "random_state": 7}
    assert sampling(Samples(), 5, 7) == {"num_samples": 5}


@pytest.mark.parametrize("protocol", [{}, {"refit_every": 5}])
def test_samples_of_ones_own(protocol):
    series = flow()
    models = {"samples": Samples().fit(series), "last": Persistence().fit(series)}
    result = backtest(models, **ask(series, num_samples=3, **protocol))
    made, last = result.forecasts["samples"], result.forecasts["last"]
    assert made.dims == ("realization", *last.dims)
    np.testing.assert_allclose(made, xr.DataArray([0, 1, 2], dims="realization") + last)
    np.testing.assert_allclose(
        result.scores["mse"].sel(model="samples"),
        ((last + 1 - result.observed) ** 2).mean(("init_time", "channel", "y", "x")),
    )
    assert result.settings["samples of a forecast"] == "3"
    with pytest.raises(ValueError, match="num_samples=0"):
        backtest(models, **ask(series, num_samples=0))
