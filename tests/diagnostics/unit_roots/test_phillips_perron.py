import numpy as np
import pytest
import torch
from diagnostics.unit_roots.draws import assert_same, assorted, by_arch

from darts_mim.diagnostics.unit_roots.phillips_perron import phillips_perron
from darts_mim.errors import TooShortError


@pytest.mark.parametrize("regression", ["n", "c", "ct"])
@pytest.mark.parametrize("test_type", ["tau", "rho"])
@pytest.mark.parametrize("lags", [None, 0, 5, 49])
def test_it_is_that_of_arch(regression, test_type, lags):
    for steps in (50, 365, 2000):
        series = assorted(7, steps, seed=0)
        expected = by_arch(series, trend=regression, test_type=test_type, lags=lags)
        found = phillips_perron(series, regression=regression, test_type=test_type, lags=lags)
        assert_same(found, expected)


@pytest.mark.parametrize("regression", ["n", "c", "ct"])
@pytest.mark.parametrize("steps", [8, 9, 15])
def test_few_steps(regression, steps):
    series = np.random.default_rng(steps).normal(size=(5, steps))
    assert_same(phillips_perron(series, regression=regression), by_arch(series, trend=regression))


@pytest.mark.parametrize("regression", ["n", "c", "ct"])
@pytest.mark.parametrize("test_type", ["tau", "rho"])
def test_hard_series(regression, test_type):
    rng = np.random.default_rng(1)
    noise = rng.normal(size=400)
    # arch's own least squares lose digits on an offset, and take a tiny level for none
    series = np.stack([1e3 + noise, 1e6 + noise.cumsum(), 1e-8 * noise, 1e-8 * noise.cumsum()])
    same = np.stack([1e3 + noise, 1e6 + noise.cumsum(), noise, noise.cumsum()])
    if regression != "n":
        same[:2] -= [[1e3], [1e6]]
    found = phillips_perron(series, regression=regression, test_type=test_type)
    assert_same(found, by_arch(same, trend=regression, test_type=test_type), tolerance=2e-8)
    for hard in (
        noise.cumsum().cumsum()[None],
        rng.poisson(0.05, size=(1, 400)),
        noise[None].astype(np.float32),
    ):
        expected = by_arch(hard, trend=regression, test_type=test_type)
        assert_same(phillips_perron(hard, regression=regression, test_type=test_type), expected)


@pytest.mark.parametrize("regression", ["n", "c", "ct"])
def test_cells_that_cannot_be_tested(regression):
    good = np.random.default_rng(2).normal(size=60)
    bad = [np.where(np.arange(60) == 7, np.nan, good), np.where(np.arange(60) == 7, -np.inf, good)]
    exact = (-1.0) ** np.arange(60)
    series = np.stack([good, *bad, np.full(60, 0.1), np.zeros(60), exact, good])
    found, alone = (
        phillips_perron(series, regression=regression),
        phillips_perron(good[None], regression=regression),
    )
    assert np.isnan(found.statistic[1:-1]).all() and np.isnan(found.pvalue[1:-1]).all()
    assert (found.lags[1:-1] == -1).all() and (found.n_obs[1:-1] == 0).all()
    for each, expected in zip(found, alone, strict=True):
        np.testing.assert_allclose(each[[0, -1]], expected[[0, 0]], rtol=1e-12)


@pytest.mark.parametrize("test_type", ["tau", "rho"])
def test_tensors_threads_and_blocks_change_nothing(monkeypatch, test_type):
    series = assorted(30, 90, seed=3)
    whole = phillips_perron(series, regression="ct", test_type=test_type)
    monkeypatch.setattr("darts_mim.diagnostics.unit_roots.blocks.VALUES", 400)
    for given, n_jobs in ((torch.from_numpy(series), 1), (series, 2)):
        found = phillips_perron(given, regression="ct", test_type=test_type, n_jobs=n_jobs)
        np.testing.assert_allclose(found.statistic, whole.statistic, rtol=0, atol=1e-10)


def test_a_true_null_hypothesis_is_rejected_as_often_as_is_said():
    walks = np.random.default_rng(4).normal(size=(3000, 400)).cumsum(1)
    assert np.mean(phillips_perron(walks).pvalue < 0.05) == pytest.approx(0.05, abs=0.015)


def test_what_cannot_be_asked():
    series = np.zeros((2, 10))
    with pytest.raises(ValueError, match=r"regression='ctt'; wanted one of 'n', 'c', 'ct'\."):
        phillips_perron(series, regression="ctt")
    with pytest.raises(ValueError, match=r"test_type='z'; wanted one of 'tau', 'rho'\."):
        phillips_perron(series, test_type="z")
    with pytest.raises(TooShortError, match=r"have 10 steps; lags=10 wants at least 11.*lags=9\."):
        phillips_perron(series, lags=10)
    with pytest.raises(TooShortError, match="have 4 steps; regression='ct' wants at least 5"):
        phillips_perron(series[:, :4], regression="ct")
