"""What the tests of the simple forecasts share."""

import importlib.util

import numpy as np
import pandas as pd
import pytest
import xarray as xr

from darts_mim.baselines import (
    Autoregression,
    Climatology,
    DampedAnomaly,
    Drift,
    ExponentialSmoothing,
    OpticalFlow,
    Persistence,
    SeasonalNaive,
)

DIMS = ("time", "channel", "y", "x")
STEP = pd.Timedelta("6h")
MISSING = [name for name in ("pysteps", "cv2") if importlib.util.find_spec(name) is None]
needs_pysteps = pytest.mark.skipif(bool(MISSING), reason=f"{', '.join(MISSING)} not installed")
MODELS = [
    Persistence(),
    Drift(),
    Drift(window=3),
    SeasonalNaive("1D"),
    Climatology("1D"),
    Climatology("1D", harmonics=1),
    DampedAnomaly("1D"),
    ExponentialSmoothing(),
    ExponentialSmoothing("1D", trend="damped"),
    Autoregression(2),
    Autoregression(1, seasonal_lags=("1D",), ridge=0.1),
    pytest.param(OpticalFlow(), marks=needs_pysteps),
]


def flow(days=6, *, freq="6h", seed=0, dtype=np.float64):
    time = pd.date_range("2024-01-03 06:00", periods=days * 24 // int(freq[:-1]), freq=freq)
    values = np.random.default_rng(seed).gamma(2.0, 5.0, (len(time), 2, 3, 4)).astype(dtype)
    values += 10 * np.sin(time.hour.values * np.pi / 12)[:, None, None, None].astype(dtype) + 20
    coords = {"time": time, "channel": ["in", "out"], "y": [30.0, 20.0, 10.0]}
    return xr.DataArray(values, coords, DIMS, name="flow", attrs={"units": "vehicles"})


def gappy(days=20):
    """Two missing times, a NaN, and a cell that is never observed."""
    series = flow(days)
    series[:, 0, 1, 2] = np.nan
    series[9, 1, 0, 0] = np.nan
    return series.isel(time=~np.isin(np.arange(series.sizes["time"]), [5, 30]))
