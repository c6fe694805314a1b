import numpy as np
import torch
import torchmetrics
import xarray as xr
from metrics.fields import DIMS, field, gappy

from darts_mim.metrics import latitude_weights, mae, mse, nmae, nrmse


def test_nrmse_equals_torchmetrics():
    forecast, truth = field(0), gappy()
    seen = truth.notnull().values
    oracle = torchmetrics.NormalizedRootMeanSquaredError(normalization="mean").set_dtype(torch.float64)
    expected = oracle(torch.from_numpy(forecast.values[seen]), torch.from_numpy(truth.values[seen]))
    np.testing.assert_allclose(nrmse(forecast, truth, dims=DIMS), expected.item(), rtol=1e-12)


def test_nmae_equals_torchmetrics():
    forecast, truth = field(0), gappy()
    seen = truth.notnull().values
    oracle = torchmetrics.WeightedMeanAbsolutePercentageError().set_dtype(torch.float64)
    expected = oracle(torch.from_numpy(forecast.values[seen]), torch.from_numpy(truth.values[seen]))
    np.testing.assert_allclose(nmae(forecast, truth, dims=DIMS), expected.item(), rtol=1e-12)


def test_they_are_the_errors_over_the_mean():
    forecast, truth = field(0), field(1)
    by_lead = [dim for dim in DIMS if dim != "lead_time"]
    mean = truth.mean(by_lead)
    root = mse(forecast, truth, dims=by_lead) ** 0.5
    np.testing.assert_allclose(nrmse(forecast, truth, dims=by_lead), root / mean, rtol=1e-12)
    np.testing.assert_allclose(
        nmae(forecast, truth, dims=by_lead), mae(forecast, truth, dims=by_lead) / mean, rtol=1e-12
    )


def test_weights_reach_the_mean_too():
    forecast, truth = field(0), gappy()
    weights = latitude_weights(truth.y)
    spread = weights.where(truth.notnull(), 0)
    expected = (spread * abs(forecast - truth)).sum() / (spread * truth).sum()
    np.testing.assert_allclose(type(nmae)(weights=weights)(forecast, truth, dims=DIMS), expected, rtol=1e-12)


def test_no_traffic_at_all_is_nan():
    calm = xr.DataArray(np.zeros(3), dims="x")
    assert nrmse(calm + 1, calm, dims="x").isnull() and nmae(calm + 1, calm, dims="x").isnull()
