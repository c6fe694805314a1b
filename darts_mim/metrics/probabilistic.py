"""Forecasts with samples along ``realization``: are they sharp, and do they mean what they say?

The truth has no such dim. The CRPS is proper: a forecaster cannot gain by saying something else than what it
believes. Forecasts of quantiles are scored in :mod:`darts_mim.metrics.quantiles`.
"""

from typing import ClassVar

import numpy as np
import xarray as xr

from darts_mim.errors import GridMismatchError
from darts_mim.metrics.block import QUANTILES, SAMPLES, Block, rows_of
from darts_mim.metrics.metric import Metric, with_numbers
from darts_mim.metrics.statistic import PART


class _OfSamples(Metric):
    reads: ClassVar[tuple[str, ...]] = (SAMPLES,)
    least: int = 1  # samples

    def objection(self, forecast: xr.DataArray) -> str | None:
        """Also where there are too few."""
        n = forecast.sizes.get(SAMPLES, 1)
        if n < self.least:
            return f"{n} samples came; {self.name} wants {self.least}. Draw more, e.g. num_samples=100."
        return super().objection(forecast)

    def forecast_of(self, block: Block) -> np.ndarray:
        """All samples."""
        return block.samples


class ContinuousRankedProbabilityScore(_OfSamples):
    """Continuous ranked probability score (CRPS), in the fields' units; lower is better.

    mean |x - y| - 1/2 mean |x - x'| over the samples x and the truth y: the absolute error where there
    is one sample. As it stands it is the score of the samples' own distribution, which a small
    ensemble cannot win; ``fair`` takes the mean over pairs of two different samples, which is the
    expected score of the distribution they were drawn from.

    Args:
        fair: Estimate the score of the distribution behind the samples; wants two or more.
        weights: How much a cell counts; see :class:`Metric`.

    Source:
        Gneiting and Raftery (2007), J. Am. Stat. Assoc. 102, 359-378, eq. 21; fair: Ferro (2014),
        Q. J. R. Meteorol. Soc. 140, 1917-1923.

    >>> truth = xr.DataArray([0.0, 1.0], dims="x")
    >>> samples = xr.DataArray([[-1.0, 0.0], [1.0, 2.0]], dims=("realization", "x"))
    >>> crps(samples, truth, dims="x").item(), crps_fair(samples, truth, dims="x").item()
    (0.5, 0.0)
    """

    name = "crps"
    title = "Continuous ranked probability score"
    is_mean_loss = True

    def __init__(self, *, fair: bool = False, weights: xr.DataArray | None = None) -> None:
        super().__init__(weights=weights)
        self.fair = fair
        if fair:
            self.least = 2
            self.name, self.title = "crps_fair", "Fair continuous ranked probability score"

    def cell(self, forecast: np.ndarray, observed: np.ndarray) -> np.ndarray:
        """Its score."""
        n = len(forecast)
        miss = abs(forecast - observed).mean(0)
        # Of the sorted samples, the i-th of n is above i - 1 and below n - i of the others.
        above = 2 * np.arange(1, n + 1) - n - 1
        pairs = np.tensordot(above, np.sort(forecast, axis=0), 1) / (n * (n - 1) if self.fair else n * n)
        return miss - pairs


class SpreadSkillRatio(_OfSamples):
    """Spread of the samples over the error of their mean; 1 is right, below 1 too sure of itself.

    sqrt((n + 1) / n * mean variance / mse of the mean), n samples, variance with n - 1.

    Source:
        Fortin et al. (2014), J. Hydrometeor. 15, 1708-1713, eqs. 14 and 15.

    >>> truth = xr.DataArray([0.0, 0.0], dims="x")
    >>> samples = xr.DataArray([[1.0, -3.0], [3.0, -1.0]], dims=("realization", "x"))
    >>> spread_skill(samples, truth, dims="x").round(3).item()  # root of 1.5 * 2 / 4
    0.866
    """

    name = "spread_skill"
    title = "Spread over skill"
    power = 0
    perfect = 1.0
    least = 2

    def cell(self, forecast: np.ndarray, observed: np.ndarray) -> dict[str, np.ndarray]:
        """Variance, and squared error of the mean."""
        n = len(forecast)
        spread = (n + 1) / n * forecast.var(0, ddof=1)
        return {"spread": spread, "error": (forecast.mean(0) - observed) ** 2}

    def final(self, mean: xr.DataArray) -> xr.DataArray:
        """Root of their ratio; NaN without an error."""
        error = mean.sel({PART: "error"}, drop=True)
        return (mean.sel({PART: "spread"}, drop=True) / error.where(error > 0)) ** 0.5


