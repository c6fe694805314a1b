"""Forecasts that need no network, and that a network has to beat."""

from abc import abstractmethod
from dataclasses import dataclass, replace
from typing import Any, Self, cast

import numpy as np
import pandas as pd
import xarray as xr
from pandas.tseries.offsets import BaseOffset
from sklearn.base import BaseEstimator
from sklearn.utils.validation import check_is_fitted

from darts_mim.errors import GapError, TooShortError
from darts_mim.grid.grid import Grid
from darts_mim.grid.times import (
    following,
    lead_times,
    origin_rows,
    position_in_period,
    positive,
    step_of,
    steps_between,
    times_of,
)
from darts_mim.grid.windows import WHOLE, fill_axis, row_kinds

Series = xr.DataArray | xr.Dataset


@dataclass(frozen=True, kw_only=True)
class _Past:
    """Rows on the regular time axis, and those to forecast from."""

    values: np.ndarray  # (row, component)
    times: pd.DatetimeIndex  # of the rows, and of the frames after them that are asked for
    origins: np.ndarray  # rows of the last frames seen
    horizon: int

    @property
    def forecast_rows(self) -> np.ndarray:
        """(origin, lead)."""
        return self.origins[:, None] + np.arange(1, self.horizon + 1)


class Baseline(BaseEstimator):
    """What the simple forecasts share: the grid, the time axis, and who may be forecast from.

    Subclasses say which frames they read and what they make of them, for many origins at once.

    Args:
        time_dim: Name of the time dim, if it cannot be told.
        spatial_dims: Names of rows and columns, if they cannot be told.
        channel_dim: Name of the channel dim, if it cannot be told.
    """

    grid_: Grid
    step_: BaseOffset

    def __init__(
        self,
        *,
        time_dim: str | None = None,
        spatial_dims: tuple[str, str] | None = None,
        channel_dim: str | None = None,
    ) -> None:
        self.time_dim = time_dim
        self.spatial_dims = spatial_dims
        self.channel_dim = channel_dim

    def fit(self, series: Series) -> Self:
        """Learn from the training series; missing times and NaN are left out.

        Raises:
            GridDimsError: If time, rows and columns cannot be told.
            TimeAxisError: If the times are unsorted, repeated or irregular.
        """
        self.grid_ = Grid.of(
            series,
            time_dim=self.time_dim,
            spatial_dims=self.spatial_dims,
            channel_dim=self.channel_dim,
        )
        self.step_ = step_of(times_of(series, self.grid_.time_dim))
        self.training_ = series
        self._learn(*self._rows(series))
        return self

    def predict(self, n: int, series: Series | None = None) -> Series:
        """The ``n`` frames after ``series`` (default: after the training series).

        Returns:
            As ``series``: its dims, coords, units; cells without any observation are NaN.

        Raises:
            GapError: If a frame that is read is missing or holds NaN.
            TooShortError: If ``series`` does not reach back far enough.
            GridMismatchError: If ``series`` is on another grid than the training series.
        """
        check_is_fitted(self, "grid_")
        values, axis = self._rows(self.training_ if series is None else series)
        future = following(cast(pd.Timestamp, axis[-1]), self.step_, positive(n, "n"))
        times = pd.DatetimeIndex(axis.append(future))
        past = _Past(values=values, times=times, origins=np.array([len(axis) - 1]), horizon=n)
        reads = self._reads(past)
        self._require_whole(past, reads)
        return self.grid_.series(self._frames(past, reads)[0], future)

    def historical_forecasts(
        self, series: Series, *, forecast_horizon: int, start: Any = None, stride: int = 1
    ) -> Series:
        """Forecasts from every origin in ``series``, without fitting again.

        Args:
            series: What was observed, on the training grid.
            forecast_horizon: Frames forecast from each origin.
            start: Time of the first frame to be forecast (the first origin is one step before);
                default: as early as possible.
            stride: Steps from one origin to the next.

        Returns:
            Dims ``(init_time, lead_time, ...)`` with the coordinate ``valid_time``. Origins that
            would read a missing time or NaN are left out.

        Raises:
            GapError: If no origin is left.
            TooShortError: If the series ends before one whole forecast.
        """
        check_is_fitted(self, "grid_")
        horizon = positive(forecast_horizon, "forecast_horizon")
        values, axis = self._rows(series)
        origins = origin_rows(axis, start=start, horizon=horizon, stride=stride)
        past = _Past(values=values, times=axis, origins=origins, horizon=horizon)
        reads = self._reads(past)
        whole = self._whole(values, reads).all(axis=1)
        if not whole.any():
            self._require_whole(past, reads[-1:])
        past, reads = replace(past, origins=origins[whole]), reads[whole]
        return self.grid_.forecasts(
            self._frames(past, reads),
            axis.values[past.origins],
            lead_times(self.step_, horizon),
            axis.values[past.forecast_rows],
        )

    def _learn(self, values: np.ndarray, times: pd.DatetimeIndex) -> None:
        """Keep what forecasting needs of the training rows; NaN is what was not observed."""

    @abstractmethod
    def _reads(self, past: _Past) -> np.ndarray:
        """(origin, any): rows that must be whole; -1 for one before the series."""

    @abstractmethod
    def _frames(self, past: _Past, reads: np.ndarray) -> np.ndarray:
        """(origin, lead, component)."""

    def _rows(self, series: Series) -> tuple[np.ndarray, pd.DatetimeIndex]:
        """The values on the regular axis of the training step; missing times are rows of NaN."""
        times = times_of(series, self.grid_.time_dim)
        return fill_axis(self.grid_.components(series), times, self.step_)

    def _whole(self, values: np.ndarray, reads: np.ndarray) -> np.ndarray:
        mask = self.grid_.mask
        kinds = row_kinds(values, None if mask is None else mask.ravel())
        return (reads >= 0) & (kinds[reads] == WHOLE)

    def _require_whole(self, past: _Past, reads: np.ndarray) -> None:
        if (reads < 0).any():
            raise TooShortError(
                f"{self!r} looks further back than the {len(past.values)} frames since "
                f"{past.times[0]}. Pass a series that begins earlier."
            )
        unusable = reads[~self._whole(past.values, reads)]
        if len(unusable):
            raise GapError(
                f"{self!r} reads the frame at {past.times[unusable[0]]}, which is missing or holds "
                f"NaN. Fill it, or forecast from another time."
            )


