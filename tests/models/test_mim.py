"""Darts' own contract, on MIMModel."""

import inspect

import numpy as np
import pandas as pd
import pytest
import torch
import xarray as xr
from darts.dataprocessing import Pipeline
from darts.dataprocessing.transformers import Scaler
from darts.metrics import mae, mse
from darts.models import (
    ConformalNaiveModel,
    NaiveDrift,
    NaiveEnsembleModel,
    NaiveSeasonal,
    RegressionEnsembleModel,
)
from darts.utils.likelihood_models.torch import GaussianLikelihood, QuantileRegression
from darts.utils.timeseries_generation import sine_timeseries

from darts_mim.models.encoders import CyclicPosition
from darts_mim.models.mim import MIMModel
from darts_mim.models.timeseries import from_timeseries, to_timeseries


@pytest.fixture(scope="module")
def target(series):
    return to_timeseries(series)


@pytest.fixture(scope="module")
def gaussian(tiny, series):
    return tiny(likelihood=GaussianLikelihood()).fit(series)


def weights(model):
    return {name: value.clone() for name, value in model.model.state_dict().items()}


def equal(one, other):
    return one.keys() == other.keys() and all(torch.equal(one[name], other[name]) for name in one)


# TimeSeries and DataArray are the same thing


def test_the_same_forecast_from_a_timeseries_and_from_a_grid(tiny, fitted, series, target):
    on_darts = tiny().fit(target)
    assert equal(weights(on_darts), weights(fitted))
    forecast = on_darts.predict(3)
    assert type(forecast) is type(target)
    assert forecast.metadata == target.metadata
    assert from_timeseries(forecast).identical(fitted.predict(3))
    assert fitted.predict(3, target) == forecast
    assert on_darts.predict(3, series).identical(fitted.predict(3))


def test_any_n_is_the_beginning_of_a_longer_one(fitted):
    """The state is rolled on: nothing is encoded anew at output_chunk_length, 2."""
    longest = fitted.predict(7)
    for n in (1, 2, 3, 4):
        np.testing.assert_array_equal(fitted.predict(n).values, longest.values[:n])


def test_past_one_chunk_is_the_network_rolled_on(fitted, series):
    observed = torch.tensor(series.values[-4:])[None]
    with torch.no_grad():
        frames = fitted.model.network(observed, horizon=6)[0, -6:]
    np.testing.assert_allclose(fitted.predict(6).values, frames, rtol=1e-6, atol=1e-7)


def test_ordinary_series_work_too(tiny):
    wave = sine_timeseries(length=40, freq="D", dtype=np.float32)
    several = wave.stack(wave * 0.5)
    model = tiny().fit([several, several[:20]])
    assert model.predict(3, several).components.tolist() == several.components.tolist()
    counted = type(wave).from_values(several.values())  # on integers
    assert tiny().fit(counted).predict(2).time_index.tolist() == [40, 41]


def test_several_series_of_unequal_length(tiny, frames):
    series = [frames(20), frames(5, seed=1), frames(12, seed=2)]
    model = tiny().fit(series)
    assert model.windows_.used == 15 + 0 + 7
    forecasts = model.predict(3, series)
    assert [list(f.time.values) for f in forecasts] == [
        list(s.time.values[-1] + np.timedelta64(1, "h") * np.arange(1, 4)) for s in series
    ]
    xr.testing.assert_allclose(forecasts[1], model.predict(3, series[1]), rtol=1e-6, atol=1e-7)


# Backtests


def by_hand(model, series, origins, n, **kwargs):
    """One predict after another, on the series as it was known then."""
    return np.stack([model.predict(n, series[: k + 1], **kwargs).values for k in origins])


@pytest.mark.parametrize("stride", [1, 3])
def test_historical_forecasts_equal_predict_on_the_series_known_then(fitted, series, stride):
    past = fitted.historical_forecasts(series, start=series.time[20], forecast_horizon=3, stride=stride)
    origins = list(range(19, 37, stride))
    assert past.dims == ("init_time", "lead_time", "channel", "lat", "lon")
    np.testing.assert_array_equal(past.init_time, series.time[origins])
    np.testing.assert_array_equal(past.lead_time / np.timedelta64(1, "h"), [1, 2, 3])
    np.testing.assert_array_equal(past.valid_time, past.init_time + past.lead_time)
    np.testing.assert_allclose(past.values, by_hand(fitted, series, origins, 3), rtol=1e-6, atol=1e-7)


