"""Frames of a season ago, beside the frames that are read: known in advance, like future covariates."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd

from darts_mim.errors import TimeAxisError, TooShortError
from darts_mim.grid.times import period_steps, positive, steps_between
from darts_mim.models._compat import TimeSeries, generate_index


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
    rows = first + np.arange(len(axis))
    values = series.all_values(copy=False)
    lagged = [_rows(values, rows - lag) for lag in lags]
    names = [f"{name}, {lag} steps ago" for lag in lags for name in series.components]
    if covariates is None:
        return TimeSeries(axis, np.concatenate(lagged, axis=1), components=names, copy=False)
    known = covariates.all_values(copy=False)[: len(axis)].astype(values.dtype, copy=False)
    parts = [known[:, :n_gridded], *lagged, known[:, n_gridded:]]
    own = list(covariates.components)
    names = [*own[:n_gridded], *names, *own[n_gridded:]]
    return TimeSeries(axis, np.concatenate(parts, axis=1), components=names, copy=False)


def _steps_between(time: Any, start: Any, freq: Any) -> int:
    """Steps from ``start`` to ``time``, of datetimes or of whole numbers."""
    if not isinstance(start, pd.Timestamp):
        return (time - start) // freq
    return int(steps_between(start, pd.DatetimeIndex([time]), freq)[0])


def _rows(values: np.ndarray, rows: np.ndarray) -> np.ndarray:
    """These rows; NaN for those that are not there."""
    there = (rows >= 0) & (rows < len(values))
    taken = np.full((len(rows), *values.shape[1:]), np.nan, dtype=values.dtype)
    taken[there] = values[rows[there]]
    return taken
