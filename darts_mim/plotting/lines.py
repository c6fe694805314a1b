"""Lines by lead time or by kind of time, a line a model, named at its end."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.ticker import LogLocator, NullLocator, PercentFormatter
from sklearn.isotonic import isotonic_regression

from darts_mim.backtesting.lead_labels import lead_labels
from darts_mim.backtesting.result import BacktestResult
from darts_mim.metrics.metric import Metric
from darts_mim.plotting.style import (
    COLOURS,
    INK,
    MARKERS,
    MOST_TICKS,
    MUTED,
    axes_of,
    colour_of,
    dress,
    in_print,
)

FAR_WORSE = -1.0  # a skill below this would flatten the others
FAR_APART = 5  # largest error by smallest, from which a linear scale would flatten the smaller
FAR_DECADES = 300  # highest by lowest, from which ticks at 1, 2 and 5 are too many
FEW = 12  # leads, up to which each has a marker


def plot_scores(result: BacktestResult, metric: str | None = None, *, ax: Axes | None = None) -> Axes:
    """Error by lead time, a line a model, named at its end: the first and, of many, the best of the others.

    Args:
        result: What :func:`darts_mim.backtesting.backtest.backtest` returned.
        metric: Name of the metric; default: the first that was scored.
        ax: Where to draw; None: a new figure of pyplot's.

    >>> from darts_mim.backtesting.backtest import backtest
    >>> from darts_mim.baselines import Persistence
    >>> from darts_mim.plotting import panel
    >>> import pandas as pd
    >>> time = pd.date_range("2024-01-01", periods=8, freq="h")
    >>> rain = xr.DataArray(np.arange(48.0).reshape(8, 2, 3), {"time": time}, ("time", "y", "x"))
    >>> result = backtest(Persistence().fit(rain), rain, start=time[4], horizon=2)
    >>> figure, axes = panel()
    >>> plot_scores(result, "mae", ax=axes).get_title(loc="left")
    'Mean absolute error by lead time'
    """
    chosen = result.metric(metric)
    names = _shown(result, chosen)
    scores = result.scores[chosen.name].transpose("model", "lead_time").sel(model=names)
    low, high = float(scores.min()), float(scores.max())
    logarithmic = low > 0 and high > FAR_APART * low
    notes = (
        in_print(scores.attrs["units"]),
        f"{result.n_origins:,} forecasts of each model",
        f"{len(names)} of {len(result.models)} models drawn" if len(names) < len(result.models) else "",
        "logarithmic scale" if logarithmic else "",
    )
    axes = axes_of(ax)
    dress(axes, f"{chosen.title} by lead time", "; ".join(filter(None, notes)), "Lead time")
    lines_by_lead(axes, scores, names)
    if logarithmic:
        as_logarithm(axes)
    elif chosen.perfect == 0 and low >= 0:
        axes.set_ylim(0, 1.08 * high or 1.0)
    name_ends(axes, ends_of(scores), colours_of(scores, names))
    return axes


def _shown(result: BacktestResult, metric: Metric) -> list[str]:
    """As many models as there are colours: the first, and those of the others with the best score."""
    first, *others = result.models
    miss = metric.miss(result.scores_by()[metric.name]).to_series()
    best = sorted(others, key=lambda name: miss[name])[: len(COLOURS) - 1]
    return [first, *(name for name in others if name in best)]


def plot_skill(
    result: BacktestResult, reference: str, metric: str | None = None, *, ax: Axes | None = None
) -> Axes:
    """Skill of every model over ``reference`` by lead time: above 0 is better than it, 100 % is perfect.

    The band is the 95 % interval of the first model, for metrics that have one. Models far worse
    than the reference are named below instead of drawn.

    Args:
        result: What :func:`darts_mim.backtesting.backtest.backtest` returned.
        reference: Name of the model that the others are held against.
        metric: Name of the metric; default: the first that was scored.
        ax: Where to draw; None: a new figure of pyplot's.

    >>> from darts_mim.backtesting.backtest import backtest
    >>> from darts_mim.baselines import Climatology, Persistence
    >>> from darts_mim.plotting import panel
    >>> import pandas as pd
    >>> time = pd.date_range("2024-01-01", periods=72, freq="h")
    >>> values = np.random.default_rng(0).normal(size=(72, 2, 3))
    >>> rain = xr.DataArray(values, {"time": time}, ("time", "y", "x"))
    >>> models = {"mean": Climatology("1D"), "last frame": Persistence()}
    >>> fitted = {name: model.fit(rain[:48]) for name, model in models.items()}
    >>> result = backtest(fitted, rain, start=time[48], horizon=2)
    >>> figure, axes = panel()
    >>> plot_skill(result, "last frame", ax=axes).get_title(loc="left")
    'Skill over last frame'
    """
    chosen = result.metric(metric)
    names = _shown(result, chosen)
    skill = result.skill(reference, chosen.name).sel(model=[name for name in names if name != reference])
    drawn = skill.isel(model=(skill.max("lead_time") >= FAR_WORSE).values)
    first = result.models[0]
    banded = chosen.is_mean_loss and first in drawn["model"].values
    aim = "lower" if chosen.perfect == 0 else "nearer to perfect"
    axes = axes_of(ax)
    note = f"How much {aim} the {chosen.title.lower()} is" + ("; band: 95 % interval" if banded else "")
    dress(axes, f"Skill over {reference}", note, "Lead time")
    axes.axhline(0, color=INK, linewidth=1)
    lines_by_lead(axes, drawn, names)
    reached = drawn.values
    if banded:
        band = result.compare(first, reference, chosen.name)
        leads = range(band.sizes["lead_time"])
        axes.fill_between(leads, band["low"], band["high"], color=COLOURS[0], alpha=0.14, lw=0)
        reached = np.concatenate([reached, band["low"].values[None], band["high"].values[None]])
    limit_skill(axes, reached)
    name_ends(axes, ends_of(drawn), colours_of(drawn, names))
    left_out = [name for name in skill["model"].values if name not in drawn["model"].values]
    if left_out:
        note = f"Not drawn, more than {1 - FAR_WORSE:g} times the error: {', '.join(left_out)}"
        axes.set_xlabel(f"Lead time\n{note}", fontsize=10, color=MUTED, loc="left")
    return axes


def lines_by_lead(axes: Axes, scores: xr.DataArray, models: Sequence[str]) -> None:
    """A line a model of ``scores`` (model, lead_time)."""
    leads = scores.sizes["lead_time"]
    for name in scores["model"].values:
        axes.plot(range(leads), scores.sel(model=name), **line_of(name, models, marked=leads <= FEW))
    tick_leads(axes, scores["lead_time"])


def line_of(name: str, models: Sequence[str], *, marked: bool) -> dict[str, Any]:
    """How a model's line is drawn; the first model's is the boldest."""
    return {
        "color": colour_of(name, models),
        "marker": MARKERS[list(models).index(name) % len(MARKERS)] if marked else None,
        "markersize": 6,
        "linewidth": 2.6 if name == models[0] else 1.8,
        "zorder": 3 if name == models[0] else 2,
    }


def tick_leads(axes: Axes, lead_time: xr.DataArray) -> None:
    """Leads along x, as positions from 0."""
    leads = lead_time.size
    every = -(-leads // MOST_TICKS)
    axes.set_xticks(range(0, leads, every), lead_labels(lead_time)[::every])
    axes.set_xlim(-0.06 * max(leads - 1, 1), 1.04 * max(leads - 1, 1))


def limit_skill(axes: Axes, reached: np.ndarray) -> None:
    """Limits of y in percent, around 0, up to 100 and no lower than what is far worse."""
    known = np.append(reached[np.isfinite(reached)], [-0.02, 0.02])
    low, high = max(known.min(), FAR_WORSE), known.max()
    margin = 0.06 * (high - low)
    axes.set_ylim(max(low - margin, FAR_WORSE), min(high + margin, 1.0))
    axes.yaxis.set_major_formatter(PercentFormatter(1.0, symbol=" %"))


def as_logarithm(axes: Axes) -> None:
    """A logarithmic y, with plain numbers at 1, 2, 5, 10 and so on; of wide ranges at 1, 10, 100."""
    axes.set_yscale("log")
    low, high = axes.get_ylim()
    axes.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5) if high < FAR_DECADES * low else (1,)))
    axes.yaxis.set_minor_locator(NullLocator())
    axes.yaxis.set_major_formatter("{x:,g}")


def ends_of(scores: xr.DataArray) -> dict[str, tuple[float, float]]:
    """Where each model's line by lead ends, (x, y)."""
    last = scores.sizes["lead_time"] - 1
    return {str(name): (float(last), float(scores.sel(model=name)[last])) for name in scores["model"].values}


