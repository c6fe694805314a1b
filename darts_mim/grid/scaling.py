"""Bring values to unit scale and back."""

from collections.abc import Iterable
from typing import Any, Literal

import numpy as np
import xarray as xr

from darts_mim.grid.transformer import GridTransformer

METHODS = ("minmax", "standard", "robust", "log1p")
PER = {"grid": (-3, -2, -1), "channel": (-2, -1), "cell": ()}  # axes pooled besides time
CONSTANT = 1e-12  # a spread below this share of the level is rounding


class GridScaler(GridTransformer):
    """Scale a gridded series by what its training part shows.

    Statistics are taken in float64 over all values that are not NaN; NaN stays NaN. A series
    without spread is only shifted. A cell that training never saw has no scale: it becomes NaN.

    Args:
        method: "minmax" brings the training minimum and maximum to ``feature_range``; "standard"
            takes off the mean and divides by the standard deviation; "robust" does so by median
            and interquartile range; "log1p" is log(1 + value), for values that are never
            negative, then as "minmax".
        per: One scale for the whole "grid", for each "channel", or for each "cell" of a channel.
        feature_range: Where "minmax" and "log1p" bring the training values.
        deviations: How many standard deviations "standard" brings to 1; 3 keeps long tails, such as
            those of traffic anomalies, near where a network works best.
        time_dim: Name of the time dim, if it cannot be told.
        spatial_dims: Names of rows and columns, if they cannot be told.
        channel_dim: Name of the channel dim, if it cannot be told.

    Attributes:
        center_: Taken off first, in the series' units (of "log1p": after the logarithm); its
            (channel, row, column) has length 1 where values were pooled.
        scale_: Divided by then, likewise.

    >>> series = xr.DataArray(
    ...     np.arange(12, dtype="uint8").reshape(3, 2, 2),
    ...     dims=("time", "y", "x"),
    ...     coords={"time": np.arange("2024-01-01", "2024-01-04", dtype="M8[D]").astype("M8[ns]")},
    ... )
    >>> scaler = GridScaler().fit(series[:2])
    >>> scaler.transform(series)[:, 0, 0].values
    array([0.        , 0.5714286, 1.1428572], dtype=float32)
    >>> bool(np.allclose(scaler.inverse_transform(scaler.transform(series)), series))
    True
    """

    center_: np.ndarray
    scale_: np.ndarray

    def __init__(
        self,
        method: Literal["minmax", "standard", "robust", "log1p"] = "minmax",
        *,
        per: Literal["grid", "channel", "cell"] = "grid",
        feature_range: tuple[float, float] = (0.0, 1.0),
        deviations: float = 1.0,
        time_dim: str | None = None,
        spatial_dims: tuple[str, str] | None = None,
        channel_dim: str | None = None,
    ) -> None:
        super().__init__(time_dim=time_dim, spatial_dims=spatial_dims, channel_dim=channel_dim)
        self.method = method
        self.per = per
        self.feature_range = feature_range
        self.deviations = deviations

    def _learn(self, arrays: list[xr.DataArray]) -> None:
        self._check_arguments()
        blocks = (block.values for block in self._blocks(arrays))
        if self.method == "standard":
            level, spread = _mean_and_deviation(blocks, PER[self.per])
        elif self.method == "robust":
            level, spread = _median_and_range(blocks, PER[self.per])
        else:
            level, highest = _extremes(blocks, PER[self.per])
            if self.method == "log1p":
                level, highest = _log1p(level), _log1p(highest)
            spread = highest - level
        spread = np.where(spread <= CONSTANT * np.abs(level), 1.0, spread)
        if self.method in ("minmax", "log1p"):
            low, high = self.feature_range
            spread = spread / (high - low)
            level = level - low * spread
        elif self.method == "standard":
            spread = spread * self.deviations
        self.center_, self.scale_ = level, spread

    def _check_arguments(self) -> None:
        for name, value, allowed in (
            ("method", self.method, METHODS),
            ("per", self.per, tuple(PER)),
        ):
            if value not in allowed:
                raise ValueError(f"{name}={value!r} came, where one of {allowed} is wanted.")
        low, high = self.feature_range
        if not low < high:
            raise ValueError(
                f"feature_range={self.feature_range!r} came, where (low, high) with low < high is "
                f"wanted, e.g. (0.0, 1.0)."
            )
        if not self.deviations > 0:
            raise ValueError(f"deviations={self.deviations!r} came, where a positive number is wanted.")

    def _forward(self, array: xr.DataArray) -> xr.DataArray:
        if self.method == "log1p":
            array = xr.apply_ufunc(
                _log1p, array, dask="parallelized", output_dtypes=[array.dtype], keep_attrs=True
            )
        center, scale = self.center_.astype(array.dtype), self.scale_.astype(array.dtype)
        return array.copy(data=(array.data - center) / scale)

    def _backward(self, array: xr.DataArray, history: Any) -> xr.DataArray:
        center, scale = self.center_.astype(array.dtype), self.scale_.astype(array.dtype)
        values = array.data * scale + center
        return array.copy(data=np.expm1(values) if self.method == "log1p" else values)


