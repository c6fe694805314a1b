"""Lead times as a reader says them."""

import numpy as np
import xarray as xr


def lead_labels(lead_time: xr.DataArray) -> list[str]:
    """Lead times as a reader says them; calendar steps are counted.

    >>> import pandas as pd
    >>> leads = pd.to_timedelta(["30min", "1h", "90min", "2D"])
    >>> lead_labels(xr.DataArray(leads, dims="lead_time"))
    ['30 min', '1 h', '1.5 h', '2 d']
    >>> lead_labels(xr.DataArray([1, 2], dims="lead_time"))
    ['1 step', '2 steps']
    """
    values = lead_time.values
    if values.dtype.kind != "m":
        return [f"{n} step{'s' if n > 1 else ''}" for n in values]
    return [_duration(float(seconds)) for seconds in values / np.timedelta64(1, "s")]


def _duration(seconds: float) -> str:
    for unit, size in {"d": 86400, "h": 3600, "min": 60}.items():
        amount = seconds / size
        if amount >= 1 and (2 * amount).is_integer():
            return f"{amount:g} {unit}"
    return f"{seconds:g} s"
