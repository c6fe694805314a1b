"""The short way to a forecast gives what Lightning's gives, bit for bit, and leaves no trace."""

import numpy as np
import pytest
import torch
import xarray as xr
from models.conftest import QUIET
from pytorch_lightning import Callback, Trainer

from darts_mim.models._compat import QuantileRegression
from darts_mim.models.light_trainer import device_of
from darts_mim.models.timeseries import to_timeseries


def lightning():
    return Trainer(**QUIET)


def assert_same(model, n, series, **kwargs):
    light = model.predict(n, series, **kwargs)
    full = model.predict(n, series, **kwargs, trainer=lightning())
    assert type(light) is type(full)
    several = isinstance(light, list)
    for ours, wanted in zip(light if several else [light], full if several else [full], strict=True):
        xr.testing.assert_identical(ours, wanted)


@pytest.fixture(scope="module")
def sampled(tiny, series):
    return tiny(likelihood=QuantileRegression([0.1, 0.5, 0.9])).fit(series)


def test_one_grid_a_list_and_a_long_forecast(fitted, series):
    assert_same(fitted, 2, series)
    assert_same(fitted, 7, series)
    assert_same(fitted, 3, [series, series[:9], series[3:30]])
    assert_same(fitted, 3, [series, series[:9], series[3:30]], batch_size=2)


def test_samples_of_one_seed(sampled, series):
    assert_same(sampled, 5, series, num_samples=7, random_state=3)
    assert_same(sampled, 2, [series, series[:9]], num_samples=7, batch_size=3, random_state=3)
    assert_same(sampled, 2, series, predict_likelihood_parameters=True)


def test_covariates_and_encoders(tiny, series):
    encoders = {"cyclic": {"future": ["hour"]}}
    hour = series.time.dt.hour
    model = tiny(add_encoders=encoders).fit(series, past_covariates=hour, future_covariates=series)
    assert_same(model, 3, series[:30], past_covariates=hour, future_covariates=series)


def test_a_masked_grid_and_a_dataset(tiny, masked, series):
    assert_same(tiny().fit(masked), 3, masked)
    dataset = series.to_dataset("channel")
    assert_same(tiny().fit(dataset), 3, dataset)


def test_historical_forecasts(sampled, series):
    asked = {"forecast_horizon": 3, "stride": 2, "num_samples": 4}
    light = sampled.historical_forecasts(series, **asked, random_state=1)
    full = sampled.historical_forecasts(
        series, **asked, random_state=1, predict_kwargs={"trainer": lightning()}
    )
    xr.testing.assert_identical(light, full)


def test_a_timeseries_gets_timeseries(fitted, series):
    target = to_timeseries(series)
    assert fitted.predict(2, target) == fitted.predict(2, target, trainer=lightning())
    whole = fitted.historical_forecasts(target, retrain=False, last_points_only=False, forecast_horizon=2)
    assert isinstance(whole, list)
    last, alone = whole[-1], fitted.predict(2, target[:-2])
    assert last.time_index.equals(alone.time_index) and last.components.equals(alone.components)
    assert last.metadata == alone.metadata
    # one batch is rounded otherwise than another
    np.testing.assert_allclose(last.values(), alone.values(), rtol=1e-5, atol=1e-6)


def test_a_forecast_leaves_no_trace(tiny, series):
    model = tiny().fit(series)
    trainer, modes = model.trainer, [part.training for part in model.model.modules()]
    state = torch.get_rng_state()
    model.predict(2)
    assert model.trainer is trainer
    assert [part.training for part in model.model.modules()] == modes
    assert torch.equal(torch.get_rng_state(), state)
    assert not next(model.model.parameters()).is_inference()


def test_lightning_forecasts_where_it_is_needed(tiny, series):
    class Watching(Callback):
        seen = 0

        def on_predict_batch_end(self, *args, **kwargs):
            Watching.seen += 1

    tiny(pl_trainer_kwargs={"callbacks": [Watching()]}).fit(series).predict(2)
    assert Watching.seen == 1
    model = tiny(pl_trainer_kwargs={"precision": "bf16-mixed"}).fit(series)
    fitted_with = model.trainer
    assert np.isfinite(model.predict(2)).all()
    assert model.trainer is not fitted_with


@pytest.mark.parametrize(
    "asked",
    [
        {"accelerator": "cpu", "devices": 2},
        {"accelerator": "tpu"},
        {"accelerator": "cpu", "strategy": "ddp"},
        {"accelerator": "cpu", "limit_predict_batches": 1},
        {"accelerator": "cpu", "precision": "64-true"},
    ],
)
def test_what_is_not_known_is_left_to_lightning(asked):
    assert device_of(asked) is None
    assert device_of({"accelerator": "cpu", "devices": "auto", "logger": False}) == torch.device("cpu")
