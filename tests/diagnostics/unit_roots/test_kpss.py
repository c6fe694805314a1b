import numpy as np
import pytest
import torch
from diagnostics.unit_roots.draws import assert_same, assorted, by_statsmodels_kpss

from darts_mim.diagnostics.unit_roots.kpss import kpss
from darts_mim.errors import TooShortError


@pytest.mark.parametrize("regression", ["c", "ct"])
@pytest.mark.parametrize("nlags", ["auto", "legacy", 0, 7, 49])
def test_it_is_that_of_statsmodels(regression, nlags):
    for steps in (50, 365, 5000):
        series = assorted(21, steps, seed=0)
        expected = by_statsmodels_kpss(series, regression=regression, nlags=nlags)
        assert_same(kpss(series, regression=regression, nlags=nlags), expected)


@pytest.mark.parametrize("regression", ["c", "ct"])
@pytest.mark.parametrize("steps", [3, 4, 9])
def test_few_steps(regression, steps):
    series = np.random.default_rng(steps).normal(size=(5, steps))
    assert_same(kpss(series, regression=regression), by_statsmodels_kpss(series, regression=regression))


@pytest.mark.parametrize("regression", ["c", "ct"])
def test_hard_series(regression):
    rng, time = np.random.default_rng(1), np.arange(400)
    noise = rng.normal(size=400)
    series = np.stack(
        [
            1e6 + noise,
            1e-8 * noise,
            0.01 * time + np.sin(2 * np.pi * time / 37) + 1e-6 * noise,
            noise.cumsum().cumsum(),
            rng.poisson(0.05, size=400),
        ]
    )
    for given in (series, series.astype(np.float32)):
        assert_same(kpss(given, regression=regression), by_statsmodels_kpss(given, regression=regression))


def test_cells_that_cannot_be_tested():
    good = np.random.default_rng(2).normal(size=60)
    bad = [np.where(np.arange(60) == 7, np.nan, good), np.where(np.arange(60) == 7, -np.inf, good)]
    series = np.stack([good, *bad, np.full(60, 0.1), np.zeros(60), good])
    for nlags in ("auto", "legacy"):
        found, alone = kpss(series, nlags=nlags), kpss(good[None], nlags=nlags)
        assert np.isnan(found.statistic[1:-1]).all() and np.isnan(found.pvalue[1:-1]).all()
        assert (found.lags[1:-1] == -1).all() and (found.n_obs[1:-1] == 0).all()
        for each, expected in zip(found, alone, strict=True):
            np.testing.assert_allclose(each[[0, -1]], expected[[0, 0]], rtol=1e-12)
    line = 5 + 0.3 * np.arange(60)[None]
    assert np.isnan(kpss(line, regression="ct").statistic).all()
    assert np.isfinite(kpss(line, regression="c").statistic).all()


@pytest.mark.parametrize("nlags", ["auto", "legacy"])
def test_tensors_threads_and_blocks_change_nothing(monkeypatch, nlags):
    series = assorted(30, 90, seed=3)
    whole = kpss(series, nlags=nlags)
    monkeypatch.setattr("darts_mim.diagnostics.unit_roots.blocks.VALUES", 400)
    for found in (kpss(torch.from_numpy(series), nlags=nlags), kpss(series, nlags=nlags, n_jobs=2)):
        np.testing.assert_array_equal(found.lags, whole.lags)
        np.testing.assert_allclose(found.statistic, whole.statistic, rtol=0, atol=1e-10)


def test_a_true_null_hypothesis_is_rejected_as_often_as_is_said():
    noise = np.random.default_rng(4).normal(size=(3000, 200))
    assert np.mean(kpss(noise).pvalue < 0.05) == pytest.approx(0.05, abs=0.015)


def test_what_cannot_be_asked():
    series = np.zeros((2, 10))
    with pytest.raises(ValueError, match=r"regression='n'; wanted one of 'c', 'ct'\."):
        kpss(series, regression="n")
    with pytest.raises(ValueError, match=r"nlags='schwert'; wanted one of 'auto', 'legacy'"):
        kpss(series, nlags="schwert")
    with pytest.raises(ValueError, match="nlags=-1; wanted an integer that is not negative"):
        kpss(series, nlags=-1)
    with pytest.raises(TooShortError, match=r"have 10 steps; nlags=10 wants at least 11.*nlags=9\."):
        kpss(series, nlags=10)
    with pytest.raises(TooShortError, match="have 2 steps; regression='ct' wants at least 3"):
        kpss(series[:, :2], regression="ct")
