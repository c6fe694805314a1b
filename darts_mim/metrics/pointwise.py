"""Errors counted cell by cell. Sum first, divide last: windows pool exactly, in any chunks.

>>> truth = xr.DataArray([[1.0, 2.0], [3.0, 4.0]], dims=("time", "x"))
>>> windows = [truth[:1], truth[1:]]
>>> total = sum_statistics(rmse.statistic(2 * w, w, dims=("time", "x")) for w in windows)
>>> rmse.score(total).item() == rmse(2 * truth, truth, dims=("time", "x")).item()
True
"""

from abc import ABC, abstractmethod
from collections.abc import Collection, Hashable, Iterable
from dataclasses import dataclass
from functools import reduce
from operator import add
from typing import ClassVar

import dask
import xarray as xr

from darts_mim.errors import GridMismatchError

Dims = str | Collection[Hashable]


@dataclass(frozen=True, kw_only=True)
class Statistic:
    """A sum over cells that have been counted, and how many they were. Adding two pools them."""

    value: xr.DataArray  # sum over cells; units of the metric's cell
    weight: xr.DataArray  # number of cells

    def __add__(self, other: "Statistic") -> "Statistic":
        # xarray's own default would keep only the coordinates that both have.
        with xr.set_options(arithmetic_join="exact"):
            return Statistic(value=self.value + other.value, weight=self.weight + other.weight)

    def sum(self, dims: Dims) -> "Statistic":
        """Pool over dims that are left, such as ``init_time``."""
        return Statistic(value=self.value.sum(dims), weight=self.weight.sum(dims))


def sum_statistics(statistics: Iterable[Statistic]) -> Statistic:
    """Pool windows: the statistic of all of them is the sum of theirs.

    Raises:
        ValueError: If two of them differ in a coordinate that is left, or there is none.
    """
    parts = list(statistics)
    if not parts:
        raise ValueError("No statistic came; pooling wants at least one window.")
    return reduce(add, parts)


class Metric(ABC):
    """One way to score a forecast. Derive from it and say what one cell contributes.

    Attributes:
        name: As in a table, e.g. ``"mse"``.
        title: In words, e.g. ``"Mean squared error"``.
        power: The score is in the fields' units to this power (0: dimensionless).
        perfect: The score of a perfect forecast; nearer to it is better.
        is_mean_loss: The score is the plain mean of a cell's loss, lower is better: what a test
            of equal accuracy needs.
    """

    name: ClassVar[str]
    title: ClassVar[str]
    power: ClassVar[int] = 1
    perfect: ClassVar[float] = 0.0
    is_mean_loss: ClassVar[bool] = False

    @abstractmethod
    def cell(self, forecast: xr.DataArray, observed: xr.DataArray) -> xr.DataArray:
        """What each cell contributes to the sum."""

    def final(self, mean: xr.DataArray) -> xr.DataArray:
        """From the mean over cells to the score."""
        return mean

    def statistic(self, forecast: xr.DataArray, observed: xr.DataArray, dims: Dims) -> Statistic:
        """Sum over ``dims`` of one window or many. Lazy fields are read once, chunk by chunk.

        Args:
            forecast: Field in the units of ``observed``. NaN counts as no forecast and is an
                error, except where the truth is NaN as well.
            observed: Field on the same dims and coordinates; cells that are NaN are left out.
            dims: Dims whose cells are counted together.

        Raises:
            GridMismatchError: If the two fields differ in a dim or a coordinate.
            ValueError: If the forecast is NaN where the truth was observed.
        """
        _require_same_coords(forecast, observed)
        dims = [dims] if isinstance(dims, str) else list(dims)
        seen = observed.notnull()
        # float64: unsigned integers wrap around, and float32 sums lose digits over many cells.
        cells = self.cell(forecast.astype(float), observed.astype(float)).where(seen, 0.0)
        value, weight = dask.compute(cells.sum(dims, skipna=False), seen.sum(dims))
        if value.isnull().any():
            raise ValueError(
                f"The forecast is NaN at cells that were observed, in {int(value.isnull().sum())} "
                f"of {value.size} windows. Leave those windows out or fill the cells: "
                f"{self.name} does not guess what was meant."
            )
        return Statistic(value=value, weight=weight.astype(float))

    def score(self, statistic: Statistic) -> xr.DataArray:
        """From the pooled sum to the score; NaN where no cell was counted."""
        score = self.final(statistic.value / statistic.weight.where(statistic.weight > 0))
        return score.rename(self.name).assign_attrs(long_name=self.title)

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


class MeanSquaredError(Metric):
    """Mean squared error, in the fields' units squared.

    >>> truth = xr.DataArray([1.0, 2.0, float("nan")], dims="x", attrs={"units": "mm"})
    >>> mse(truth + 2, truth, dims="x").item()
    4.0
    """

    name = "mse"
    title = "Mean squared error"
    power = 2
    is_mean_loss = True

    def cell(self, forecast: xr.DataArray, observed: xr.DataArray) -> xr.DataArray:
        """Squared error."""
        return (forecast - observed) ** 2


class RootMeanSquaredError(MeanSquaredError):
    """Root of the mean squared error, in the fields' units; the root is taken after pooling.

    >>> truth = xr.DataArray([0.0, 0.0], dims="x")
    >>> rmse(xr.DataArray([1.0, 7.0], dims="x"), truth, dims="x").item()
    5.0
    """

    name = "rmse"
    title = "Root mean squared error"
    power = 1
    is_mean_loss = False

    def final(self, mean: xr.DataArray) -> xr.DataArray:
        """Root."""
        return mean**0.5


class MeanAbsoluteError(Metric):
    """Mean absolute error, in the fields' units.

    >>> truth = xr.DataArray([0.0, 0.0], dims="x")
    >>> mae(xr.DataArray([1.0, -7.0], dims="x"), truth, dims="x").item()
    4.0
    """

    name = "mae"
    title = "Mean absolute error"
    is_mean_loss = True

    def cell(self, forecast: xr.DataArray, observed: xr.DataArray) -> xr.DataArray:
        """Absolute error."""
        return abs(forecast - observed)


class Bias(Metric):
    """Mean of forecast minus truth, in the fields' units; positive: too much is forecast.

    >>> truth = xr.DataArray([0.0, 0.0], dims="x")
    >>> bias(xr.DataArray([1.0, -7.0], dims="x"), truth, dims="x").item()
    -3.0
    """

    name = "bias"
    title = "Bias"

    def cell(self, forecast: xr.DataArray, observed: xr.DataArray) -> xr.DataArray:
        """Forecast minus truth."""
        return forecast - observed


mse = MeanSquaredError()
rmse = RootMeanSquaredError()
mae = MeanAbsoluteError()
bias = Bias()


def _require_same_coords(forecast: xr.DataArray, observed: xr.DataArray) -> None:
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
