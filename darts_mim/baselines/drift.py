"""The last frame, and the mean change per step from there on."""

from typing import cast

import numpy as np
import pandas as pd

from darts_mim.baselines.base import Baseline, Past
from darts_mim.grid.times import positive


class Drift(Baseline):
    """The last frame plus the mean change per step: the line through two frames, drawn on.

    forecast(t + lead) = x(t) + lead * (x(t) - x(s)) / (t - s), cell by cell. Without a window the change is
    that of the training series, from the first to the last value that a cell has; a cell with a single
    value stays as it is.

    Args:
        window: Frames that the change is the mean of, at least 2: it is read from the last frame and the
            one ``window - 1`` steps before. None is the training series.
        time_dim: Name of the time dim, if it cannot be told.
        spatial_dims: Names of rows and columns, if they cannot be told.
        channel_dim: Name of the channel dim, if it cannot be told.

    Attributes:
        change_: Mean change per step over the training series, (component,); None with a window.

    Source:
        Hyndman and Athanasopoulos (2021), Forecasting: Principles and Practice, 3rd ed., section 5.2.

    >>> import xarray as xr
    >>> time = pd.date_range("2024-01-01", periods=4, freq="h")
    >>> level = xr.DataArray([[[1.0]], [[0.0]], [[3.0]], [[7.0]]], {"time": time}, ("time", "y", "x"))
    >>> Drift().fit(level).predict(2).values.ravel()
    array([ 9., 11.])
    >>> Drift(window=2).fit(level).predict(2).values.ravel()
    array([11., 15.])
    """

    change_: np.ndarray | None

    def __init__(
        self,
        window: int | None = None,
        *,
        time_dim: str | None = None,
        spatial_dims: tuple[str, str] | None = None,
        channel_dim: str | None = None,
    ) -> None:
        super().__init__(time_dim=time_dim, spatial_dims=spatial_dims, channel_dim=channel_dim)
        self.window = window

    def _learn(self, values: np.ndarray, times: pd.DatetimeIndex) -> None:
        if self.window is not None and positive(self.window, "window") == 1:
            raise ValueError("window=1 came; a change takes at least 2 frames. Pass window=2 or more.")
        self.change_ = _mean_change(values) if self.window is None else None

    @property
    def fitted_until_(self) -> pd.Timestamp | None:
        """Time of the last frame that the change was learnt from; None with a window."""
        return None if self.window is not None else super().fitted_until_

    def _reads(self, past: Past) -> np.ndarray:
        back = 0 if self.window is None else self.window - 1
        return np.maximum(past.origins[:, None] - np.unique([back, 0])[::-1], -1)

    def _frames(self, past: Past, reads: np.ndarray) -> np.ndarray:
        last = past.values[past.origins].astype(np.float64)
        if self.window is None:
            change = cast(np.ndarray, self.change_)
        else:
            change = (last - past.values[reads[:, 0]]) / (self.window - 1)
        leads = np.arange(1, past.horizon + 1)[:, None]
        return last[:, None] + leads * np.expand_dims(change, -2)


def _mean_change(values: np.ndarray) -> np.ndarray:
    """(component,): from the first to the last known value, per step; 0 where that is one value or none."""
    known, cells = np.isfinite(values), np.arange(values.shape[1])
    first, last = known.argmax(axis=0), len(values) - 1 - known[::-1].argmax(axis=0)
    change = values[last, cells].astype(np.float64) - values[first, cells]
    steps = last - first
    return np.divide(change, steps, out=np.zeros(len(cells)), where=(steps > 0) & known.any(axis=0))
