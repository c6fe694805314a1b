"""A model's forecasts through a series, written to a store block of origins by block of origins."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr

from darts_mim.grid.grid import Grid
from darts_mim.grid.times import origin_rows, positive, regular_axis, times_of
from darts_mim.stores.forecast_store import stored_forecasts

Series = xr.DataArray | xr.Dataset


def stored_history(
    to: str | Path,
    ask: Callable[..., Series],
    series: Series,
    *,
    forecast_horizon: int,
    start: Any,
    stride: int,
    num_samples: int,
    asked: Any,
    **dims: Any,
) -> Series:
    """What ``historical_forecasts`` gives, from a store that holds it.

    Args:
        to: The store, as in ``stored_forecasts``.
        ask: ``historical_forecasts`` of a part of the series, given ``forecast_horizon``, ``start`` and
            ``stride``.
        series: What is forecast through.
        forecast_horizon: Frames of each forecast.
        start: Time of the first frame to forecast.
        stride: Steps from one origin to the next.
        num_samples: Of each forecast.
        asked: All that the forecasts hang on besides origins and horizon.
        **dims: ``time_dim``, ``spatial_dims``, ``channel_dim``, where they cannot be told.

    Raises:
        ValueError: If there is no ``start``, or no DataArray or Dataset came.
    """
    require_one(series)
    if start is None:
        raise ValueError("to= takes start=, the time of the first frame to forecast: say which origins.")
    horizon = positive(forecast_horizon, "forecast_horizon")
    grid = Grid.of(series, **dims, with_mask=False)
    times = times_of(series, grid.time_dim)
    axis = regular_axis(times)

    def forecast(rows: np.ndarray) -> Series:
        stop = int(times.searchsorted(axis[rows[-1] + horizon])) + 1
        made = ask(
            series.isel({grid.time_dim: slice(0, stop)}),
            forecast_horizon=horizon,
            start=axis[rows[0] + 1],
            stride=stride if len(rows) > 1 else len(axis),
        )
        return made.isel(init_time=made.indexes["init_time"].isin(axis[rows]))

    return stored_forecasts(
        to,
        forecast,
        axis=axis,
        rows=origin_rows(axis, start=start, horizon=horizon, stride=stride),
        horizon=horizon,
        origin_size=horizon * grid.n_components * num_samples,
        asked=asked,
    )


def require_one(series: Any) -> None:
    """Check that one gridded series came.

    Raises:
        ValueError: If something else did.
    """
    if not isinstance(series, xr.DataArray | xr.Dataset):
        raise ValueError(
            f"to= is for the forecasts of one DataArray or Dataset; a {type(series).__name__} came. Pass one "
            f"at a time, each with a store of its own, or leave to= out."
        )


def require_whole_forecasts(options: Mapping[str, Any]) -> None:
    """Check what ``historical_forecasts`` is asked for besides: whole forecasts of a model that stays fitted.

    Raises:
        ValueError: If it is something else.
    """
    others = [name for name in ("retrain", "last_points_only", "overlap_end") if options.get(name)]
    if options.get("start_format", "value") != "value":
        others.append("start_format")
    if others:
        raise ValueError(
            f"to= writes whole forecasts of the fitted model, from start=, a time, on. Leave {others[0]} "
            f"out; to fit again on the way, use backtest(..., refit_every=, store=)."
        )
