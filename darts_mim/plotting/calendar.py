"""Errors laid out as a calendar: every forecast at a glance, and the hours of the week."""

from typing import Any, cast

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from darts_mim.backtesting.result import BacktestResult
from darts_mim.plotting.maps import colour_bar
from darts_mim.plotting.style import (
    DAYS,
    MISSING,
    MONTHS,
    MUTED,
    axes_of,
    beyond,
    dress,
    in_print,
    said_hour,
    score_scale,
)

DAY, MONTH = pd.Timedelta("1D"), pd.Timedelta("28D")
MOST_DATES = 8  # along x
FEW_DAYS = 4  # times as many hours as days: the days lie one below the other


def plot_calendar(
    result: BacktestResult, metric: str | None = None, *, model: str | None = None, ax: Axes | None = None
) -> Axes:
    """Score of every forecast, by when it was made: day and time of day, or month and day, or year and month.

    One square is one forecast, all leads pooled; where none was made it is grey.

    Args:
        result: What :func:`darts_mim.backtesting.backtest.backtest` returned.
        metric: Name of the metric; default: the first that was scored.
        model: Whose; default: the first.
        ax: Where to draw; None: a new figure of pyplot's.

    >>> from darts_mim.backtesting.backtest import backtest
    >>> from darts_mim.baselines import Persistence
    >>> from darts_mim.plotting import panel
    >>> import xarray as xr
    >>> time = pd.date_range("2024-01-01", periods=48, freq="6h")
    >>> rain = xr.DataArray(np.arange(288.0).reshape(48, 2, 3), {"time": time}, ("time", "y", "x"))
    >>> result = backtest(Persistence().fit(rain), rain, start=time[4], horizon=2)
    >>> figure, axes = panel()
    >>> plot_calendar(result, ax=axes).collections[0].get_array().shape
    (4, 12)
    """
    chosen, name = result.metric(metric), model or result.models[0]
    scores = result.scores_by("init_time")[chosen.name].sel(model=name)
    axes = axes_of(ax, width=9.6, height=3.4)
    field, rows, columns = _laid_out(pd.DatetimeIndex(scores["init_time"].values), scores.values)
    units = in_print(scores.attrs.get("units", ""))
    dress(axes, "Every forecast, by when it was made", f"{chosen.title} of {name}; grey: none was made", "")
    scale = score_scale(field, chosen)
    _draw(axes, field, scale, units)
    _tick(axes, rows, columns)
    return axes


def plot_week(
    result: BacktestResult, metric: str | None = None, *, model: str | None = None, ax: Axes | None = None
) -> Axes:
    """Score by weekday and hour of the day, of the time that was forecast; all leads pooled.

    Args:
        result: What :func:`darts_mim.backtesting.backtest.backtest` returned.
        metric: Name of the metric; default: the first that was scored.
        model: Whose; default: the first.
        ax: Where to draw; None: a new figure of pyplot's.
    """
    chosen, name = result.metric(metric), model or result.models[0]
    scores = result.scores_by("weekday", "hour")[chosen.name].sel(model=name).transpose("weekday", "hour")
    axes = axes_of(ax)
    dress(axes, "The week", f"{chosen.title} of {name}, by the time forecast", "")
    field = scores.reindex(weekday=range(len(DAYS))).values
    _draw(axes, field, score_scale(field, chosen, outside=0.03), in_print(scores.attrs.get("units", "")))
    hours = scores["hour"].values
    axes.set_yticks(np.arange(len(DAYS)) + 0.5, DAYS)
    every = max(1, round(len(hours) / 4))
    axes.set_xticks(np.arange(0, len(hours), every), [said_hour(hour) for hour in hours[::every]])
    return axes


def calendar_height(result: BacktestResult) -> float:
    """How high its calendar may be, in inches: a few rows want less room."""
    times = pd.DatetimeIndex(result.observed["init_time"].values)
    rows, _ = _laid_out(times, np.zeros(len(times)))[0].shape
    return float(np.clip(1.2 + 0.22 * rows, 1.9, 3.6))


def _laid_out(times: pd.DatetimeIndex, values: np.ndarray) -> tuple[np.ndarray, list[str], list[str]]:
    """Values on (row, column), NaN where there is none, and what rows and columns are.

    >>> field, rows, columns = _laid_out(pd.date_range("2024-01-01", periods=3, freq="12h"), np.arange(3.0))
    >>> field.tolist(), rows, columns
    ([[0.0, 2.0], [1.0, nan]], ['00:00', '12:00'], ['1 Jan', '2 Jan'])
    """
    step = pd.Timedelta(np.diff(times.values).min()) if len(times) > 1 else DAY
    if step < DAY:
        days = pd.date_range(times[0].normalize(), times[-1].normalize(), freq="D")
        clock = times - times.normalize()
        hours = pd.TimedeltaIndex(clock.unique()).sort_values()
        row, column = hours.get_indexer(clock), days.get_indexer(times.normalize())
        rows = [said_hour(hour / pd.Timedelta("1h")) for hour in hours]
        columns = [f"{day.day} {day:%b}" for day in days]
        if FEW_DAYS * len(days) < len(hours):
            (row, rows), (column, columns) = (column, columns), (row, rows)
    else:
        by_day = step < MONTH
        period = times.to_period("M" if by_day else "Y")
        periods = pd.period_range(period[0], period[-1], freq=period.freq)
        row = periods.get_indexer(period)
        column = np.asarray(times.day) - 1 if by_day else np.asarray(times.month) - 1
        rows = [f"{one:%b %Y}" if by_day else f"{one:%Y}" for one in periods]
        columns = [str(day) for day in range(1, 32)] if by_day else list(MONTHS)
    field = np.full((len(rows), len(columns)), np.nan)
    field[row, column] = values
    return field, rows, list(columns)


def _draw(axes: Axes, field: np.ndarray, scale: dict[str, Any], units: str) -> None:
    mesh = axes.pcolormesh(np.ma.masked_invalid(field), rasterized=True, **scale)
    axes.set_facecolor(MISSING)
    axes.grid(visible=False)
    axes.spines[:].set_visible(False)
    axes.set_ylim(field.shape[0], 0)
    axes.tick_params(colors=MUTED, labelsize=9)
    figure = cast(Figure, axes.get_figure(root=True))
    colour_bar(figure, mesh, np.array([axes]), units, extend=beyond(field, scale))


def _tick(axes: Axes, rows: list[str], columns: list[str]) -> None:
    """Rows from the top, at most one in so many named; so with columns."""
    every = -(-len(rows) // 6) if len(rows) > 12 else 1
    axes.set_yticks(np.arange(0, len(rows), every) + 0.5, rows[::every])
    few = 31 if len(columns[0]) <= 3 else MOST_DATES
    every = -(-len(columns) // few)
    axes.set_xticks(np.arange(0, len(columns), every) + 0.5, columns[::every])
