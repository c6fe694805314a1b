import numpy as np
import pytest
from scipy import stats
from statsmodels.stats.diagnostic import acorr_ljungbox
from statsmodels.tsa.stattools import acf

from darts_mim.diagnostics.residuals.ljung_box import ljung_box
from darts_mim.errors import TooShortError

FLAT, FADING = (1.0, 1.0, 1.0, 1.0), (1.0, 0.8, 0.64, 0.512)


def moving_average(weights, *, rows, times, seed=0):
    noise = np.random.default_rng(seed).normal(size=(rows, times + len(weights) - 1))
    return sum(weight * noise[:, lag : lag + times] for lag, weight in enumerate(weights))


def with_gaps(series, share, *, shared, seed=1):
    rng = np.random.default_rng(seed)
    gaps = rng.random(series.shape[1:] if shared else series.shape) < share
    return np.where(gaps, np.nan, series)


def slow(x, lags, first_lag):
    """Term by term, as the docstring has it."""
    present = np.isfinite(x)
    n, times = present.sum(), len(x)
    x = x - np.nanmean(x)
    seen = {t for t in range(times) if present[t]}
    square = sum(x[t] ** 2 for t in seen) / n

    def pairs(k):
        return [t for t in seen if t + k in seen]

    def r(k):
        return np.mean([x[t] * x[t + k] for t in pairs(k)]) / square

    def rho(k):
        return 1.0 if k == 0 else r(abs(k)) if abs(k) < first_lag else 0.0

    tested = range(first_lag, first_lag + lags)
    q = sum((n + 2) / n * len(pairs(k)) * r(k) ** 2 for k in tested)
    covariance = np.zeros((lags, lags))
    for row, j in enumerate(tested):
        for column, k in enumerate(tested):
            both = sum(rho(s - t) * rho(s + k - t - j) for t in pairs(j) for s in pairs(k))
            covariance[row, column] = both / np.sqrt(len(pairs(j)) * len(pairs(k)))
    mean, square = np.trace(covariance), np.trace(covariance @ covariance)
    return q * mean / square, mean**2 / square


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
def test_whole_rows_are_those_of_statsmodels(dtype):
    series = (moving_average((1.0, 0.3), rows=7, times=120) + 5).astype(dtype)
    result = ljung_box(series, lags=9)
    for row, x in enumerate(series.astype(float)):
        expected = acorr_ljungbox(x, lags=[9])
        np.testing.assert_allclose(result.statistic[row], expected["lb_stat"].item(), rtol=1e-10)
        np.testing.assert_allclose(result.p_value[row], expected["lb_pvalue"].item(), rtol=1e-9)
        r = acf(x, nlags=9, adjusted=True, fft=False)[1:]
        np.testing.assert_allclose(result.autocorrelation[row], r, rtol=1e-9, atol=1e-12)
    np.testing.assert_array_equal(result.freedom, 9)


def test_autocorrelations_with_gaps_are_those_of_statsmodels():
    series = with_gaps(moving_average(FADING, rows=5, times=80) - 3, 0.3, shared=False)
    result = ljung_box(series, lags=6)
    for x, r in zip(series, result.autocorrelation, strict=True):
        expected = acf(x, nlags=6, adjusted=True, fft=False, missing="conservative")[1:]
        np.testing.assert_allclose(r, expected, rtol=1e-9)


@pytest.mark.parametrize("shared", [True, False])
@pytest.mark.parametrize(("share", "first_lag"), [(0.0, 1), (0.0, 3), (0.25, 1), (0.25, 3)])
def test_it_is_what_the_docstring_says(share, first_lag, shared):
    series = with_gaps(moving_average((1.0, 0.7, 0.2), rows=3, times=40), share, shared=shared)
    result = ljung_box(series, lags=4, first_lag=first_lag)
    for row, x in enumerate(series):
        statistic, freedom = slow(x, 4, first_lag)
        np.testing.assert_allclose(result.statistic[row], statistic, rtol=1e-10)
        np.testing.assert_allclose(result.freedom[row], freedom, rtol=1e-10)
        np.testing.assert_allclose(result.p_value[row], stats.chi2.sf(statistic, freedom), rtol=1e-9)


@pytest.mark.parametrize("gaps", [0.0, 0.2])
@pytest.mark.parametrize("weights", [(1.0,), FLAT, FADING, (1.0, -0.5, 0.3, -0.2)], ids=str)
def test_one_row_in_twenty_is_rejected_by_chance(weights, gaps):
    """Errors of perfect forecasts h steps ahead are a moving average over h steps: h = 1 and 4."""
    series = with_gaps(moving_average(weights, rows=8000, times=300), gaps, shared=True)
    p = ljung_box(series, lags=10, first_lag=len(weights)).p_value
    assert 0.035 < np.mean(p < 0.05) < 0.065


@pytest.mark.parametrize("weights", [FLAT, FADING], ids=str)
def test_leaving_lags_out_is_not_enough(weights):
    series = moving_average(weights, rows=4000, times=300)
    r = ljung_box(series, lags=13).autocorrelation
    pairs = 300 - np.arange(1, 14)
    plain = (302 / 300 * pairs * r**2)[:, 3:].sum(axis=1)
    bartlett = 1 + 2 * (r[:, :3] ** 2).sum(axis=1)
    assert np.mean(stats.chi2.sf(plain, 10) < 0.05) > 0.25
    assert np.mean(stats.chi2.sf(plain / bartlett, 10) < 0.05) > 0.08  # they go together, too


@pytest.mark.parametrize(("first_lag", "weights"), [(1, (1.0, 0.3)), (4, (1.0,) * 8)])
def test_what_is_left_is_found(first_lag, weights):
    p = ljung_box(moving_average(weights, rows=200, times=600), lags=10, first_lag=first_lag).p_value
    assert np.mean(p < 0.05) > 0.7


def test_rows_that_tell_nothing():
    series = np.random.default_rng(0).normal(size=(4, 30))
    series[0] = 0.1  # a mean that rounding does not give back
    series[1] = np.nan
    series[2, ::2] = np.nan  # no pair one step apart
    for first_lag in (1, 3):
        result = ljung_box(series, lags=5, first_lag=first_lag)
        assert np.isnan(result.p_value[:3]).all()
        assert np.isnan(result.statistic[:3]).all()
        assert np.isfinite(result.p_value[3])


def test_what_came_is_said():
    series = np.zeros((2, 10))
    with pytest.raises(TooShortError, match="Lag 10 reaches beyond the 10 frames"):
        ljung_box(series, lags=7, first_lag=4)
    with pytest.raises(ValueError, match=r"shape \(2,\) came"):
        ljung_box(series[:, 0], lags=1)
    with pytest.raises(ValueError, match="first_lag=0"):
        ljung_box(series, lags=1, first_lag=0)
