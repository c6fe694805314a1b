import numpy as np
import pytest
from metrics.fields import DIMS, SPACE, field, gappy

from darts_mim.metrics import ReleasedSharpness, SharpnessDifference, sharpness_released


def gradient_misses(forecast, truth):
    """Mathieu et al. (2016), cell by cell."""
    found = []
    for i in range(1, truth.shape[0]):
        for j in range(1, truth.shape[1]):
            if np.isnan([truth[i, j], truth[i - 1, j], truth[i, j - 1]]).any():
                continue
            sums = [abs(a[i, j] - a[i - 1, j]) + abs(a[i, j] - a[i, j - 1]) for a in (truth, forecast)]
            found.append(abs(sums[0] - sums[1]))
    return found


def test_sharpness_difference_equals_the_equation():
    forecast, truth = field(0), gappy()
    found = [
        miss for at in np.ndindex(6, 3, 2) for miss in gradient_misses(forecast.values[at], truth.values[at])
    ]
    score = SharpnessDifference(data_range=2)(forecast, truth, dims=DIMS)
    np.testing.assert_allclose(score, 10 * np.log10(4 / np.mean(found)), rtol=1e-12)
    assert SharpnessDifference(data_range=2).statistic(forecast, truth, DIMS).weight == len(found)


def largest_laplacian(frame, seen):
    """OpenCV's Laplacian of size 1 and convertScaleAbs, cell by cell, of (channel, row, column)."""
    bright = (frame.clip(0, 1) * 255).astype(np.uint8).astype(int)
    rows, columns = frame.shape[1:]
    largest = []
    for k, i, j in np.ndindex(frame.shape):
        near = [(abs(i - 1), j), (i + 1, j), (i, abs(j - 1)), (i, j + 1)]
        near = [(min(a, 2 * (rows - 1) - a), min(b, 2 * (columns - 1) - b)) for a, b in near]
        if seen[k, i, j] and all(seen[k, a, b] for a, b in near):
            largest.append(min(255, abs(sum(bright[k, a, b] for a, b in near) - 4 * bright[k, i, j])))
    return max(largest) if largest else None


@pytest.mark.parametrize("scale", [0.2, 0.4, 1.5])  # the last one is cut at 255
def test_released_sharpness_equals_a_loop(scale):
    forecast, truth = (scale * field(0)).astype(np.float32), gappy(dtype=np.float32)
    found = [largest_laplacian(forecast.values[at], truth.notnull().values[at]) for at in np.ndindex(6, 3)]
    found = [one for one in found if one is not None]
    assert len(found) == 17
    score = sharpness_released(forecast, truth, dims=("init_time", "lead_time", "channel", *SPACE))
    np.testing.assert_allclose(score, np.mean(found), rtol=1e-12)


def test_released_sharpness_of_frames_that_opencv_saw():
    """Figures of cv2 5.0: max(convertScaleAbs(Laplacian(uint8(255 * frame), CV_16S)))."""
    values = np.random.default_rng(0).random((7, 13, 17), np.float32)
    frames = field(0).isel(lead_time=0, channel=0, drop=True)
    frames = type(frames)(np.float32(0.3) * values, dims=("time", "y", "x"))
    score = sharpness_released(frames, frames, dims=SPACE)
    np.testing.assert_array_equal(score, [241, 230, 234, 206, 245, 232, 214])


def test_released_sharpness_in_other_units():
    forecast, truth = 0.25 * field(0), 0.25 * field(1)
    scaled = ReleasedSharpness(low=-8, high=24)
    np.testing.assert_array_equal(
        scaled(32 * forecast - 8, 32 * truth - 8, dims=DIMS), sharpness_released(forecast, truth, dims=DIMS)
    )


def test_a_blurred_forecast_is_less_sharp():
    truth = field(1)
    blurred = (truth + truth.roll(x=1) + truth.roll(y=1)) / 3
    sharper = truth + 0.1 * (truth - blurred)
    metric = SharpnessDifference(data_range=1)
    assert metric(blurred, truth, dims=DIMS) < metric(sharper, truth, dims=DIMS)
    scores = [sharpness_released(0.3 * one, truth, dims=DIMS) for one in (blurred, truth)]
    assert scores[0] < scores[1]


def test_a_range_is_positive():
    with pytest.raises(ValueError, match="data_range=0"):
        SharpnessDifference(data_range=0)
