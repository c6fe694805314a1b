"""Seasons of many series at once: taken off by differences or by means, and how strong they are."""

from typing import NamedTuple

import numpy as np

STRONG = 0.64  # seasonal strength from which R's forecast::nsdiffs takes a seasonal difference


class Decomposition(NamedTuple):
    """An additive decomposition, (cell, time) each; NaN where the trend's window does not reach."""

    trend: np.ndarray
    seasonal: np.ndarray
    remainder: np.ndarray


class Strength(NamedTuple):
    """How strong trend and season are, (cell), each from 0 to 1."""

    trend: np.ndarray
    seasonal: np.ndarray


def seasonal_difference(series: np.ndarray, period: int) -> np.ndarray:
    """What came a period before is taken off: (cell, time - period)."""
    return series[:, period:] - series[:, :-period]


def anomaly(series: np.ndarray, period: int) -> np.ndarray:
    """What a series has above its mean at the same position of the period."""
    return series - _repeated(position_means(series, period), series.shape[1])


def position_means(series: np.ndarray, period: int) -> np.ndarray:
    """Mean at every position of the period, (cell, period); NaN is left out.

    >>> position_means(np.array([[1.0, 5.0, 3.0, np.nan]]), 2)
    array([[2., 5.]])
    """
    cells, steps = series.shape
    padded = np.full((cells, -(-steps // period) * period), np.nan)
    padded[:, :steps] = series
    by_cycle = padded.reshape(cells, -1, period)
    seen = np.isfinite(by_cycle)
    counts = seen.sum(axis=1)
    total = np.where(seen, by_cycle, 0.0).sum(axis=1)
    return np.divide(total, counts, out=np.full(total.shape, np.nan), where=counts > 0)


def decompose(series: np.ndarray, period: int) -> Decomposition:
    """Classical additive decomposition: centred moving average, means by position, remainder.

    Args:
        series: (cell, time), whole, at least two periods long.
        period: Steps.

    Source:
        Hyndman and Athanasopoulos (2021), Forecasting: Principles and Practice, section 3.4; equal to
        statsmodels' ``seasonal_decompose``.

    >>> wave = np.tile([0.0, 1.0, -1.0], 4)[None] + np.arange(12.0)
    >>> decompose(wave, 3).seasonal[0, :3].round(12) + 0.0
    array([ 0.,  1., -1.])
    """
    steps, even = series.shape[1], period % 2 == 0
    reach = period // 2
    total = np.cumsum(np.pad(series, ((0, 0), (1, 0))), axis=1)
    width = period + even
    window = total[:, width:] - total[:, :-width]
    if even:  # the two ends count half
        window -= 0.5 * (series[:, : steps - period] + series[:, period:])
    trend = np.full(series.shape, np.nan)
    trend[:, reach : steps - reach] = window / period
    means = position_means(series - trend, period)
    seasonal = _repeated(means - means.mean(axis=1, keepdims=True), steps)
    return Decomposition(trend, seasonal, series - trend - seasonal)


def strength(parts: Decomposition) -> Strength:
    """1 - var(remainder) / var(remainder + part), at least 0, for trend and season.

    Source:
        Wang, Smith and Hyndman (2006), Data Mining and Knowledge Discovery 13, 335-364.
    """
    noise = np.nanvar(parts.remainder, axis=1)

    def of(part: np.ndarray) -> np.ndarray:
        whole = np.nanvar(parts.remainder + part, axis=1)
        share = np.divide(noise, whole, out=np.ones_like(whole), where=whole > 0)
        return np.maximum(0.0, 1.0 - share)

    return Strength(of(parts.trend), of(parts.seasonal))


def _repeated(by_position: np.ndarray, steps: int) -> np.ndarray:
    """(cell, position) over and over, to (cell, steps)."""
    times = -(-steps // by_position.shape[1])
    return np.tile(by_position, times)[:, :steps]
