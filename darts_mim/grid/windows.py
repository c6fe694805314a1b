"""Which windows of a series are whole: no missing time, no NaN outside the mask."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import pandas as pd
from pandas.tseries.offsets import BaseOffset

from darts_mim.grid.times import regular_axis

WHOLE, SOME_NAN, MISSING = 0, 1, 2
BLOCK = 2**24  # values looked at together, so that the check needs little memory


@dataclass(frozen=True, kw_only=True)
class WindowCount:
    """How many windows there are, are used, and are left out for which reason.

    >>> print(WindowCount(total=10, used=7, gap=3, nan=0) + WindowCount(total=5, used=4, gap=0, nan=1))
    11 of 15 windows used; 4 left out: 3 touch a missing time, 1 hold NaN
    """

    total: int
    used: int
    gap: int  # windows that touch a missing time
    nan: int  # windows that touch none, but hold NaN outside the mask

    def __add__(self, other: "WindowCount") -> "WindowCount":
        return WindowCount(
            total=self.total + other.total,
            used=self.used + other.used,
            gap=self.gap + other.gap,
            nan=self.nan + other.nan,
        )

    def __str__(self) -> str:
        used = f"{self.used} of {self.total} windows used"
        if self.used == self.total:
            return used
        return f"{used}; {self.gap + self.nan} left out: {self.gap} touch a missing time, {self.nan} hold NaN"


def row_kinds(values: np.ndarray, mask_components: np.ndarray | None = None) -> np.ndarray:
    """What each frame is good for: 0 whole, 1 with some NaN, 2 all NaN (a missing time).

    Args:
        values: (time, component). An infinite value counts as NaN: both spoil a network.
        mask_components: True where NaN is expected, e.g. land; None if nowhere.

    Returns:
        int8, (time,).

    >>> row_kinds(np.array([[1.0, 2.0], [np.nan, 2.0], [np.nan, np.nan]]))
    array([0, 1, 2], dtype=int8)
    """
    kinds = np.zeros(len(values), dtype=np.int8)
    if not np.issubdtype(values.dtype, np.floating):
        return kinds
    wanted = slice(None) if mask_components is None else ~np.asarray(mask_components, dtype=bool)
    for rows in _blocks(values):
        bad = ~np.isfinite(values[rows])[:, wanted]
        kinds[rows] = np.where(bad.any(axis=1), np.where(bad.all(axis=1), MISSING, SOME_NAN), WHOLE)
    return kinds


def _blocks(values: np.ndarray) -> Iterator[slice]:
    n = max(1, BLOCK // max(1, values.shape[1]))
    return (slice(start, start + n) for start in range(0, len(values), n))


def whole_windows(kinds: np.ndarray, length: int, *, stride: int = 1) -> tuple[np.ndarray, WindowCount]:
    """Where the whole windows start, and how many there are of each sort.

    Args:
        kinds: From ``row_kinds``, on the regular time axis.
        length: Frames in a window.
        stride: Frames between the starts that are considered, from frame 0 on.

    >>> starts, count = whole_windows(np.array([0, 0, 0, 2, 0, 0]), 2)
    >>> starts, str(count)
    (array([0, 1, 4]), '3 of 5 windows used; 2 left out: 2 touch a missing time, 0 hold NaN')
    """
    starts = np.arange(0, max(0, len(kinds) - length + 1), stride)
    gap = _touches(kinds == MISSING, starts, length)
    nan = _touches(kinds == SOME_NAN, starts, length) & ~gap
    used = starts[~(gap | nan)]
    count = WindowCount(total=len(starts), used=len(used), gap=int(gap.sum()), nan=int(nan.sum()))
    return used, count


def _touches(rows: np.ndarray, starts: np.ndarray, length: int) -> np.ndarray:
    before = np.concatenate([[0], np.cumsum(rows)])
    return before[starts + length] > before[starts] if len(starts) else np.zeros(0, dtype=bool)


def fill_axis(
    values: np.ndarray, times: pd.DatetimeIndex, step: BaseOffset | None = None
) -> tuple[np.ndarray, pd.DatetimeIndex]:
    """The values on the regular time axis, missing times as rows of NaN.

    Without a gap the values come back as they are, not copied; with one, integers become float32.
    ``step`` is as in ``times.regular_axis``.

    >>> values, times = fill_axis(np.array([[1], [2]]), pd.to_datetime(["2024-01-01", "2024-01-03"]))
    >>> values.shape, len(times)
    ((2, 1), 2)
    """
    axis = regular_axis(times, step)
    if len(axis) == len(times):
        return values, axis
    dtype = values.dtype if np.issubdtype(values.dtype, np.floating) else np.float32
    filled = np.full((len(axis), *values.shape[1:]), np.nan, dtype=dtype)
    filled[axis.get_indexer(times)] = values
    return filled, axis
