import numpy as np
import pytest
import torch

from darts_mim.diagnostics.unit_roots.long_run_variance import long_run_variance


def by_autocovariances(row, lags):
    n = len(row)
    gamma = [row[lag:] @ row[: n - lag] / n for lag in range(min(lags + 1, n))]
    return gamma[0] + 2 * sum((1 - lag / (lags + 1)) * each for lag, each in enumerate(gamma) if lag)


@pytest.mark.parametrize("lags", [0, 1, 7, 36, 40])
def test_it_is_the_weighted_sum_of_autocovariances(lags):
    series = np.random.default_rng(0).normal(size=(3, 37)).cumsum(1)
    expected = [by_autocovariances(row, lags) for row in series]
    np.testing.assert_allclose(long_run_variance(series, lags), expected, rtol=1e-12)


def test_lags_of_each_cell():
    series = np.random.default_rng(1).normal(size=(6, 50)) + 1
    lags = np.array([3, 0, 3, 49, 12, 0])
    expected = [by_autocovariances(*each) for each in zip(series, lags, strict=True)]
    np.testing.assert_allclose(long_run_variance(series, lags), expected, rtol=1e-12)
    np.testing.assert_allclose(long_run_variance(torch.from_numpy(series), lags), expected, rtol=1e-12)


def test_single_precision_is_summed_in_double():
    series = np.random.default_rng(2).normal(size=(2, 4000)).astype(np.float32)
    expected = [by_autocovariances(row.astype(float), 5) for row in series]
    np.testing.assert_allclose(long_run_variance(series, 5), expected, rtol=1e-12)
