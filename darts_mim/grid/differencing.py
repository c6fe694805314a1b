"""Differences between frames, and forecasts added up again from the frames before them."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pandas as pd
import xarray as xr
from pandas.tseries.offsets import BaseOffset

from darts_mim.errors import GapError, TimeAxisError, TooShortError
from darts_mim.grid.times import period_steps, step_of, steps_between, times_of
from darts_mim.grid.transformer import GridTransformer


class GridDifferencer(GridTransformer):
    """How each frame differs from earlier ones: (1 - B)^order (1 - B^lag) ... of the series.

    ``transform`` leaves out the first ``n_lost_`` steps, which have no difference. A difference
    that reaches across a missing time is NaN. ``inverse_transform`` needs ``history``: the series
    before the forecast, at least its last ``n_lost_`` frames. It reads a lazy series, and what
    stands on a NaN or on a time that the forecast leaves out is NaN. Of forecasts on ``init_time``,
    those that would be added up from a missing time are left out.

    Args:
        order: How often the frame before is subtracted.
        lags: Seasonal lags, one or several, each subtracted once: steps, or pandas offsets such as "7D".
        time_dim: Name of the time dim, if it cannot be told.
        spatial_dims: Names of rows and columns, if they cannot be told.
        channel_dim: Name of the channel dim, if it cannot be told.

    Attributes:
        coefficients_: What each earlier frame counts, by how many steps it lies back.
        n_lost_: How many steps back the farthest frame lies.
        step_: The training series' step.

    >>> times = pd.date_range("2024-01-01", periods=5, freq="D")
    >>> series = xr.DataArray(
    ...     np.arange(5.0).reshape(5, 1, 1) ** 2, dims=("time", "y", "x"), coords={"time": times}
    ... )
    >>> differencer = GridDifferencer().fit(series)
    >>> differences = differencer.transform(series)
    >>> differences.values.ravel()
    array([1., 3., 5., 7.])
    >>> differencer.inverse_transform(differences[2:], history=series[:3]).values.ravel()
    array([ 9., 16.])
    """

    coefficients_: dict[int, float]
    n_lost_: int
    step_: BaseOffset

    def __init__(
        self,
        order: int = 1,
        lags: int | str | Sequence[int | str] = (),
        *,
        time_dim: str | None = None,
        spatial_dims: tuple[str, str] | None = None,
        channel_dim: str | None = None,
    ) -> None:
        super().__init__(time_dim=time_dim, spatial_dims=spatial_dims, channel_dim=channel_dim)
        self.order = order
        self.lags = lags

    def _learn(self, arrays: list[xr.DataArray]) -> None:
        self.fitted_until_ = None
        self.step_ = step_of(times_of(arrays[0], self.grid_.time_dim))
        lags = [self.lags] if isinstance(self.lags, int | str) else self.lags
        seasonal = [period_steps(lag, self.step_) if isinstance(lag, str) else lag for lag in lags]
        steps = [*[1] * self.order, *seasonal]
        if self.order < 0 or not steps or min(steps) < 1:
            raise ValueError(
                f"order={self.order!r} and lags={self.lags!r} came, where an order of at least 0, lags of "
                f"at least 1 step, and one of them in all are wanted, e.g. order=1."
            )
        polynomial = np.ones(1)
        for lag in steps:
            polynomial = np.convolve(polynomial, [1.0, *[0.0] * (lag - 1), -1.0])
        self.n_lost_ = len(polynomial) - 1
        self.coefficients_ = {
            int(back): float(polynomial[back]) for back in np.flatnonzero(polynomial) if back
        }

    def _forward(self, array: xr.DataArray) -> xr.DataArray:
        time_dim = self.grid_.time_dim
        times = times_of(array, time_dim)
        steps = steps_between(times.values[0], times, self.step_) if len(times) else np.arange(0)
        kept = np.flatnonzero(steps >= self.n_lost_)
        if not kept.size:
            raise TooShortError(
                f"The series has {len(times)} frames, and its differences reach {self.n_lost_} steps "
                f"back. Pass one that spans at least {self.n_lost_ + 1} steps."
            )
        frames = array.isel({time_dim: kept})
        differences, known = frames.data, np.ones(len(kept), dtype=bool)
        for back, coefficient in self.coefficients_.items():
            row, found = _rows(steps, steps[kept] - back)
            differences = differences + coefficient * array.isel({time_dim: row}).data
            known &= found
        return frames.copy(data=differences).where(xr.DataArray(known, dims=time_dim))

    def _backward(self, array: xr.DataArray, history: Any) -> xr.DataArray:
        if history is None:
            raise ValueError(
                f"No history came, and differences are added up from the frames before them. Pass the "
                f"untransformed series, at least its last {self.n_lost_} frames: "
                f".inverse_transform(forecast, history=series)."
            )
        past = _Past.of(self._open(history), self.grid_.time_dim, self.step_)
        if "init_time" in array.dims:
            array = self._with_history(array, past)
        by_lead, init, ahead = self._by_lead(array, past)
        past = past.read(init.min() + 1 - self.n_lost_, init.max())
        frames = by_lead.values.astype(np.float64)  # rounding adds up with the frames
        for lead, steps in enumerate(ahead):
            for back, coefficient in self.coefficients_.items():
                if steps <= back:
                    frames[lead] -= coefficient * past.frames(init + steps - back)
                else:  # restored already, or unknown: the forecast leaves that frame out
                    row, found = _rows(ahead, steps - back)
                    frames[lead] -= coefficient * (frames[row] if found else np.nan)
        restored = by_lead.copy(data=frames.astype(array.dtype))
        added = [dim for dim in restored.dims if dim not in array.dims]
        return array.copy(data=restored.squeeze(added).transpose(*array.dims).data)

    def _with_history(self, array: xr.DataArray, past: "_Past") -> xr.DataArray:
        """The forecasts whose frames before them are held; all of them, for the error, if none is so."""
        _, init, ahead = self._by_lead(array, past)
        reads = [steps - back for steps in ahead for back in self.coefficients_ if steps <= back]
        held = np.isin(init[:, None] + np.array(reads), past.steps).all(axis=1)
        return array.isel(init_time=held) if held.any() else array

    def _by_lead(self, array: xr.DataArray, past: "_Past") -> tuple[xr.DataArray, np.ndarray, np.ndarray]:
        """Forecasts with the lead in front, each one's last step before, and the steps ahead."""
        time_dim, cells = self.grid_.time_dim, self.grid_.canonical_dims
        if time_dim in array.dims:
            steps = past.steps_of(times_of(array, time_dim))
            by_lead = array.expand_dims("init_time").transpose(time_dim, ..., "init_time", *cells)
            return by_lead, steps[:1] - 1, steps - steps[:1] + 1
        if not {"init_time", "lead_time"} <= set(array.dims) or "valid_time" not in array.coords:
            raise TimeAxisError(
                f"A forecast with the dims {array.dims} came, where {time_dim!r}, or init_time and "
                f"lead_time with the coordinate valid_time(init_time, lead_time), are wanted."
            )
        valid = array["valid_time"].transpose("init_time", "lead_time").values
        init = past.steps_of(pd.DatetimeIndex(array["init_time"].values))
        ahead = past.steps_of(pd.DatetimeIndex(valid.ravel())).reshape(valid.shape) - init[:, None]
        if np.any(ahead != ahead[:1]) or np.any(np.diff(ahead[0]) < 1) or ahead[0, 0] < 1:
            raise TimeAxisError(
                "valid_time is not init_time + lead_time, with the lead times in order. Make it so."
            )
        return array.transpose("lead_time", ..., "init_time", *cells), init, ahead[0]


