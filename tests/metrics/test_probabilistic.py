import numpy as np
import pytest
import scores.probability
import scoringrules
import xarray as xr
from metrics.fields import DIMS, SPACE, field, gappy

from darts_mim.errors import GridMismatchError
from darts_mim.metrics import (
    ContinuousRankedProbabilityScore,
    IntervalCoverage,
    crps,
    crps_fair,
    latitude_weights,
    mae,
    rank_histogram,
    spread_skill,
)

SAMPLES = field(0, samples=7)


def seen_cells():
    truth = gappy()
    seen = truth.notnull().values
    return truth, truth.values[seen], SAMPLES.values[:, seen]


@pytest.mark.parametrize(("metric", "estimator"), [(crps, "nrg"), (crps_fair, "fair")])
def test_crps_equals_scoringrules(metric, estimator):
    truth, real, samples = seen_cells()
    expected = scoringrules.crps_ensemble(real, samples, m_axis=0, estimator=estimator).mean()
    np.testing.assert_allclose(metric(SAMPLES, truth, dims=DIMS), expected, rtol=1e-11)


@pytest.mark.parametrize(("metric", "method"), [(crps, "ecdf"), (crps_fair, "fair")])
def test_crps_equals_scores_by_lead(metric, method):
    truth = gappy()
    by_lead = [dim for dim in DIMS if dim != "lead_time"]
    expected = scores.probability.crps_for_ensemble(
        SAMPLES, truth, "realization", method=method, preserve_dims=["lead_time"]
    )
    np.testing.assert_allclose(metric(SAMPLES, truth, dims=by_lead), expected, rtol=1e-11)


def test_crps_of_one_sample_is_the_absolute_error():
    one = SAMPLES.isel(realization=[0])
    expected = mae(one[0], gappy(), dims=DIMS)
    np.testing.assert_allclose(crps(one, gappy(), dims=DIMS), expected, rtol=1e-12)


def test_crps_weights():
    weights = latitude_weights(SAMPLES.y)
    each = crps(SAMPLES, field(1), dims=[dim for dim in DIMS if dim != "y"])
    score = ContinuousRankedProbabilityScore(weights=weights)(SAMPLES, field(1), dims=DIMS)
    np.testing.assert_allclose(score, each.weighted(weights).mean(), rtol=1e-12)


def test_spread_skill_equals_fortin():
    truth, real, samples = seen_cells()
    spread = np.sqrt(np.var(samples, axis=0, ddof=1).mean())
    error = np.sqrt(((samples.mean(0) - real) ** 2).mean())
    expected = np.sqrt(8 / 7) * spread / error
    np.testing.assert_allclose(spread_skill(SAMPLES, truth, dims=DIMS), expected, rtol=1e-12)


def gaussian(seed, n):
    """Truth and samples from one distribution, whose mean changes from cell to cell."""
    rng = np.random.default_rng(seed)
    values = rng.normal(size=(1, 200, 300)) + rng.normal(size=(n + 1, 200, 300))
    return xr.DataArray(values[1:], dims=("realization", "y", "x")), xr.DataArray(values[0], dims=("y", "x"))


def test_reliable_samples_score_as_they_should():
    samples, truth = gaussian(0, 9)
    np.testing.assert_allclose(spread_skill(samples, truth, dims=SPACE), 1, atol=0.01)
    np.testing.assert_allclose(rank_histogram(samples, truth, dims=SPACE), 0.1, atol=0.005)
    coverage = IntervalCoverage(level=0.75)(samples, truth, dims=SPACE)
    np.testing.assert_allclose(coverage, 0.75 * 8 / 10, atol=0.01)


def test_coverage_equals_a_loop():
    truth, real, samples = seen_cells()
    low, high = np.percentile(samples, [10, 90], axis=0)
    expected = np.mean([a <= y <= b for a, y, b in zip(low, real, high, strict=True)])
    score = IntervalCoverage(level=0.8)(SAMPLES, truth, dims=DIMS)
    np.testing.assert_allclose(score, expected, rtol=1e-12)


def test_rank_histogram_equals_scores():
    truth = gappy().round(1)
    samples = SAMPLES.round(1)  # so that many are equal to the truth
    expected = scores.probability.rank_histogram(samples, truth, "realization", preserve_dims=["channel"])
    score = rank_histogram(samples, truth, dims=[dim for dim in DIMS if dim != "channel"])
    np.testing.assert_allclose(score, expected.transpose("rank", "channel"), rtol=1e-12)
    np.testing.assert_allclose(score.sum("rank"), 1)
    assert score["rank"].values.tolist() == list(range(8))


@pytest.mark.parametrize("metric", [crps_fair, spread_skill], ids=str)
def test_too_few_samples_is_an_error(metric):
    with pytest.raises(GridMismatchError, match=r"1 samples came; .* wants 2"):
        metric(SAMPLES.isel(realization=[0]), field(1), dims=DIMS)


@pytest.mark.parametrize("level", [0, 1, 90])
def test_a_level_is_a_share(level):
    with pytest.raises(ValueError, match=f"level={level}"):
        IntervalCoverage(level=level)
