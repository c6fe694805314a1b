"""The last frame again."""

import numpy as np

from darts_mim.baselines.base import Baseline, Past
from darts_mim.baselines.rows import Held


class Persistence(Baseline):
    """The last frame again. Best for short leads.

    >>> import pandas as pd, xarray as xr
    >>> time = pd.date_range("2024-01-01", periods=3, freq="h")
    >>> rain = xr.DataArray(np.arange(18.0).reshape(3, 2, 3), {"time": time}, ("time", "y", "x"))
    >>> Persistence().fit(rain).predict(2)[:, 0, 0].values
    array([12., 12.])
    """

    def _reads(self, past: Past) -> np.ndarray:
        return past.origins[:, None]

    def _frames(self, past: Past, reads: np.ndarray, seen: Held) -> np.ndarray:
        return np.repeat(seen[reads], past.horizon, axis=1)
