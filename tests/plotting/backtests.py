"""Series and a backtest to draw."""

import numpy as np
import pandas as pd
import xarray as xr

from darts_mim.backtesting.backtest import backtest
from darts_mim.baselines import Climatology, DampedAnomaly, Persistence, SeasonalNaive


def flow(n=80, *, seed=0):
    time = pd.date_range("2024-01-01", periods=n, freq="3h")
    values = np.random.default_rng(seed).gamma(2.0, 5.0, (n, 2, 3, 4))
    values += 10 * (1 + np.sin(time.hour.values * np.pi / 12))[:, None, None, None]
    return xr.DataArray(
        values,
        {"time": time, "channel": ["in", "out"], "y": [3.0, 2.0, 1.0]},
        ("time", "channel", "y", "x"),
        name="flow",
        attrs={"units": "mm"},
    )


def four_models():
    """Of flow, from its 57th frame on."""
    series = flow()
    fitted = {
        "damped": DampedAnomaly("1D").fit(series[:56]),
        "normal": Climatology("1D").fit(series[:56]),
        "yesterday": SeasonalNaive("1D").fit(series[:56]),
        "last": Persistence().fit(series[:56]),
    }
    return backtest(fitted, series, start=series.time[56], horizon=4, metrics=["mse", "rmse", "bias"])


def rescored(forecasts, **options):
    """The same origins, other forecasts."""
    series = flow()
    return backtest(forecasts, series, start=series.time[56], horizon=4, **options)


def names(axes):
    """Texts in a panel, by what they say."""
    return {text.get_text(): text for text in axes.texts if text.get_text()}
