"""Is a forecast as sharp as the truth? Differences between neighbouring cells tell."""

from typing import ClassVar

import numpy as np
import xarray as xr

from darts_mim.metrics.frames import FieldMetric
from darts_mim.metrics.metric import with_numbers
from darts_mim.metrics.structure import decibels, in_unit_range


class SharpnessDifference(FieldMetric):
    """How well the gradients of the truth are met, in dB; infinite for a perfect forecast.

    10 log10(data_range^2 / mean |g(truth) - g(forecast)|), where g is the absolute difference from the
    cell above plus that from the cell before. Counted are cells that were observed together with
    both of these. The mean is over all fields that are scored together; ``(...).mean()`` of scores
    by field averages decibels instead.

    Args:
        data_range: The range that the data can have, in their units: 1 for data in [0, 1].
        spatial_dims: Names of rows and columns; see :class:`FieldMetric`.

    Source:
        Mathieu, Couprie and LeCun (2016), ICLR, sec. 4.1, "sharpness measure"; for cells on the first
        row and column it says nothing.

    >>> truth = xr.DataArray([[0.0, 0.0], [0.0, 1.0]], dims=("y", "x"))
    >>> SharpnessDifference(data_range=1)(0.95 * truth, truth, dims=("y", "x")).round(6).item()
    10.0
    """

    name = "sharpness_difference"
    title = "Sharpness difference"
    power: ClassVar[int] = 0
    perfect = float("inf")

    def __init__(self, *, data_range: float, spatial_dims: tuple[str, str] | None = None) -> None:
        super().__init__(spatial_dims=spatial_dims)
        if not 0 < data_range < np.inf:
            raise ValueError(f"data_range={data_range}; wanted is the range that the data can have.")
        self.data_range = float(data_range)
        self.name = with_numbers("sharpness_difference", self.data_range)

    def fields(
        self, forecast: np.ndarray, observed: np.ndarray, seen: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray]:
        """The sum over cells, and their number."""
        counted = seen[:, 1:, 1:] & seen[:, :-1, 1:] & seen[:, 1:, :-1]
        miss = abs(_gradient(observed) - _gradient(forecast)) * counted
        return miss.sum((1, 2)), counted.sum((1, 2))

    def final(self, mean: xr.DataArray) -> xr.DataArray:
        """In dB."""
        return decibels(self.data_range**2, mean)

    def units(self, units: str) -> str:
        """Always dB."""
        return "dB"


def _gradient(field: np.ndarray) -> np.ndarray:
    here = field[:, 1:, 1:]
    return abs(here - field[:, :-1, 1:]) + abs(here - field[:, 1:, :-1])


class ReleasedSharpness(FieldMetric):
    """Largest absolute Laplacian of the forecast as an 8-bit frame, mean over frames; from 0 to 255.

    What the program released with "Memory In Memory" reports as sharpness: the forecast, clipped to
    [0, 1], times 255 and cut to whole numbers; the sum of four neighbours less four times the cell,
    mirrored at the edge; the largest absolute value over cells and channels, at most 255. The truth
    tells only which cells are there: compare with its own score, ``sharpness(truth, truth)``.
    One noisy cell is enough for a high score.

    Args:
        low: The value in the fields' units that counts as 0.
        high: The value that counts as 1.
        spatial_dims: Names of rows and columns; see :class:`FieldMetric`.

    Raises:
        ValueError: From the score: if the truth is not within low and high.

    Source:
        Program of Wang et al. (2019), CVPR; its Table 2 cites Mathieu et al. (2016) for the metric.

    >>> forecast = xr.DataArray(np.zeros((3, 4)), dims=("y", "x"))
    >>> forecast[1, 2] = 0.2
    >>> sharpness_released(forecast, forecast, dims=("y", "x")).item()
    204.0
    """

    name = "sharpness_released"
    title = "Sharpness: largest Laplacian of the 8-bit frame"
    power: ClassVar[int] = 0
    perfect = 255.0
    by_frame = True
    as_float64 = False  # the program cuts 255 times a float32 to whole numbers

    def __init__(
        self, *, low: float = 0.0, high: float = 1.0, spatial_dims: tuple[str, str] | None = None
    ) -> None:
        super().__init__(spatial_dims=spatial_dims)
        self.low, self.high = low, high

    def fields(
        self, forecast: np.ndarray, observed: np.ndarray, seen: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray]:
        """Each frame's largest."""
        near, _ = in_unit_range(forecast, observed, seen, self.low, self.high, self.name)
        bright = (near * 255).astype(np.int16)
        centre, *others = _cross(bright)
        counted = np.logical_and.reduce(_cross(seen))
        largest = (abs(sum(others) - 4 * centre) * counted).max((1, 2, 3))
        return np.minimum(largest, 255).astype(float), counted.any((1, 2, 3))


def _cross(frames: np.ndarray) -> list[np.ndarray]:
    """Each cell and its four neighbours, mirrored at the edge."""
    padded = np.pad(frames, ((0, 0), (0, 0), (1, 1), (1, 1)), mode="reflect")
    inner, before, after = slice(1, -1), slice(None, -2), slice(2, None)
    places = [(inner, inner), (before, inner), (after, inner), (inner, before), (inner, after)]
    return [padded[:, :, row, column] for row, column in places]


sharpness_released = ReleasedSharpness()