class Persistence(Baseline):
    """The last frame again. Best for short leads.

    >>> time = pd.date_range("2024-01-01", periods=3, freq="h")
    >>> rain = xr.DataArray(np.arange(18.0).reshape(3, 2, 3), {"time": time}, ("time", "y", "x"))
    >>> Persistence().fit(rain).predict(2)[:, 0, 0].values
    array([12., 12.])
    """

    def _reads(self, past: _Past) -> np.ndarray:
        return past.origins[:, None]

    def _frames(self, past: _Past, reads: np.ndarray) -> np.ndarray:
        return np.repeat(past.values[reads], past.horizon, axis=1)


class _Seasonal(Baseline):
    """A baseline that knows where a time stands in a period."""

    def __init__(
        self,
        period: str,
        *,
        time_dim: str | None = None,
        spatial_dims: tuple[str, str] | None = None,
        channel_dim: str | None = None,
    ) -> None:
        super().__init__(time_dim=time_dim, spatial_dims=spatial_dims, channel_dim=channel_dim)
        self.period = period

    def _positions(self, times: pd.DatetimeIndex) -> np.ndarray:
        return position_in_period(times, self.period, step=self.step_)[0]


class SeasonalNaive(_Seasonal):
    """The latest frame at the same position in the period: same time last week, last year.

    Leads beyond one period repeat the last whole one.

    Args:
        period: A pandas offset, e.g. ``"7D"``, ``"1D"``, or ``"1YE"`` for the time of the year.
        time_dim: Name of the time dim, if it cannot be told.
        spatial_dims: Names of rows and columns, if they cannot be told.
        channel_dim: Name of the channel dim, if it cannot be told.

    >>> time = pd.date_range("2024-01-01", periods=5, freq="12h")
    >>> flow = xr.DataArray(np.arange(30.0).reshape(5, 2, 3), {"time": time}, ("time", "y", "x"))
    >>> SeasonalNaive("1D").fit(flow).predict(3)[:, 0, 0].values
    array([18., 24., 18.])
    """

    def _reads(self, past: _Past) -> np.ndarray:
        positions = self._positions(past.times)
        n = len(positions)
        # One sorted key for (position, row) finds the last row at a position up to an origin.
        order = np.lexsort((np.arange(n), positions))
        wanted = positions[past.forecast_rows]
        keys = positions[order] * n + order
        found = keys.searchsorted(wanted * n + past.origins[:, None], side="right") - 1
        rows = order[found]
        return np.where((found >= 0) & (positions[rows] == wanted), rows, -1)

    def _frames(self, past: _Past, reads: np.ndarray) -> np.ndarray:
        return past.values[reads]


