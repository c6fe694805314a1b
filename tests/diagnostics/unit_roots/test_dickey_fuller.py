import numpy as np
import pytest
from diagnostics.unit_roots.draws import TERMS, assert_same, assorted, by_statsmodels, t_in_long_arithmetic

from darts_mim.diagnostics.unit_roots import dickey_fuller
from darts_mim.diagnostics.unit_roots.adf import adf


@pytest.mark.parametrize("columns_alone", [False, True])
def test_both_ways_agree(monkeypatch, columns_alone):
    series = assorted(14, 120, seed=5)
    expected = by_statsmodels(series, regression="ct")
    monkeypatch.setattr(dickey_fuller, "RELIABLE", 1.0 if columns_alone else 0.0)
    monkeypatch.setattr(dickey_fuller, "DESIGN", 10_000)  # a few cells at a time
    monkeypatch.setattr(dickey_fuller, "TOGETHER", 4)
    assert_same(adf(series, regression="ct"), expected)


def ill_conditioned(steps):
    rng, time = np.random.default_rng(6), np.arange(steps)
    noise = rng.normal(size=steps)
    season = 0.01 * time + np.sin(2 * np.pi * time / 37)
    return {
        **{
            f"trend and season, noise {size}": season + size * noise
            for size in (1e-2, 1e-3, 1e-4, 1e-5, 1e-6)
        },
        "slow wave": np.sin(6 * np.pi * time / steps) + 1e-5 * noise,
        "integrated twice": noise.cumsum().cumsum(),
        "integrated three times": noise.cumsum().cumsum().cumsum(),
        "smoothed": np.convolve(rng.normal(size=steps + 60).cumsum(), np.hanning(61), "valid"),
        "offset": 1e6 + noise.cumsum(),
        "noise on an offset": 1e6 + noise,
        "tiny": 1e-8 * noise.cumsum(),
        "rare counts": rng.poisson(0.05, size=steps).astype(float),
        "counts": rng.poisson(0.4, size=steps).astype(float),
    }


@pytest.mark.parametrize("regression", TERMS)
@pytest.mark.parametrize("steps", [200, 1000])
def test_ill_conditioned_series_keep_eight_digits(regression, steps):
    series = np.stack(list(ill_conditioned(steps).values()))
    found = adf(series, regression=regression)
    expected = [
        t_in_long_arithmetic(row, TERMS[regression], lags)
        for row, lags in zip(series, found.lags, strict=True)
    ]
    np.testing.assert_allclose(found.statistic, expected, rtol=0, atol=1e-8)


def test_ill_conditioned_series_have_the_lags_of_statsmodels():
    held = ill_conditioned(200)
    held["tiny"] = 1e8 * held["tiny"]  # statsmodels takes so small a level for none
    expected = by_statsmodels(held.values())
    found = adf(np.stack(list(ill_conditioned(200).values())))
    np.testing.assert_array_equal(found.lags, expected.lags)
    np.testing.assert_allclose(found.statistic, expected.statistic, rtol=0, atol=1e-6)
