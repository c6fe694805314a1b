import numpy as np
import pytest
import torch
from metrics.fields import DIMS, SPACE, field, gappy
from skimage.metrics import peak_signal_noise_ratio, structural_similarity
from torchmetrics.functional.image import structural_similarity_index_measure

from darts_mim.metrics import (
    OpenSTLPeakSignalToNoiseRatio,
    OpenSTLStructuralSimilarity,
    PeakSignalToNoiseRatio,
    StructuralSimilarity,
    psnr_openstl,
    ssim_openstl,
)

SSIM = StructuralSimilarity(data_range=1)


def window_by_window(forecast, truth, kernel, *, data_range, samples=False):
    """Wang et al. (2004), eq. 13, one window after the other; those with a NaN are left out."""
    size, n = len(kernel), kernel.size
    c1, c2 = (0.01 * data_range) ** 2, (0.03 * data_range) ** 2
    found = []
    for row in range(truth.shape[0] - size + 1):
        for column in range(truth.shape[1] - size + 1):
            here = slice(row, row + size), slice(column, column + size)
            x, y = forecast[here], truth[here]
            if np.isnan(y).any():
                continue
            mx, my = (kernel * x).sum(), (kernel * y).sum()
            scale = n / (n - 1) if samples else 1
            vx, vy = scale * (kernel * (x - mx) ** 2).sum(), scale * (kernel * (y - my) ** 2).sum()
            both = scale * (kernel * (x - mx) * (y - my)).sum()
            found.append((2 * mx * my + c1) * (2 * both + c2) / ((mx**2 + my**2 + c1) * (vx + vy + c2)))
    return found


def gauss():
    bell = np.exp(-(np.arange(-5, 6) ** 2) / (2 * 1.5**2))
    return np.outer(bell, bell) / bell.sum() ** 2


def test_ssim_equals_torchmetrics():
    forecast, truth = field(0), field(1)
    stacks = [torch.from_numpy(one.values.reshape(-1, 1, 12, 14)) for one in (forecast, truth)]
    expected = structural_similarity_index_measure(
        *stacks, data_range=2.5, sigma=1.5, kernel_size=11, return_full_image=True, reduction="none"
    )[1]
    expected = expected[:, 0, 5:-5, 5:-5].mean((1, 2)).numpy().reshape(6, 3, 2)
    score = StructuralSimilarity(data_range=2.5)(forecast, truth, dims=SPACE)
    np.testing.assert_allclose(score, expected, rtol=1e-7)  # its kernel is float32


@pytest.mark.parametrize(
    ("metric", "kernel", "options"),
    [
        (SSIM, gauss(), {"data_range": 1}),
        (ssim_openstl, np.full((7, 7), 1 / 49), {"data_range": 2, "samples": True}),
    ],
)
def test_ssim_counts_windows_that_were_wholly_observed(metric, kernel, options):
    forecast, truth = field(0), gappy()
    truth = truth.where(np.arange(14) > 0)  # a column that is never observed
    found = []
    for i, j, k in np.ndindex(6, 3, 2):
        found += window_by_window(forecast.values[i, j, k], truth.values[i, j, k], kernel, **options)
    assert metric.statistic(forecast, truth, DIMS).weight == len(found)
    np.testing.assert_allclose(metric(forecast, truth, dims=DIMS), np.mean(found), rtol=1e-10)


def test_ssim_openstl_equals_its_program():
    forecast, truth = 1.4 * field(0) - 0.2, field(1)
    near, seen = forecast.values.clip(0, 1), truth.values
    expected = np.mean(
        [
            structural_similarity(
                near[i, j].swapaxes(0, 2), seen[i, j].swapaxes(0, 2), channel_axis=-1, data_range=2
            )
            for i, j in np.ndindex(6, 3)
        ]
    )
    np.testing.assert_allclose(ssim_openstl(forecast, truth, dims=DIMS), expected, rtol=1e-12)
    in_units = OpenSTLStructuralSimilarity(low=-10, high=30)
    score = in_units(40 * forecast - 10, 40 * truth - 10, dims=DIMS)
    np.testing.assert_allclose(score, expected, rtol=1e-9)


def test_psnr_openstl_equals_its_program():
    forecast, truth = 1.4 * field(0) - 0.2, field(1)
    error = ((forecast.values.clip(0, 1) - truth.values) ** 2).mean((2, 3, 4))
    expected = np.mean(20 * np.log10(1 / np.sqrt(error)))
    np.testing.assert_allclose(psnr_openstl(forecast, truth, dims=DIMS), expected, rtol=1e-12)
    by_channel = psnr_openstl(forecast, truth, dims=("init_time", "lead_time", *SPACE))
    np.testing.assert_allclose(by_channel, [expected, expected], rtol=1e-12)
    in_units = OpenSTLPeakSignalToNoiseRatio(low=-10, high=30)
    score = in_units(40 * forecast - 10, 40 * truth - 10, dims=DIMS)
    np.testing.assert_allclose(score, expected, rtol=1e-9)


def test_psnr_openstl_of_frames_in_part():
    forecast, truth = field(0), gappy()
    error = np.nanmean(np.delete(((forecast - truth).values ** 2).reshape(18, -1), 7, axis=0), axis=1)
    expected = np.mean(-10 * np.log10(error))
    np.testing.assert_allclose(psnr_openstl(forecast, truth, dims=DIMS), expected, rtol=1e-12)


def test_psnr_equals_scikit_image():
    forecast, truth = field(0), gappy()
    seen = truth.notnull().values
    expected = peak_signal_noise_ratio(truth.values[seen], forecast.values[seen], data_range=3.5)
    score = PeakSignalToNoiseRatio(data_range=3.5)(forecast, truth, dims=DIMS)
    np.testing.assert_allclose(score, expected, rtol=1e-12)


@pytest.mark.parametrize("metric", [ssim_openstl, psnr_openstl], ids=str)
def test_a_truth_beyond_the_range_is_an_error(metric):
    with pytest.raises(ValueError, match=r"is for data from 0 to 1. Say what counts as 0 and 1: low="):
        metric(field(0), 3 * field(1), dims=DIMS)


def test_too_small_a_grid_is_an_error():
    small = field(0).isel(y=slice(9))
    with pytest.raises(ValueError, match=r"Fields are 9 x 14 cells, smaller than ssim_1's window of 11 x 11"):
        SSIM(small, small, dims=DIMS)
    assert ssim_openstl(small, small, dims=DIMS) == 1


@pytest.mark.parametrize("metric", [StructuralSimilarity, PeakSignalToNoiseRatio])
@pytest.mark.parametrize("data_range", [0, -1, np.inf, np.nan])
def test_a_range_is_positive(metric, data_range):
    with pytest.raises(ValueError, match="data_range="):
        metric(data_range=data_range)
