"""From which times forecasts are made, and for which."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
import xarray as xr

from darts_mim.grid.grid import Grid
from darts_mim.grid.times import lead_times, moment, origin_rows, regular_axis, step_of, times_of

Series = xr.DataArray | xr.Dataset


@dataclass(frozen=True, kw_only=True)
class Clock:
    """The regular time axis of the series, and the rows on it to forecast from."""

    axis: pd.DatetimeIndex
    rows: np.ndarray
    horizon: int
    start: pd.Timestamp
    stride: int

    @property
    def lead_times(self) -> np.ndarray:
        """By frame of a forecast; whole steps where the step is one of the calendar."""
        return lead_times(step_of(self.axis), self.horizon)

    @classmethod
    def of(cls, series: Series, grid: Grid, *, start: Any, horizon: int, stride: int) -> "Clock":
        """Every ``stride``-th origin whose frames are on the axis; the first frame at ``start``."""
        axis, start = regular_axis(times_of(series, grid.time_dim)), moment(start, "start")
        rows = origin_rows(axis, start=start, horizon=horizon, stride=stride)
        return cls(axis=axis, rows=rows, horizon=horizon, start=start, stride=stride)

    def valid_times(self, rows: np.ndarray) -> np.ndarray:
        """(origin, lead): the times of the frames forecast from ``rows``."""
        return self.axis.values[rows[:, None] + np.arange(1, self.horizon + 1)]
