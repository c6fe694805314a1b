"""The mean by position in a period, as it is or smoothed by harmonics."""

import numpy as np
import pandas as pd

from darts_mim.baselines.base import Past
from darts_mim.baselines.rows import Held, Rows
from darts_mim.baselines.seasonal import Seasonal, require_seen
from darts_mim.grid.harmonics import smooth_cycle
from darts_mim.grid.times import position_in_period, steps_between


class Climatology(Seasonal):
    """The mean of the training frames at the same position in the period, cell by cell.

    It reads nothing but the clock, so that it forecasts across gaps too.

    With harmonics it is a smooth cycle instead: the mean plus that many pairs of sine and cosine over the
    period, fitted to the training frames by least squares, each cell by the values it has. A few years
    give a mean by day of the year that is noisy, and a smooth cycle that is not. Over the year, steps
    shorter than a day have a curve for each time of day. The curve bridges positions where a cell has no
    training value, in stretches shorter than half its shortest wave; longer ones stay unknown.

    Args:
        period: A pandas offset, e.g. ``"7D"``: the mean half hour of the week.
        harmonics: Pairs of sine and cosine, fewer than half the positions in the period; None for the mean
            at each position.
        time_dim: Name of the time dim, if it cannot be told.
        spatial_dims: Names of rows and columns, if they cannot be told.
        channel_dim: Name of the channel dim, if it cannot be told.

    Attributes:
        climatology_: (position, component), float64, in the series' units.

    Source:
        Narapusetty, DelSole and Tippett (2009), J. Climate 22, 4845-4859, for the harmonics.

    >>> import xarray as xr
    >>> time = pd.date_range("2024-01-01", periods=4, freq="12h")
    >>> flow = xr.DataArray(np.arange(24.0).reshape(4, 2, 3), {"time": time}, ("time", "y", "x"))
    >>> Climatology("1D").fit(flow).predict(3)[:, 0, 0].values
    array([ 6., 12.,  6.])
    >>> months = pd.date_range("2022-01-01", periods=24, freq="MS")
    >>> cycle = 10 - 8 * np.cos(2 * np.pi * np.arange(24) / 12)
    >>> noisy = cycle + np.tile([0.0, 1.0, 0.0, -1.0], 6)
    >>> warmth = xr.DataArray(noisy[:, None, None], {"time": months}, ("time", "y", "x"))
    >>> Climatology("1YE", harmonics=1).fit(warmth).predict(3).values.ravel().round(1)
    array([2. , 3.1, 6. ])
    """

    climatology_: np.ndarray

    def __init__(
        self,
        period: str,
        *,
        harmonics: int | None = None,
        time_dim: str | None = None,
        spatial_dims: tuple[str, str] | None = None,
        channel_dim: str | None = None,
    ) -> None:
        super().__init__(period, time_dim=time_dim, spatial_dims=spatial_dims, channel_dim=channel_dim)
        self.harmonics = harmonics

    def _learn(self, rows: Rows) -> None:
        self.start_ = rows.axis.values[0]
        positions, n = position_in_period(rows.axis, self.period, step=self.step_)
        means, counts = rows.means_at(positions, n)
        if self.harmonics is not None:
            means = smooth_cycle(means, counts, self.harmonics, period=self.period, step=self.step_)
        self.climatology_ = means

    def _normal(self, times: pd.DatetimeIndex) -> np.ndarray:
        """(time, component): the mean for each time; an error if it is off the learnt step."""
        steps_between(self.start_, times, self.step_)
        normal = self.climatology_[self._positions(times)]
        require_seen(self, normal, times)
        return normal

    def _reads(self, past: Past) -> np.ndarray:
        return np.empty((len(past.origins), 0), dtype=int)

    def _frames(self, past: Past, reads: np.ndarray, seen: Held) -> np.ndarray:
        rows = past.forecast_rows
        return self._normal(past.times[rows.ravel()]).reshape(*rows.shape, -1)