def test_last_points_only(fitted, series):
    every = fitted.historical_forecasts(series, start=20, forecast_horizon=3, stride=2)
    last = fitted.historical_forecasts(series, start=20, forecast_horizon=3, stride=2, last_points_only=True)
    assert last.dims == series.dims
    np.testing.assert_array_equal(last.time, every.valid_time[:, -1])
    np.testing.assert_array_equal(last.values, every.values[:, -1])


def test_historical_forecasts_answer_in_kind(fitted, series, target):
    on_grid = fitted.historical_forecasts(series, start=30, forecast_horizon=2)
    in_darts = fitted.historical_forecasts(
        target, start=30, forecast_horizon=2, retrain=False, last_points_only=False
    )
    np.testing.assert_array_equal(np.stack([f.values() for f in in_darts]).ravel(), on_grid.values.ravel())
    several = fitted.historical_forecasts([series, series[:36]], start=30, forecast_horizon=2)
    assert [f.sizes["init_time"] for f in several] == [9, 5]
    xr.testing.assert_allclose(several[0], on_grid, rtol=1e-6, atol=1e-7)


def test_fitting_again_at_every_origin(tiny, series):
    past = tiny().historical_forecasts(series, start=36, forecast_horizon=2, retrain=True, stride=2)
    assert past.sizes["init_time"] == 2
    for k in (0, 1):
        known = series[: 36 + 2 * k]
        np.testing.assert_array_equal(past.values[k], tiny().fit(known).predict(2).values)


def test_backtest_and_residuals_are_those_of_the_forecasts(fitted, series):
    past = fitted.historical_forecasts(series, start=30, forecast_horizon=2)
    truth = series.sel(time=past.valid_time).transpose(*past.dims)
    score = fitted.backtest(series, start=30, forecast_horizon=2, metric=[mae, mse])
    np.testing.assert_allclose(score, [abs(past - truth).mean(), ((past - truth) ** 2).mean()], rtol=1e-5)
    errors = fitted.residuals(series, start=30, forecast_horizon=2)
    assert errors.dims == series.dims
    np.testing.assert_allclose(errors, (truth - past)[:, -1], rtol=0, atol=1e-6)


def test_whole_residuals_and_forecasts_past_the_end(fitted, series):
    options = {"start": 36, "forecast_horizon": 3}
    past = fitted.historical_forecasts(series, **options)
    errors = fitted.residuals(series, last_points_only=False, **options)
    assert errors.dims == past.dims and errors.valid_time.identical(past.valid_time)
    np.testing.assert_allclose(
        errors, series.sel(time=past.valid_time).transpose(*past.dims) - past, atol=1e-6
    )
    further = fitted.historical_forecasts(series, overlap_end=True, **options)
    assert further.sizes["init_time"] == past.sizes["init_time"] + 3
    np.testing.assert_allclose(further.values[-1], fitted.predict(3).values, rtol=1e-5, atol=1e-6)


def test_residuals_are_nan_where_nothing_was_observed(fitted, series):
    holes = series.copy(deep=True)
    holes[39, 0, 0, 0] = np.nan
    errors = fitted.residuals(holes, start=36, forecast_horizon=2, last_points_only=False)
    assert errors.sizes["init_time"] == 3
    assert np.isnan(errors).sum() == 1 and np.isnan(errors[2, 1, 0, 0, 0])


def test_gridsearch(tiny, series):
    parameters = {name: [value] for name, value in tiny().model_params.items() if name != "hidden"}
    parameters["hidden"] = [2, 4]
    best, chosen, score = MIMModel.gridsearch(
        parameters, series, forecast_horizon=2, start=36, stride=2, metric=mae
    )
    assert chosen["hidden"] in (2, 4) and score > 0
    assert best.fit(series).predict(2).dims == series.dims


# Distributions


