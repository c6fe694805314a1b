"""The frames of a series by their row on the regular axis of the training step, read when they are wanted."""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from operator import add
from typing import Any

import numpy as np
import xarray as xr
from pandas.tseries.offsets import BaseOffset

from darts_mim.grid.grid import Grid
from darts_mim.grid.lazy import as_dask
from darts_mim.grid.position_sums import PositionMeans, PositionSums, sums_of_block
from darts_mim.grid.reduction import BLOCK, boxes, cell_blocks, statistics
from darts_mim.grid.times import regular_axis, times_of
from darts_mim.grid.variables import as_float
from darts_mim.grid.windows import MISSING, row_kinds

LONGEST = 4  # blocks: chunks of more frames than these have are cut
Series = xr.DataArray | xr.Dataset
Components = slice | np.ndarray  # some of the components, by number


@dataclass(frozen=True, kw_only=True)
class Held:
    """Some frames in memory, by row; a missing time takes none."""

    values: np.ndarray  # (frame, component)
    at: np.ndarray  # (row,): which frame; -1 where there is none, or it is not held

    def __getitem__(self, rows: np.ndarray | slice) -> np.ndarray:
        """(*rows, component), NaN where there is no frame."""
        at = self.at[rows]
        frames = self.values[at]
        if (at < 0).any():
            frames[at < 0] = np.nan
        return frames

    def kinds(self, mask: np.ndarray | None) -> np.ndarray:
        """(row,): what each is good for, as :func:`darts_mim.grid.windows.row_kinds` says."""
        kinds = np.append(row_kinds(self.values, mask), np.int8(MISSING))
        return kinds[self.at]


class Rows:
    """The frames of a series on the regular axis; a lazy one is read frame by frame, or block by block.

    Args:
        series: On the grid; one in memory is looked at where it is.
        grid: The training grid.
        step: The training step.

    Attributes:
        axis: The regular axis.
        position: The row of each frame.
        array: The frames, (time, channel, row, column); dask's, unless they are in memory.

    >>> import pandas as pd
    >>> rain = xr.DataArray(
    ...     np.arange(4.0).reshape(2, 1, 2),
    ...     dims=("time", "y", "x"),
    ...     coords={"time": pd.to_datetime(["2024-01-01", "2024-01-03"])},
    ... )
    >>> rows = Rows(rain.chunk(time=1), Grid.of(rain), pd.offsets.Day())
    >>> rows.held(np.array([1, 2]))[np.array([1, 2])]
    array([[nan, nan],
           [ 2.,  3.]])
    """

    def __init__(self, series: Series, grid: Grid, step: BaseOffset) -> None:
        times = times_of(series, grid.time_dim)
        self.grid, self.axis = grid, regular_axis(times, step)
        self.position = self.axis.get_indexer(times)
        self.at = np.full(len(self.axis), -1)
        self.at[self.position] = np.arange(len(times))
        gridded: Any = series
        self.array = as_float(grid.canonical(as_dask(gridded)))

    def __len__(self) -> int:
        return len(self.axis)

    @property
    def is_lazy(self) -> bool:
        """Whether the frames are not in memory."""
        return self.array.chunks is not None

    def held(self, rows: np.ndarray) -> Held:
        """What forecasts read: these rows in memory, or all that are there anyway."""
        if not self.is_lazy:
            return Held(values=self._flat(self.array.values), at=self.at)
        wanted = np.unique(self.at[rows[rows >= 0]])
        wanted = wanted[wanted >= 0]
        at = np.full(len(self), -1)
        at[self.position[wanted]] = np.arange(len(wanted))
        # dask reads a chunk even where none of it is wanted
        frames = (
            self.array[wanted].values if len(wanted) else np.empty((0, *self.grid.shape), self.array.dtype)
        )
        return Held(values=self._flat(frames), at=at)

    def _flat(self, values: np.ndarray) -> np.ndarray:
        return values.reshape(len(values), math.prod(values.shape[1:]))

    def blocks(
        self, *, stop: int | None = None, backwards: bool = False
    ) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        """The frames before row ``stop``, some at a time: their rows, and (frame, component) in memory.

        In order of time, or all of it backwards. A chunk of so many frames that it is no bounded part of the
        series is read again for each of its parts.
        """
        n = len(self.position) if stop is None else int(np.searchsorted(self.position, stop))
        cuts = [slice(0, n)] if n else []
        if self.is_lazy:
            cuts = self._cuts(n)
        for cut in reversed(cuts) if backwards else cuts:
            order = slice(None, None, -1) if backwards else slice(None)
            yield self.position[cut][order], self._flat(self.array[cut].values)[order]

    def _cuts(self, n: int) -> list[slice]:
        """Of n frames, in runs of whole chunks where these are not too long."""
        most = max(1, BLOCK // self.grid.n_components)
        one_cell = self.array[:n, :1, :1, :1]
        runs = [box[self.grid.time_dim] for box in boxes(one_cell, most)]
        pieces = [-(-(run.stop - run.start) // (LONGEST * most)) for run in runs]
        return [
            slice(run.start + start, min(run.start + start + step, run.stop))
            for run, n_pieces in zip(runs, pieces, strict=True)
            for step in [-(-(run.stop - run.start) // n_pieces)]
            for start in range(0, run.stop - run.start, step)
        ]

    def means_at(self, positions: np.ndarray, n: int) -> tuple[np.ndarray, np.ndarray]:
        """(position, component): the mean of the frames at each position, and of how many values it is one.

        Args:
            positions: Of each row of the axis.
            n: How many positions there are.
        """
        total = PositionMeans.none(n, self.grid.shape)
        if self.is_lazy:
            times = self.axis.values[self.position]
            place = partial(_at, times=times, positions=positions[self.position])
            sums = partial(sums_of_block, place=place, dims=(self.grid.time_dim, *self.grid.canonical_dims))
            for cells, part in statistics(self.array, sums, add):
                total.add(part, cells)
        else:
            total.add(PositionSums.of(self.array.values, positions[self.position]))
        return total.means.reshape(n, -1), total.counts.reshape(n, -1)

    def of_cells(self, values: int) -> Iterator[tuple[Components, np.ndarray]]:
        """Some components at a time: which, and (row, component) in memory; a missing time is NaN.

        In memory they come all at once; of a lazy series, as many as have so many values.
        """
        if not self.is_lazy:
            frames = self._flat(self.array.values)
            yield slice(None), frames if len(frames) == len(self) else Held(values=frames, at=self.at)[:]
            return
        numbers = np.arange(self.grid.n_components).reshape(self.grid.shape)
        for cells, (block,) in cell_blocks([self.array], len(self), values):
            frames = self._flat(block)
            if len(frames) < len(self):
                frames = Held(values=frames, at=self.at)[:]
            yield numbers[cells].ravel(), frames


def _at(wanted: np.ndarray, *, times: np.ndarray, positions: np.ndarray) -> np.ndarray:
    return positions[np.searchsorted(times, wanted)]
