"""Series whose best forecast is known, and forecasts of them."""

import numpy as np
import pandas as pd
import xarray as xr

PERSISTENCE = 0.8


def series(n=400, *, channels=2, shape=(3, 5), freq="h", seed=0, dtype=float):
    """Every cell persists by itself; nothing else is known of the next frame."""
    values = np.random.default_rng(seed).normal(size=(n, channels, *shape))
    for t in range(1, n):
        values[t] += PERSISTENCE * values[t - 1]
    return xr.DataArray(
        values.astype(dtype),
        {"time": pd.date_range("2024-01-01", periods=n, freq=freq), "channel": ["in", "out"][:channels]},
        ("time", "channel", "y", "x"),
        name="flow",
        attrs={"units": "mm"},
    )


def forecasts(observed, *, horizon=3, persistence=PERSISTENCE, stride=1):
    """Forecasts that take every departure to shrink by ``persistence`` a frame."""
    times = observed.indexes["time"]
    rows = np.arange(0, len(times) - horizon, stride)
    ahead = np.arange(1, horizon + 1)
    values = np.stack([persistence**lead * observed.values[rows] for lead in ahead], axis=1)
    fixed = times[1] - times[0] == times[2] - times[1]
    return xr.DataArray(
        values,
        {
            "init_time": times.values[rows],
            "lead_time": ahead * np.diff(times.values)[0] if fixed else ahead,
            "channel": observed["channel"],
            "valid_time": (("init_time", "lead_time"), times.values[rows[:, None] + ahead]),
        },
        ("init_time", "lead_time", *observed.dims[1:]),
    )