def test_samples_are_realizations(gaussian, series):
    forecast = gaussian.predict(3, num_samples=200, random_state=1)
    assert forecast.dims == ("realization", *series.dims)
    assert forecast.identical(gaussian.predict(3, num_samples=200, random_state=1))
    parameters = gaussian.predict(2, predict_likelihood_parameters=True)
    assert parameters.dims == (*series.dims, "parameter")
    assert parameters.parameter.values.tolist() == ["mu", "sigma"]
    mu, sigma = parameters.transpose("parameter", ...).values
    z = (forecast.mean("realization").values[:2] - mu) / (sigma / np.sqrt(200))
    assert 0.8 < z.std() < 1.2
    np.testing.assert_allclose(forecast.std("realization").values[:2] / sigma, 1, atol=0.3)


def test_samples_and_parameters_of_historical_forecasts(gaussian, series):
    options = {"start": 36, "forecast_horizon": 2}
    samples = gaussian.historical_forecasts(series, num_samples=3, **options)
    assert samples.dims == ("realization", "init_time", "lead_time", "channel", "lat", "lon")
    parameters = gaussian.historical_forecasts(series, predict_likelihood_parameters=True, **options)
    assert parameters.dims == ("init_time", "lead_time", "channel", "lat", "lon", "parameter")
    alone = gaussian.predict(2, series[:36], predict_likelihood_parameters=True)
    np.testing.assert_allclose(parameters.values[0], alone.values, rtol=1e-5, atol=1e-6)


def test_quantiles(tiny, series):
    model = tiny(likelihood=QuantileRegression([0.1, 0.5, 0.9])).fit(series)
    parameters = model.predict(2, predict_likelihood_parameters=True)
    assert parameters.parameter.values.tolist() == ["q0.100", "q0.500", "q0.900"]
    assert model.predict(3, num_samples=5).sizes["realization"] == 5


# Covariates


@pytest.mark.parametrize("role", ["past_covariates", "future_covariates"])
@pytest.mark.parametrize("kind", ["frames", "numbers", "both"])
def test_covariates_reach_the_forecast(tiny, frames, role, kind):
    series, hour = frames(30), frames(40).time.dt.hour / 24
    heat = frames(40, channels=1, seed=1).isel(channel=0, drop=True)
    given = {"frames": heat, "numbers": hour, "both": xr.Dataset({"heat": heat, "hour": hour})}[kind]
    model = tiny().fit(series, **{role: given})
    plain = tiny().fit(series)
    before = model.predict(2, series, **{role: given})
    assert not np.array_equal(before, plain.predict(2))
    names = ("heat", "hour") if kind == "both" else (None,)
    at = {"past_covariates": slice(29, 30), "future_covariates": slice(30, 31)}[role]
    for name in names:
        other = given.copy(deep=True)
        (other[name] if name else other)[at] += 1.0
        assert not np.array_equal(model.predict(2, series, **{role: other}), before)


def test_covariates_may_stand_in_darts_order_of_arguments(tiny, series):
    hour = series.time.dt.hour / 24
    assert equal(weights(tiny().fit(series, hour)), weights(tiny().fit(series, past_covariates=hour)))


def test_static_covariates_reach_the_forecast(tiny, target):
    height = pd.DataFrame({"height": np.linspace(0, 1, 40, dtype="float32")})
    model = tiny().fit(target.with_static_covariates(height))
    low = model.predict(2, target.with_static_covariates(height * 0))
    assert not np.array_equal(low.values(), model.predict(2).values())
    ignoring = tiny(use_static_covariates=False).fit(target.with_static_covariates(height))
    assert equal(weights(ignoring), weights(tiny().fit(target)))


def test_past_covariates_end_with_the_series_for_any_n(tiny, frames):
    series, heat = frames(30), frames(30, seed=1)
    model = tiny().fit(series, past_covariates=heat)
    assert model.predict(6).sizes["time"] == 6
    past = model.historical_forecasts(series, past_covariates=heat, start=20, forecast_horizon=4)
    np.testing.assert_allclose(
        past.values[3], model.predict(4, series[:23], past_covariates=heat[:23]).values, rtol=1e-5, atol=1e-6
    )


