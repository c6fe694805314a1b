"""Does a field look like the truth? Structural similarity (SSIM) and peak signal-to-noise ratio (PSNR).

Both hang on the range that the data can have, and tables in papers differ in it, in the window and in
what is averaged. Each class is one convention.
"""

from typing import Any, ClassVar

import numpy as np
import xarray as xr
from scipy.ndimage import gaussian_filter, minimum_filter, uniform_filter

from darts_mim.metrics.frames import FieldMetric
from darts_mim.metrics.metric import with_numbers
from darts_mim.metrics.pointwise import MeanSquaredError


class StructuralSimilarity(FieldMetric):
    """Structural similarity, in [-1, 1], in a Gaussian window of 11 x 11 cells and sigma 1.5.

    (2 mu_f mu_o + C1) (2 s_fo + C2) / ((mu_f^2 + mu_o^2 + C1) (s_f^2 + s_o^2 + C2)), with means mu and
    covariances s in a window, C1 = (0.01 data_range)^2 and C2 = (0.03 data_range)^2. Counted are windows
    that lie on the grid and were observed in all their cells, each as one; a field without such a window
    does not count. Channels are fields of their own.

    Args:
        data_range: The range that the data can have, in their units: 1 for data in [0, 1].
        spatial_dims: Names of rows and columns; see :class:`FieldMetric`.

    Raises:
        ValueError: From the score: if the grid is smaller than the window.

    Source:
        Wang, Bovik, Sheikh and Simoncelli (2004), IEEE Trans. Image Process. 13, 600-612, eq. 13.

    >>> truth = xr.DataArray(np.random.default_rng(0).random((12, 15)), dims=("y", "x"))
    >>> StructuralSimilarity(data_range=1)(truth, truth, dims=("y", "x")).item()
    1.0
    """

    name = "ssim"
    title = "Structural similarity"
    power: ClassVar[int] = 0
    perfect = 1.0
    window_size: ClassVar[int] = 11
    unbiased: ClassVar[float] = 1.0  # what covariances are multiplied by

    def __init__(self, *, data_range: float, spatial_dims: tuple[str, str] | None = None) -> None:
        super().__init__(spatial_dims=spatial_dims)
        self.data_range = _positive(data_range)
        self.name = with_numbers("ssim", self.data_range)

    def fields(
        self, forecast: np.ndarray, observed: np.ndarray, seen: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray]:
        """The sum over windows, and their number."""
        size, shape = self.window_size, observed.shape[1:]
        if min(shape) < size:
            raise ValueError(
                f"Fields are {shape[0]} x {shape[1]} cells, smaller than {self.name}'s window of {size} x "
                f"{size}. Score them with another metric, such as fss or power_ratio."
            )
        similarity, inner = self._similarity(forecast, observed), slice(size // 2, -(size // 2))
        counted = minimum_filter(seen, size, axes=(1, 2))[:, inner, inner]
        return (similarity[:, inner, inner] * counted).sum((1, 2)), counted.sum((1, 2))

    def mean(self, field: np.ndarray) -> np.ndarray:
        """Of the window around each cell."""
        return gaussian_filter(field, 1.5, radius=self.window_size // 2, axes=(1, 2))

    def _similarity(self, forecast: np.ndarray, observed: np.ndarray) -> np.ndarray:
        """Of the window around each cell."""
        C1, C2 = (0.01 * self.data_range) ** 2, (0.03 * self.data_range) ** 2
        mu_f, mu_o = self.mean(forecast), self.mean(observed)
        both, squares = mu_f * mu_o, mu_f**2 + mu_o**2
        covariance = self.unbiased * (self.mean(forecast * observed) - both)
        variances = self.unbiased * (self.mean(forecast**2 + observed**2) - squares)
        return (2 * both + C1) * (2 * covariance + C2) / ((squares + C1) * (variances + C2))


class OpenSTLStructuralSimilarity(StructuralSimilarity):
    """SSIM as the tables of OpenSTL have it: a uniform window of 7 x 7 cells, and a data range of 2.

    Data are in [0, 1] and the forecast is clipped to that. The range of 2 is what scikit-image took for
    floating-point images when not told; it makes the score higher than one at a range of 1. The
    covariances are those of samples, divided by 48.

    Args:
        low: The value in the fields' units that counts as 0.
        high: The value that counts as 1, e.g. the largest flow of the training data.
        spatial_dims: Names of rows and columns; see :class:`FieldMetric`.

    Raises:
        ValueError: From the score: if the truth is not within low and high.

    Source:
        Tan et al. (2023), OpenSTL, NeurIPS Datasets and Benchmarks; function ``metric`` of its program.

    >>> truth = xr.DataArray(np.random.default_rng(0).random((8, 9)), dims=("y", "x"))
    >>> ssim_openstl(truth + 10, truth.clip(min=1), dims=("y", "x")).item()
    1.0
    """

    window_size = 7
    unbiased = 49 / 48

    def __init__(
        self, *, low: float = 0.0, high: float = 1.0, spatial_dims: tuple[str, str] | None = None
    ) -> None:
        super().__init__(data_range=2.0, spatial_dims=spatial_dims)
        self.name, self.title = "ssim_openstl", "Structural similarity, as in OpenSTL"
        self.low, self.high = low, high

    def fields(
        self, forecast: np.ndarray, observed: np.ndarray, seen: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray]:
        """As of data in [0, 1]."""
        return super().fields(*in_unit_range(forecast, observed, seen, self.low, self.high, self.name), seen)

    def mean(self, field: np.ndarray) -> np.ndarray:
        """All cells of the window alike."""
        return uniform_filter(field, self.window_size, axes=(1, 2))


class PeakSignalToNoiseRatio(MeanSquaredError):
    """Peak signal-to-noise ratio of the pooled squared error, in dB; infinite for a perfect forecast.

    10 log10(data_range^2 / mse). It is the mean squared error on another scale. Tables that average the
    ratios of single frames have higher figures; see :class:`OpenSTLPeakSignalToNoiseRatio`.

    Args:
        data_range: The range that the data can have, in their units: 1 for data in [0, 1].
        weights: How much a cell counts; see :class:`Metric`.

    Source:
        Huynh-Thu and Ghanbari (2008), Electron. Lett. 44, 800-801.

    >>> truth = xr.DataArray([0.0, 1.0], dims="x")
    >>> PeakSignalToNoiseRatio(data_range=1)(truth + 0.1, truth, dims="x").round(6).item()
    20.0
    """

    name = "psnr"
    title = "Peak signal-to-noise ratio"
    power = 0
    perfect = float("inf")
    is_mean_loss = False

    def __init__(self, *, data_range: float, weights: xr.DataArray | None = None) -> None:
        super().__init__(weights=weights)
        self.data_range = _positive(data_range)
        self.name = with_numbers("psnr", self.data_range)

    def final(self, mean: xr.DataArray) -> xr.DataArray:
        """In dB."""
        return decibels(self.data_range**2, mean)

    def units(self, units: str) -> str:
        """Always dB."""
        return "dB"


class OpenSTLPeakSignalToNoiseRatio(FieldMetric):
    """PSNR as the tables of OpenSTL have it: the mean over frames of each frame's, in dB.

    Data are in [0, 1], the forecast is clipped to that, and a frame's error is over all its channels
    and observed cells. One perfect frame makes the mean infinite.

    Args:
        low: The value in the fields' units that counts as 0.
        high: The value that counts as 1.
        spatial_dims: Names of rows and columns; see :class:`FieldMetric`.

    Raises:
        ValueError: From the score: if the truth is not within low and high.

    Source:
        Tan et al. (2023), OpenSTL, NeurIPS Datasets and Benchmarks; function ``metric`` of its program.

    >>> truth = xr.DataArray(np.zeros((2, 3, 4)), dims=("time", "y", "x"))
    >>> forecast = truth + xr.DataArray([0.1, 0.01], dims="time")
    >>> psnr_openstl(forecast, truth, dims=("time", "y", "x")).round(6).item()
    30.0
    """

    name = "psnr_openstl"
    title = "Peak signal-to-noise ratio, mean over frames"
    power: ClassVar[int] = 0
    perfect = float("inf")
    by_frame = True

    def __init__(
        self, *, low: float = 0.0, high: float = 1.0, spatial_dims: tuple[str, str] | None = None
    ) -> None:
        super().__init__(spatial_dims=spatial_dims)
        self.low, self.high = low, high

    def fields(
        self, forecast: np.ndarray, observed: np.ndarray, seen: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray]:
        """Each frame's ratio."""
        near, truth = in_unit_range(forecast, observed, seen, self.low, self.high, self.name)
        cells = seen.sum((1, 2, 3))
        error = (((near - truth) ** 2) * seen).sum((1, 2, 3)) / np.maximum(cells, 1)
        return np.where(cells > 0, decibels(1.0, error), 0.0), cells > 0

    def units(self, units: str) -> str:
        """Always dB."""
        return "dB"


def in_unit_range(
    forecast: np.ndarray, observed: np.ndarray, seen: np.ndarray, low: float, high: float, name: str
) -> tuple[np.ndarray, np.ndarray]:
    """Both with low as 0 and high as 1; the forecast clipped.

    Raises:
        ValueError: If the truth leaves that range, where the convention means nothing.
    """
    came = observed[seen]
    if came.size and not (came.min() >= low and came.max() <= high):
        raise ValueError(
            f"The truth runs from {came.min():g} to {came.max():g}; {name} is for data from {low:g} to "
            f"{high:g}. Say what counts as 0 and 1: low=..., high=..., in the fields' units."
        )
    near, truth = ((field - low) / (high - low) for field in (forecast, observed))
    return near.clip(0, 1), truth


def decibels(signal: float, noise: Any) -> Any:
    """10 log10(signal / noise); infinite without noise."""
    with np.errstate(divide="ignore"):
        return 10 * (np.log10(signal) - np.log10(noise))


def _positive(data_range: float) -> float:
    if not 0 < data_range < np.inf:
        raise ValueError(
            f"data_range={data_range}; wanted is how far apart the data's largest and smallest value can be."
        )
    return float(data_range)


ssim_openstl = OpenSTLStructuralSimilarity()
psnr_openstl = OpenSTLPeakSignalToNoiseRatio()
