"""How a backtest was made, in words, for the report."""

from collections.abc import Mapping
from typing import Any

import xarray as xr

from darts_mim.backtesting.clock import Clock


def settings_in_words(
    forecasters: Mapping[str, Any],
    clock: Clock,
    *,
    refit_every: int | None,
    train_length: int | None,
    gap: int,
    samples: int,
) -> dict[str, str]:
    """What was asked, and of whom, by name.

    >>> import numpy as np, pandas as pd
    >>> days = pd.date_range("2024-01-01", periods=9)
    >>> clock = Clock(axis=days, rows=np.array([4, 5, 6]), horizon=2, start=days[5], stride=1)
    >>> settings_in_words({}, clock, refit_every=1, train_length=3, gap=0, samples=1)["fitted anew"]
    'at every origin, on the 3 frames before'
    """
    return {
        "first frame forecast": str(clock.axis[clock.rows[0] + 1]),
        "horizon": f"{clock.horizon} frames",
        "stride": _counted(clock.stride, "frame"),
        **_protocol(refit_every, train_length, gap),
        **({"samples of a forecast": str(samples)} if samples > 1 else {}),
        **{name: _in_words(forecaster) for name, forecaster in forecasters.items()},
    }


def _protocol(refit_every: int | None, train_length: int | None, gap: int) -> dict[str, str]:
    between = f"{_counted(gap, 'frame')} between training and the first frame forecast"
    left_out = {"gap": between} if gap else {}
    if refit_every is None:
        return left_out
    often = "at every origin" if refit_every == 1 else f"every {refit_every} origins"
    frames = "all frames before" if train_length is None else f"the {_counted(train_length, 'frame')} before"
    return {"fitted anew": f"{often}, on {frames}"} | left_out


def _counted(n: int, what: str) -> str:
    return f"{n} {what}{'' if n == 1 else 's'}"


def _in_words(forecaster: Any) -> str:
    if isinstance(forecaster, xr.DataArray | xr.Dataset):
        return "forecasts given"
    return " ".join(repr(forecaster).split())
