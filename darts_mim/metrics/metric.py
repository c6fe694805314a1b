"""What every metric is: a statistic per window that pools exactly, and one final step."""

from abc import ABC
from collections.abc import Collection, Hashable
from math import isfinite
from typing import Any, ClassVar

import numpy as np
import xarray as xr

from darts_mim.errors import GridMismatchError
from darts_mim.metrics.block import QUANTILES, SAMPLES, Block, Cells, Counted
from darts_mim.metrics.coords import require_same_coords
from darts_mim.metrics.counting import count
from darts_mim.metrics.statistic import PART, Dims, Statistic

KINDS = {SAMPLES: "samples", QUANTILES: "quantiles"}


class Metric(ABC):
    """One way to score a forecast. Derive from it and say what one cell contributes.

    A metric of cells defines :meth:`cell`, and :meth:`final` if its score is no plain mean. One that
    counts otherwise defines :meth:`count`, and :meth:`whole` if it must not be cut along some dims.

    Args:
        weights: How much a cell counts, on any of the fields' dims, such as
            :func:`darts_mim.metrics.latitude_weights`; None: all cells count the same.

    Attributes:
        name: As in a table, e.g. ``"mse"``.
        title: In words, e.g. ``"Mean squared error"``.
        power: The score is in the fields' units to this power (0: dimensionless).
        perfect: The score of a perfect forecast; nearer to it is better. Infinite: more is better.
        is_mean_loss: The score is the plain mean of a cell's loss, lower is better: what a test
            of equal accuracy needs.
        reads: Dims of the forecast that the truth has not, and this metric scores: ``realization``,
            ``quantile``, either, or none.
        parts_dim: The dim of the several sums of :meth:`cell`.
    """

    name: str
    title: str
    power: ClassVar[int] = 1
    perfect: float = 0.0
    is_mean_loss: ClassVar[bool] = False
    reads: ClassVar[tuple[str, ...]] = ()
    parts_dim: ClassVar[str] = PART

    def __init__(self, *, weights: xr.DataArray | None = None) -> None:
        self.weights = weights

    def cell(self, forecast: np.ndarray, observed: np.ndarray) -> Cells:
        """What each cell contributes to the sum, or several sums by name.

        Args:
            forecast: In float64; samples or quantiles, where the metric reads them, along a first axis.
            observed: The truth, in float64. Cells where it is NaN are left out afterwards.
        """
        raise NotImplementedError(
            f"{type(self).__name__} does not say what it counts. Define cell(forecast, observed), or "
            f"count(block) where the score is no sum over cells."
        )

    def final(self, mean: xr.DataArray) -> xr.DataArray:
        """From the mean to the score; a dim ``part`` is used up here."""
        return mean

    def count(self, block: Block) -> Counted:
        """Count one block of both fields, in memory; by default the sum of :meth:`cell`.

        The forecast is known to be there wherever the truth is.
        """
        cells = self.cell(self.forecast_of(block), block.truth)
        return block.sums(cells, self.weights_on(block), parts_dim=self.parts_dim)

    def forecast_of(self, block: Block) -> np.ndarray:
        """What :meth:`cell` is given of the forecast."""
        return block.near

    def weights_on(self, block: Block) -> np.ndarray | None:
        """The weights of the block's cells."""
        return None if self.weights is None else block.beside(self.weights, "The weights")

    @property
    def counts_as(self) -> Hashable:
        """Metrics of which this is equal count the same, so that once is enough for all of them."""
        return self

    def whole(self, observed: xr.DataArray, dims: Dims) -> Collection[Hashable]:
        """Dims along which a block may not be cut."""
        return ()

    def objection(self, forecast: xr.DataArray) -> str | None:
        """Why it cannot score this forecast, which has too few samples, say; None if it can."""
        strange = next((dim for dim in KINDS if dim in forecast.dims and dim not in self.reads), None)
        if not self.reads or strange is None:
            return None
        wanted = " or ".join(KINDS[dim] for dim in self.reads)
        return f"The forecast has {KINDS[strange]}; {self.name} scores {wanted}. Score it by another metric."

    def statistic(self, forecast: xr.DataArray, observed: xr.DataArray, dims: Dims) -> Statistic:
        """Count along ``dims``, in one window or many. Lazy fields are read once, chunk by chunk.

        Args:
            forecast: Field in the units of ``observed``. NaN counts as no forecast and is an
                error, except where the truth is NaN as well.
            observed: Field on the same dims and coordinates; cells that are NaN are left out.
            dims: Dims whose cells are counted together.

        Raises:
            GridMismatchError: If the two fields differ in a dim or a coordinate.
            ValueError: If the forecast is NaN where the truth was observed.
        """
        self._require(forecast, observed)
        return count([self], forecast, observed, dims)[0]

    def score(self, statistic: Statistic) -> xr.DataArray:
        """From the pooled sum to the score; NaN where nothing was counted."""
        score = self.final(statistic.value / statistic.weight.where(statistic.weight > 0))
        return score.rename(self.name).assign_attrs(long_name=self.title)

    def miss(self, score: Any) -> Any:
        """How far from perfect a score is, to rank by: less is better; negative if none is perfect."""
        return abs(score - self.perfect) if isfinite(self.perfect) else -score

    def units(self, units: str) -> str:
        """Units of the score of a field in ``units``: ``"mm"`` gives ``"mm^2"`` for the mse."""
        if self.power == 0 or not units:
            return ""
        if self.power == 1:
            return units
        return f"{units}^{self.power}" if units.isalpha() else f"({units})^{self.power}"

    def __call__(self, forecast: xr.DataArray, observed: xr.DataArray, *, dims: Dims) -> xr.DataArray:
        """Score of ``forecast`` against ``observed``, all cells along ``dims`` together.

        Args and errors are those of :meth:`statistic`.
        """
        return self.score(self.statistic(forecast, observed, dims))

    def __repr__(self) -> str:
        return self.name

    def _require(self, forecast: xr.DataArray, observed: xr.DataArray) -> None:
        read = [dim for dim in self.reads if dim in forecast.dims]
        if self.reads and not read:
            dim = self.reads[0]
            raise GridMismatchError(
                f"Forecast has dims {forecast.dims}; {self.name} scores {KINDS[dim]}, along {dim}. Pass a "
                f"forecast that has them, or .expand_dims({dim}=...) for one that is certain of itself."
            )
        require_same_coords(forecast.isel(dict.fromkeys(read, 0), drop=True), observed)
        if said := self.objection(forecast):
            raise GridMismatchError(said)


def with_numbers(name: str, *numbers: float) -> str:
    """The name of a metric that has parameters, as in papers' tables.

    >>> with_numbers("fss", 0.5, 9)
    'fss_0.5_9'
    """
    return "_".join([name, *(f"{number:.12g}" for number in numbers)])
