"""What was counted, before the final step: adding two pools their windows exactly."""

from collections.abc import Collection, Hashable, Iterable, Sequence
from dataclasses import dataclass
from functools import reduce
from operator import add

import xarray as xr

Dims = str | Collection[Hashable]
PART = "part"  # the dim of a statistic that counts several things, such as hits and misses


@dataclass(frozen=True, kw_only=True)
class Statistic:
    """A sum over what has been counted, and how many that were. Adding two pools them.

    A statistic that counts several things has them along a dim in front, such as ``part``, and
    one weight for all. A weight without a dim of the value is not counted along it: summing over
    channels leaves the number of frames as it is.
    """

    value: xr.DataArray  # sum; units of the metric's cell or field
    weight: xr.DataArray  # number of cells, fields or frames, or the sum of their weights

    def __add__(self, other: "Statistic") -> "Statistic":
        # xarray's own default would keep only the coordinates that both have.
        with xr.set_options(arithmetic_join="exact"):
            return Statistic(value=self.value + other.value, weight=self.weight + other.weight)

    def sum(self, dims: Dims) -> "Statistic":
        """Pool over dims that are left, such as ``init_time``."""
        dims = listed(dims)
        counted = [dim for dim in dims if dim in self.weight.dims]
        return Statistic(value=self.value.sum(dims), weight=self.weight.sum(counted))


def sum_statistics(statistics: Iterable[Statistic]) -> Statistic:
    """Pool windows: the statistic of all of them is the sum of theirs.

    Raises:
        ValueError: If two of them differ in a coordinate that is left, or there is none.
    """
    parts = list(statistics)
    if not parts:
        raise ValueError("No statistic came; pooling wants at least one window.")
    return reduce(add, parts)


def listed(dims: Dims) -> Sequence[Hashable]:
    """Dims as a list, one or several."""
    return [dims] if isinstance(dims, str) else list(dims)