class OfLevels(Metric):
    """Base of what quantiles of some levels score: a forecast's own, or those of its samples."""

    reads: ClassVar[tuple[str, ...]] = (SAMPLES, QUANTILES)

    def __init__(self, *levels: float, weights: xr.DataArray | None = None) -> None:
        super().__init__(weights=weights)
        self.levels = levels

    def objection(self, forecast: xr.DataArray) -> str | None:
        """Where the forecast has other levels."""
        if QUANTILES in forecast.dims:
            try:
                rows_of(self.levels, forecast[QUANTILES].values)
            except GridMismatchError as lacking:
                return str(lacking)
        return super().objection(forecast)

    def forecast_of(self, block: Block) -> np.ndarray:
        """(level, ...)."""
        return block.at_levels(self.levels)


class IntervalCoverage(OfLevels):
    """Share of the truth within the central interval; right is the level itself.

    The ends, which belong to it, are the quantiles (1 - level) / 2 and (1 + level) / 2: those of the
    forecast, or of its samples, between which they lie on straight lines. Of n samples from the truth's
    own distribution, somewhat less is covered: about level (n - 1) / (n + 1).

    Args:
        level: Of the interval, in (0, 1), e.g. 0.9.
        weights: How much a cell counts; see :class:`Metric`.

    Source:
        Gneiting, Balabdaoui and Raftery (2007), J. R. Stat. Soc. B 69, 243-268, sec. 3.3.

    >>> truth = xr.DataArray([5.0, 9.9], dims="x")
    >>> samples = xr.DataArray(np.arange(11.0), dims="realization").expand_dims(x=2)
    >>> IntervalCoverage(level=0.9)(samples, truth, dims="x").item()
    0.5
    """

    name = "coverage"
    title = "Coverage"
    power = 0

    def __init__(self, *, level: float, weights: xr.DataArray | None = None) -> None:
        self.level = self.perfect = share(level)
        super().__init__((1 - level) / 2, (1 + level) / 2, weights=weights)
        self.name = with_numbers("coverage", self.level)
        self.title = f"Coverage of the central interval of {self.level:.4g}"

    def cell(self, forecast: np.ndarray, observed: np.ndarray) -> np.ndarray:
        """1 where it is within."""
        low, high = forecast
        return ((low <= observed) & (observed <= high)).astype(float)


class RankHistogram(_OfSamples):
    """Share of the truth at each rank among the samples; flat if they come from its distribution.

    The score has a dim ``rank``, from 0 (below all samples) to their number (above all), and sums to 1;
    of n samples, each is right at 1 / (n + 1). Bowl: too little spread. Slope: bias. A truth that
    equals some samples is shared out among the ranks it could have, so that nothing is random.

    Source:
        Hamill (2001), Mon. Wea. Rev. 129, 550-560.

    >>> truth = xr.DataArray([0.0, 1.0, 2.0, 9.0], dims="x")
    >>> samples = xr.DataArray([1.0, 3.0], dims="realization").expand_dims(x=4)
    >>> rank_histogram(samples, truth, dims="x").values.tolist()
    [0.375, 0.375, 0.25]
    """

    name = "rank_histogram"
    title = "Share of the truth at each rank"
    power = 0
    perfect = float("nan")  # 1 / (samples + 1)

    parts_dim = "rank"

    def objection(self, forecast: xr.DataArray) -> str | None:
        """Also where there are no samples to rank among."""
        if SAMPLES not in forecast.dims:
            return f"The forecast has no samples; {self.name} wants some, along {SAMPLES}."
        return super().objection(forecast)

    def cell(self, forecast: np.ndarray, observed: np.ndarray) -> dict[int, np.ndarray]:
        """1 at its rank."""
        low = (forecast < observed).sum(0)
        high = low + (forecast == observed).sum(0)
        share = 1 / (high - low + 1)
        return {r: share * ((low <= r) & (r <= high)) for r in range(len(forecast) + 1)}


def share(level: float) -> float:
    """A level, checked.

    Raises:
        ValueError: If it is not between 0 and 1.
    """
    if not 0 < level < 1:
        raise ValueError(f"level={level}; wanted is a share between 0 and 1, such as 0.9.")
    return float(level)


crps = ContinuousRankedProbabilityScore()
crps_fair = ContinuousRankedProbabilityScore(fair=True)
spread_skill = SpreadSkillRatio()
rank_histogram = RankHistogram()
