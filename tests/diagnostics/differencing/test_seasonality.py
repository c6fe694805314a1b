import numpy as np
import pytest
from statsmodels.tsa.seasonal import seasonal_decompose

from darts_mim.diagnostics.differencing import seasonality


def seasonal(n, period, seed=0, noise=0.5):
    rng = np.random.default_rng(seed)
    season = 3 * rng.normal(size=period)
    return np.tile(season, -(-n // period))[:n] + 0.02 * np.arange(n) + noise * rng.normal(size=n)


@pytest.mark.parametrize(("n", "period"), [(40, 7), (41, 8), (24, 12), (100, 2), (101, 3)])
def test_decomposition_equals_statsmodels(n, period):
    series = np.stack([seasonal(n, period, seed) for seed in range(3)])
    found = seasonality.decompose(series, period)
    for row, (trend, season, remainder) in enumerate(zip(*found, strict=True)):
        oracle = seasonal_decompose(series[row], period=period)
        np.testing.assert_allclose(trend, oracle.trend, rtol=1e-12, atol=1e-12)
        np.testing.assert_allclose(season, oracle.seasonal, rtol=1e-12, atol=1e-12)
        np.testing.assert_allclose(remainder, oracle.resid, rtol=1e-10, atol=1e-12)


def test_strength_tells_season_from_noise():
    noise = np.random.default_rng(0).normal(size=(1, 400))
    strong = seasonality.strength(seasonality.decompose(seasonal(400, 12)[None], 12))
    weak = seasonality.strength(seasonality.decompose(noise, 12))
    assert strong.seasonal[0] > 0.9 and strong.trend[0] > 0.9
    assert weak.seasonal[0] < 0.3 and weak.trend[0] < 0.3


def test_strength_by_hand():
    parts = seasonality.Decomposition(
        trend=np.zeros((1, 4)), seasonal=np.array([[1.0, -1, 1, -1]]), remainder=np.array([[1.0, 1, -1, -1]])
    )
    found = seasonality.strength(parts)
    assert found.seasonal[0] == pytest.approx(0.5) and found.trend[0] == 0.0


def test_anomalies_have_no_mean_at_any_position():
    series = np.random.default_rng(0).normal(size=(2, 23))
    left = seasonality.anomaly(series, 5)
    for position in range(5):
        np.testing.assert_allclose(left[:, position::5].mean(axis=1), 0, atol=1e-14)


def test_seasonal_difference():
    series = np.arange(12.0).reshape(1, 12) ** 2
    np.testing.assert_array_equal(
        seasonality.seasonal_difference(series, 4)[0], series[0, 4:] - series[0, :-4]
    )
