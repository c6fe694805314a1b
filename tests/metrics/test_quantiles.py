import numpy as np
import pytest
import scores.continuous
import scoringrules
import xarray as xr
from metrics.fields import DIMS, LEVELS, SPACE, field, gappy

from darts_mim.errors import GridMismatchError
from darts_mim.metrics import (
    IntervalCoverage,
    QuantileScore,
    Reliability,
    WeightedIntervalScore,
    crps,
    latitude_weights,
    mae,
    mse,
    wis,
)

QUANTILES = field(0, levels=LEVELS)


@pytest.mark.parametrize("level", LEVELS)
def test_quantile_score_equals_scores_and_scoringrules(level):
    truth, quantile = gappy(), QUANTILES.sel(quantile=level, drop=True)
    by_lead = [dim for dim in DIMS if dim != "lead_time"]
    score = QuantileScore(level=level)(QUANTILES, truth, dims=by_lead)
    expected = scores.continuous.quantile_score(quantile, truth, level, preserve_dims=["lead_time"])
    np.testing.assert_allclose(score, expected, rtol=1e-12)
    seen = truth.notnull().values
    each = scoringrules.quantile_score(truth.values[seen], quantile.values[seen], level)
    score = QuantileScore(level=level)(QUANTILES, truth, dims=DIMS)
    np.testing.assert_allclose(score, each.mean(), rtol=1e-12)


def test_wis_equals_scoringrules():
    truth = gappy()
    seen = truth.notnull().values
    low25, low10 = (QUANTILES.sel(quantile=p).values[seen] for p in (0.25, 0.1))
    high25, high10 = (QUANTILES.sel(quantile=p).values[seen] for p in (0.75, 0.9))
    expected = scoringrules.weighted_interval_score(
        truth.values[seen],
        QUANTILES.sel(quantile=0.5).values[seen],
        np.stack([low10, low25], -1),
        np.stack([high10, high25], -1),
        np.array([0.2, 0.5]),
    )
    np.testing.assert_allclose(wis(QUANTILES, truth, dims=DIMS), expected.mean(), rtol=1e-12)


def test_wis_is_twice_the_mean_quantile_score():
    each = [QuantileScore(level=level)(QUANTILES, gappy(), dims=SPACE) for level in LEVELS]
    np.testing.assert_allclose(wis(QUANTILES, gappy(), dims=SPACE), 2 * sum(each) / len(LEVELS), rtol=1e-12)


def test_wis_of_the_median_is_the_absolute_error():
    median = QUANTILES.sel(quantile=[0.5])
    expected = mae(median.isel(quantile=0, drop=True), gappy(), dims=DIMS)
    np.testing.assert_allclose(wis(median, gappy(), dims=DIMS), expected, rtol=1e-12)


def test_wis_of_many_levels_is_the_crps():
    """Of a uniform forecast on [0, 1], whose CRPS at y is y^2 - y + 1/3; from above."""
    truth = xr.DataArray(np.linspace(0, 1, 21), dims="x")
    exact = float((truth**2 - truth + 1 / 3).mean())
    above = []
    for n in (9, 99, 999):
        levels = np.arange(1, n + 1) / (n + 1)
        forecast = xr.DataArray(levels, {"quantile": levels}, "quantile").expand_dims(x=21)
        above.append(wis(forecast, truth, dims="x").item() - exact)
    assert above[0] > above[1] > above[2] > 0 and above[2] < 1e-3
    samples = xr.DataArray((np.arange(2000) + 0.5) / 2000, dims="realization").expand_dims(x=21)
    np.testing.assert_allclose(crps(samples, truth, dims="x"), exact, atol=1e-6)


def test_reliability_equals_a_loop():
    truth = gappy().round(1)
    quantiles = QUANTILES.round(1)  # so that many are equal to the truth
    for level in LEVELS:
        pairs = zip(truth.values.ravel(), quantiles.sel(quantile=level).values.ravel(), strict=True)
        at_or_below = [y <= q for y, q in pairs if not np.isnan(y)]
        score = Reliability(level=level)(quantiles, truth, dims=DIMS)
        np.testing.assert_allclose(score, np.mean(at_or_below), rtol=1e-12)
        assert Reliability(level=level).perfect == level


def test_coverage_is_between_its_two_quantiles():
    truth, expected = gappy(), []
    low, high = (QUANTILES.sel(quantile=p).values.ravel() for p in (0.1, 0.9))
    for a, y, b in zip(low, truth.values.ravel(), high, strict=True):
        expected += [] if np.isnan(y) else [a <= y <= b]
    score = IntervalCoverage(level=0.8)(QUANTILES, truth, dims=DIMS)
    np.testing.assert_allclose(score, np.mean(expected), rtol=1e-12)


@pytest.mark.parametrize("metric", [QuantileScore, Reliability], ids=lambda metric: metric.name)
def test_of_samples_their_quantiles_are_scored(metric):
    samples = field(0, samples=7)
    quantiles = samples.quantile([0.1, 0.9], dim="realization")
    expected = metric(level=0.9)(quantiles, gappy(), dims=DIMS)
    np.testing.assert_allclose(metric(level=0.9)(samples, gappy(), dims=DIMS), expected, rtol=1e-12)


def test_reliable_quantiles_score_as_they_should():
    rng = np.random.default_rng(0)
    centre = rng.normal(size=(200, 300))
    truth = xr.DataArray(centre + rng.random((200, 300)), dims=("y", "x"))
    levels = xr.DataArray([0.1, 0.5, 0.9], dims="quantile")
    forecast = (truth.copy(data=centre) + levels).assign_coords(quantile=levels)
    for level in (0.1, 0.5, 0.9):
        np.testing.assert_allclose(Reliability(level=level)(forecast, truth, dims=SPACE), level, atol=0.005)
    np.testing.assert_allclose(IntervalCoverage(level=0.8)(forecast, truth, dims=SPACE), 0.8, atol=0.005)


def test_weights():
    weights = latitude_weights(QUANTILES.y)
    each = wis(QUANTILES, field(1), dims=[dim for dim in DIMS if dim != "y"])
    score = WeightedIntervalScore(weights=weights)(QUANTILES, field(1), dims=DIMS)
    np.testing.assert_allclose(score, each.weighted(weights).mean(), rtol=1e-12)


def test_levels_in_float32_are_found():
    forecast = QUANTILES.assign_coords(quantile=np.array(LEVELS, dtype=np.float32))
    expected = QuantileScore(level=0.1)(QUANTILES, gappy(), dims=DIMS)
    np.testing.assert_allclose(QuantileScore(level=0.1)(forecast, gappy(), dims=DIMS), expected, rtol=1e-12)


@pytest.mark.parametrize(
    "metric", [QuantileScore(level=0.3), Reliability(level=0.3), IntervalCoverage(level=0.4)]
)
def test_a_level_that_is_not_forecast_is_an_error(metric):
    with pytest.raises(GridMismatchError, match=r"levels \[0.1, 0.25, 0.5, 0.75, 0.9\]; 0.3 is wanted"):
        metric(QUANTILES, gappy(), dims=DIMS)


def test_quantiles_are_no_samples():
    with pytest.raises(GridMismatchError, match="scores samples"):
        crps(QUANTILES, gappy(), dims=DIMS)
    with pytest.raises(GridMismatchError, match="quantile"):
        mse(QUANTILES, gappy(), dims=DIMS)


@pytest.mark.parametrize("level", [0, 1, 90])
@pytest.mark.parametrize("metric", [QuantileScore, Reliability])
def test_a_level_is_a_share(metric, level):
    with pytest.raises(ValueError, match=f"level={level}"):
        metric(level=level)
