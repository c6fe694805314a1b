"""Sums of frames by where they stand in a period, which add up over blocks of frames."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
import xarray as xr
from pandas.tseries.offsets import BaseOffset

from darts_mim.grid.reduction import Cells
from darts_mim.grid.times import position_in_period, steps_between


@dataclass(frozen=True, kw_only=True)
class PositionSums:
    """What was summed at the positions that some frames stand at.

    >>> frames = np.array([[1.0, 2.0], [5.0, np.nan], [3.0, 4.0]])
    >>> both = PositionSums.of(frames[:2], np.array([3, 1])) + PositionSums.of(frames[2:], np.array([3]))
    >>> both.positions, both.sums.tolist(), both.counts.tolist()
    (array([1, 3]), [[5.0, 0.0], [4.0, 6.0]], [[1, 0], [2, 2]])
    """

    positions: np.ndarray  # in order, each once
    sums: np.ndarray  # (position, ...), float64; the frames' own type where each position has one frame
    counts: np.ndarray  # (position, ...): values in each sum; of length 1 behind, where no value is NaN

    @classmethod
    def of(cls, values: np.ndarray, positions: np.ndarray) -> "PositionSums":
        """Of frames, (time, ...), and the position of each; what is not finite is left out."""
        order = np.argsort(positions, kind="stable")
        found, first = np.unique(positions[order], return_index=True)
        known = np.isfinite(values)
        if known.all():
            frames = np.diff(first, append=len(positions))
            counts = frames.reshape(-1, *[1] * (values.ndim - 1))
        else:
            values = np.where(known, values, 0)
            counts = np.add.reduceat(known[order], first, axis=0, dtype=np.int64)
        ordered = values[order]
        if len(found) == len(positions):
            return cls(positions=found, sums=ordered, counts=counts)
        # float64: the sums of long float32 series lose digits
        sums = np.add.reduceat(ordered, first, axis=0, dtype=np.float64)
        return cls(positions=found, sums=sums, counts=counts)

    def summed(self, axes: tuple[int, ...]) -> "PositionSums":
        """All along some axes together, such as samples."""
        counts = np.broadcast_to(self.counts, self.sums.shape).sum(axes)
        return PositionSums(positions=self.positions, sums=self.sums.sum(axes), counts=counts)

    def __add__(self, other: "PositionSums") -> "PositionSums":
        positions = np.union1d(self.positions, other.positions)
        sums = np.zeros((len(positions), *self.sums.shape[1:]))
        several = np.broadcast_shapes(self.counts.shape[1:], other.counts.shape[1:])
        counts = np.zeros((len(positions), *several), dtype=np.int64)
        for part in (self, other):
            at = np.searchsorted(positions, part.positions)
            for place, total, count in zip(at, part.sums, part.counts, strict=True):
                sums[place] += total
                counts[place] += count
        return PositionSums(positions=positions, sums=sums, counts=counts)


@dataclass(frozen=True, kw_only=True)
class PositionMeans:
    """Sums at all positions of a period, and the means of them.

    >>> total = PositionMeans.none(2, (1,))
    >>> total.add(PositionSums.of(np.array([[1.0], [4.0]]), np.array([1, 1])))
    >>> total.means.ravel(), total.counts.ravel()
    (array([nan, 2.5]), array([0, 2]))
    """

    sums: np.ndarray  # (position, ...)
    counts: np.ndarray

    @classmethod
    def none(cls, n_positions: int, shape: tuple[int, ...]) -> "PositionMeans":
        """Of no frames."""
        sums = np.zeros((n_positions, *shape))
        return cls(sums=sums, counts=np.zeros(sums.shape, dtype=np.int64))

    def add(self, part: PositionSums, cells: tuple[slice, ...] = ()) -> None:
        """Take in what some frames summed to at these cells."""
        for at, total, count in zip(part.positions, part.sums, part.counts, strict=True):
            self.sums[at][cells] += total  # one by one: all at once would copy them twice
            self.counts[at][cells] += count

    @property
    def means(self) -> np.ndarray:
        """(position, ...); NaN where no value was seen."""
        means = np.full(self.sums.shape, np.nan)
        return np.divide(self.sums, self.counts, out=means, where=self.counts > 0)


def positions_on(times: np.ndarray, start: np.datetime64, period: str, step: BaseOffset) -> np.ndarray:
    """Where each time stands in the period.

    Args:
        times: Datetimes.
        start: A time on the step.
        period: A pandas offset.
        step: Of the series that the times belong to.

    Raises:
        TimeAxisError: If a time is no whole number of steps from the start.

    >>> days = np.array(["2024-01-03", "2024-01-08"], "M8[ns]")
    >>> positions_on(days, days[0], "7D", pd.offsets.Day())
    array([2, 0])
    """
    index = pd.DatetimeIndex(times)
    steps_between(start, index, step)
    return position_in_period(index, period, step=step)[0]


def sums_of_block(
    block: xr.DataArray, cells: Cells, *, place: Callable[[np.ndarray], np.ndarray], dims: Sequence[str]
) -> PositionSums:
    """What the frames of a block sum to, (position, channel, row, column): a statistic of ``reduction``.

    Args:
        block: Frames in memory, with their times, perhaps with samples.
        cells: Which cells those are.
        place: From times to their positions.
        dims: Names of time, channel, rows and columns.
    """
    time_dim, *canonical = dims
    frames = block.transpose(time_dim, ..., *canonical)
    sums = PositionSums.of(frames.values, place(frames[time_dim].values))
    several = tuple(range(1, frames.ndim - 3))
    return sums.summed(several) if several else sums