def colours_of(scores: xr.DataArray, models: Sequence[str]) -> dict[str, str]:
    """Of the models in ``scores``."""
    return {str(name): colour_of(name, models) for name in scores["model"].values}


def name_ends(
    axes: Axes, ends: Mapping[str, tuple[float, float]], colours: Mapping[str, str], *, bold: int | None = 0
) -> None:
    """Each line's name at its end, moved apart where lines end close together.

    Args:
        axes: Whose y limits are settled by now.
        ends: Last point of each line, by name.
        colours: By name.
        bold: Which of the names is bold, if any.
    """
    if not ends:
        return
    low, high = axes.get_ylim()
    points = [(x, float(np.nan_to_num(y, nan=low).clip(low, high))) for x, y in ends.values()]
    to_axes = (axes.transData + axes.transAxes.inverted()).transform
    heights = spread(to_axes(points)[:, 1], gap=0.085)
    for number, (name, (_, value)) in enumerate(ends.items()):
        axes.annotate(
            f"{name} ↓" if value < low else name,
            points[number],
            (1.045, heights[number]),
            textcoords="axes fraction",
            color=colours[name],
            fontsize=10.5,
            fontweight="bold" if number == bold else "normal",
            verticalalignment="center",
            arrowprops={"arrowstyle": "-", "color": colours[name], "lw": 0.7, "shrinkB": 5},
        )


def spread(wanted: np.ndarray, gap: float) -> np.ndarray:
    """Positions at least ``gap`` apart that are nearest to those wanted.

    >>> spread(np.array([0.5, 0.5, 0.0]), gap=0.1)
    array([0.45, 0.55, 0.  ])
    """
    order = np.argsort(wanted, kind="stable")
    steps = gap * np.arange(len(wanted))
    placed = np.empty(len(wanted))
    placed[order] = isotonic_regression(wanted[order] - steps) + steps
    return placed
