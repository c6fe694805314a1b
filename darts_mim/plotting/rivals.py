"""The first model against each of the others."""

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes

from darts_mim.backtesting.result import BacktestResult
from darts_mim.plotting.lines import FAR_WORSE, FEW, limit_skill, line_of, name_ends, tick_leads
from darts_mim.plotting.style import INK, MUTED, axes_of, colour_of, dress

APART = 0.035  # of the width between two leads, so that intervals do not cover each other


def plot_rivals(
    result: BacktestResult,
    metric: str | None = None,
    *,
    rivals: Sequence[str] | None = None,
    ax: Axes | None = None,
) -> Axes:
    """Skill of the first model over each of the others by lead time, with 95 % intervals.

    Above 0 it is better than that rival, 100 % is perfect. Each line has the rival's colour.

    Args:
        result: What :func:`darts_mim.backtesting.backtest.backtest` returned, of two models at least.
        metric: Name of the metric; default: the first that was scored. Only mean losses have intervals.
        rivals: Which of the others; default: all.
        ax: Where to draw; None: a new figure of pyplot's.

    Raises:
        ValueError: If there is no such rival, or none at all.

    >>> from darts_mim.backtesting.backtest import backtest
    >>> from darts_mim.baselines import Climatology, Persistence
    >>> from darts_mim.plotting import panel
    >>> import pandas as pd, xarray as xr
    >>> time = pd.date_range("2024-01-01", periods=72, freq="h")
    >>> values = np.random.default_rng(0).normal(size=(72, 2, 3))
    >>> rain = xr.DataArray(values, {"time": time}, ("time", "y", "x"))
    >>> models = {"mean": Climatology("1D"), "last frame": Persistence()}
    >>> fitted = {name: model.fit(rain[:48]) for name, model in models.items()}
    >>> result = backtest(fitted, rain, start=time[48], horizon=2)
    >>> figure, axes = panel()
    >>> plot_rivals(result, ax=axes).get_title(loc="left")
    'Skill of mean over each rival'
    """
    chosen, (first, *others) = result.metric(metric), result.models
    rivals = others if rivals is None else list(rivals)
    strange = [name for name in rivals if name not in others]
    if strange or not rivals:
        raise ValueError(f"rivals={strange or rivals} came; {first!r} can be held against {others}.")
    axes = axes_of(ax)
    note = "Share of the rival's error taken away" if chosen.perfect == 0 else "Share of the way to perfect"
    note += "; bars: 95 % interval" if chosen.is_mean_loss else ""
    dress(axes, f"Skill of {first} over each rival", note, "Lead time")
    axes.axhline(0, color=INK, linewidth=1)
    ends: dict[str, tuple[float, float]] = {}
    reached: list[np.ndarray] = []
    for number, rival in enumerate(rivals):
        skill = result.skill(rival, chosen.name).sel(model=first).values
        where = np.arange(len(skill)) + APART * (number - (len(rivals) - 1) / 2)
        line = line_of(rival, result.models, marked=len(skill) <= FEW)
        axes.plot(where, skill, **line)
        if chosen.is_mean_loss:
            between = result.compare(first, rival, chosen.name)
            low, high = between["low"].values, between["high"].values
            axes.vlines(where, low, high, color=line["color"], linewidth=1.4, alpha=0.75)
            reached += [low, high]
        ends[rival] = (float(where[-1]), float(skill[-1]))
        reached.append(skill)
    limit_skill(axes, np.concatenate(reached))
    tick_leads(axes, result.scores["lead_time"])
    colours = {name: colour_of(name, result.models) for name in rivals}
    name_ends(axes, ends, colours, bold=None)
    if any(end[1] < FAR_WORSE for end in ends.values()):
        note = f"Lead time\n↓ more than {1 - FAR_WORSE:g} times the rival's error"
        axes.set_xlabel(note, fontsize=10, color=MUTED, loc="left")
    return axes
