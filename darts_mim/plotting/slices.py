"""Scores by hour of the day, weekday, month: when are models good, and when bad?"""

from typing import Any

import numpy as np
import xarray as xr
from matplotlib.axes import Axes

from darts_mim.backtesting.result import BacktestResult
from darts_mim.plotting.lines import FAR_APART, as_logarithm, colours_of, line_of, name_ends
from darts_mim.plotting.style import DAYS, MONTHS, axes_of, dress, in_print, said_hour

NAMES: dict[str, dict[Any, str]] = {"weekday": dict(enumerate(DAYS)), "month": dict(enumerate(MONTHS, 1))}
MARKED = 24  # values, up to which each has a marker


def plot_slices(
    result: BacktestResult, by: str, metric: str | None = None, *, ax: Axes | None = None
) -> Axes:
    """Error by hour of the day, by weekday or by month, a line a model; all leads pooled.

    Args:
        result: What :func:`darts_mim.backtesting.backtest.backtest` returned.
        by: A slice of the valid time that ``result.scores_by`` knows, such as ``"hour"``.
        metric: Name of the metric; default: the first that was scored.
        ax: Where to draw; None: a new figure of pyplot's.

    >>> from darts_mim.backtesting.backtest import backtest
    >>> from darts_mim.baselines import Persistence
    >>> from darts_mim.plotting import panel
    >>> import pandas as pd
    >>> time = pd.date_range("2024-01-01", periods=48, freq="6h")
    >>> rain = xr.DataArray(np.arange(288.0).reshape(48, 2, 3), {"time": time}, ("time", "y", "x"))
    >>> result = backtest(Persistence().fit(rain), rain, start=time[4], horizon=2)
    >>> figure, axes = panel()
    >>> plot_slices(result, "hour", ax=axes).get_title(loc="left")
    'Mean squared error by hour of the day'
    """
    chosen = result.metric(metric)
    scores = result.scores_by(by)[chosen.name].transpose("model", by)
    low, high = float(scores.min()), float(scores.max())
    logarithmic = low > 0 and high > FAR_APART * FAR_APART * low
    units = in_print(scores.attrs.get("units", ""))
    named = {"hour": "hour of the day"}.get(by, by)
    notes = (units, "all leads", "logarithmic scale" if logarithmic else "")
    axes = axes_of(ax)
    dress(axes, f"{chosen.title} by {named}", "; ".join(filter(None, notes)), "Of the time forecast")
    where = places_along(axes, scores[by], by)
    marked = scores.sizes[by] <= MARKED
    for name in scores["model"].values:
        axes.plot(where, scores.sel(model=name), **line_of(name, result.models, marked=marked))
    if logarithmic:
        as_logarithm(axes)
    elif chosen.perfect == 0 and low >= 0:
        axes.set_ylim(0, 1.08 * high or 1.0)
    ends = {str(name): (where[-1], float(scores.sel(model=name)[-1])) for name in scores["model"].values}
    name_ends(axes, ends, colours_of(scores, result.models))
    return axes


def places_along(axes: Axes, values: xr.DataArray, by: str) -> np.ndarray:
    """Where the values of a slice lie along x, with ticks that name them."""
    if by == "hour":
        axes.set_xticks(range(0, 25, 6), [said_hour(hour) for hour in range(0, 25, 6)])
        axes.set_xlim(-0.5, 24.5)
        return values.values.astype(float)
    places = np.arange(values.size, dtype=float)
    axes.set_xticks(places, labels_of(values, by))
    axes.set_xlim(-0.3, max(values.size - 0.7, 0.3))
    return places


def labels_of(values: xr.DataArray, by: str) -> list[str]:
    """The values of a slice as a reader says them.

    >>> labels_of(xr.DataArray([0, 6]), "weekday"), labels_of(xr.DataArray([8.5]), "hour")
    (['Mon', 'Sun'], ['08:30'])
    """
    if by == "hour":
        return [said_hour(hour) for hour in values.values]
    known = NAMES.get(by, {})
    return [known.get(value, str(value)) for value in values.values.tolist()]
