import numpy as np
import pytest
import torch

from darts_mim.diagnostics.unit_roots.detrending import detrend, inner, lagged_products, orthonormal_trend


@pytest.mark.parametrize("terms", [1, 2, 3])
@pytest.mark.parametrize("offset", [0.0, 1e6])
def test_residuals_are_those_of_a_polynomial_fit(terms, offset):
    rng, time = np.random.default_rng(0), np.linspace(-1, 1, 301)
    series = rng.normal(size=(4, 301)).cumsum(1) + 50 * time**2 + 9 * time
    fit = np.polynomial.polynomial.polyfit(time, series.T, terms - 1)
    expected = series - np.polynomial.polynomial.polyval(time, fit)
    found = detrend(series + offset, orthonormal_trend(301, terms))
    np.testing.assert_allclose(found.values, expected, rtol=0, atol=1e-11 + 1e-15 * offset)
    np.testing.assert_allclose(found.squares, (expected**2).sum(1), rtol=1e-9)
    np.testing.assert_allclose(found.values.sum(1), 0, atol=1e-9)
    assert found.usable.all()


def test_what_is_left_of_the_terms_themselves_is_not_usable():
    time = np.arange(200)
    series = np.stack([np.full(200, 0.1), 0.1 + time / 7, 3e5 - 0.3 * time + 1e-3 * time**2, np.zeros(200)])
    assert detrend(series, orthonormal_trend(200, 1)).usable.tolist() == [False, True, True, False]
    assert detrend(series, orthonormal_trend(200, 2)).usable.tolist() == [False, False, True, False]
    assert detrend(series, orthonormal_trend(200, 3)).usable.tolist() == [False, False, False, False]


def test_one_bad_cell_is_its_own():
    series = np.random.default_rng(1).normal(size=(4, 30))
    alone = detrend(series[:1], orthonormal_trend(30, 2)).values
    series[1, 3], series[2, 4], series[3] = np.nan, np.inf, 1e200
    with np.errstate(all="ignore"):
        found = detrend(series, orthonormal_trend(30, 2))
    assert found.usable.tolist() == [True, False, False, False]
    np.testing.assert_array_equal(found.values[0], alone[0])


@pytest.mark.parametrize("dtype", [np.float32, np.float64, np.int16, bool])
@pytest.mark.parametrize("time_first", [False, True])
def test_every_number_type_and_layout(dtype, time_first):
    series = np.random.default_rng(2).integers(0, 2, size=(3, 40)).astype(dtype)
    if time_first:
        series = np.ascontiguousarray(series.T).T
    expected = series.astype(float) - series.astype(float).mean(1, keepdims=True)
    trend = orthonormal_trend(40, 1)
    np.testing.assert_allclose(detrend(series, trend).values, expected, atol=1e-15)
    np.testing.assert_allclose(detrend(torch.from_numpy(series), trend).values, expected, atol=1e-15)


@pytest.mark.parametrize("steps", [12, 8192, 20_001])  # less and more than are summed at once
def test_products_along_time(steps):
    series = np.random.default_rng(3).normal(size=(2, steps))
    expected = [[row[5:] @ row[5 - lag : steps - lag] for lag in range(6)] for row in series]
    for given in (series, torch.from_numpy(series)):
        np.testing.assert_allclose(lagged_products(given, 5), expected, rtol=1e-10, atol=1e-10)
        np.testing.assert_allclose(inner(given, given), (series**2).sum(1), rtol=1e-12)
