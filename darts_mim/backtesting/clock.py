"""From which times forecasts are made, and for which; and the series that they are made from."""

from dataclasses import dataclass
from functools import cached_property
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

    def valid_rows(self, rows: np.ndarray) -> np.ndarray:
        """(origin, lead): the rows of the frames forecast from ``rows``."""
        return rows[:, None] + np.arange(1, self.horizon + 1)

    def valid_times(self, rows: np.ndarray) -> np.ndarray:
        """(origin, lead): the times of the frames forecast from ``rows``."""
        return self.axis.values[self.valid_rows(rows)]


@dataclass(frozen=True, kw_only=True)
class Walk:
    """A series to walk through, forecasting at every origin: what all forecasters are asked alike."""

    series: Series
    grid: Grid
    clock: Clock
    num_samples: int = 1

    @cached_property
    def times(self) -> pd.DatetimeIndex:
        """Of the frames that there are."""
        return times_of(self.series, self.grid.time_dim)

    def between(self, first: int, last: int) -> Series:
        """The frames that there are on the axis' rows from ``first`` to ``last``, both included."""
        start, stop = self.clock.axis[first], self.clock.axis[last]
        frames = slice(int(self.times.searchsorted(start)), int(self.times.searchsorted(stop, side="right")))
        return self.series.isel({self.grid.time_dim: frames})

    def in_view_of(self, row: int) -> Series:
        """The frames up to a row and, where that one is missing, to the next: its place is on their axis."""
        last = int(self.times.searchsorted(self.clock.axis[row]))
        return self.series.isel({self.grid.time_dim: slice(0, last + 1)})

    def observed(self, rows: np.ndarray) -> np.ndarray:
        """(*rows, component): the frames at rows of the axis; NaN where they are missing."""
        at = self.times.get_indexer(self.clock.axis[rows.ravel()])
        missing = at < 0
        there = at[~missing] if not missing.all() else np.zeros(1, dtype=int)
        part = self.series.isel({self.grid.time_dim: slice(int(there.min()), int(there.max()) + 1)})
        values = self.grid.components(part)[np.where(missing, 0, at - there.min())]
        if missing.any():
            values = np.where(missing[:, None], np.float32(np.nan), values)
        return values.reshape(*rows.shape, -1)

    def forecasts(self, values: np.ndarray, rows: np.ndarray) -> Series:
        """(origin, lead, component, any samples) from the rows of the axis, as the user knows the series."""
        clock = self.clock
        return self.grid.forecasts(values, clock.axis.values[rows], clock.lead_times, clock.valid_times(rows))
