"""darts' own models on grids: each forecast is what darts gives for the cells, and rivals in a backtest."""

import numpy as np
import pandas as pd
import pytest
import xarray as xr
from darts import TimeSeries
from darts.models import ExponentialSmoothing, LinearRegressionModel, NaiveDrift, NaiveSeasonal, RNNModel
from sklearn.base import clone
from sklearn.exceptions import NotFittedError

from darts_mim import GridPipeline, MIMModel, SeasonalAnomaly, to_timeseries
from darts_mim.backtesting.backtest import backtest
from darts_mim.baselines import Drift, Persistence, SeasonalNaive
from darts_mim.errors import GapError, LeakError, TooShortError
from darts_mim.models.darts_forecaster import DartsForecaster, as_forecaster

QUIET = {"enable_progress_bar": False, "enable_model_summary": False, "accelerator": "cpu"}


def flow(n=60, *, seed=0, dtype="f4"):
    time = pd.date_range("2024-01-01", periods=n, freq="3h")
    values = np.random.default_rng(seed).gamma(2.0, 5.0, (n, 2, 3, 4)).astype(dtype)
    return xr.DataArray(
        values, {"time": time, "channel": ["in", "out"]}, ("time", "channel", "y", "x"), attrs={"units": "mm"}
    )


def linear(**options):
    return LinearRegressionModel(lags=3, output_chunk_length=2, **options)


def least_squares(train, past, lags=3, leads=2):
    """Every cell's next frames on the last frames of all cells, by hand; smallest where it is not unique."""
    x = train.values.reshape(len(train), -1).astype(float)
    starts = range(len(x) - lags - leads + 1)
    regressors = np.stack([x[k : k + lags].ravel() for k in starts])
    regressors = np.hstack([regressors, np.ones((len(regressors), 1))])
    wanted = np.stack([x[k + lags : k + lags + leads].ravel() for k in starts])
    coefficients, *_ = np.linalg.lstsq(regressors, wanted, rcond=None)
    last = np.append(past.values.reshape(len(past), -1)[-lags:].ravel(), 1.0)
    return (last @ coefficients).reshape(leads, *train.shape[1:])


def small(n=60, **options):
    """Few cells, so that least squares have one answer."""
    return flow(n, **options).isel(channel=slice(1), y=slice(2), x=slice(3))


@pytest.mark.parametrize("dtype", ["f4", "f8"])
def test_a_global_model_by_hand(dtype):
    series = small(dtype=dtype)
    model = DartsForecaster(linear()).fit(series[:40])
    forecast = model.predict(2, series[:45])
    assert forecast.dims == series.dims and forecast.attrs == {"units": "mm"} and forecast.dtype == dtype
    np.testing.assert_array_equal(forecast["time"], series.time[45:47])
    np.testing.assert_allclose(forecast, least_squares(series[:40], series[:45]), rtol=1e-3)
    xr.testing.assert_identical(model.predict(2), model.predict(2, series[:40]))
    made = model.historical_forecasts(series, forecast_horizon=2, start=series.time[42], stride=4)
    np.testing.assert_array_equal(made["init_time"], series.time[41:58:4])
    for one, row in zip(made, range(41, 58, 4), strict=True):
        np.testing.assert_allclose(one, least_squares(series[:40], series[: row + 1]), rtol=1e-3)
        np.testing.assert_array_equal(one["valid_time"], series.time[row + 1 : row + 3])


def test_a_global_model_leaves_gaps_out():
    whole = small()
    series = whole.drop_isel(time=[10, 11, 30, 46])
    model = DartsForecaster(linear()).fit(series.sel(time=slice(None, whole.time[39])))
    parts = [whole[:10], whole[12:30], whole[31:40]]
    alone = linear().fit([to_timeseries(part) for part in parts])
    made = model.historical_forecasts(series, forecast_horizon=2, start=whole.time[40])
    left = [row for row in range(39, 58) if not {row, row - 1, row - 2} & {46}]
    np.testing.assert_array_equal(made["init_time"], whole.time[left])
    for one, row in zip(made, left, strict=True):
        expected = alone.predict(2, to_timeseries(whole[row - 2 : row + 1])).values().reshape(one.shape)
        np.testing.assert_allclose(one, expected, rtol=1e-4)
    with pytest.raises(GapError, match="cannot forecast from 2024-01-06 21:00"):
        model.predict(2, whole[:48].drop_isel(time=46))


