import numpy as np
import pytest
import torch
from diagnostics.unit_roots.draws import (
    TERMS,
    assert_same,
    assorted,
    autoregression,
    by_statsmodels,
    t_in_long_arithmetic,
)

from darts_mim.diagnostics.unit_roots.adf import adf
from darts_mim.errors import TooShortError

REGRESSIONS = ["n", "c", "ct", "ctt"]
RULES = ["AIC", "BIC", "t-stat", None]


@pytest.mark.parametrize("regression", REGRESSIONS)
@pytest.mark.parametrize("autolag", RULES)
def test_it_is_that_of_statsmodels(regression, autolag):
    kwargs = {"regression": regression, "autolag": autolag}
    for steps, cells in ((50, 7), (301, 7)):
        series = assorted(cells, steps, seed=REGRESSIONS.index(regression))
        assert_same(adf(series, **kwargs), by_statsmodels(series, **kwargs))


@pytest.mark.slow
@pytest.mark.parametrize("regression", REGRESSIONS)
@pytest.mark.parametrize("autolag", RULES)
def test_it_is_that_of_statsmodels_for_200_series_of_all_lengths(regression, autolag):
    kwargs = {"regression": regression, "autolag": autolag}
    for steps, cells in ((50, 50), (101, 45), (365, 40), (1000, 35), (2000, 21), (5000, 9)):
        series = assorted(cells, steps, seed=10)
        found = adf(series, **kwargs)
        # statsmodels squares time in steps: of thousands, it keeps eight digits no more
        lost = regression == "ctt" and steps == 5000
        assert_same(found, by_statsmodels(series, **kwargs), tolerance=1e-7 if lost else 1e-8)
        pairs = zip(series, found.lags, strict=True)
        expected = [t_in_long_arithmetic(row, TERMS[regression], lags) for row, lags in pairs]
        np.testing.assert_allclose(found.statistic, expected, rtol=0, atol=1e-8)


@pytest.mark.parametrize("maxlag", [0, 1, 5, 23])
@pytest.mark.parametrize("autolag", RULES)
def test_the_greatest_lag_is_taken_as_given(maxlag, autolag):
    series = assorted(7, 50, seed=4)
    kwargs = {"maxlag": maxlag, "autolag": autolag}
    assert_same(adf(series, **kwargs), by_statsmodels(series, **kwargs))


@pytest.mark.parametrize("steps", [9, 15, 20])
@pytest.mark.parametrize("regression", ["c", "ct", "ctt"])
def test_few_steps(steps, regression):
    series = np.random.default_rng(steps).normal(size=(5, steps))
    expected = by_statsmodels(series, regression=regression, autolag="BIC")
    assert_same(adf(series, regression=regression, autolag="BIC"), expected)


def test_single_precision_is_computed_in_double():
    series = (assorted(7, 200, seed=7) + 1000).astype(np.float32)
    assert_same(adf(series), by_statsmodels(series))


@pytest.mark.parametrize("regression", REGRESSIONS)
def test_cells_that_cannot_be_tested(regression):
    time = np.arange(60.0)
    good = np.random.default_rng(8).normal(size=60)
    bad = {
        "gap": np.where(time == 7, np.nan, good),
        "infinite": np.where(time == 7, np.inf, good),
        "constant": np.full(60, 0.1),
        "zero": np.zeros(60),
        "alternates": (-1.0) ** time,
        "season": np.sin(2 * np.pi * time / 12),
    }
    found = adf(np.stack([good, *bad.values(), good]), regression=regression)
    assert np.isnan(found.statistic[1:-1]).all() and np.isnan(found.pvalue[1:-1]).all()
    assert (found.lags[1:-1] == -1).all() and (found.n_obs[1:-1] == 0).all()
    alone = adf(good[None], regression=regression)
    for each, expected in zip(found, alone, strict=True):
        np.testing.assert_allclose(each[[0, -1]], expected[[0, 0]], rtol=1e-12)


def test_a_line_explains_itself_but_for_the_regression_without_terms():
    line = 3.0 + 0.1 * np.arange(50)[None]
    for regression in ("c", "ct", "ctt"):
        assert np.isnan(adf(line, regression=regression).statistic).all()


