"""Forecast minus observed, on the regular axis of the times the forecasts were made."""

from dataclasses import dataclass

import numpy as np
import pandas as pd
import xarray as xr
from pandas.tseries.offsets import BaseOffset

from darts_mim.backtesting.result import BacktestResult
from darts_mim.errors import GapError, GridDimsError, TooShortError
from darts_mim.grid.grid import Grid
from darts_mim.grid.times import regular_axis, step_of, times_of

Series = xr.DataArray | xr.Dataset


@dataclass(frozen=True, kw_only=True, eq=False)
class ForecastErrors:
    """Errors of one model, and what is needed to judge them."""

    values: np.ndarray  # (origin, lead, channel, row, column), NaN where forecast or truth is missing
    axis: pd.DatetimeIndex  # of the origins, gaps filled in
    step: BaseOffset  # from one origin to the next
    first_lags: tuple[int, ...]  # by lead, in steps of the axis: the errors' first lag without overlap
    lead_time: xr.DataArray
    grid: Grid
    model: str
    units: str


def errors_of_backtest(
    result: BacktestResult, observed: Series | None = None, *, model: str | None = None
) -> ForecastErrors:
    """Errors of one model of a backtest; by default the first.

    Raises:
        ValueError: If there is no such model, or ``observed`` came, which the backtest has.
    """
    if observed is not None:
        raise ValueError("A backtest came with a series. Leave out observed: the backtest has it.")
    model = result.models[0] if model is None else model
    if model not in result.models:
        raise ValueError(f"There is no model {model!r} here. Choose from {result.models}.")
    return _errors(
        result.forecasts[model],
        _canonical(result.observed, result.grid),
        _valid_time(result.observed),
        grid=result.grid,
        model=model,
        units=result.units,
    )


def errors_of_forecasts(
    forecasts: Series, observed: Series | None, *, model: str | None = None, grid: Grid | None = None
) -> ForecastErrors:
    """Errors of forecasts made anywhere.

    Args:
        forecasts: On ``(init_time, lead_time, ...)`` with the coordinate ``valid_time``.
        observed: The series, with those times as far as they were observed.
        model: A name for them.
        grid: Of the series; told from ``observed``.

    Raises:
        GridDimsError: If one of the three is missing.
        ValueError: If ``observed`` is None.

    >>> time = pd.date_range("2024-01-01", periods=5, freq="h")
    >>> rain = xr.DataArray(np.ones((5, 2, 3)), {"time": time}, ("time", "y", "x"))
    >>> twice = 2 * rain[:3].rename(time="init_time").expand_dims(lead_time=time[2:3] - time[0], axis=1)
    >>> errors = errors_of_forecasts(twice.assign_coords(valid_time=twice.init_time + twice.lead_time), rain)
    >>> errors.values.shape, errors.values.mean().item(), errors.first_lags
    ((3, 1, 1, 2, 3), 1.0, (2,))
    """
    if observed is None:
        raise ValueError("Forecasts came without the series. Pass what was observed, or a backtest.")
    absent = {"init_time", "lead_time"} - set(forecasts.dims) or {"valid_time"} - set(forecasts.coords)
    if absent:
        raise GridDimsError(
            f"The forecasts have no {min(map(str, absent))!r}; wanted are the dims init_time and lead_time "
            f"with the coordinate valid_time on both, as historical_forecasts gives them."
        )
    grid = Grid.of(observed) if grid is None else grid
    valid_time = _valid_time(forecasts)
    at = times_of(observed, grid.time_dim).get_indexer(valid_time.ravel())
    truth = grid.canonical(observed).values[at].astype(float)
    truth[at < 0] = np.nan
    return _errors(
        forecasts,
        truth.reshape(*valid_time.shape, *grid.shape),
        valid_time,
        grid=grid,
        model="the forecasts" if model is None else model,
        units="" if isinstance(observed, xr.Dataset) else str(observed.attrs.get("units", "")),
    )


def _errors(
    forecasts: Series, truth: np.ndarray, valid_time: np.ndarray, *, grid: Grid, model: str, units: str
) -> ForecastErrors:
    times = times_of(forecasts, "init_time")
    if len(times) < 2:
        raise TooShortError(
            f"{len(times)} origin came; errors are followed from origin to origin. Forecast from more."
        )
    step = step_of(times)
    axis = regular_axis(times, step)
    guess = _canonical(forecasts, grid)
    values = np.full((len(axis), *guess.shape[1:]), np.nan, np.result_type(guess, truth, np.float32))
    values[axis.get_indexer(times)] = guess - truth
    if not np.isfinite(values).any():
        raise GapError("No forecast was for a time that was observed. Check the times of both.")
    overlaps = (pd.date_range(times[0], valid, freq=step, inclusive="left") for valid in valid_time[0])
    return ForecastErrors(
        values=values,
        axis=axis,
        step=step,
        first_lags=tuple(max(1, len(overlap)) for overlap in overlaps),
        lead_time=forecasts["lead_time"],
        grid=grid,
        model=model,
        units=units,
    )


def _canonical(forecasts: Series, grid: Grid) -> np.ndarray:
    """(init_time, lead_time, channel, row, column); samples by their mean."""
    array = grid.canonical(forecasts)
    return (array.mean("realization") if "realization" in array.dims else array).values


def _valid_time(forecasts: Series) -> np.ndarray:
    return forecasts["valid_time"].transpose("init_time", "lead_time").values
