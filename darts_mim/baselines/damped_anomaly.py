"""Climatology plus what is left of the last anomaly."""

from collections.abc import Iterator
from typing import Any

import dask
import numpy as np
from dask.delayed import Delayed
from sklearn.utils.validation import check_is_fitted

from darts_mim.baselines.base import Past
from darts_mim.baselines.climatology import Climatology
from darts_mim.baselines.rows import Held, Rows
from darts_mim.grid.reduction import BLOCK, Cells, boxes, cells_of, merged, shared

CACHED = 2**15  # anomalies that are multiplied together, so that they stay in the processor's cache


class DampedAnomaly(Climatology):
    """Climatology plus what is left, after each lead, of the last frame's departure from it.

    forecast(t + lead) = climatology(t + lead) + a[lead, cell] (x(t) - climatology(t)), where
    a is the least-squares slope through the origin over all training pairs ``lead`` apart. A cell
    whose training anomalies are all 0 has a = 0.

    Args:
        period: A pandas offset, e.g. ``"7D"``.
        harmonics: Pairs of sine and cosine of a smooth climatology; None for the mean at each position.
        time_dim: Name of the time dim, if it cannot be told.
        spatial_dims: Names of rows and columns, if they cannot be told.
        channel_dim: Name of the channel dim, if it cannot be told.

    >>> import pandas as pd, xarray as xr
    >>> time = pd.date_range("2024-01-01", periods=4, freq="12h")
    >>> flow = xr.DataArray([1.0, 0.0, 5.0, 0.0], {"time": time}, ("time",))
    >>> flow = flow.expand_dims(y=1, x=1)
    >>> DampedAnomaly("1D").fit(flow).predict(2, flow[:, :, :3]).squeeze().values
    array([0., 1.])
    """

    def _learn(self, rows: Rows) -> None:
        super()._learn(rows)
        self._dampings: dict[int, np.ndarray] = {}

    def damping(self, horizon: int) -> np.ndarray:
        """(lead, component): the share of an anomaly that is left after each lead."""
        check_is_fitted(self, "grid_")
        if horizon not in self._dampings:
            self._dampings[horizon] = self._slopes(horizon)
        return self._dampings[horizon]

    def _slopes(self, horizon: int) -> np.ndarray:
        """Of each anomaly on that of so many steps before, cell by cell."""
        rows = self._rows(self.training_)
        positions = self._positions(rows.axis)[rows.position]
        if rows.is_lazy:
            sums = self._sums(rows, positions, horizon)
        else:
            anomalies = rows.held(rows.position).values - self.climatology_[positions]
            sums = _pair_sums(anomalies, rows.position, 0, horizon)
        products, squares = sums.reshape(2, horizon, -1)
        return np.divide(products, squares, out=np.zeros_like(products), where=squares > 0)

    def _sums(self, rows: Rows, positions: np.ndarray, horizon: int) -> np.ndarray:
        """Those of :func:`_pair_sums`, of a lazy series, on (channel, row, column)."""
        normal = self.climatology_.reshape(-1, *self.grid_.shape)
        total = np.zeros((2, horizon, *self.grid_.shape))
        for cells, part in merged(_tasks(rows, positions, normal, horizon), np.add):
            total[:, :, *cells] += part
        return total

    def _reads(self, past: Past) -> np.ndarray:
        return past.origins[:, None]

    def _frames(self, past: Past, reads: np.ndarray, seen: Held) -> np.ndarray:
        normal = super()._frames(past, reads, seen)
        anomaly = seen[past.origins] - self._normal(past.times[past.origins])
        return normal + self.damping(past.horizon) * anomaly[:, None]


def _tasks(
    rows: Rows, positions: np.ndarray, normal: np.ndarray, horizon: int
) -> Iterator[tuple[Cells, Delayed]]:
    """The sums of a block of frames with those up to ``horizon`` steps before them."""
    of_block = dask.delayed(_block_sums, pure=False)
    held: tuple[Cells, Any] | None = None
    for box in boxes(rows.array, BLOCK):
        time, cells = box[rows.grid.time_dim], cells_of(box)
        if held is None or held[0] != cells:
            held = cells, shared(normal[:, *cells])
        first = int(np.searchsorted(rows.position, rows.position[time.start] - horizon))
        frames = slice(first, time.stop)
        values = rows.array[frames, *cells].data
        at = positions[frames], rows.position[frames]
        yield cells, of_block(values, held[1], *at, time.start - first, horizon)


def _block_sums(
    values: np.ndarray,
    normal: np.ndarray,
    positions: np.ndarray,
    rows: np.ndarray,
    skip: int,
    horizon: int,
) -> np.ndarray:
    return _pair_sums(values - normal[positions], rows, skip, horizon)


def _pair_sums(anomalies: np.ndarray, rows: np.ndarray, skip: int, horizon: int) -> np.ndarray:
    """(2, lead, ...): sums of products of anomalies so many steps apart, and of the earlier one's squares.

    Args:
        anomalies: (frame, ...), NaN where there is none.
        rows: Of the frames, on the regular axis.
        skip: Frames at the start that are only the earlier of a pair.
        horizon: Leads.
    """
    flat = anomalies.reshape(len(anomalies), -1)
    sums, width = np.empty((2, horizon, flat.shape[1])), max(1, CACHED // len(flat))
    for first in range(0, flat.shape[1], width):
        some = slice(first, first + width)
        sums[..., some] = _sums_of_some(flat[:, some], rows, skip, horizon)
    return sums.reshape(2, horizon, *anomalies.shape[1:])


def _sums_of_some(anomalies: np.ndarray, rows: np.ndarray, skip: int, horizon: int) -> np.ndarray:
    known = np.isfinite(anomalies)
    x = np.where(known, anomalies, 0.0)
    squares, unknown = x * x, not known.all()
    sums = np.zeros((2, horizon, *x.shape[1:]))
    for lead in range(1, horizon + 1):
        earlier, later = _pairs(rows, skip, lead)
        square = squares[earlier]
        if unknown:
            square = square * known[later]
        sums[:, lead - 1] = (x[earlier] * x[later]).sum(axis=0), square.sum(axis=0)
    return sums


def _pairs(rows: np.ndarray, skip: int, lead: int) -> tuple[Any, Any]:
    """Which frames are ``lead`` steps apart, the later one not among the first ``skip``."""
    if rows[-1] - rows[0] == len(rows) - 1:
        later = slice(max(skip, lead), None)
        return slice(later.start - lead, max(0, len(rows) - lead)), later
    earlier = np.searchsorted(rows, rows[skip:] - lead)
    found = rows[earlier] == rows[skip:] - lead
    return earlier[found], np.arange(skip, len(rows))[found]
