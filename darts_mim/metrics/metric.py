"""What every metric is: a statistic per window that pools exactly, and one final step."""

from abc import ABC
from collections.abc import Collection, Hashable
from math import isfinite, prod
from typing import Any, ClassVar

import numpy as np
import xarray as xr

from darts_mim.errors import GridMismatchError
from darts_mim.metrics.blocks import Total, blocks
from darts_mim.metrics.statistic import Dims, Statistic, listed

SAMPLES = "realization"


class Metric(ABC):
    """One way to score a forecast. Derive from it and say what one cell contributes.

    A metric of cells defines :meth:`cell`, and :meth:`final` if its score is no plain mean. One that
    counts otherwise defines :meth:`window`, and :meth:`whole` if it must not be cut along some dims.

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
        sampled: The forecast has samples along ``realization``, and the truth has not.
    """

    name: str
    title: str
    power: ClassVar[int] = 1
    perfect: float = 0.0
    is_mean_loss: ClassVar[bool] = False
    sampled: ClassVar[bool] = False

    def __init__(self, *, weights: xr.DataArray | None = None) -> None:
        self.weights = weights

    def cell(self, forecast: xr.DataArray, observed: xr.DataArray) -> xr.DataArray:
        """What each cell contributes to the sum; several sums lie along a new dim ``part``."""
        raise NotImplementedError(
            f"{type(self).__name__} does not say what it counts. Define cell(forecast, observed), or "
            f"window(forecast, observed, weights, dims) where the score is no sum over cells."
        )

    def final(self, mean: xr.DataArray) -> xr.DataArray:
        """From the mean to the score; a dim ``part`` is used up here."""
        return mean

    def window(
        self, forecast: xr.DataArray, observed: xr.DataArray, weights: xr.DataArray | None, dims: Dims
    ) -> Statistic:
        """Count one block of both fields, in memory; by default the sum of :meth:`cell`.

        The forecast is known to be there wherever ``observed`` is not NaN. ``weights`` are those of
        the block's cells. Coordinates of dims that the fields have are put back afterwards.
        """
        # float64: unsigned integers wrap around, and float32 sums lose digits over many cells.
        near, truth = (field.astype(float, copy=False) for field in (forecast, observed))
        return self.sum_of(self.cell(near, truth), observed, weights, dims)

    def sum_of(
        self, cells: xr.DataArray, observed: xr.DataArray, weights: xr.DataArray | None, dims: Dims
    ) -> Statistic:
        """The sum over ``dims`` of cells that were observed, each times its weight."""
        seen = None if is_whole(observed) else observed.notnull()
        if seen is not None:
            cells = cells.where(seen, 0)
        if weights is not None:
            cells = cells * weights
        value = cells.sum(dims, skipna=False)
        if seen is None and weights is None:
            one = observed.isel(dict.fromkeys(listed(dims), 0), drop=True)
            n = prod(observed.sizes[dim] for dim in listed(dims))
            return Statistic(value=value, weight=xr.full_like(one, n, float))
        counted = (observed.notnull() if seen is None else seen) * (1 if weights is None else weights)
        return Statistic(value=value, weight=counted.sum(dims))

    def whole(self, observed: xr.DataArray, dims: Dims) -> Collection[Hashable]:
        """Dims along which a block may not be cut."""
        return ()

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
        dims = listed(dims)
        self._require_dims(forecast, observed)
        weights = None if self.weights is None else values_on(self.weights, observed, "The weights")
        whole = [*self.whole(observed, dims), *([SAMPLES] if self.sampled else [])]
        total, lost = Total(observed, _one(forecast)), Total(observed)
        for cut, near, truth in blocks(forecast, observed, whole):
            missing = None if is_whole(near) else _missing(near, truth).any(dims)
            if missing is not None:
                lost.add(cut, Statistic(value=missing, weight=missing))
            if missing is None or not missing.values.any():
                here = None if weights is None else weights.isel({d: cut[d] for d in weights.dims})
                total.add(cut, self.window(near, truth, here, dims))
        if lost.sums and (windows := int((lost.sums["value"] > 0).sum())):
            raise ValueError(
                f"The forecast is NaN at cells that were observed, in {windows} of "
                f"{lost.sums['value'].size} windows. Leave those windows out or fill the cells: "
                f"{self.name} does not guess what was meant."
            )
        return total.statistic()

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

    def _require_dims(self, forecast: xr.DataArray, observed: xr.DataArray) -> None:
        if not self.sampled:
            require_same_coords(forecast, observed)
            return
        if SAMPLES not in forecast.dims:
            raise GridMismatchError(
                f"Forecast has dims {forecast.dims}; {self.name} scores samples, along {SAMPLES}. Pass a "
                f"sampled forecast, or .expand_dims({SAMPLES}=1) for one that is certain of itself."
            )
        require_same_coords(forecast.isel({SAMPLES: 0}, drop=True), observed)


