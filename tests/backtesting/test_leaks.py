"""Forecasters that know what they are scored on are found out, and honest ones are not accused."""

import warnings

import numpy as np
import pandas as pd
import pytest
import xarray as xr

from darts_mim import GridDifferencer, GridPipeline, GridScaler, MIMModel, SeasonalAnomaly
from darts_mim.backtesting import leaks
from darts_mim.backtesting.backtest import backtest
from darts_mim.backtesting.clock import Clock, Walk
from darts_mim.backtesting.forecasts import Made
from darts_mim.backtesting.leaks import fitted_until, require_no_peeking
from darts_mim.baselines import (
    Autoregression,
    Climatology,
    DampedAnomaly,
    Drift,
    ExponentialSmoothing,
    Persistence,
    SeasonalNaive,
)
from darts_mim.errors import LeakError, LeakWarning
from darts_mim.grid.grid import Grid
from darts_mim.models._compat import QuantileRegression

QUIET = {"enable_progress_bar": False, "enable_model_summary": False, "accelerator": "cpu"}


def flow(n=60, *, seed=0, dtype="f8"):
    time = pd.date_range("2024-01-01", periods=n, freq="3h")
    values = np.random.default_rng(seed).gamma(2.0, 5.0, (n, 2, 3, 4)).astype(dtype)
    return xr.DataArray(values, {"time": time, "channel": ["in", "out"]}, ("time", "channel", "y", "x"))


def ask(series, **options):
    return {"series": series, "start": series.time[40], "horizon": 2, "metrics": ["mse"]} | options


def mim(**options):
    small = {"hidden": 4, "layers": 2, "kernel_size": 3, "n_epochs": 1, "random_state": 0}
    return MIMModel(4, 2, **small, pl_trainer_kwargs=QUIET, **options)


# A window that overlaps the test


@pytest.mark.parametrize(
    "make",
    [
        lambda: Climatology("1D"),
        lambda: DampedAnomaly("1D"),
        lambda: Drift(),
        lambda: Autoregression(2),
        lambda: ExponentialSmoothing("1D"),
        lambda: GridPipeline([("scale", GridScaler()), ("last", Persistence())]),
        lambda: GridPipeline([("last", Climatology("1D"))]),
        lambda: mim(),
        lambda: GridPipeline([("scale", GridScaler()), ("mim", mim())]),
    ],
)
def test_a_model_that_was_fitted_on_the_test_part(make):
    series = flow(dtype="f4") / 10
    model = make().fit(series[:41])
    last, first = pd.Timestamp(series.time.values[40]), pd.Timestamp(series.time.values[40])
    with pytest.raises(LeakError, match=f"'rival' was fitted on frames until {last}.* that of {first}"):
        backtest({"last": Persistence().fit(series[:40]), "rival": model}, **ask(series))
    assert backtest(model.fit(series[:40]), **ask(series)).n_origins == 19
    with pytest.raises(LeakError, match="less gap=1"):
        backtest(model, **ask(series, gap=1))


def test_who_learns_nothing_cannot_leak():
    series = flow()
    models = {
        "last": Persistence().fit(series),
        "yesterday": SeasonalNaive("1D").fit(series),
        "piped": GridPipeline([("difference", GridDifferencer()), ("last", Persistence())]).fit(series),
        "drift of frames": Drift(5).fit(series),
    }
    assert [fitted_until(model) for model in models.values()] == [None] * 4
    assert backtest(models, **ask(series)).n_origins == 19


def test_a_loaded_model_remembers_when_its_training_ended(tmp_path):
    series = flow(dtype="f4") / 10
    mim().fit(series[:50]).save(str(tmp_path / "mim.pt"))
    with pytest.raises(LeakError, match="was fitted on frames until"):
        backtest(MIMModel.load(str(tmp_path / "mim.pt")), **ask(series))


def test_the_end_of_training_of_everyone():
    series = flow(dtype="f4") / 10
    end = pd.Timestamp(series.time.values[39])
    assert Climatology("1D").fitted_until_ is None
    assert fitted_until(mim()) is None and fitted_until(GridPipeline([("last", Climatology("1D"))])) is None
    assert fitted_until(Climatology("1D").fit(series[:40])) == end
    assert GridScaler().fit([series[:40], series[:20]]).fitted_until_ == end
    assert not hasattr(GridScaler(), "fitted_until_")
    steps = [("day", SeasonalAnomaly("1D")), ("difference", GridDifferencer(order=1)), ("mim", mim())]
    pipeline = GridPipeline(steps).fit(series[:40])
    assert fitted_until(pipeline) == end
    several = GridPipeline([("scale", GridScaler()), ("mim", mim())]).fit([series[:40], series[:20]])
    assert fitted_until(several) == end
    pipeline.steps[-1][1].fit(series[:50])  # a step that was fitted on more, afterwards
    assert fitted_until(pipeline) == pd.Timestamp(series.time.values[49])


# A rival that peeks


