"""Backtests to write reports of."""

import numpy as np
import pandas as pd
import xarray as xr

from darts_mim.backtesting.backtest import backtest
from darts_mim.baselines import Climatology


def flow(n=160, *, seed=0, freq="3h", shape=(3, 4)):
    time = pd.date_range("2024-01-01", periods=n, freq=freq)
    values = np.random.default_rng(seed).gamma(2.0, 5.0, (n, *shape))
    return xr.DataArray(values, {"time": time}, ("time", "y", "x"), name="rain", attrs={"units": "mm"})


def truth_of(series, start, horizon):
    """What comes, laid out as forecasts."""
    past = Climatology("1D").fit(series[:start])
    past = past.historical_forecasts(series, forecast_horizon=horizon, start=series.time[start])
    return series.sel(time=past["valid_time"]).drop_vars("time").transpose(*past.dims)


def scored(offsets, *, series=None, start=56, horizon=3, **options):
    """Models that err by that much besides chance."""
    series = flow() if series is None else series
    truth = truth_of(series, start, horizon)
    rng = np.random.default_rng(1)
    given = {name: truth + size * rng.normal(size=truth.shape) for name, size in offsets.items()}
    return backtest(given, series, start=series.time[start], horizon=horizon, **options)