def test_short_series_whose_regression_would_be_exact_with_all_lags():
    series = np.random.default_rng(9).normal(size=(4, 20))
    found = adf(series, regression="n")  # 10 rows, 10 parameters with 9 lags
    assert np.isfinite(found.statistic).all() and (found.lags < 9).all()
    assert np.isnan(adf(series, regression="n", maxlag=9, autolag=None).statistic).all()


@pytest.mark.parametrize("regression", REGRESSIONS)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_tensors(regression, dtype):
    series = torch.from_numpy(assorted(9, 150, seed=11)).to(dtype)
    smooth = np.convolve(np.random.default_rng(12).normal(size=210).cumsum(), np.hanning(61), "valid")
    series = torch.cat([series, torch.from_numpy(smooth[None]).to(dtype)])  # set up in full
    found, expected = adf(series, regression=regression), adf(series.numpy(), regression=regression)
    assert all(isinstance(each, np.ndarray) for each in found)
    np.testing.assert_array_equal(found.lags, expected.lags)
    np.testing.assert_allclose(found.statistic, expected.statistic, rtol=0, atol=1e-10)


@pytest.mark.parametrize("n_jobs", [1, 2, 3])
def test_threads_and_blocks_change_nothing(monkeypatch, n_jobs):
    series = assorted(50, 60, seed=12)
    whole = adf(series)
    monkeypatch.setattr("darts_mim.diagnostics.unit_roots.adf.CELLS", 7)
    monkeypatch.setattr("darts_mim.diagnostics.unit_roots.blocks.VALUES", 150)
    found = adf(series, n_jobs=n_jobs)
    np.testing.assert_array_equal(found.lags, whole.lags)
    np.testing.assert_allclose(found.statistic, whole.statistic, rtol=1e-11)


def test_no_cells():
    found = adf(np.zeros((0, 50)))
    assert [each.shape for each in found] == [(0,)] * 4


def test_a_true_null_hypothesis_is_rejected_as_often_as_is_said():
    walks = np.random.default_rng(13).normal(size=(4000, 200)).cumsum(1)
    assert np.mean(adf(walks).pvalue < 0.05) == pytest.approx(0.05, abs=0.015)


def test_as_many_rejections_as_statsmodels():
    series = autoregression(0.9, np.random.default_rng(14).normal(size=(200, 500)))
    expected = by_statsmodels(series, maxlag=4)
    found = adf(series, maxlag=4)
    assert 0.9 < np.mean(found.pvalue < 0.05) <= 1
    np.testing.assert_array_equal(found.pvalue < 0.05, expected.pvalue < 0.05)


@pytest.mark.parametrize(
    ("kwargs", "said"),
    [
        ({"regression": "ctc"}, r"regression='ctc'; wanted one of 'n', 'c', 'ct', 'ctt'\."),
        ({"regression": ["c"]}, "wanted one of 'n'"),
        ({"autolag": "aic"}, r"autolag='aic'; wanted one of 'AIC', 'BIC', 't-stat', None\."),
        ({"maxlag": -1}, "maxlag=-1; wanted an integer that is not negative"),
        ({"maxlag": 2.5}, "maxlag=2.5; wanted an integer"),
        ({"n_jobs": 0}, "n_jobs=0; wanted 1 or more"),
    ],
)
def test_arguments_that_are_no_choice(kwargs, said):
    with pytest.raises(ValueError, match=said):
        adf(np.zeros((2, 50)), **kwargs)


def test_series_that_are_none():
    with pytest.raises(ValueError, match=r"shape \(50,\); wanted \(cell, time\).*series\[None\]"):
        adf(np.zeros(50))
    with pytest.raises(ValueError, match="complex128; wanted real numbers"):
        adf(np.zeros((2, 50), dtype=complex))
    with pytest.raises(ValueError, match="complex64; wanted real numbers"):
        adf(torch.zeros((2, 50), dtype=torch.complex64))


def test_too_few_steps():
    with pytest.raises(TooShortError, match="have 5 steps; the regression wants at least 6"):
        adf(np.zeros((2, 5)), regression="ct")
    with pytest.raises(TooShortError, match=r"have 50 steps; maxlag=24 wants at least 52.*maxlag=23\."):
        adf(np.zeros((2, 50)), maxlag=24)