class Peeks(Persistence):
    """Adds a share of the first frame that it forecasts."""

    share = 0.01

    def historical_forecasts(self, series, *, forecast_horizon, start=None, stride=1):
        made = super().historical_forecasts(
            series, forecast_horizon=forecast_horizon, start=start, stride=stride
        )
        truth = series.sel(time=made["valid_time"][:, 0]).rename(time="valid").values
        return made * (1 - self.share) + self.share * truth[:, None]


class PeeksAndNothingElse:
    """Has no predict, so that the frames after the origin are changed instead."""

    def __init__(self, model):
        self.model = model

    def historical_forecasts(self, series, **asked):
        return self.model.historical_forecasts(series, **asked)


class KnowsTheMean(Persistence):
    """Goes back to the mean of what it is shown, as one computes it in a notebook: predict is honest."""

    def historical_forecasts(self, series, **asked):
        return 0.99 * super().historical_forecasts(series, **asked) + 0.01 * float(series.mean())


class KnowsWhereGapsWill(Persistence):
    """NaN where the truth is above its mean."""

    def historical_forecasts(self, series, **asked):
        made = super().historical_forecasts(series, **asked)
        return made.where(series.sel(time=made["valid_time"]).drop_vars("time") < float(series.mean()))


@pytest.mark.parametrize(
    "rival", [Peeks(), KnowsTheMean(), KnowsWhereGapsWill()], ids=lambda one: type(one).__name__
)
@pytest.mark.parametrize("dtype", ["f4", "f8"])
@pytest.mark.parametrize("protocol", [{}, {"refit_every": 4}, "without predict"])
def test_a_rival_that_peeks(rival, dtype, protocol):
    series = flow(dtype=dtype)
    fitted = rival.fit(series[:40])
    alone = protocol == "without predict"
    model, protocol = (PeeksAndNothingElse(fitted), {}) if alone else (fitted, protocol)
    with pytest.raises(LeakError, match=r"'rival' knows what comes after 2024-01-05 21:00:00: .* by up to"):
        backtest({"last": Persistence().fit(series[:40]), "rival": model}, **ask(series, **protocol))


def test_the_message_says_how_much():
    series = flow()
    with pytest.raises(LeakError) as caught:
        backtest({"rival": Peeks().fit(series[:40])}, **ask(series))
    future = series[40:]
    changed = future.min() + (future.max() - future.min()) / 4 + (future.max() - future) / 2
    largest = float(0.01 * abs(changed - future)[0].max())
    assert f"by up to {largest:.3g} when" in str(caught.value)


@pytest.mark.parametrize("where", [0, 9, 18])
def test_the_first_the_middle_and_the_last_origin_are_looked_at(where):
    series = flow()
    honest = Persistence().fit(series[:40])
    walk = Walk(
        series=series,
        grid=Grid.of(series),
        clock=Clock.of(series, Grid.of(series), start=series.time[40], horizon=2, stride=1),
    )
    rows = walk.clock.rows
    values = np.stack([walk.observed(np.array([row, row])) for row in rows])
    require_no_peeking(honest, walk, Made(rows=rows, values=values), 3, "rival")
    values[where] += 1

    class PeeksOnce(Persistence):
        def historical_forecasts(self, shown, **asked):
            made = super().historical_forecasts(shown, **asked)
            there = made["init_time"] == series.time.values[39 + where]
            return made + there * shown.sel(time=made["valid_time"]).drop_vars("time")

    with pytest.raises(LeakError, match=str(pd.Timestamp(series.time.values[39 + where]))):
        require_no_peeking(PeeksOnce().fit(series), walk, Made(rows=rows, values=values), 3, "rival")


@pytest.mark.parametrize("dtype", ["f4", "f8", "u1"])
def test_honest_forecasters_are_not_accused(dtype):
    series = flow(80, dtype=dtype)
    series = series.drop_isel(time=[58, 66])
    train = series[:40]
    models = {
        "last": Persistence(),
        "drift": Drift(),
        "damped": DampedAnomaly("1D"),
        "smooth": ExponentialSmoothing("1D", trend="damped"),
        "ar": Autoregression(3, seasonal_lags=("1D",)),
        "difference": GridPipeline([("d", GridDifferencer(0, lags="1D")), ("last", Persistence())]),
    }
    if dtype == "u1":  # as the forecasts of a network are compared in single precision anyway
        steps = [("day", SeasonalAnomaly("1D")), ("scale", GridScaler()), ("mim", mim())]
        models["mim"] = GridPipeline(steps)
    fitted = {name: model.fit(train) for name, model in models.items()}
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "(?s).*origins are left out")
        assert backtest(fitted, **ask(series)).n_origins > 0
        assert backtest(models, **ask(series, refit_every=20)).n_origins > 0


class InBatches(Persistence):
    """Half precision: what comes out depends on how many are computed together."""

    def historical_forecasts(self, series, **asked):
        made = super().historical_forecasts(series, **asked)
        return made * (1 + 0.01 * (made.sizes["init_time"] > 1))


