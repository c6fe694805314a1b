"""Exponential smoothing: a level, a damped trend and a season that follow what is observed."""

from collections.abc import Iterator
from itertools import pairwise
from typing import Literal

import numpy as np
import pandas as pd

from darts_mim.baselines.base import Baseline, Past
from darts_mim.baselines.holt_winters import Parameters, State, fit_parameters, run
from darts_mim.baselines.rows import Held, Rows
from darts_mim.baselines.seasonal import require_seen
from darts_mim.grid.position_sums import PositionMeans, PositionSums
from darts_mim.grid.times import position_in_period, steps_between

FIRST = 10  # frames that the level and the trend start from
CELLS = 2**24  # values of the cells that are fitted together of a series that is not in memory


class ExponentialSmoothing(Baseline):
    """Simple, damped-trend or seasonal exponential smoothing, cell by cell.

    forecast(t + h) = l(t) + (phi + ... + phi^h) b(t) + s(position of t + h): a level, a trend and a season,
    each moved after every frame by a share of the error of its one-step forecast. The shares are those
    whose one-step forecasts of the training series err least, in squares, found for each cell.

    The recursion runs once through the training frames and on through the series that is forecast from, which
    takes the training frames' place from its first time on. At a missing time or NaN the state is held: the
    error counts as 0, the level goes on along its trend, and the season stays. So it forecasts from inside
    a gap too.

    Before the first training frame the season is the mean by position over the training series, and level and
    trend are those of the line of least squares through its first 10 frames less the season (without a
    trend, of their mean).

    A series that is not in memory is read once for its mean, once for the season, and to fit the parameters
    some cells at a time: once for every 64 MiB (float64: 128) of it, or less often if a chunk of its store
    holds few cells. To forecast, it is read once, up to the last frame seen.

    Args:
        period: Length of the season, a pandas offset, e.g. ``"7D"``; None is no season.
        trend: ``"damped"`` or None.
        alpha: Share of the error that moves the level, in [0, 1]; None is fitted, as are the others.
        beta: Share of the level's move that moves the trend, in [0, 1].
        gamma: Share of the error that moves the season, in [0, 1]; fitted, it is at most 1 - alpha.
        phi: What is left of the trend after a step, in [0, 1]; fitted, it is in [0.8, 0.98]. With 1 the
            trend is Holt's, which does not fade.
        time_dim: Name of the time dim, if it cannot be told.
        spatial_dims: Names of rows and columns, if they cannot be told.
        channel_dim: Name of the channel dim, if it cannot be told.

    Attributes:
        climatology_: Mean by position less the mean of all, (position, component); None without a season.
        parameters_: alpha, beta, gamma and phi, (component,) each.
        initial_: level and trend, (component,), season, (position, component), before the first frame.

    Source:
        Hyndman and Athanasopoulos (2021), Forecasting: Principles and Practice, 3rd ed., chapter 8; Gardner
        and McKenzie (1985), Management Science 31, 1237-1246, for the damped trend.

    >>> import xarray as xr
    >>> time = pd.date_range("2024-01-01", periods=12, freq="h")
    >>> level = xr.DataArray(np.r_[np.full(11, 4.0), 8.0], {"time": time}, ("time",)).expand_dims(y=1, x=1)
    >>> ExponentialSmoothing(alpha=0.25).fit(level).predict(2).values.ravel()
    array([5., 5.])
    """

    climatology_: np.ndarray | None
    parameters_: Parameters
    initial_: State

    def __init__(
        self,
        period: str | None = None,
        *,
        trend: Literal["damped"] | None = None,
        alpha: float | None = None,
        beta: float | None = None,
        gamma: float | None = None,
        phi: float | None = None,
        time_dim: str | None = None,
        spatial_dims: tuple[str, str] | None = None,
        channel_dim: str | None = None,
    ) -> None:
        super().__init__(time_dim=time_dim, spatial_dims=spatial_dims, channel_dim=channel_dim)
        self.period = period
        self.trend = trend
        self.alpha = alpha
        self.beta = beta
        self.gamma = gamma
        self.phi = phi

    def _learn(self, rows: Rows) -> None:
        fixed = self._fixed()
        self.start_ = rows.axis.values[0]
        positions, n = self._positions(rows.axis)
        mean = rows.means_at(np.zeros(len(rows), dtype=int), 1)[0][0]
        self.climatology_ = None if self.period is None else rows.means_at(positions, n)[0] - mean
        # A position without a value moves nothing in training, and is not forecast for.
        season = None if self.climatology_ is None else np.nan_to_num(self.climatology_)
        start = np.arange(min(FIRST, len(rows)))
        first = rows.held(start)[start].astype(np.float64, copy=False)
        first = first if season is None else first - season[positions[start]]
        level, trend = _line(first) if self.trend else (_mean(first), None)
        level = np.where(np.isfinite(level), level, mean)
        self.initial_ = State(level=level, trend=trend, season=season)
        self.parameters_ = Parameters.joined(
            [
                (components, fit_parameters(values, positions, self.initial_.of(components), fixed))
                for components, values in rows.of_cells(CELLS)
            ]
        )

    def _fixed(self) -> dict[str, float | None]:
        """The parameters that were passed, checked."""
        if self.trend not in (None, "damped"):
            raise ValueError(f"trend={self.trend!r} came; it wants 'damped' or None. Holt's own has phi=1.")
        fixed = {"alpha": self.alpha, "beta": self.beta, "gamma": self.gamma, "phi": self.phi}
        for name, value in fixed.items():
            if value is not None and not 0 <= value <= 1:
                raise ValueError(f"{name}={value!r} came; it wants a number from 0 to 1, or None to fit it.")
        return fixed

    def _positions(self, times: pd.DatetimeIndex) -> tuple[np.ndarray, int]:
        """Where each time stands in the season, and how many positions it has."""
        if self.period is None:
            return np.zeros(len(times), dtype=int), 1
        return position_in_period(times, self.period, step=self.step_)

    def _reads(self, past: Past) -> np.ndarray:
        return np.empty((len(past.origins), 0), dtype=int)

    def _frames(self, past: Past, reads: np.ndarray, seen: Held) -> np.ndarray:
        wanted = past.forecast_rows
        positions, _ = self._positions(past.times)
        state = self._state_before(past.times[:1])
        if self.climatology_ is not None:
            require_seen(self, self.climatology_[positions[wanted.ravel()]], past.times[wanted.ravel()])
        fading = np.cumsum(self.parameters_.phi ** np.arange(1, past.horizon + 1)[:, None], axis=0)
        frames = np.empty((*wanted.shape, self.grid_.n_components))
        numbers = {int(origin): number for number, origin in enumerate(past.origins)}
        for row in self._walk(past.rows, positions, state, int(past.origins[-1]) + 1):
            if row in numbers:
                frame = frames[numbers[row]]
                frame[:] = state.level
                if state.trend is not None:
                    frame += fading * state.trend
                if state.season is not None:
                    frame += state.season[positions[row + 1 : row + 1 + past.horizon]]
        return frames

    def _state_before(self, times: pd.DatetimeIndex) -> State:
        """The state before the first of the times, from the training frames until then."""
        state = self.initial_.copy()
        ahead = int(steps_between(self.start_, times[:1], self.step_)[0])
        if ahead > 0:
            rows = self._rows(self.training_)
            for _ in self._walk(rows, self._positions(rows.axis)[0], state, ahead):
                pass
        return state

    def _walk(self, rows: Rows, positions: np.ndarray, state: State, stop: int) -> Iterator[int]:
        """Each row before ``stop``, once the state, changed in place, has gone through it."""
        following = 0
        for at, frames in rows.blocks(stop=stop):
            values = frames.astype(np.float64, copy=False)
            breaks = np.flatnonzero(np.diff(at) > 1) + 1
            for first, last in pairwise([0, *breaks.tolist(), len(at)]):
                there = at[first:last]
                yield from self._held(state, following, int(there[0]))
                errors = run(values[first:last], positions[there], state, self.parameters_)
                yield from (row for row, _ in zip(there.tolist(), errors, strict=True))
                following = int(there[-1]) + 1
        yield from self._held(state, following, stop)

    def _held(self, state: State, first: int, stop: int) -> Iterator[int]:
        """Missing rows, through which the state goes on alone."""
        for row in range(first, stop):
            state.hold(self.parameters_)
            yield row


def _mean(values: np.ndarray) -> np.ndarray:
    """(component,): the mean over all rows; NaN where there is none."""
    total = PositionMeans.none(1, values.shape[1:])
    total.add(PositionSums.of(values, np.zeros(len(values), dtype=int)))
    return total.means[0]


def _line(values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """(component,) each: where the line through the rows is one step before the first, and its slope."""
    known = np.isfinite(values)
    steps = np.where(known, np.arange(1.0, len(values) + 1)[:, None], np.nan)
    centre = _mean(steps)
    away = np.where(known, steps - centre, 0.0)
    spread = (away**2).sum(axis=0)
    moment = (away * np.where(known, values, 0.0)).sum(axis=0)
    slope = np.divide(moment, spread, out=np.zeros_like(moment), where=spread > 0)
    return _mean(values) - slope * centre, slope