def test_historical_forecasts_with_future_covariates(tiny, frames):
    series, hour = frames(30), frames(34).time.dt.hour / 24
    model = tiny().fit(series, future_covariates=hour)
    past = model.historical_forecasts(series, future_covariates=hour, start=20, forecast_horizon=4)
    np.testing.assert_allclose(past.values[5], model.predict(4, series[:25]).values, rtol=1e-5, atol=1e-6)


def test_encoders(tiny, frames, series):
    heat = frames(50, channels=1, seed=1)
    model = tiny(
        add_encoders={
            "cyclic": {"future": ["hour"]},
            "datetime_attribute": {"past": ["month"]},
            "custom": {"future": [CyclicPosition("1D")]},
            "transformer": Scaler(),
        }
    ).fit(series, future_covariates=heat)
    assert model.model.n_covariates == 1 + 1 + 2 + 2  # month; heat; hour and day, each as two
    assert model.predict(5).sizes["time"] == 5
    past = model.historical_forecasts(series, future_covariates=heat, start=36, forecast_horizon=2)
    np.testing.assert_allclose(past.values[2], model.predict(2, series[:38]).values, rtol=1e-5, atol=1e-6)


def test_sample_weights(tiny, series):
    plain, ones = tiny().fit(series), tiny().fit(series, sample_weight=xr.ones_like(series))
    np.testing.assert_allclose(ones.predict(2), plain.predict(2), rtol=1e-4, atol=1e-6)
    late = tiny().fit(series, sample_weight="linear")
    assert not equal(weights(late), weights(plain))
    weight = xr.ones_like(series)
    weight[:, 0, 2, 2] = 0.0  # this cell does not count
    assert not equal(weights(tiny().fit(series, sample_weight=weight)), weights(ones))


def test_time_reversal_trains_on_twice_the_windows(tiny, series):
    model = tiny(time_reversal=True, batch_size=10).fit(series)
    assert model.trainer.global_step == 7
    assert model.windows_.used == 35
    with pytest.raises(ValueError, match="time_reversal=True reads windows backwards"):
        tiny(time_reversal=True).fit(series, past_covariates=series)


def test_reversible_instance_norm_forecasts_at_any_scale(tiny, series):
    model = tiny(use_reversible_instance_norm={"affine": False, "eps": 0.0}).fit(series)
    large = model.predict(3, series * 1000 - 500)
    np.testing.assert_allclose((large + 500) / 1000, model.predict(3), rtol=0, atol=1e-5)


# With the rest of darts


def test_darts_pipeline_and_scaler(tiny, target, series):
    pipeline = Pipeline([Scaler()])
    scaled = pipeline.fit_transform(target * 50.0)
    forecast = pipeline.inverse_transform(tiny().fit(scaled).predict(3))
    grid = from_timeseries(forecast)
    assert grid.dims == series.dims and grid.lat.identical(series.lat)
    assert 0 < float(grid.mean()) < 50


def test_scaler_inside_historical_forecasts(tiny, series):
    model = tiny().fit(series)
    past = model.historical_forecasts(
        series, start=36, forecast_horizon=2, retrain=True, data_transformers={"series": Scaler()}
    )
    assert past.sizes["init_time"] == 3


def test_ensembles(tiny, target, fitted):
    naive = NaiveEnsembleModel([tiny(), NaiveSeasonal(8)]).fit(target)
    half = 0.5 * (fitted.predict(2, target).values() + NaiveSeasonal(8).fit(target).predict(2).values())
    np.testing.assert_allclose(naive.predict(2).values(), half, rtol=1e-5)
    assert from_timeseries(naive.predict(2)).dims == ("time", "channel", "lat", "lon")
    regression = RegressionEnsembleModel([tiny(), NaiveDrift()], regression_train_n_points=10).fit(target)
    assert np.isfinite(regression.predict(2).values()).all()


def test_conformal_intervals(fitted, target):
    conformal = ConformalNaiveModel(fitted, quantiles=[0.1, 0.5, 0.9], cal_length=10)
    low, middle, high = np.moveaxis(
        conformal.predict(2, target, predict_likelihood_parameters=True).values().reshape(2, 40, 3), -1, 0
    )
    np.testing.assert_allclose(middle, fitted.predict(2, target).values(), rtol=1e-6)
    assert (low < middle).all() and (middle < high).all()


