"""The last frame, and the mean change per step from there on."""

from collections.abc import Iterable
from typing import cast

import numpy as np
import pandas as pd

from darts_mim.baselines.base import Baseline, Past
from darts_mim.baselines.rows import Held, Rows
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

    def _learn(self, rows: Rows) -> None:
        if self.window is not None and positive(self.window, "window") == 1:
            raise ValueError("window=1 came; a change takes at least 2 frames. Pass window=2 or more.")
        self.change_ = _mean_change(rows) if self.window is None else None

    @property
    def fitted_until_(self) -> pd.Timestamp | None:
        """Time of the last frame that the change was learnt from; None with a window."""
        return None if self.window is not None else super().fitted_until_

    def _reads(self, past: Past) -> np.ndarray:
        back = 0 if self.window is None else self.window - 1
        return np.maximum(past.origins[:, None] - np.unique([back, 0])[::-1], -1)

    def _frames(self, past: Past, reads: np.ndarray, seen: Held) -> np.ndarray:
        last = seen[past.origins].astype(np.float64)
        if self.window is None:
            change = cast(np.ndarray, self.change_)
        else:
            change = (last - seen[reads[:, 0]]) / (self.window - 1)
        leads = np.arange(1, past.horizon + 1)[:, None]
        return last[:, None] + leads * np.expand_dims(change, -2)


def _mean_change(rows: Rows) -> np.ndarray:
    """(component,): from the first to the last known value, per step; 0 where that is one value or none."""
    first, start = _first_known(rows, rows.blocks())
    last, end = _first_known(rows, rows.blocks(backwards=True))
    steps, change = end - start, last.astype(np.float64) - first
    return np.divide(change, steps, out=np.zeros(len(change)), where=steps > 0)


def _first_known(
    rows: Rows, blocks: Iterable[tuple[np.ndarray, np.ndarray]]
) -> tuple[np.ndarray, np.ndarray]:
    """(component,) each: the first value, and its row; no more blocks are read than it takes."""
    components = np.arange(rows.grid.n_components)
    value, row = np.zeros(len(components), rows.array.dtype), np.zeros(len(components), dtype=int)
    mask = rows.grid.mask
    wanted = np.ones(len(components), dtype=bool) if mask is None else ~mask.ravel()
    for at, frames in blocks:
        known = np.isfinite(frames)
        frame, new = known.argmax(axis=0), wanted & known.any(axis=0)
        value[new], row[new] = frames[frame, components][new], at[frame][new]
        wanted &= ~new
        if not wanted.any():
            break
    return value, row
