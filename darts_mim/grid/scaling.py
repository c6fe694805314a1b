"""Bring values to unit scale and back."""

from collections.abc import Callable, Iterable, Sequence
from functools import partial
from typing import Any, Literal

import numpy as np
import xarray as xr

from darts_mim.grid.counted_quantiles import counted_quantiles
from darts_mim.grid.reduction import Cells, cell_blocks
from darts_mim.grid.transformer import GridTransformer, require_finite

METHODS = ("minmax", "standard", "robust", "log1p")
PER = {"grid": (-3, -2, -1), "channel": (-2, -1), "cell": ()}  # axes pooled besides time
QUARTILES = (0.25, 0.5, 0.75)
CONSTANT = 1e-12  # a spread below this share of the level is rounding
Parts = Sequence[np.ndarray]  # several numbers, of each (channel, row, column)


class GridScaler(GridTransformer):
    """Scale a gridded series by what its training part shows.

    Statistics are taken in float64 over all values that are not NaN; NaN stays NaN. A series
    without spread is only shifted. A cell that training never saw has no scale: it becomes NaN.

    A series that is not in memory is read once, block by block, and the statistics are the same but for
    the last digits of mean and deviation. "robust" is the same to the last digit, and reads more often: for
    the "grid" or each "channel" twice (float64: four times; more than 8 channels: twice as often), for each
    "cell" once for every 256 MiB (float64: 512) of the series, or less often if a chunk of its store holds
    few cells.

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
        if self.method == "standard":
            level, spread = _mean_and_deviation(*self._pooled(arrays, _moments, _pooled_moments, (0, 0, 0)))
        elif self.method == "robust":
            level, spread = self._median_and_range(arrays)
        else:
            level, highest = self._pooled(arrays, _extremes, _pooled_extremes, (np.nan, np.nan))
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

    def _pooled(
        self,
        arrays: list[xr.DataArray],
        statistic: Callable[..., Parts],
        merge: Callable[[Parts, Parts], Parts],
        start: Sequence[float],
    ) -> Parts:
        """The statistic of all frames, of each (channel, row, column), length 1 where they are pooled.

        Args:
            arrays: Training series.
            statistic: Of the values of a block along some axes, several numbers.
            merge: Makes one of two of them.
            start: The numbers of no frame.
        """
        pooled = PER[self.per]
        shape = [1 if axis in pooled else n for axis, n in zip((-3, -2, -1), self.grid_.shape, strict=True)]
        totals = [np.full(shape, number, dtype=np.float64) for number in start]
        of_block = partial(_of_block, statistic=statistic, pooled=pooled)
        for cells, part in self._statistics(arrays, of_block, merge):
            here = tuple(slice(None) if axis in pooled else cells[axis] for axis in (-3, -2, -1))
            for total, both in zip(totals, merge([total[here] for total in totals], part), strict=True):
                total[here] = both
        return totals

    def _median_and_range(self, arrays: list[xr.DataArray]) -> tuple[np.ndarray, np.ndarray]:
        """Median and interquartile range."""
        pooled, dtype = PER[self.per], np.result_type(*(array.dtype for array in arrays))
        if all(array.chunks is None for array in arrays):
            blocks = [values for _, values in self._statistics(arrays, _values, _never_merged)]
            lower, median, upper = _quartiles(_sorted(blocks, pooled))
        elif pooled:
            over, channels = partial(self._statistics, arrays), self.grid_.n_channels
            lower, median, upper = counted_quantiles(
                over, QUARTILES, dtype=dtype, channels=channels if self.per == "channel" else None
            )
        else:
            lower, median, upper = self._quartiles_of_cells([array.astype(dtype).chunk() for array in arrays])
        return median, upper - lower

    def _quartiles_of_cells(self, arrays: list[xr.DataArray]) -> np.ndarray:
        """(quartile, channel, row, column), some cells at a time."""
        quartiles, time_dim = np.empty((3, *self.grid_.shape)), self.grid_.time_dim
        n_frames = sum(array.size for array in arrays) // self.grid_.n_components
        for cells, blocks in cell_blocks(arrays, n_frames):
            for array, values in zip(arrays, blocks, strict=True):
                require_finite(values, array[time_dim].values, array.get_axis_num(time_dim))
            frames = [values.reshape(-1, *values.shape[-3:]) for values in blocks]
            together = frames[0] if len(frames) == 1 else np.concatenate(frames)
            together.sort(axis=0)  # in place: there is memory for them once
            quartiles[:, *cells] = _quartiles(np.moveaxis(together, 0, -1))
        return quartiles

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


def _of_block(
    block: xr.DataArray, cells: Cells, *, statistic: Callable[..., Parts], pooled: tuple[int, ...]
) -> Parts:
    axes = (*range(block.ndim - 3), *(block.ndim + axis for axis in pooled))
    return [part.reshape(part.shape[-3:]) for part in statistic(block.values, axes)]


def _extremes(values: np.ndarray, axes: tuple[int, ...]) -> Parts:
    """Minimum and maximum, NaN where nothing was seen."""
    return [
        np.fmin.reduce(values, axis=axes, keepdims=True),
        np.fmax.reduce(values, axis=axes, keepdims=True),
    ]


def _pooled_extremes(one: Parts, other: Parts) -> Parts:
    return [np.fmin(one[0], other[0]), np.fmax(one[1], other[1])]


def _moments(values: np.ndarray, axes: tuple[int, ...]) -> Parts:
    """How many there are, their mean, and the sum of the squared distances from it."""
    seen = np.isfinite(values).sum(axis=axes, keepdims=True)
    # float64: the sum of 1e8 cells loses 3 digits in float32
    mean = np.nansum(values, axis=axes, keepdims=True, dtype=np.float64) / np.maximum(seen, 1)
    return [seen, mean, np.nansum((values - mean) ** 2, axis=axes, keepdims=True)]


def _pooled_moments(one: Parts, other: Parts) -> Parts:
    """Of both together.

    Source:
        Chan, Golub and LeVeque (1983), The American Statistician 37, 242-247.
    """
    count, mean, squares = one
    seen, other_mean, other_squares = other
    total, difference = np.maximum(count + seen, 1), other_mean - mean
    mean = mean + difference * seen / total
    squares = squares + other_squares + difference**2 * count * seen / total
    return [count + seen, mean, squares]


def _mean_and_deviation(count: np.ndarray, mean: np.ndarray, squares: np.ndarray) -> tuple[np.ndarray, ...]:
    deviation = np.sqrt(squares / np.maximum(count, 1))
    return np.where(count > 0, mean, np.nan), np.where(count > 0, deviation, np.nan)


def _values(block: xr.DataArray, cells: Cells) -> np.ndarray:
    return block.values


def _never_merged(one: np.ndarray, other: np.ndarray) -> np.ndarray:
    raise NotImplementedError("Blocks in memory come one by one.")


def _sorted(blocks: Iterable[np.ndarray], pooled: tuple[int, ...]) -> np.ndarray:
    """(channel, row, column, value), of length 1 where values are pooled; NaN last."""
    values = np.concatenate(
        [np.moveaxis(v, (-3, -2, -1), (0, 1, 2)).reshape(*v.shape[-3:], -1) for v in blocks], axis=-1
    )
    shape = [1 if axis in pooled else values.shape[axis - 1] for axis in (-3, -2, -1)]
    return np.sort(values.reshape(*shape, -1), axis=-1)


def _quartiles(ordered: np.ndarray) -> list[np.ndarray]:
    """Of values sorted along the last axis, NaN last."""
    last = np.maximum(np.isfinite(ordered).sum(axis=-1, keepdims=True) - 1, 0)
    return [_quantile(ordered, last, q) for q in QUARTILES]


def _quantile(ordered: np.ndarray, last: np.ndarray, q: float) -> np.ndarray:
    at = q * last
    below = np.floor(at).astype(int)
    above = np.minimum(below + 1, last)
    low, high = (
        np.take_along_axis(ordered, position, axis=-1).astype(np.float64) for position in (below, above)
    )
    return (low + (high - low) * (at - below))[..., 0]