@dataclass(frozen=True, kw_only=True)
class _Past:
    """The frames before the forecasts, found by how many steps they are after the first of them."""

    array: xr.DataArray  # (time, ..., channel, row, column)
    times: pd.DatetimeIndex
    steps: np.ndarray  # of the array's frames
    step: BaseOffset

    @classmethod
    def of(cls, history: xr.DataArray, time_dim: str, step: BaseOffset) -> "_Past":
        times = times_of(history, time_dim)
        if history.sizes.get("realization") == 1:
            history = history.isel(realization=0)
        if not len(times):
            raise TooShortError("history has no frames. Pass the series before the forecast.")
        steps = steps_between(times.values[0], times, step)
        return cls(array=history.transpose(time_dim, ...), times=times, steps=steps, step=step)

    def steps_of(self, times: pd.DatetimeIndex) -> np.ndarray:
        return steps_between(self.times.values[0], times, self.step)

    def read(self, first: int, last: int) -> "_Past":
        """Only the frames of these steps, in memory."""
        rows = slice(*np.searchsorted(self.steps, [first, last + 1]))
        return replace(self, array=self.array[rows].compute(), steps=self.steps[rows])

    def frames(self, steps: np.ndarray) -> np.ndarray:
        """(..., init_time, channel, row, column)."""
        row, found = _rows(self.steps, steps)
        if not np.all(found):
            missing = pd.Timestamp(self.times.values[0]) + self.step * int(steps[np.argmin(found)])
            raise GapError(
                f"The forecast is added up from the frame at {missing}, which history ({self.times[0]} to "
                f"{self.times[-1]}) does not hold. Pass a history without a gap before each forecast."
            )
        return np.moveaxis(self.array.values[row], 0, -4)


def _rows(steps: np.ndarray, wanted: Any) -> tuple[Any, Any]:
    """Which row holds each wanted step, and whether there is one."""
    if not len(steps):
        return np.zeros_like(wanted), np.zeros_like(wanted, dtype=bool)
    row = np.minimum(np.searchsorted(steps, wanted), len(steps) - 1)
    return row, steps[row] == wanted
