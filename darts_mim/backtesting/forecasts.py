"""The forecasts of one forecaster from every origin, however it gives them."""

from typing import Any, Protocol

import numpy as np
import pandas as pd
import xarray as xr
from rich.progress import Progress

from darts_mim.backtesting.clock import Clock
from darts_mim.backtesting.lead_labels import lead_labels
from darts_mim.errors import GapError, GridDimsError, GridMismatchError, TooShortError
from darts_mim.grid.grid import Grid
from darts_mim.grid.times import times_of

Series = xr.DataArray | xr.Dataset


class Forecaster(Protocol):
    """What :func:`backtest` asks of a fitted model. It may have ``historical_forecasts`` too."""

    def predict(self, n: int, series: Any = None) -> Any:
        """The ``n`` frames after ``series``."""
        ...


def forecasts_of(
    forecaster: Any, series: Series, grid: Grid, clock: Clock, name: str, progress: Progress
) -> Series:
    """What it forecast from the origins of ``clock``, or was given, on (init_time, lead_time, ...)."""
    if isinstance(forecaster, xr.DataArray | xr.Dataset):
        return _given(forecaster, clock, name)
    if hasattr(forecaster, "historical_forecasts"):
        return forecaster.historical_forecasts(
            series, forecast_horizon=clock.horizon, start=clock.start, stride=clock.stride
        )
    return _predict_each(forecaster, series, grid, clock, name, progress)


def _given(forecasts: Series, clock: Clock, name: str) -> Series:
    """Forecasts made elsewhere, checked: they say from when and for when they are."""
    for dim in ("init_time", "lead_time"):
        if dim not in forecasts.dims or dim not in forecasts.indexes:
            raise GridDimsError(
                f"Forecasts of {name!r} have the dims {tuple(forecasts.dims)}; wanted are init_time and "
                f"lead_time with their labels, besides those of the series. Add them, e.g. "
                f".assign_coords({dim}=...) or .expand_dims({dim}=[...])."
            )
    if not forecasts.indexes["init_time"].is_unique:
        raise GridMismatchError(
            f"Several forecasts of {name!r} were made at one init_time. Keep one of each, e.g. "
            f".drop_duplicates('init_time'), or put them along a dim realization."
        )
    came = forecasts["lead_time"]
    if not np.array_equal(came.values, clock.lead_times):
        wanted = lead_labels(xr.DataArray(clock.lead_times))
        raise GridMismatchError(
            f"Forecasts of {name!r} have the lead_time {lead_labels(came)}; horizon={clock.horizon} wants "
            f"{wanted}. Select these, e.g. .sel(lead_time=...), or label them so."
        )
    return forecasts


def _predict_each(
    forecaster: Forecaster, series: Series, grid: Grid, clock: Clock, name: str, progress: Progress
) -> Series:
    times = times_of(series, grid.time_dim)
    rows = clock.rows[np.isin(clock.axis[clock.rows], times)]
    made: dict[int, Any] = {}
    for row in progress.track(rows, description=name):
        past = series.isel({grid.time_dim: slice(0, int(times.searchsorted(clock.axis[row])) + 1)})
        try:
            made[row] = forecaster.predict(clock.horizon, past)
        except (GapError, TooShortError):
            continue
    if not made:
        raise GapError(
            f"{name!r} could forecast from none of {len(rows)} origins: what it reads before each "
            f"is too short or touches a gap. Start later."
        )
    rows = np.array(list(made))
    for one, valid in zip(made.values(), clock.valid_times(rows), strict=True):
        if not np.array_equal(one[grid.time_dim].values, valid):
            raise GridMismatchError(
                f"{name!r} forecast the times {one[grid.time_dim].values}, where {valid} were "
                f"wanted: the {clock.horizon} frames after the series it was given."
            )
    frames = [
        one.rename({grid.time_dim: "lead_time"}).assign_coords(lead_time=clock.lead_times)
        for one in made.values()
    ]
    joined = xr.concat(frames, pd.Index(clock.axis[rows], name="init_time"), join="exact")
    valid_time = (("init_time", "lead_time"), clock.valid_times(rows))
    return joined.assign_coords(valid_time=valid_time).transpose("init_time", "lead_time", ...)
