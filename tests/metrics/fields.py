"""Forecasts and truths that tests of metrics share: non-square, in [0, 1], with gaps."""

import numpy as np
import xarray as xr

DIMS = ("init_time", "lead_time", "channel", "y", "x")
SHAPE = (6, 3, 2, 12, 14)
SPACE = ("y", "x")


LEVELS = (0.1, 0.25, 0.5, 0.75, 0.9)


def field(seed, *, dtype=np.float64, samples=None, levels=None):
    """Smooth enough that forecasts of different seeds share some structure; perhaps samples or quantiles."""
    rng = np.random.default_rng(seed)
    several = len(levels) if levels else samples
    values = rng.random(SHAPE if several is None else (several, *SHAPE))
    values = np.sort(values, axis=0) if levels else values
    wave = 0.5 + 0.5 * np.sin(np.arange(12)[:, None] / 3 + np.arange(14) / 2)
    coords = {
        "init_time": np.arange("2024-01-01", "2024-01-07", dtype="M8[D]").astype("M8[ns]"),
        "lead_time": np.arange(1, 4) * np.timedelta64(30, "m").astype("m8[ns]"),
        "channel": ["in", "out"],
        "y": np.linspace(50, 61, 12),
    }
    dims = DIMS if several is None else ("quantile" if levels else "realization", *DIMS)
    coords |= {"quantile": list(levels)} if levels else {}
    return xr.DataArray((0.5 * values + 0.5 * wave).astype(dtype), coords, dims, attrs={"units": "mm"})


def gappy(seed=1, *, dtype=np.float64):
    """One frame not observed at all, one in part."""
    truth = field(seed, dtype=dtype)
    truth[2, 1] = np.nan
    truth[4, 0, 1, 3, :5] = np.nan
    return truth
