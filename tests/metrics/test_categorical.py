import numpy as np
import pytest
import scores.categorical
import sklearn.metrics
import xarray as xr
from metrics.fields import DIMS, field, gappy

from darts_mim.metrics import (
    CriticalSuccessIndex,
    FalseAlarmRatio,
    FrequencyBias,
    HeidkeSkillScore,
    ProbabilityOfDetection,
    latitude_weights,
)

ALL = [CriticalSuccessIndex, ProbabilityOfDetection, FalseAlarmRatio, HeidkeSkillScore, FrequencyBias]
SKLEARN = {
    "csi": sklearn.metrics.jaccard_score,
    "pod": sklearn.metrics.recall_score,
    "far": lambda truth, forecast: 1 - sklearn.metrics.precision_score(truth, forecast),
    "hss": sklearn.metrics.cohen_kappa_score,
    "frequency_bias": lambda truth, forecast: forecast.sum() / truth.sum(),
}
IN_SCORES = {
    "csi": "critical_success_index",
    "pod": "probability_of_detection",
    "far": "false_alarm_ratio",
    "hss": "heidke_skill_score",
    "frequency_bias": "frequency_bias",
}


@pytest.mark.parametrize("metric", ALL)
@pytest.mark.parametrize("threshold", [0.3, 0.5, 0.8])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_equals_scikit_learn(metric, threshold, dtype):
    forecast, truth = field(0, dtype=dtype), gappy(dtype=dtype)
    seen = truth.notnull().values
    expected = SKLEARN[metric.name](truth.values[seen] >= threshold, forecast.values[seen] >= threshold)
    score = metric(threshold=threshold)(forecast, truth, dims=DIMS)
    np.testing.assert_allclose(score, expected, rtol=1e-12)


@pytest.mark.parametrize("metric", ALL)
def test_equals_scores_by_lead(metric):
    forecast, truth = field(0), gappy()
    counts = scores.categorical.BinaryContingencyManager(
        (forecast >= 0.6).where(truth.notnull()).astype(float), (truth >= 0.6).where(truth.notnull())
    ).transform(preserve_dims=["lead_time"])
    score = metric(threshold=0.6)(forecast, truth, dims=[dim for dim in DIMS if dim != "lead_time"])
    np.testing.assert_allclose(score, getattr(counts, IN_SCORES[metric.name])(), rtol=1e-12)


@pytest.mark.parametrize("metric", ALL)
def test_weights_are_those_of_scikit_learn(metric):
    if metric is FrequencyBias:
        pytest.skip("not in scikit-learn")
    forecast, truth = field(0), gappy()
    weights = latitude_weights(truth.y)
    seen = truth.notnull().values
    ours = metric(threshold=0.6, weights=weights)(forecast, truth, dims=DIMS)
    events = [(one.values[seen] >= 0.6) for one in (truth, forecast)]
    spread = weights.broadcast_like(truth).transpose(*DIMS).values[seen]
    if metric is FalseAlarmRatio:
        expected = 1 - sklearn.metrics.precision_score(*events, sample_weight=spread)
    else:
        expected = SKLEARN[metric.name](*events, sample_weight=spread)
    np.testing.assert_allclose(ours, expected, rtol=1e-12)


@pytest.mark.parametrize("metric", ALL)
def test_no_event_at_all_is_nan(metric):
    assert metric(threshold=5)(field(0), field(1), dims=DIMS).isnull()


def test_a_threshold_counts_as_an_event_in_any_number_type():
    for dtype in (np.float32, np.float64, np.uint8):
        truth = xr.DataArray(np.array([0.7, 30, 31]).astype(dtype), dims="x")
        assert CriticalSuccessIndex(threshold=30)(truth, truth, dims="x") == 1
        assert FrequencyBias(threshold=30)(truth, truth.clip(max=30), dims="x") == 1
        if dtype != np.uint8:
            assert FrequencyBias(threshold=0.7)(truth + 50, truth, dims="x") == 1


def test_papers_way_to_name_them():
    metric = CriticalSuccessIndex(threshold=30)
    assert metric.name == "csi_30" and metric.title.endswith("at least 30")
    assert repr(CriticalSuccessIndex(threshold=0.1)) == "csi_0.1"
