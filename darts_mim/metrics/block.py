"""A block of forecast and truth in memory. What several metrics need of it is made once, as NumPy arrays."""

from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from math import prod
from typing import Any, NamedTuple

import numpy as np
import xarray as xr

from darts_mim.errors import GridMismatchError
from darts_mim.metrics.coords import values_on
from darts_mim.metrics.statistic import PART

SAMPLES, QUANTILES = "realization", "quantile"
Cut = Mapping[Hashable, slice]
Cells = np.ndarray | Mapping[Any, np.ndarray]  # a number of each cell, or several by name


class Laid(NamedTuple):
    """An array and the names of its axes: a Variable without what that costs, of which blocks make many."""

    dims: Sequence[Hashable]
    values: np.ndarray


@dataclass(frozen=True)
class Counted:
    """What a metric counts in a block: a statistic without the fields' coordinates."""

    value: Laid
    weight: Laid
    labels: Mapping[str, Any] = field(default_factory=dict[str, Any])  # of dims that the fields have not


class Block:
    """Forecast and truth of some cells, and the dims to count together.

    Args:
        forecast: (...) as the truth, with ``own`` in front if that is not None.
        observed: (...) on the dims of ``fields``; NaN where there is no truth.
        dims: Dims whose cells are counted together.
        fields: The truth that the block was cut from, with its coordinates.
        cut: Where in it the block stands.
        own: ``realization`` or ``quantile``, if the forecast has that dim.
        levels: Of the quantiles, if there are any.

    Attributes:
        observed: The truth, in its own number type.
        kept: Its dims that are not counted together.
    """

    def __init__(
        self,
        forecast: np.ndarray,
        observed: np.ndarray,
        dims: Sequence[Hashable],
        *,
        fields: xr.DataArray,
        cut: Cut,
        own: str | None = None,
        levels: np.ndarray | None = None,
    ) -> None:
        self.observed, self.dims, self.fields, self.cut = observed, dims, fields, cut
        self.kept = [dim for dim in fields.dims if dim not in dims]
        self._axes = tuple(fields.dims.index(dim) for dim in dims)
        self._came, self._sampled, self._levels = forecast, own == SAMPLES, levels

    @cached_property
    def seen(self) -> np.ndarray | None:
        """Where there is a truth; None: everywhere."""
        return None if is_whole(self.observed) else ~np.isnan(self.observed)

    @cached_property
    def lost(self) -> np.ndarray | None:
        """Where there is a truth and no forecast; None: nowhere."""
        came = self._came
        if is_whole(came):
            return None
        absent = np.asarray(np.isnan(came).any(tuple(range(came.ndim - self.observed.ndim))))
        return absent if self.seen is None else absent & self.seen

    @cached_property
    def forecast(self) -> np.ndarray:
        """A number a cell, in its own type: samples by their mean, quantiles by the one of level 0.5."""
        values = self._came
        if self._sampled:
            return values.mean(0, dtype=float).astype(values.dtype if values.dtype.kind == "f" else float)
        return values if self._levels is None else values[rows_of([0.5], self._levels)[0]]

    @cached_property
    def near(self) -> np.ndarray:
        """The forecast in float64: unsigned integers wrap around, and sums in float32 lose digits."""
        return self.forecast.astype(float, copy=False)

    @cached_property
    def truth(self) -> np.ndarray:
        """The truth in float64."""
        return self.observed.astype(float, copy=False)

    @cached_property
    def samples(self) -> np.ndarray:
        """(sample, ...) in float64; a forecast without is one sample, certain of itself."""
        return self._came.astype(float) if self._sampled else self.near[None]

    @cached_property
    def quantiles(self) -> tuple[np.ndarray, np.ndarray]:
        """(level, ...) in float64, and the levels; a forecast without is its own median."""
        if self._levels is None:
            return self.near[None], np.array([0.5])
        return self._came.astype(float), self._levels

    def at_levels(self, levels: Sequence[float]) -> np.ndarray:
        """(level, ...) in float64: the quantiles of these levels; of samples, by straight lines."""
        if self._levels is None:
            return np.quantile(self.samples, levels, axis=0)
        return self.quantiles[0][rows_of(levels, self._levels)]

    def beside(self, values: xr.DataArray, what: str) -> np.ndarray:
        """Values on some of the fields' dims, such as weights, at the block's cells.

        Raises:
            GridMismatchError: If they have another dim, or lack a label of the fields'.
        """
        laid = values_on(values, self.fields, what).variable
        here = laid.isel({dim: self.cut[dim] for dim in laid.dims if dim in self.cut})
        return here.set_dims(self.fields.dims).transpose(*self.fields.dims).values

    def sums(
        self,
        cells: Cells,
        weights: np.ndarray | None = None,
        *,
        seen: np.ndarray | None = None,
        parts_dim: str = PART,
    ) -> Counted:
        """The sum over ``dims`` of cells that were observed, each times its weight.

        Args:
            cells: Of each cell a number, or several by name, which lie along ``parts_dim``.
            weights: Of each cell; None: all count the same.
            seen: The cells that count; by default those that were observed.
            parts_dim: See ``cells``.
        """
        seen = self.seen if seen is None else seen
        weight = Laid(self.kept, self._weight(weights, seen))
        if not isinstance(cells, Mapping):
            return Counted(Laid(self.kept, self._sum(cells, weights, seen)), weight)
        each = np.stack([self._sum(part, weights, seen) for part in cells.values()])
        return Counted(Laid((parts_dim, *self.kept), each), weight, {parts_dim: list(cells)})

    def _sum(self, cells: np.ndarray, weights: np.ndarray | None, seen: np.ndarray | None) -> np.ndarray:
        cells = cells if seen is None else np.where(seen, cells, 0)
        return (cells if weights is None else cells * weights).sum(self._axes)

    def _weight(self, weights: np.ndarray | None, seen: np.ndarray | None) -> np.ndarray:
        if weights is None and seen is None:
            shape = [n for axis, n in enumerate(self.observed.shape) if axis not in self._axes]
            return np.full(shape, self.observed.size / max(prod(shape), 1))
        each = 1.0 if weights is None else weights
        counted = np.broadcast_to(each if seen is None else np.where(seen, each, 0), self.observed.shape)
        return counted.sum(self._axes)


def is_whole(values: np.ndarray) -> bool:
    """No cell is NaN: told by the minimum, which is quicker than looking at each."""
    return values.dtype.kind != "f" or not values.size or not np.isnan(values.min())


def rows_of(levels: Sequence[float], among: np.ndarray) -> list[int]:
    """Where these levels are among a forecast's.

    Raises:
        GridMismatchError: If one is not.
    """
    near = abs(np.asarray(among, float) - np.reshape(levels, (-1, 1))) < 1e-6
    if not near.any(1).all():
        lacking = levels[int(near.any(1).argmin())]
        raise GridMismatchError(
            f"The forecast has quantiles of the levels {[float(level) for level in among]}; {lacking:g} is "
            f"wanted. Forecast that one too, e.g. likelihood=QuantileRegression([0.1, 0.5, 0.9])."
        )
    return near.argmax(1).tolist()