def test_never_observed_cells_are_left_out():
    series = flow()
    land = series.copy()
    land[:, 1, 0, 2] = np.nan
    made = {}
    for name, model in {"linear": linear(), "drift": NaiveDrift()}.items():
        forecaster = DartsForecaster(model).fit(land[:40])
        assert forecaster.observed_.sum() == 23 and not forecaster.observed_[12 + 2]
        made[name] = forecaster.historical_forecasts(land, forecast_horizon=2, start=land.time[50])
        assert made[name][:, :, 1, 0, 2].isnull().all() and made[name].isnull().sum() == 9 * 2
    expected = Drift(window=51).fit(series).predict(2, series[:51])
    seen = np.isfinite(made["drift"][1].values)
    np.testing.assert_allclose(made["drift"][1].values[seen], expected.values[seen], rtol=1e-4)


@pytest.mark.parametrize("train_length", [None, 20])
def test_a_local_model_is_fitted_at_every_origin(train_length):
    series = flow()
    forecaster = DartsForecaster(NaiveDrift(), train_length=train_length).fit(series[:40])
    assert forecaster.fits_at_every_origin and forecaster.fitted_until_ is None
    made = forecaster.historical_forecasts(series, forecast_horizon=3, start=series.time[40], stride=5)
    for one, row in zip(made, range(39, 57, 5), strict=True):
        past = series[0 if train_length is None else row - 19 : row + 1]
        slope = (past[-1] - past[0]).values / (len(past) - 1)
        expected = past.values[-1] + np.arange(1, 4)[:, None, None, None] * slope
        np.testing.assert_allclose(one, expected, rtol=1e-4)
        np.testing.assert_allclose(forecaster.predict(3, series[: row + 1]), one, rtol=1e-6)


def test_a_local_model_reads_back_to_the_last_gap():
    whole = flow()
    series = whole.drop_isel(time=[20, 45])
    made = DartsForecaster(NaiveDrift()).historical_forecasts(
        series, forecast_horizon=1, start=whole.time[44]
    )
    left = [43, 44, *range(48, 59)]  # darts asks for three frames
    np.testing.assert_array_equal(made["init_time"], whole.time[left])
    for one, row in zip(made, left, strict=True):
        first = 21 if row < 45 else 46
        slope = (whole[row] - whole[first]).values / (row - first)
        np.testing.assert_allclose(one[0], whole[row] + slope, rtol=1e-4)


def test_a_model_of_one_series_goes_cell_by_cell():
    series = small(30)
    model = ExponentialSmoothing(trend=None, seasonal=None)
    forecast = DartsForecaster(model).fit(series).predict(2)
    for y in range(2):
        for x in range(3):
            cell = TimeSeries.from_times_and_values(series.indexes["time"], series[:, 0, y, x].values)
            expected = model.untrained_model().fit(cell).predict(2).values()[:, 0]
            np.testing.assert_allclose(forecast[:, 0, y, x], expected, rtol=1e-5)


def test_in_a_backtest_as_they_are():
    series = flow()
    train = to_timeseries(series[:40])
    models = {
        "linear": linear().fit(train),
        "yesterday of darts": NaiveSeasonal(8),
        "yesterday": SeasonalNaive("1D").fit(series[:40]),
    }
    result = backtest(models, series, start=series.time[40], horizon=2)
    xr.testing.assert_allclose(result.forecasts["yesterday of darts"], result.forecasts["yesterday"])
    expected = models["linear"].historical_forecasts(
        to_timeseries(series), start=40, retrain=False, last_points_only=False, forecast_horizon=2
    )
    for one, forecast in zip(expected, result.forecasts["linear"], strict=True):
        np.testing.assert_allclose(one.values().ravel(), forecast.values.ravel(), rtol=1e-4)
    assert result.settings["linear"].startswith("LinearRegressionModel(lags=3")
    models["linear"] = linear().fit(to_timeseries(series))
    with pytest.raises(LeakError, match="'linear' was fitted on frames until 2024-01-08 09:00"):
        backtest(models, series, start=series.time[40], horizon=2)


def test_in_a_backtest_that_fits_them():
    series = small(64).drop_isel(time=[22, 51])
    models = {"linear": linear(), "drift": NaiveDrift(), "last": Persistence()}
    asked = {"start": series.time[39], "horizon": 2, "refit_every": 6, "train_length": 30}
    result = backtest(models, series, **asked)
    made = result.forecasts["linear"]
    for fold in result.folds.itertuples():
        model = DartsForecaster(linear()).fit(series.sel(time=slice(fold.train_start, fold.train_end)))
        for origin in made["init_time"].sel(init_time=slice(fold.first_origin, fold.last_origin)).values:
            by_hand = model.predict(2, series.sel(time=slice(None, origin)))
            np.testing.assert_allclose(made.sel(init_time=origin), by_hand, rtol=1e-4)
    with pytest.raises(ValueError, match=r"'drift' is fitted anew at every origin.* gap=1 cannot be"):
        backtest(models, series, **asked | {"gap": 1})
    with pytest.raises(TooShortError, match="'linear' cannot be fitted for fold 1 of"):
        backtest(models, series, **asked | {"train_length": 4})


