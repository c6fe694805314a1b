"""Do samples mean what they say? How often the truth lies within them, and where among them."""

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.ticker import PercentFormatter

from darts_mim.backtesting.result import BacktestResult
from darts_mim.metrics.metric import SAMPLES, Metric
from darts_mim.metrics.probabilistic import IntervalCoverage, rank_histogram
from darts_mim.plotting.lines import line_of, name_ends
from darts_mim.plotting.style import INK, axes_of, colour_of, dress
from darts_mim.plotting.thinning import thinned

LEVELS = (0.1, 0.3, 0.5, 0.7, 0.8, 0.9, 0.95)
MOST_CELLS = 2_000_000  # times samples, of one model that are looked at
MOST_BINS = 25


def sampled_models(result: BacktestResult) -> list[str]:
    """The models whose forecasts have samples, two at least."""
    return [name for name, one in result.forecasts.items() if one.sizes.get(SAMPLES, 1) > 1]


def coverages(result: BacktestResult, model: str) -> dict[float, float]:
    """Share of the truth within the central interval of the samples, by its level."""
    metrics = [IntervalCoverage(level=level) for level in LEVELS]
    found = _pooled(result, model, metrics)
    return {metric.level: float(found[metric.name]) for metric in metrics}


def ranks(result: BacktestResult, model: str) -> np.ndarray:
    """Share of the truth at each rank among the samples, from below all to above all."""
    return _pooled(result, model, [rank_histogram])[rank_histogram.name]


def plot_coverage(result: BacktestResult, *, ax: Axes | None = None) -> Axes:
    """Share of the truth within central intervals of the samples, by level; a line a sampled model.

    Dashed is what samples of the right distribution would give, which is a little less than the level.

    Args:
        result: What :func:`darts_mim.backtesting.backtest.backtest` returned, with sampled forecasts.
        ax: Where to draw; None: a new figure of pyplot's.

    Raises:
        ValueError: If no forecast has samples.
    """
    models = _require_samples(result)
    axes = axes_of(ax)
    note = "Share of the truth within the samples' central interval\ndashed: right"
    dress(axes, "Coverage", note.replace("\n", "; "), "Level of the interval")
    size = result.forecasts[models[0]].sizes[SAMPLES]
    axes.plot([0, 1], [0, (size - 1) / (size + 1)], color=INK, linewidth=1, linestyle="--")
    ends: dict[str, tuple[float, float]] = {}
    for name in models:
        found = coverages(result, name)
        axes.plot(list(found), list(found.values()), **line_of(name, result.models, marked=True))
        ends[name] = (LEVELS[-1], found[LEVELS[-1]])
    axes.set(xlim=(0, 1), ylim=(0, 1.0))
    axes.xaxis.set_major_formatter(PercentFormatter(1.0, symbol=" %", decimals=0))
    axes.yaxis.set_major_formatter(PercentFormatter(1.0, symbol=" %", decimals=0))
    name_ends(axes, ends, {name: colour_of(name, result.models) for name in models})
    return axes


def plot_ranks(result: BacktestResult, *, ax: Axes | None = None) -> Axes:
    """Where among the samples the truth lies, over what would be right: flat at 1 is right.

    A bowl says too little spread, a hill too much, a slope that the samples are too low or too high.

    Args:
        result: What :func:`darts_mim.backtesting.backtest.backtest` returned, with sampled forecasts.
        ax: Where to draw; None: a new figure of pyplot's.

    Raises:
        ValueError: If no forecast has samples.
    """
    models = _require_samples(result)
    axes = axes_of(ax)
    note = "How often the truth has each rank, over how often it should"
    dress(axes, "Rank histogram", note, "Rank of the truth among the samples")
    axes.axhline(1, color=INK, linewidth=1, linestyle="--")
    highest, ends = 1.2, {}
    for name in models:
        share = ranks(result, name)
        bins = np.array_split(share * len(share), min(len(share), MOST_BINS))
        heights = np.array([one.mean() for one in bins])
        edges = np.concatenate([[0], np.cumsum([len(one) for one in bins])]) / len(share)
        axes.stairs(heights, edges, color=colour_of(name, result.models), linewidth=2.2, baseline=None)
        highest, ends[name] = max(highest, float(heights.max())), (1.0, float(heights[-1]))
    axes.set(xlim=(0, 1.01), ylim=(0, 1.06 * highest))
    axes.set_xticks([0, 1], ["below all", "above all"])
    axes.get_xticklabels()[0].set_horizontalalignment("left")
    axes.get_xticklabels()[1].set_horizontalalignment("right")
    name_ends(axes, ends, {name: colour_of(name, result.models) for name in models})
    return axes


def _require_samples(result: BacktestResult) -> list[str]:
    models = sampled_models(result)
    if not models:
        raise ValueError(
            "No forecast has samples along 'realization', so nothing is reliable or not. Draw some, e.g. "
            "backtest(..., num_samples=100)."
        )
    return models


def _pooled(result: BacktestResult, model: str, metrics: Sequence[Metric]) -> dict[str, np.ndarray]:
    forecasts, observed = thinned(result, MOST_CELLS, models=[model])
    samples, truth = (result.grid.canonical(one) for one in (forecasts[model], observed))
    return {metric.name: metric(samples, truth, dims=truth.dims).values for metric in metrics}
