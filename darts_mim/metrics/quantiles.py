"""Forecasts of quantiles, along ``quantile`` with their levels as its labels.

The truth, which has no such dim, is below the quantile of level p with probability p. Quantiles that
cross are scored as they are.
"""

from typing import ClassVar

import numpy as np
import xarray as xr

from darts_mim.metrics.block import QUANTILES, Block, Counted
from darts_mim.metrics.metric import Metric, with_numbers
from darts_mim.metrics.probabilistic import OfLevels, share


def pinball(quantiles: np.ndarray, observed: np.ndarray, levels: np.ndarray) -> np.ndarray:
    """(level, ...): level (y - q) where the truth y is above the quantile q, else (1 - level) (q - y).

    >>> pinball(np.array([[1.0], [3.0]]), np.array([2.0]), np.array([0.1, 0.5])).ravel().tolist()
    [0.1, 0.5]
    """
    above = observed - quantiles
    weights = np.reshape(levels, (-1, *[1] * observed.ndim))
    return np.maximum(weights * above, (weights - 1) * above)


class QuantileScore(OfLevels):
    """Quantile score at one level, also called pinball loss, in the fields' units; lower is better.

    The mean of level (y - q) where the truth y is above the quantile q, else (1 - level) (q - y). At level
    0.5 it is half the absolute error of the median. The quantile is the forecast's, or that of its samples,
    between which it lies on straight lines.

    Args:
        level: In (0, 1), e.g. 0.9.
        weights: How much a cell counts; see :class:`Metric`.

    Source:
        Koenker and Bassett (1978), Econometrica 46, 33-50; as a score, Gneiting (2011), J. Am. Stat.
        Assoc. 106, 746-762, eq. 24.

    >>> truth = xr.DataArray([5.0, 9.0], dims="x")
    >>> forecast = xr.DataArray([[7.0, 7.0]], {"quantile": [0.9]}, ("quantile", "x"))
    >>> QuantileScore(level=0.9)(forecast, truth, dims="x").item()  # of 0.1 * 2 and 0.9 * 2
    1.0
    """

    name = "quantile_score"
    title = "Quantile score"
    is_mean_loss = True

    def __init__(self, *, level: float, weights: xr.DataArray | None = None) -> None:
        super().__init__(share(level), weights=weights)
        self.name = with_numbers("quantile_score", level)
        self.title = f"Quantile score at level {level:.4g}"

    def cell(self, forecast: np.ndarray, observed: np.ndarray) -> np.ndarray:
        """Its loss."""
        return pinball(forecast, observed, np.array(self.levels))[0]


class Reliability(OfLevels):
    """Share of the truth at or below the quantile of one level; right is the level itself.

    Where much of the truth has one value, such as no rain, a quantile of that value has more at or below it
    than its level, and is none the worse for it.

    Args:
        level: In (0, 1), e.g. 0.9.
        weights: How much a cell counts; see :class:`Metric`.

    Source:
        Gneiting, Balabdaoui and Raftery (2007), J. R. Stat. Soc. B 69, 243-268, sec. 2.2 (marginal and
        probabilistic calibration).

    >>> truth = xr.DataArray([5.0, 9.0], dims="x")
    >>> forecast = xr.DataArray([[7.0, 7.0]], {"quantile": [0.9]}, ("quantile", "x"))
    >>> Reliability(level=0.9)(forecast, truth, dims="x").item()
    0.5
    """

    name = "reliability"
    title = "Share of the truth below the quantile"
    power = 0

    def __init__(self, *, level: float, weights: xr.DataArray | None = None) -> None:
        super().__init__(share(level), weights=weights)
        self.perfect = float(level)
        self.name = with_numbers("reliability", level)
        self.title = f"Share of the truth at or below the quantile of level {level:.4g}"

    def cell(self, forecast: np.ndarray, observed: np.ndarray) -> np.ndarray:
        """1 where it is."""
        return (observed <= forecast[0]).astype(float)


class WeightedIntervalScore(Metric):
    """Weighted interval score: twice the mean quantile score over all levels of the forecast.

    In the fields' units; lower is better. The CRPS is twice the integral of the quantile score over all
    levels from 0 to 1; for levels k / (n + 1) this tends to it, from above: n = 1, the median alone, is the
    absolute error. Levels count alike however far apart they are, so compare forecasts of the same levels.

    Args:
        weights: How much a cell counts; see :class:`Metric`.

    Source:
        Bracher, Ray, Gneiting and Reich (2021), PLoS Comput. Biol. 17, e1008618, eqs. 1 and 3, which for
        levels that lie symmetrically and hold 0.5 it equals.

    >>> truth = xr.DataArray([5.0, 9.0], dims="x")
    >>> levels = xr.DataArray([0.25, 0.5, 0.75], dims="quantile")
    >>> forecast = 6 + (8 * levels - 4).assign_coords({"quantile": levels}) + 0 * truth
    >>> round(wis(forecast, truth, dims="x").item(), 3)
    1.667
    """

    name = "wis"
    title = "Weighted interval score"
    is_mean_loss = True
    reads: ClassVar[tuple[str, ...]] = (QUANTILES,)

    def count(self, block: Block) -> Counted:
        """Twice the mean over the levels."""
        quantiles, levels = block.quantiles
        return block.sums(2 * pinball(quantiles, block.truth, levels).mean(0), self.weights_on(block))


wis = WeightedIntervalScore()