def with_numbers(name: str, *numbers: float) -> str:
    """The name of a metric that has parameters, as in papers' tables.

    >>> with_numbers("fss", 0.5, 9)
    'fss_0.5_9'
    """
    return "_".join([name, *(f"{number:.12g}" for number in numbers)])


def is_whole(field: xr.DataArray) -> bool:
    """No cell is NaN: told by the minimum, which is quicker than looking at each."""
    values = field.values
    return values.dtype.kind != "f" or not values.size or not np.isnan(values.min())


def values_on(values: xr.DataArray, field: xr.DataArray, what: str) -> xr.DataArray:
    """Values on some of a field's dims, such as weights, at the field's own labels.

    Raises:
        GridMismatchError: If they have another dim, or lack a label of the field's.
    """
    for dim in values.dims:
        if dim not in field.dims:
            raise GridMismatchError(
                f"{what} have the dim {dim}, which the fields, on {field.dims}, have not. Select or "
                f"average along it first, e.g. .isel({dim}=0)."
            )
        if dim in values.indexes and dim in field.indexes:
            if values.indexes[dim].equals(field.indexes[dim]):
                continue
            if not field.indexes[dim].isin(values.indexes[dim]).all():
                raise GridMismatchError(
                    f"{what} lack some of the fields' labels along {dim}. Make them on the fields' {dim}, "
                    f"e.g. with .reindex_like(field)."
                )
            values = values.sel({dim: field.indexes[dim]})
        elif values.sizes[dim] != field.sizes[dim]:
            raise GridMismatchError(
                f"{what} have {values.sizes[dim]} along {dim}, the fields {field.sizes[dim]}. Cut them alike."
            )
    return values


def require_same_coords(forecast: xr.DataArray, observed: xr.DataArray) -> None:
    """Both fields have the same dims, sizes and labels, in any order."""
    if set(forecast.dims) != set(observed.dims):
        raise GridMismatchError(
            f"Forecast has dims {forecast.dims}, the truth {observed.dims}; both want the same. "
            "Select one, or average first, e.g. .mean('realization')."
        )
    for dim in forecast.dims:
        if forecast.sizes[dim] != observed.sizes[dim]:
            raise GridMismatchError(
                f"Forecast has {forecast.sizes[dim]} along {dim}, the truth {observed.sizes[dim]}. "
                f"Cut both to one {dim}, e.g. with xr.align(forecast, observed)."
            )
    for name in [*forecast.dims, *forecast.coords]:
        both = name in forecast.coords and name in observed.coords
        if both and not forecast[name].variable.equals(observed[name].variable):
            raise GridMismatchError(
                f"Forecast and truth differ in coordinate {name!r}. Select the same {name} "
                "from both, e.g. with xr.align(forecast, observed)."
            )


def _one(forecast: xr.DataArray) -> xr.DataArray:
    return forecast.isel({SAMPLES: 0}, drop=True) if SAMPLES in forecast.dims else forecast


def _missing(forecast: xr.DataArray, observed: xr.DataArray) -> xr.DataArray:
    """Where there is a truth and no forecast."""
    absent = forecast.isnull()
    return (absent.any(SAMPLES) if SAMPLES in absent.dims else absent) & observed.notnull()