def test_lr_find(tiny, series, tmp_path):
    model = tiny(pl_trainer_kwargs={"default_root_dir": str(tmp_path)}, batch_size=4, n_epochs=3)
    found = model.lr_find(series, num_training=20, early_stop_threshold=None)
    assert len(found.results["lr"]) == 20
    assert np.isfinite(found.results["loss"]).all()
    assert not model.model_created
    assert model.fit(series).predict(1).dims == series.dims


# One answer


def test_the_same_input_twice_is_the_same_answer(fitted, series):
    first = fitted.predict(4, series[:20])
    fitted.predict(4, series[5:25])
    assert fitted.predict(4, series[:20]).identical(first)


def test_one_process_is_enough(fitted):
    assert (fitted.trainer.world_size, fitted.trainer.num_devices) == (1, 1)


def test_the_same_random_state_is_the_same_model(tiny, series):
    torch.rand(7)  # whatever was drawn before
    again = tiny().fit(series)
    assert equal(weights(again), weights(tiny().fit(series)))
    assert not equal(weights(again), weights(tiny(random_state=1).fit(series)))


@pytest.mark.parametrize("variant", ["paper", "released"])
@pytest.mark.parametrize(
    "options",
    [
        {},
        {"layer_norm": True},
        {"ablation": "without_mim_n"},
        {"layers": 3},
        {"convolution": "winograd", "checkpoint_segments": 2},
        {"cell_channels": 3},
    ],
)
def test_variants(tiny, series, variant, options):
    model = tiny(variant=variant, patch_size=2, **options).fit(series)
    forecast = model.predict(3)
    assert forecast.shape == (3, 2, 5, 4) and np.isfinite(forecast).all()


# Arguments


def test_its_arguments_are_as_darts_and_scikit_learn_read_them(tiny):
    model = tiny(likelihood=GaussianLikelihood(), batch_size=7)
    assert model.get_params() == dict(model.model_params)
    assert model.get_params()["batch_size"] == 7
    own = set(inspect.signature(MIMModel.__init__).parameters) - {"self", "kwargs"}
    assert own <= set(model.get_params())


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"kernel_size": 4}, r"kernel_size is 4; .*Use 3 or 5"),
        ({"kernel_size": 0}, r"kernel_size is 0; .*Use 1"),
        ({"output_chunk_shift": 2}, r"output_chunk_shift is 2; .*Use 0"),
        ({"variant": "fast"}, r"variant is 'fast'; it is one of 'paper', 'released'"),
        ({"ablation": "all"}, r"ablation is 'all'; it is one of None, 'without_mim_n'"),
        ({"convolution": "fft"}, r"convolution is 'fft'; it is one of 'auto', 'direct', 'winograd'"),
        ({"convolution": "winograd", "kernel_size": 7}, r"kernel_size is 7. Use convolution='auto'"),
        ({"cell_channels": -1}, r"cell_channels is -1. Use 0 or more"),
        ({"checkpoint_segments": -1}, r"checkpoint_segments is -1. Use 0 or more"),
        ({"loss_frames": "some"}, r"loss_frames is 'some'; it is one of 'all', 'forecast'"),
        ({"lr_schedule": "step"}, r"lr_schedule is 'step'; it is one of 'constant', 'cosine'"),
        ({"hidden": 0}, r"hidden is 0. Use 1 or more"),
        ({"layers": 1}, r"layers is 1. Use 2 or more"),
        ({"patch_size": 0}, r"patch_size is 0. Use 1 or more"),
        ({"sampling_steps": -1}, r"sampling_steps is -1. Use 0 or more"),
        (
            {"lr_schedule": "cosine", "lr_scheduler_cls": torch.optim.lr_scheduler.StepLR},
            r"two schedules. Pass one of them",
        ),
        ({"hiden": 8}, r"hiden"),
    ],
)
def test_wrong_arguments_are_told_so(tiny, arguments, message):
    with pytest.raises(ValueError, match=message):
        tiny(**arguments)
