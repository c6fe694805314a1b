"""Was there an event, and was it forecast? Hits, misses and false alarms, at a threshold.

An event is ``field >= threshold``. Counts are pooled first and divided last, as in the papers' tables.
"""

from abc import abstractmethod
from collections.abc import Hashable
from typing import ClassVar

import xarray as xr

from darts_mim.metrics.block import Block, Counted
from darts_mim.metrics.metric import Metric, with_numbers
from darts_mim.metrics.statistic import PART


class Categorical(Metric):
    """Base of scores of a two by two table. Derive from it and say what :meth:`of` the counts.

    Args:
        threshold: An event is ``field >= threshold``, in the fields' units, e.g. mm/h; it is rounded
            to the field's own number type, so that 0.7 in float32 is an event at 0.7.
        weights: How much a cell counts; see :class:`Metric`.
    """

    power: ClassVar[int] = 0
    perfect: float = 1.0

    def __init__(self, *, threshold: float, weights: xr.DataArray | None = None) -> None:
        super().__init__(weights=weights)
        self.threshold = float(threshold)
        self.name = with_numbers(type(self).name, self.threshold)
        self.title = f"{type(self).title}, events of at least {self.threshold:g}"

    @abstractmethod
    def of(
        self, hits: xr.DataArray, misses: xr.DataArray, false_alarms: xr.DataArray, others: xr.DataArray
    ) -> tuple[xr.DataArray, xr.DataArray]:
        """Numerator and denominator of the score; the four are shares of all cells."""

    def count(self, block: Block) -> Counted:
        """Hits, misses and false alarms; the rest of the cells are neither."""
        near, truth = block.forecast >= self.threshold, block.observed >= self.threshold
        cells = {"hits": near & truth, "misses": truth & ~near, "false_alarms": near & ~truth}
        return block.sums(cells, self.weights_on(block))

    @property
    def counts_as(self) -> Hashable:
        """All scores of one table."""
        return type(self).count, self.threshold, id(self.weights)

    def final(self, mean: xr.DataArray) -> xr.DataArray:
        """The score; NaN where it would be 0 / 0."""
        hits, misses, false_alarms = (mean.sel({PART: name}, drop=True) for name in mean[PART].values)
        above, below = self.of(hits, misses, false_alarms, 1 - hits - misses - false_alarms)
        return above / below.where(below != 0)


class CriticalSuccessIndex(Categorical):
    """Critical success index: hits / (hits + misses + false alarms), in [0, 1].

    Source:
        Schaefer (1990), Wea. Forecasting 5, 570-575. Table 6 of Wang et al. (2019) has it at 30, 40
        and 50 dBZ.

    >>> rain = xr.DataArray([3.0, 0.0, 2.0, 4.0], dims="x")
    >>> round(CriticalSuccessIndex(threshold=2.5)(rain.roll(x=1), rain, dims="x").item(), 3)
    0.333
    """

    name = "csi"
    title = "Critical success index"

    def of(
        self, hits: xr.DataArray, misses: xr.DataArray, false_alarms: xr.DataArray, others: xr.DataArray
    ) -> tuple[xr.DataArray, xr.DataArray]:
        """Hits, of all that were seen or forecast."""
        return hits, hits + misses + false_alarms


class ProbabilityOfDetection(Categorical):
    """Probability of detection, the hit rate: hits / (hits + misses), in [0, 1].

    Source:
        Wilks (2019), Statistical Methods in the Atmospheric Sciences, 4th ed., eq. 9.12.

    >>> rain = xr.DataArray([3.0, 0.0, 2.0, 4.0], dims="x")
    >>> ProbabilityOfDetection(threshold=2.5)(rain.roll(x=1), rain, dims="x").item()
    0.5
    """

    name = "pod"
    title = "Probability of detection"

    def of(
        self, hits: xr.DataArray, misses: xr.DataArray, false_alarms: xr.DataArray, others: xr.DataArray
    ) -> tuple[xr.DataArray, xr.DataArray]:
        """Hits, of all that were seen."""
        return hits, hits + misses


class FalseAlarmRatio(Categorical):
    """False alarm ratio: false alarms / (hits + false alarms), in [0, 1]; 0 is perfect.

    Of the events that were forecast, not to be taken for the false alarm *rate*, which is of
    those that did not happen.

    Source:
        Wilks (2019), Statistical Methods in the Atmospheric Sciences, 4th ed., eq. 9.13.

    >>> rain = xr.DataArray([3.0, 0.0, 2.0, 4.0], dims="x")
    >>> FalseAlarmRatio(threshold=2.5)(rain.roll(x=1), rain, dims="x").item()
    0.5
    """

    name = "far"
    title = "False alarm ratio"
    perfect = 0.0

    def of(
        self, hits: xr.DataArray, misses: xr.DataArray, false_alarms: xr.DataArray, others: xr.DataArray
    ) -> tuple[xr.DataArray, xr.DataArray]:
        """False alarms, of all that were forecast."""
        return false_alarms, hits + false_alarms


class HeidkeSkillScore(Categorical):
    """Heidke skill score: right more often than by chance, in [-1, 1]; 0 is chance.

    2 (ad - bc) / ((a + c)(c + d) + (a + b)(b + d)) with hits a, false alarms b, misses c and d the rest.

    Source:
        Wilks (2019), Statistical Methods in the Atmospheric Sciences, 4th ed., eq. 9.18.

    >>> rain = xr.DataArray([3.0, 0.0, 2.0, 4.0], dims="x")
    >>> HeidkeSkillScore(threshold=2.5)(rain.roll(x=1), rain, dims="x").item()
    0.0
    """

    name = "hss"
    title = "Heidke skill score"

    def of(
        self, hits: xr.DataArray, misses: xr.DataArray, false_alarms: xr.DataArray, others: xr.DataArray
    ) -> tuple[xr.DataArray, xr.DataArray]:
        """Correct beyond chance, of what can be correct beyond chance."""
        seen, absent = hits + misses, false_alarms + others
        forecast, quiet = hits + false_alarms, misses + others
        return 2 * (hits * others - false_alarms * misses), seen * quiet + forecast * absent


class FrequencyBias(Categorical):
    """Frequency bias: events forecast / events seen, from 0 up; above 1, too many are forecast.

    Source:
        Wilks (2019), Statistical Methods in the Atmospheric Sciences, 4th ed., eq. 9.10.

    >>> rain = xr.DataArray([3.0, 0.0, 2.0, 4.0], dims="x")
    >>> FrequencyBias(threshold=3)(rain + 1, rain, dims="x").item()
    1.5
    """

    name = "frequency_bias"
    title = "Frequency bias"

    def of(
        self, hits: xr.DataArray, misses: xr.DataArray, false_alarms: xr.DataArray, others: xr.DataArray
    ) -> tuple[xr.DataArray, xr.DataArray]:
        """All that were forecast, of all that were seen."""
        return hits + false_alarms, hits + misses
