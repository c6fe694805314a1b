"""From which times forecasts are made, and for which; and the series that they are made from."""

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import pandas as pd
import xarray as xr

from darts_mim.backtesting.lazy_frames import frames_at, laid_out
from darts_mim.grid.grid import Grid
from darts_mim.grid.lazy import is_lazy
from darts_mim.grid.times import lead_times, moment, origin_rows, regular_axis, step_of, times_of
from darts_mim.stores.forecast_store import origins_at_once

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

    @cached_property
    def is_lazy(self) -> bool:
        """Whether the series is not in memory."""
        return is_lazy(self.series)

    def origins_at_once(self, samples: int = 1) -> int:
        """As many as are forecast, or compared, together."""
        return origins_at_once(self.clock.horizon * self.grid.n_components * samples)

    def truth(self, rows: np.ndarray) -> Series:
        """What happened at the times forecast from rows of the axis, as forecasts are laid out.

        NaN where frames are missing. Of a lazy series it is lazy, a block of origins a chunk.
        """
        frames = self.clock.valid_rows(rows)
        if not self.is_lazy:
            return self.forecasts(self.observed(frames), rows)
        at = self.times.get_indexer(self.clock.axis[frames.ravel()]).reshape(frames.shape)
        none = np.empty((0, self.clock.horizon, self.grid.n_components), dtype=np.float32)
        like: Any = self.forecasts(none, rows[:0])
        labels = {
            "init_time": self.clock.axis.values[rows],
            "valid_time": (("init_time", "lead_time"), self.clock.valid_times(rows)),
        }
        return laid_out(self.series, at, self.grid.time_dim, like, self.origins_at_once()).assign_coords(
            labels
        )

    def last_seen(self, rows: np.ndarray) -> xr.DataArray:
        """(init_time, channel, row, column): the frames at rows of the axis; lazy if the series is."""
        dims = ("init_time", *self.grid.canonical_dims)
        if not self.is_lazy:
            return xr.DataArray(self.observed(rows).reshape(-1, *self.grid.shape), dims=dims)
        at = self.times.get_indexer(self.clock.axis[rows])
        frames = self.grid.canonical(self.series).variable
        return xr.DataArray(
            frames_at(frames, at, self.grid.time_dim, np.dtype(float), self.origins_at_once()), dims=dims
        )

    def observed(self, rows: np.ndarray) -> np.ndarray:
        """(*rows, component): the frames at rows of the axis, in memory; NaN where they are missing."""
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
