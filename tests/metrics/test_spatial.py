import numpy as np
import pytest
import scores.spatial
from metrics.fields import DIMS, SPACE, field, gappy

from darts_mim.metrics import CriticalSuccessIndex, FractionsSkillScore


def by_loop(forecast, truth, threshold, scale):
    """Roberts and Lean (2008), eqs. 2-7, one neighbourhood after the other."""
    half, difference, most = scale // 2, 0.0, 0.0
    for i, j in np.ndindex(truth.shape):
        if np.isnan(truth[i, j]):
            continue
        here = slice(max(0, i - half), i + half + 1), slice(max(0, j - half), j + half + 1)
        seen = ~np.isnan(truth[here])
        near, real = (((a[here] >= threshold) & seen).sum() / scale**2 for a in (forecast, truth))
        difference += (near - real) ** 2
        most += near**2 + real**2
    return difference, most


@pytest.mark.parametrize("scale", [1, 3, 7, 15])
def test_equals_a_loop(scale):
    forecast, truth = field(0), gappy()
    sums = [by_loop(forecast.values[at], truth.values[at], 0.7, scale) for at in np.ndindex(6, 3, 2)]
    difference, most = np.sum(sums, axis=0)
    score = FractionsSkillScore(threshold=0.7, scale=scale)(forecast, truth, dims=DIMS)
    np.testing.assert_allclose(score, 1 - difference / most, rtol=1e-12)


@pytest.mark.parametrize("scale", [3, 7])
def test_inner_neighbourhoods_equal_those_of_scores(scale):
    """scores leaves out neighbourhoods that reach over the edge: so do fields with nothing near it."""
    margin = scale - 1
    forecast, truth = (
        one.where((np.arange(12)[:, None] - 5.5) ** 2 + (np.arange(14) - 6.5) ** 2 < 30, 0).pad(
            y=margin, x=margin, constant_values=0
        )
        for one in (field(0).drop_vars("y"), field(1).drop_vars("y"))
    )
    expected = scores.spatial.fss_2d(
        forecast,
        truth,
        event_threshold=0.7,
        window_size=(scale, scale),
        spatial_dims=SPACE,
        preserve_dims=["lead_time"],
        threshold_operator=np.greater_equal,
    )
    by_lead = [dim for dim in DIMS if dim != "lead_time"]
    score = FractionsSkillScore(threshold=0.7, scale=scale)(forecast, truth, dims=by_lead)
    np.testing.assert_allclose(score, expected, rtol=1e-9)


def test_cell_by_cell_it_is_dice():
    forecast, truth = field(0), gappy()
    csi = CriticalSuccessIndex(threshold=0.6)(forecast, truth, dims=DIMS)
    score = FractionsSkillScore(threshold=0.6, scale=1)(forecast, truth, dims=DIMS)
    np.testing.assert_allclose(score, 2 * csi / (1 + csi), rtol=1e-12)


def test_a_float32_threshold_is_met():
    truth = (0 * field(1) + 0.7).astype(np.float32)
    assert FractionsSkillScore(threshold=0.7, scale=3)(truth, truth, dims=DIMS) == 1
    assert FractionsSkillScore(threshold=0.71, scale=3)(truth, truth, dims=DIMS).isnull()


@pytest.mark.parametrize("scale", [0, 2, -3, 2.5])
def test_a_scale_has_a_centre(scale):
    with pytest.raises(ValueError, match="Pass an odd number"):
        FractionsSkillScore(threshold=1, scale=scale)
