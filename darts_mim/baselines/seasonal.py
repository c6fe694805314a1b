"""The same position a period ago."""

import numpy as np
import pandas as pd

from darts_mim.baselines.base import Baseline, Past
from darts_mim.baselines.rows import Held
from darts_mim.errors import GapError
from darts_mim.grid.times import position_in_period
from darts_mim.grid.windows import WHOLE, row_kinds


class Seasonal(Baseline):
    """A baseline that knows where a time stands in a period."""

    def __init__(
        self,
        period: str,
        *,
        time_dim: str | None = None,
        spatial_dims: tuple[str, str] | None = None,
        channel_dim: str | None = None,
    ) -> None:
        super().__init__(time_dim=time_dim, spatial_dims=spatial_dims, channel_dim=channel_dim)
        self.period = period

    def _positions(self, times: pd.DatetimeIndex) -> np.ndarray:
        return position_in_period(times, self.period, step=self.step_)[0]


class SeasonalNaive(Seasonal):
    """The latest frame at the same position in the period: same time last week, last year.

    Leads beyond one period repeat the last whole one.

    Args:
        period: A pandas offset, e.g. ``"7D"``, ``"1D"``, or ``"1YE"`` for the time of the year.
        time_dim: Name of the time dim, if it cannot be told.
        spatial_dims: Names of rows and columns, if they cannot be told.
        channel_dim: Name of the channel dim, if it cannot be told.

    >>> import xarray as xr
    >>> time = pd.date_range("2024-01-01", periods=5, freq="12h")
    >>> flow = xr.DataArray(np.arange(30.0).reshape(5, 2, 3), {"time": time}, ("time", "y", "x"))
    >>> SeasonalNaive("1D").fit(flow).predict(3)[:, 0, 0].values
    array([18., 24., 18.])
    """

    def _reads(self, past: Past) -> np.ndarray:
        positions = self._positions(past.times)
        n = len(positions)
        # One sorted key for (position, row) finds the last row at a position up to an origin.
        order = np.lexsort((np.arange(n), positions))
        wanted = positions[past.forecast_rows]
        keys = positions[order] * n + order
        found = keys.searchsorted(wanted * n + past.origins[:, None], side="right") - 1
        rows = order[found]
        return np.where((found >= 0) & (positions[rows] == wanted), rows, -1)

    def _frames(self, past: Past, reads: np.ndarray, seen: Held) -> np.ndarray:
        return seen[reads]


def require_seen(model: Baseline, normal: np.ndarray, times: pd.DatetimeIndex) -> None:
    """Check that each time has its like in the training series, in all cells.

    Args:
        model: Whose training series it was.
        normal: (time, component): what was learnt for these times; NaN where they were not seen.
        times: The times to forecast for.

    Raises:
        GapError: Naming the first that has none.
    """
    mask = model.grid_.mask
    unseen = row_kinds(normal, None if mask is None else mask.ravel()) != WHOLE
    if unseen.any():
        raise GapError(
            f"{model!r} saw no training frame like {times[unseen][0]:%A %Y-%m-%d %H:%M} in some "
            f"or all cells. Fit on a longer series, or choose a shorter period."
        )
