"""Frames of a season ago, beside the frames that are read: known in advance, like future covariates."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd

from darts_mim.errors import TimeAxisError, TooShortError
from darts_mim.grid.times import period_steps, positive, steps_between
from darts_mim.grid.windows import SOME_NAN, WHOLE, row_kinds
from darts_mim.models._compat import TimeSeries, generate_index
from darts_mim.models.lazy_series import LazyTimeSeries, values_of


def lag_steps(lags: Sequence[int | str], series: TimeSeries) -> list[int]:
    """The lags in steps of the series.

    Raises:
        TimeAxisError: If one is no whole number of steps, or a time where times are whole numbers.

    >>> import pandas as pd
    >>> days = TimeSeries(pd.date_range("2024", periods=3, freq="6h"), np.zeros((3, 1, 1)))
    >>> lag_steps(["1D", 2], days)
    [4, 2]
    """
    return [_steps_of(lag, series.freq) for lag in lags]


def _steps_of(lag: int | str, step: Any) -> int:
    if not isinstance(lag, str):
        return positive(lag, "lag")
    if isinstance(step, int):
        raise TimeAxisError(
            f"The lag {lag!r} is a time, and the times of the series are whole numbers. Give steps, e.g. 24."
        )
    return period_steps(lag, step)


def require_lags(lags: Sequence[int], n: int) -> None:
    """Check that the frames of a season ago were seen before the first of ``n`` frames is forecast.

    Raises:
        ValueError: If a lag is shorter than the forecast.
    """
    if lags and n > min(lags):
        raise ValueError(
            f"{n} frames are to be forecast, and seasonal_lags go {min(lags)} steps back: what was then is "
            f"not known for the last of them. Forecast at most {min(lags)} frames, or use a longer lag."
        )


def require_past(series: TimeSeries, lags: Sequence[int], input_chunk_length: int) -> None:
    """Check that a series to forecast from reaches back a season.

    Raises:
        TooShortError: If it does not.
    """
    least = input_chunk_length + max(lags)
    if len(series) < least:
        raise TooShortError(
            f"The series to forecast from has {len(series)} frames; seasonal_lags and input_chunk_length "
            f"{input_chunk_length} ask for {least}. Pass a series that begins earlier."
        )


def with_lags(
    series: TimeSeries, covariates: TimeSeries | None, lags: Sequence[int], n_gridded: int
) -> TimeSeries:
    """The series as it was each lag ago, put into its future covariates.

    Args:
        series: The target.
        covariates: Its future covariates: components on the grid first, numbers a time behind them.
        lags: Steps.
        n_gridded: Components of the covariates that lie on the grid.

    Returns:
        What lies on the grid, the lagged series in the order of ``lags``, the numbers: over the times of the
        covariates, or of the series and the shortest lag beyond; NaN where the series has no such frame.

    >>> import pandas as pd
    >>> level = TimeSeries(pd.date_range("2024", periods=4, freq="h"), np.arange(4.0).reshape(4, 1, 1))
    >>> with_lags(level, None, [2, 3], 0).values().T
    array([[nan, nan,  0.,  1.,  2.,  3.],
           [nan, nan, nan,  0.,  1.,  2.]])
    """
    ahead, start = len(series) + min(lags), series.start_time()
    if covariates is None:
        first, axis = 0, generate_index(start=start, length=ahead, freq=series.freq)
    else:
        first = _steps_between(covariates.start_time(), start, series.freq)
        axis = covariates.time_index[: max(ahead - first, 0)]
    own = [] if covariates is None else list(covariates.components)
    lagged = [f"{name}, {lag} steps ago" for lag in lags for name in series.components]
    names: Any = pd.Index([*own[:n_gridded], *lagged, *own[n_gridded:]], dtype=object)
    known = None if covariates is None else values_of(covariates)
    frames = LaggedFrames(values_of(series), known, axis, first=first, lags=lags, n_gridded=n_gridded)
    if isinstance(series, LazyTimeSeries):
        return LazyTimeSeries.of(frames, names, metadata={})
    return TimeSeries(axis, frames[:][:, :, np.newaxis], components=names, copy=False)


def lags_of(covariates: TimeSeries) -> Sequence[int]:
    """The lags of covariates from ``with_lags`` whose frames are read when they are used; else none."""
    frames = covariates.frames if isinstance(covariates, LazyTimeSeries) else None
    return frames.lags if isinstance(frames, LaggedFrames) else ()


class LaggedFrames:
    """A series as it was each lag ago, among what is known besides, to be sliced in time.

    Args:
        values: (time, component) of the series: an array, or what reads one.
        known: (time, value) of its covariates, likewise; None if there are none.
        axis: Times of the covariates.
        first: Row of the series at which they begin.
        lags: Steps.
        n_gridded: Components of the covariates that lie on the grid.
    """

    def __init__(
        self, values: Any, known: Any, axis: Any, *, first: int, lags: Sequence[int], n_gridded: int
    ) -> None:
        self.values, self.known, self.axis = values, known, axis
        self.first, self.lags, self.n_gridded = first, lags, n_gridded
        self.shape = len(axis), len(lags) * values.shape[1] + (0 if known is None else known.shape[1])

    def __getitem__(self, rows: slice) -> np.ndarray:
        """The frames of some rows, one after the other."""
        start, stop, _ = rows.indices(len(self.axis))
        lagged = [_rows(self.values, self.first + start - lag, self.first + stop - lag) for lag in self.lags]
        if self.known is None:
            return np.concatenate(lagged, axis=1)
        known = self.known[start:stop].astype(self.values.dtype, copy=False)
        return np.concatenate([known[:, : self.n_gridded], *lagged, known[:, self.n_gridded :]], axis=1)

    @property
    def kinds(self) -> np.ndarray:
        """What each row is good for: the worst of what is put together in it."""
        own = self.values.kinds
        n = len(self.axis)
        if self.known is None:
            kinds = np.full(n, WHOLE, dtype=np.int8)
        else:
            kinds = self.known.kinds[:n] if hasattr(self.known, "kinds") else row_kinds(self.known[:n])
        rows = self.first + np.arange(n)
        for lag in self.lags:
            there = (rows >= lag) & (rows - lag < len(own))
            kinds = np.maximum(kinds, np.where(there, own[(rows - lag).clip(0, len(own) - 1)], SOME_NAN))
        return kinds


def _steps_between(time: Any, start: Any, freq: Any) -> int:
    """Steps from ``start`` to ``time``, of datetimes or of whole numbers."""
    if not isinstance(start, pd.Timestamp):
        return (time - start) // freq
    return int(steps_between(start, pd.DatetimeIndex([time]), freq)[0])


def _rows(values: Any, start: int, stop: int) -> np.ndarray:
    """The rows from ``start`` to before ``stop``; NaN for those that are not there."""
    taken = np.full((stop - start, values.shape[1]), np.nan, dtype=values.dtype)
    there = slice(min(max(start, 0), len(values)), min(max(stop, 0), len(values)))
    taken[there.start - start : there.stop - start] = values[there]
    return taken
