import numpy as np
import pytest
import statsmodels.api as sm
from scipy import stats

from darts_mim.diagnostics.residuals.trend import hac_mean, hac_trend


def persistent(rows, times, *, damping=0.7, seed=0):
    noise = np.random.default_rng(seed).normal(size=(rows, times + 50))
    for t in range(1, times + 50):
        noise[:, t] += damping * noise[:, t - 1]
    return noise[:, 50:]


def sandwich(x, max_lag, *, seen):
    """(X'X)^-1 X' K X (X'X)^-1 as a quadratic form in the residuals, and the residuals' own matrix."""
    times = np.arange(len(x))
    apart = np.abs(times[:, None] - times[None, :])
    x = np.where(seen[:, None], x, 0.0)
    bread = x @ np.linalg.inv(x.T @ x)
    form = np.clip(1 - apart / (max_lag + 1), 0, None) * np.outer(bread[:, -1], bread[:, -1])
    residuals = np.diag(seen.astype(float)) - x @ np.linalg.inv(x.T @ x) @ x.T
    return form, residuals, (bread[:, -1] ** 2).sum()


def p_value(t, x, max_lag, *, seen):
    """From the docstring, with whole matrices."""
    form, residuals, true = sandwich(x, max_lag, seen=seen)
    product = form @ residuals
    mean, square = np.trace(product), np.trace(product @ product)
    return 2 * stats.t.sf(abs(t) * np.sqrt(mean / true), mean**2 / square)


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
@pytest.mark.parametrize("max_lag", [0, 1, 12])
def test_whole_rows_are_those_of_statsmodels(max_lag, dtype):
    time = np.arange(90.0) ** 1.1
    series = (persistent(4, 90) + 0.005 * time + 0.5).astype(dtype)
    mean, trend = hac_mean(series, max_lag=max_lag), hac_trend(series, time, max_lag=max_lag)
    for row, y in enumerate(series.astype(float)):
        for ours, x in ((mean, np.ones((90, 1))), (trend, sm.add_constant(time))):
            theirs = sm.OLS(y, x).fit(cov_type="HAC", cov_kwds={"maxlags": max_lag})
            np.testing.assert_allclose(ours.value[row], theirs.params[-1], rtol=1e-9)
            np.testing.assert_allclose(ours.t[row], theirs.tvalues[-1], rtol=1e-9)
            expected = p_value(theirs.tvalues[-1], x, max_lag, seen=np.ones(90, dtype=bool))
            np.testing.assert_allclose(ours.p_value[row], expected, rtol=1e-7)
            assert ours.p_value[row] > theirs.pvalues[-1]


def test_gaps_keep_their_place():
    """Scores of missing times are 0 and neighbours are told by time, not by rank."""
    y, time, max_lag = persistent(1, 60)[0] + 2, np.arange(60.0), 4
    y[[5, 6, 30, 41]] = np.nan
    seen = np.isfinite(y)
    for x, ours in (
        (np.ones((60, 1)), hac_mean(y[None], max_lag=max_lag)),
        (np.stack([np.ones(60), time], axis=1), hac_trend(y[None], time, max_lag=max_lag)),
    ):
        beta = np.linalg.lstsq(x[seen], y[seen])[0]
        residual = np.where(seen, y - x @ beta, 0.0)
        t = beta[-1] / np.sqrt(residual @ sandwich(x, max_lag, seen=seen)[0] @ residual)
        np.testing.assert_allclose(ours.value, beta[-1], rtol=1e-9)
        np.testing.assert_allclose(ours.t, t, rtol=1e-9)
        np.testing.assert_allclose(ours.p_value, p_value(t, x, max_lag, seen=seen), rtol=1e-7)


def test_rows_with_gaps_of_their_own():
    series, time = persistent(3, 50), np.arange(50.0)
    series[0, [3, 4, 20]] = np.nan
    series[2, 40:] = np.nan
    for together, alone in (
        (hac_mean(series, max_lag=5), [hac_mean(row[None], max_lag=5) for row in series]),
        (hac_trend(series, time, max_lag=5), [hac_trend(row[None], time, max_lag=5) for row in series]),
    ):
        for row, one in enumerate(alone):
            np.testing.assert_allclose(together.t[row], one.t[0], rtol=1e-9)
            np.testing.assert_allclose(together.p_value[row], one.p_value[0], rtol=1e-9)


def test_one_row_in_twenty_is_found_by_chance():
    time = np.arange(400.0)
    white, series = (persistent(3000, 400, damping=damping) for damping in (0.0, 0.7))
    for estimate in (hac_mean(white, max_lag=26), hac_trend(white, time, max_lag=26)):
        assert 0.04 < np.mean(estimate.p_value < 0.05) < 0.06
    for estimate in (hac_mean(series, max_lag=26), hac_trend(series, time, max_lag=26)):
        assert 0.04 < np.mean(estimate.p_value < 0.05) < 0.08
    assert np.mean(2 * stats.norm.sf(np.abs(hac_trend(series, time, max_lag=26).t)) < 0.05) > 0.1
    assert np.mean(hac_trend(series, time, max_lag=0).p_value < 0.05) > 0.3


def test_rows_that_tell_nothing():
    time = np.arange(20.0)
    series = np.stack([np.full(20, 0.1), np.full(20, np.nan), np.where(time < 2, time, np.nan)])
    for estimate in (hac_mean(series, max_lag=3), hac_trend(series, time, max_lag=3)):
        assert np.isnan(estimate.t).all()
        assert np.isnan(estimate.p_value).all()
    np.testing.assert_allclose(hac_mean(series, max_lag=3).value, [0.1, np.nan, 0.5])
    exact = hac_trend(3 * time[None] + 0.1, time, max_lag=3)
    np.testing.assert_allclose(exact.value, 3)
    assert np.isnan(exact.p_value).all()