def test_samples():
    series = small()
    model = linear(likelihood="quantile", quantiles=[0.1, 0.5, 0.9])
    asked = {"start": series.time[40], "horizon": 2, "refit_every": 10, "num_samples": 4}
    result, again = (backtest({"linear": model, "last": Persistence()}, series, **asked) for _ in range(2))
    assert result.forecasts["linear"].dims == ("realization", "init_time", "lead_time", *series.dims[1:])
    assert result.forecasts["linear"].sizes["realization"] == 4
    assert (result.forecasts["linear"].std("realization") > 0).any()
    xr.testing.assert_identical(result.forecasts["linear"], again.forecasts["linear"])
    assert (
        "realization" not in result.forecasts["last"].dims and result.settings["samples of a forecast"] == "4"
    )
    with pytest.raises(ValueError, match="num_samples=4 came, and none of"):
        backtest({"last": Persistence(), "linear": linear()}, series, **asked)


@pytest.mark.filterwarnings("ignore:'pin_memory' argument is set:UserWarning")
def test_a_network_of_darts():
    series = flow() / 10
    model = RNNModel(4, training_length=6, hidden_dim=3, n_epochs=1, random_state=0, pl_trainer_kwargs=QUIET)
    result = backtest({"rnn": model}, series, start=series.time[40], horizon=2, refit_every=10)
    by_hand = model.untrained_model().fit(to_timeseries(series[:40]), verbose=False)
    for row in (39, 44):
        expected = by_hand.predict(2, to_timeseries(series[: row + 1]), verbose=False, show_warnings=False)
        made = result.forecasts["rnn"].sel(init_time=series.time.values[row])
        np.testing.assert_allclose(made.values.ravel(), expected.values().ravel(), rtol=1e-4, atol=1e-6)


def test_as_the_last_step_of_a_pipeline(tmp_path):
    series = small()
    steps = [("day", SeasonalAnomaly("1D")), ("linear", DartsForecaster(linear()))]
    asked = {"start": series.time[40], "horizon": 2, "refit_every": 10}
    result = backtest({"piped": GridPipeline(steps)}, series, **asked, store=tmp_path)
    again = backtest({"piped": GridPipeline(steps)}, series, **asked, store=tmp_path)
    xr.testing.assert_identical(result.forecasts["piped"], again.forecasts["piped"])
    assert len(list(tmp_path.iterdir())) == 2
    by_hand = GridPipeline(steps).fit(series[:40]).predict(2, series[:43])
    np.testing.assert_allclose(result.forecasts["piped"][3], by_hand, rtol=1e-5)


def test_a_dataset_comes_back_as_one():
    series = flow().to_dataset("channel")
    forecast = DartsForecaster(NaiveSeasonal(8)).fit(series).predict(2)
    assert set(forecast) == {"in", "out"}
    np.testing.assert_array_equal(forecast["out"], series["out"][-8:-6])


def test_its_manners():
    model = linear()
    forecaster = DartsForecaster(model, train_length=5)
    assert "lags=3" in repr(forecaster)
    copy = clone(forecaster.fit(flow()[:20]))
    assert not hasattr(copy, "model_") and copy.train_length == 5 and not copy.in_use._fit_called
    assert not model._fit_called and forecaster.in_use is forecaster.model_
    assert str(forecaster.fitted_until_) == "2024-01-03 09:00:00"
    with pytest.raises(NotFittedError):
        DartsForecaster(linear()).predict(2)
    with pytest.raises(TooShortError, match="at least 7 frames"):
        DartsForecaster(LinearRegressionModel(lags=4, output_chunk_length=2)).fit(flow()[:6])
    with pytest.raises(GapError, match="without a gap"):
        forecaster.fit(flow()[:12].drop_isel(time=[4, 9]))
    with pytest.raises(TooShortError, match="begins earlier"):
        DartsForecaster(linear()).fit(flow()).predict(2, flow()[:2])
    mim = MIMModel(4, 2)
    assert as_forecaster(mim) is mim
