"""Climatology plus what is left of the last anomaly."""

import numpy as np
import pandas as pd
from sklearn.utils.validation import check_is_fitted

from darts_mim.baselines.base import Past
from darts_mim.baselines.climatology import Climatology


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

    >>> import xarray as xr
    >>> time = pd.date_range("2024-01-01", periods=4, freq="12h")
    >>> flow = xr.DataArray([1.0, 0.0, 5.0, 0.0], {"time": time}, ("time",))
    >>> flow = flow.expand_dims(y=1, x=1)
    >>> DampedAnomaly("1D").fit(flow).predict(2, flow[:, :, :3]).squeeze().values
    array([0., 1.])
    """

    def _learn(self, values: np.ndarray, times: pd.DatetimeIndex) -> None:
        super()._learn(values, times)
        self.anomalies_ = values - self.climatology_[self._positions(times)]
        self._dampings: dict[int, np.ndarray] = {}

    def damping(self, horizon: int) -> np.ndarray:
        """(lead, component): the share of an anomaly that is left after each lead."""
        check_is_fitted(self, "grid_")
        if horizon not in self._dampings:
            self._dampings[horizon] = self._slopes(horizon)
        return self._dampings[horizon]

    def _slopes(self, horizon: int) -> np.ndarray:
        """Of each anomaly on that of so many steps before, cell by cell."""
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

    def _reads(self, past: Past) -> np.ndarray:
        return past.origins[:, None]

    def _frames(self, past: Past, reads: np.ndarray) -> np.ndarray:
        normal = super()._frames(past, reads)
        anomaly = past.values[past.origins] - self._normal(past.times[past.origins])
        return normal + self.damping(past.horizon) * anomaly[:, None]