class Noisy(Persistence):
    """Draws, and does not say so."""

    draws = np.random.default_rng(0)

    def historical_forecasts(self, series, **asked):
        made = super().historical_forecasts(series, **asked)
        return made + self.draws.normal(size=made.shape)


@pytest.mark.parametrize("model", [InBatches(), Noisy()], ids=["batches", "noise"])
def test_other_differences_are_no_leak(model):
    series = flow()
    assert backtest(model.fit(series[:40]), **ask(series)).n_origins == 19


def test_samples_are_looked_at_with_the_same_seed():
    series = flow(dtype="f4") / 10
    model = mim(likelihood=QuantileRegression([0.1, 0.5, 0.9])).fit(series[:40])
    honest = backtest({"mim": model}, **ask(series, num_samples=5))
    assert honest.forecasts["mim"].sizes["realization"] == 5
    again = backtest({"mim": model}, **ask(series, num_samples=5))
    xr.testing.assert_identical(honest.forecasts["mim"], again.forecasts["mim"])

    class Peeking:
        supports_probabilistic_prediction = True
        predict = model.predict

        def historical_forecasts(self, shown, **asked):
            made = model.historical_forecasts(shown, **asked)
            return made + 0.1 * shown.sel(time=made["valid_time"]).drop_vars("time")

    with pytest.raises(LeakError, match="'rival' knows what comes after"):
        backtest({"rival": Peeking()}, **ask(series, num_samples=5))


def test_a_channel_of_small_values_is_looked_at_too():
    series = flow()
    series[:, 1] *= 1e-6

    class PeeksAtOne(Peeks):
        def historical_forecasts(self, series, **asked):
            honest = Persistence.historical_forecasts(self, series, **asked)
            made = super().historical_forecasts(series, **asked)
            return xr.where(made["channel"] == "out", made, honest).transpose(*honest.dims)

    with pytest.raises(LeakError):
        backtest(PeeksAtOne().fit(series[:40]), **ask(series))


# Forecasts that came as they are


def given(series, **known):
    last = Persistence().fit(series).historical_forecasts(series, forecast_horizon=2, start=series.time[40])
    made = last + 1.0
    truth = series.sel(time=made["valid_time"]).drop_vars("time")
    for lead, origins in known.values():
        made[origins, lead] = truth[origins, lead]
    return made


@pytest.mark.parametrize("block", [2**24, 100])
def test_forecasts_that_hit_the_truth_everywhere_are_named(block, monkeypatch):
    monkeypatch.setattr(leaks, "BLOCK", block)
    series = flow()
    made = given(series, first=(0, [2]), second=(1, [3, 7, 18]))
    with pytest.warns(
        LeakWarning, match=r"of 'rival' .* of those from 19 origins, 1 at 3 h, 3 at 6 h\. Check"
    ):
        backtest({"rival": made}, **ask(series))
    samples = xr.concat([made, made], "realization")
    with pytest.warns(LeakWarning, match="1 at 3 h, 3 at 6 h"):
        backtest({"rival": samples}, **ask(series))
    backtest({"rival": xr.concat([made, made + 1], "realization")}, **ask(series))
    quantiles = xr.concat([made] * 3, pd.Index([0.1, 0.5, 0.9], name="quantile"))
    with pytest.warns(LeakWarning, match="1 at 3 h, 3 at 6 h"):
        backtest({"rival": quantiles}, **ask(series, metrics=["mae"]))


def test_hits_that_are_no_news():
    series = flow()
    series[42:45] = 0.0  # no rain anywhere
    series[50] = series[49]  # nothing changes
    series[:, 0, 1, 1] = np.nan  # never observed
    made = given(series)
    truth = series.sel(time=made["valid_time"]).drop_vars("time")
    frames = truth["valid_time"].isin(series.time[42:45])
    made = made.where(~frames, truth)
    made[10, 0] = truth[10, 0]  # the frame 50, from 49
    backtest({"rival": made}, **ask(series))
    made[11, 0] = truth[11, 0]
    with pytest.warns(LeakWarning, match="19 origins, 1 at 3 h"):
        backtest({"rival": made}, **ask(series))


def test_datasets_are_looked_at():
    series = flow().to_dataset("channel")
    asked = {"series": series, "start": series.time[40], "horizon": 2, "metrics": ["mse"]}

    class PeeksAtVariables(Persistence):
        def historical_forecasts(self, series, **asked):
            made = super().historical_forecasts(series, **asked)
            return made + 0.1 * series.sel(time=made["valid_time"]).drop_vars("time")

    with pytest.raises(LeakError, match="knows what comes after"):
        backtest(PeeksAtVariables().fit(series), **asked)
    made = Persistence().fit(series).historical_forecasts(series, forecast_horizon=2, start=series.time[40])
    made["in"][3, 0] = series["in"][43]
    made["out"][3, 0] = series["out"][43]
    with pytest.warns(LeakWarning, match="1 at 3 h"):
        backtest({"rival": made}, **asked)