class Climatology(_Seasonal):
    """The mean of the training frames at the same position in the period, cell by cell.

    It reads nothing but the clock, so that it forecasts across gaps too.

    Args:
        period: A pandas offset, e.g. ``"7D"``: the mean half hour of the week.
        time_dim: Name of the time dim, if it cannot be told.
        spatial_dims: Names of rows and columns, if they cannot be told.
        channel_dim: Name of the channel dim, if it cannot be told.

    >>> time = pd.date_range("2024-01-01", periods=4, freq="12h")
    >>> flow = xr.DataArray(np.arange(24.0).reshape(4, 2, 3), {"time": time}, ("time", "y", "x"))
    >>> Climatology("1D").fit(flow).predict(3)[:, 0, 0].values
    array([ 6., 12.,  6.])
    """

    def _learn(self, values: np.ndarray, times: pd.DatetimeIndex) -> None:
        self.start_ = times.values[0]
        positions, n = position_in_period(times, self.period, step=self.step_)
        self.climatology_ = _means(values, positions, n)  # (position, component)

    def _normal(self, times: pd.DatetimeIndex) -> np.ndarray:
        """(time, component): the mean for each time; an error if it is off the learnt step."""
        steps_between(self.start_, times, self.step_)
        normal = self.climatology_[self._positions(times)]
        mask = self.grid_.mask
        unseen = row_kinds(normal, None if mask is None else mask.ravel()) != WHOLE
        if unseen.any():
            raise GapError(
                f"{self!r} saw no training frame like {times[unseen][0]:%A %Y-%m-%d %H:%M} in some "
                f"or all cells. Fit on a longer series, or choose a shorter period."
            )
        return normal

    def _reads(self, past: _Past) -> np.ndarray:
        return np.empty((len(past.origins), 0), dtype=int)

    def _frames(self, past: _Past, reads: np.ndarray) -> np.ndarray:
        rows = past.forecast_rows
        return self._normal(past.times[rows.ravel()]).reshape(*rows.shape, -1)


class DampedAnomaly(Climatology):
    """Climatology plus what is left, after each lead, of the last frame's departure from it.

    forecast(t + lead) = climatology(t + lead) + a[lead, cell] (x(t) - climatology(t)), where
    a is the least-squares slope through the origin over all training pairs ``lead`` apart. A cell
    whose training anomalies are all 0 has a = 0.

    Args:
        period: A pandas offset, e.g. ``"7D"``.
        time_dim: Name of the time dim, if it cannot be told.
        spatial_dims: Names of rows and columns, if they cannot be told.
        channel_dim: Name of the channel dim, if it cannot be told.

    >>> time = pd.date_range("2024-01-01", periods=4, freq="12h")
    >>> flow = xr.DataArray([1.0, 0.0, 5.0, 0.0], {"time": time}, ("time",))
    >>> flow = flow.expand_dims(y=1, x=1)
    >>> DampedAnomaly("1D").fit(flow).predict(2, flow[:, :, :3]).squeeze().values
    array([0., 1.])
    """

    def _learn(self, values: np.ndarray, times: pd.DatetimeIndex) -> None:
        super()._learn(values, times)
        self.anomalies_ = values - self.climatology_[self._positions(times)]

    def damping(self, horizon: int) -> np.ndarray:
        """(lead, component): the share of an anomaly that is left after each lead."""
        check_is_fitted(self, "grid_")
        known = np.isfinite(self.anomalies_)
        x = np.where(known, self.anomalies_, 0.0)
        squares, unknown = x * x, not known.all()
        slopes = np.zeros((horizon, x.shape[1]))
        for lead in range(1, min(horizon, len(x) - 1) + 1):
            square = squares[:-lead]
            if unknown:
                square = square * known[lead:]
            total = square.sum(axis=0)
            np.divide((x[:-lead] * x[lead:]).sum(axis=0), total, out=slopes[lead - 1], where=total > 0)
        return slopes

    def _reads(self, past: _Past) -> np.ndarray:
        return past.origins[:, None]

    def _frames(self, past: _Past, reads: np.ndarray) -> np.ndarray:
        normal = super()._frames(past, reads)
        anomaly = past.values[past.origins] - self._normal(past.times[past.origins])
        return normal + self.damping(past.horizon) * anomaly[:, None]


def _means(values: np.ndarray, positions: np.ndarray, n: int) -> np.ndarray:
    """(position, component): the mean of the rows at each position; NaN where there is none."""
    order = np.argsort(positions, kind="stable")
    seen, starts = np.unique(positions[order], return_index=True)
    known = np.isfinite(values)
    # float64: the sums of long float32 series lose digits.
    sums = np.add.reduceat(np.where(known, values, 0.0)[order], starts, axis=0, dtype=np.float64)
    counts = np.add.reduceat(known[order], starts, axis=0, dtype=np.int64)
    means = np.full((n, values.shape[1]), np.nan)
    means[seen] = np.divide(sums, counts, out=means[seen], where=counts > 0)
    return means