def _log1p(values: np.ndarray) -> np.ndarray:
    if np.any(values < 0):
        raise ValueError(
            f"method='log1p' takes values that are never negative, but {np.nanmin(values)} came. Use "
            f"another method, or clip them, e.g. .clip(min=0)."
        )
    return np.log1p(values)


def _pooled_axes(values: np.ndarray, pooled: tuple[int, ...]) -> tuple[int, ...]:
    return (*range(values.ndim - 3), *(values.ndim + axis for axis in pooled))


def _extremes(blocks: Iterable[np.ndarray], pooled: tuple[int, ...]) -> tuple[np.ndarray, np.ndarray]:
    """Minimum and maximum, NaN where nothing was seen."""
    lowest = highest = np.float64(np.nan)
    for values in blocks:
        axes = _pooled_axes(values, pooled)
        low = np.fmin.reduce(values, axis=axes, keepdims=True)
        high = np.fmax.reduce(values, axis=axes, keepdims=True)
        lowest, highest = np.fmin(lowest, _last_three(low)), np.fmax(highest, _last_three(high))
    return np.asarray(lowest), np.asarray(highest)


def _last_three(statistic: np.ndarray) -> np.ndarray:
    return statistic.reshape(statistic.shape[-3:]).astype(np.float64)


def _mean_and_deviation(
    blocks: Iterable[np.ndarray], pooled: tuple[int, ...]
) -> tuple[np.ndarray, np.ndarray]:
    """Mean and standard deviation over all blocks, merged pair by pair.

    Source:
        Chan, Golub and LeVeque (1983), The American Statistician 37, 242-247.
    """
    count, mean, squares = np.zeros((3, 1, 1, 1))
    for values in blocks:
        axes = _pooled_axes(values, pooled)
        seen = np.isfinite(values).sum(axis=axes, keepdims=True)
        divisor = np.maximum(seen, 1)
        # float64: the sum of 1e8 cells loses 3 digits in float32
        block_mean = np.nansum(values, axis=axes, keepdims=True, dtype=np.float64) / divisor
        block_squares = np.nansum((values - block_mean) ** 2, axis=axes, keepdims=True)
        seen, block_mean, block_squares = map(_last_three, (seen, block_mean, block_squares))
        total = np.maximum(count + seen, 1)
        difference = block_mean - mean
        mean = mean + difference * seen / total
        squares = squares + block_squares + difference**2 * count * seen / total
        count = count + seen
    mean = np.where(count > 0, mean, np.nan)
    return mean, np.where(count > 0, np.sqrt(squares / np.maximum(count, 1)), np.nan)


def _median_and_range(blocks: Iterable[np.ndarray], pooled: tuple[int, ...]) -> tuple[np.ndarray, np.ndarray]:
    """Median and interquartile range; all values are held in memory, as quantiles need."""
    values = np.concatenate(
        [np.moveaxis(v, (-3, -2, -1), (0, 1, 2)).reshape(*v.shape[-3:], -1) for v in blocks], axis=-1
    )
    shape = [1 if axis in pooled else values.shape[axis - 1] for axis in (-3, -2, -1)]
    ordered = np.sort(values.reshape(*shape, -1), axis=-1)  # NaN last
    last = np.maximum(np.isfinite(ordered).sum(axis=-1, keepdims=True) - 1, 0)
    lower, median, upper = (_quantile(ordered, last, q) for q in (0.25, 0.5, 0.75))
    return median, upper - lower


def _quantile(ordered: np.ndarray, last: np.ndarray, q: float) -> np.ndarray:
    at = q * last
    below = np.floor(at).astype(int)
    above = np.minimum(below + 1, last)
    low, high = (
        np.take_along_axis(ordered, position, axis=-1).astype(np.float64) for position in (below, above)
    )
    return (low + (high - low) * (at - below))[..., 0]
