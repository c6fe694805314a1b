"""What the simple forecasts share: the grid, the time axis, and who may be forecast from."""

from abc import abstractmethod
from dataclasses import dataclass, replace
from typing import Any, Self, cast

import numpy as np
import pandas as pd
import xarray as xr
from pandas.tseries.offsets import BaseOffset
from sklearn.base import BaseEstimator
from sklearn.utils.validation import check_is_fitted

from darts_mim.baselines.rows import Held, Rows
from darts_mim.errors import GapError, TooShortError
from darts_mim.grid.grid import Grid
from darts_mim.grid.times import (
    following,
    lead_times,
    origin_rows,
    positive,
    step_of,
    times_of,
)
from darts_mim.grid.windows import WHOLE

Series = xr.DataArray | xr.Dataset


@dataclass(frozen=True, kw_only=True)
class Past:
    """A series on the regular time axis, and the rows to forecast from."""

    rows: Rows
    times: pd.DatetimeIndex  # of the rows, and of the frames after them that are asked for
    origins: np.ndarray  # rows of the last frames seen
    horizon: int

    @property
    def forecast_rows(self) -> np.ndarray:
        """(origin, lead)."""
        return self.origins[:, None] + np.arange(1, self.horizon + 1)


class Baseline(BaseEstimator):
    """What the simple forecasts share: the grid, the time axis, and who may be forecast from.

    Subclasses say which frames they read and what they make of them, for many origins at once. Of a series
    that is not in memory only those frames are read to forecast; what is learnt of it is learnt block by
    block, by dask's active scheduler.

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
        self._learn(self._rows(series))
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
        rows = self._rows(self.training_ if series is None else series)
        future = following(cast(pd.Timestamp, rows.axis[-1]), self.step_, positive(n, "n"))
        times = pd.DatetimeIndex(rows.axis.append(future))
        past = Past(rows=rows, times=times, origins=np.array([len(rows) - 1]), horizon=n)
        reads = self._reads(past)
        seen = rows.held(reads)
        self._require_whole(past, reads, seen)
        return self.grid_.series(self._frames(past, reads, seen)[0], future)

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
        rows = self._rows(series)
        origins = origin_rows(rows.axis, start=start, horizon=horizon, stride=stride)
        past = Past(rows=rows, times=rows.axis, origins=origins, horizon=horizon)
        reads = self._reads(past)
        seen = rows.held(reads)
        whole = self._whole(reads, seen).all(axis=1)
        if not whole.any():
            self._require_whole(past, reads[-1:], seen)
        past, reads = replace(past, origins=origins[whole]), reads[whole]
        return self.grid_.forecasts(
            self._frames(past, reads, seen),
            rows.axis.values[past.origins],
            lead_times(self.step_, horizon),
            rows.axis.values[past.forecast_rows],
        )

    @property
    def fitted_until_(self) -> pd.Timestamp | None:
        """Time of the last frame that was learnt from; None if nothing is learnt from values, or not yet."""
        if type(self)._learn is Baseline._learn or not hasattr(self, "training_"):
            return None
        return cast(pd.Timestamp, times_of(self.training_, self.grid_.time_dim)[-1])

    def _learn(self, rows: Rows) -> None:
        """Keep what forecasting needs of the training rows; NaN is what was not observed."""

    @abstractmethod
    def _reads(self, past: Past) -> np.ndarray:
        """(origin, any): rows that must be whole; -1 for one before the series."""

    @abstractmethod
    def _frames(self, past: Past, reads: np.ndarray, seen: Held) -> np.ndarray:
        """(origin, lead, component), from the rows that are read."""

    def _rows(self, series: Series) -> Rows:
        return Rows(series, self.grid_, self.step_)

    def _whole(self, reads: np.ndarray, seen: Held) -> np.ndarray:
        mask = self.grid_.mask
        kinds = seen.kinds(None if mask is None else mask.ravel())
        return (reads >= 0) & (kinds[reads] == WHOLE)

    def _require_whole(self, past: Past, reads: np.ndarray, seen: Held) -> None:
        if (reads < 0).any():
            raise TooShortError(
                f"{self!r} looks further back than the {len(past.rows)} frames since "
                f"{past.times[0]}. Pass a series that begins earlier."
            )
        unusable = reads[~self._whole(reads, seen)]
        if len(unusable):
            raise GapError(
                f"{self!r} reads the frame at {past.times[unusable[0]]}, which is missing or holds "
                f"NaN. Fill it, or forecast from another time."
            )
