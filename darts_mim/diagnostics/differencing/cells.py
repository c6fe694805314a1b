"""The cells of a gridded series as rows, a block of cells at a time, without their gaps."""

from collections.abc import Iterator
from itertools import pairwise, product

import numpy as np
import pandas as pd
import xarray as xr

from darts_mim.grid.times import step_of, steps_between

BLOCK = 2**24  # values held together; as float64, 128 MiB


def blocks(array: xr.DataArray) -> list[tuple[slice, ...]]:
    """Which (channel, row, column) are read together: whole chunks of a lazy array, as far as BLOCK allows.

    A store that is chunked along time alone is decoded once for each block.

    Args:
        array: (time, channel, row, column).

    >>> array = xr.DataArray(np.zeros((4, 1, 2, 3)), dims=("time", "channel", "y", "x"))
    >>> blocks(array)
    [(slice(0, 1, None), slice(0, 2, None), slice(0, 3, None))]
    """
    n_times, _, height, width = array.shape
    cells = max(1, BLOCK // max(1, n_times))
    most = (max(1, cells // (height * width)), max(1, cells // width), cells)
    chunks = [array.variable.chunksizes.get(dim, ()) for dim in array.dims[1:]]
    cuts = (_cuts(*each) for each in zip(array.shape[1:], most, chunks, strict=True))
    return list(product(*cuts))


def _cuts(size: int, most: int, chunks: tuple[int, ...]) -> list[slice]:
    """Slices of at most ``most``, which end where chunks do if chunks are no larger than that."""
    ends, bounds = np.cumsum(chunks, dtype=int), [0]
    while bounds[-1] < size:
        reach = bounds[-1] + most
        inside = ends[(ends > bounds[-1]) & (ends <= reach)]
        bounds.append(int(inside[-1]) if inside.size else min(size, reach))
    return [slice(*pair) for pair in pairwise(bounds)]


def follows(times: pd.DatetimeIndex) -> np.ndarray:
    """Whether each frame is one step after the frame before it; the first is not.

    >>> follows(pd.to_datetime(["2024-01-01", "2024-01-02", "2024-01-04", "2024-01-05"]))
    array([False,  True, False,  True])
    """
    steps = steps_between(times.values[0], times, step_of(times))
    return np.diff(steps, prepend=steps[0]) == 1


def longest_runs(seen: np.ndarray, follows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Where each cell's longest run of frames without a gap starts and stops; the first of equals.

    Args:
        seen: (cell, time), whether there is a value.
        follows: (time), whether a frame is one step after the one before.

    Returns:
        (cell) starts and stops, as of a slice; both 0 where nothing was seen.

    >>> seen = np.array([[1, 1, 0, 1, 1, 1], [0, 0, 0, 0, 0, 0]], dtype=bool)
    >>> longest_runs(seen, np.array([False, True, True, True, False, True]))
    (array([0, 0]), array([2, 0]))
    """
    row = np.arange(seen.shape[1])
    begins = seen.copy()
    begins[:, 1:] &= ~(seen[:, :-1] & follows[1:])
    start = np.maximum.accumulate(np.where(begins, row, 0), axis=1)
    length = np.where(seen, row - start + 1, 0)
    last = length.argmax(axis=1)[:, None]
    longest = np.take_along_axis(length, last, axis=1)
    starts = np.where(longest > 0, np.take_along_axis(start, last, axis=1), 0)
    return starts[:, 0], (starts + longest)[:, 0]


def runs_of(values: np.ndarray, follows: np.ndarray) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Which cells share their longest run, and those cells' values on it.

    Args:
        values: (cell, time); what is not finite is a gap.
        follows: (time), whether a frame is one step after the one before.
    """
    seen = np.isfinite(values)
    whole = seen.all(axis=1)
    bounds = np.zeros((len(values), 2), dtype=int)
    if whole.any():  # most often all cells, and then one row tells
        bounds[whole] = np.stack(longest_runs(seen[whole][:1], follows), axis=1)
    if not whole.all():
        bounds[~whole] = np.stack(longest_runs(seen[~whole], follows), axis=1)
    runs, which = np.unique(bounds, axis=0, return_inverse=True)
    for number, (start, stop) in enumerate(runs):
        cells = np.flatnonzero(which.ravel() == number)
        yield cells, values[cells, start:stop]
