"""Newey and West's long-run variance in one pass over time, whatever the number of lags."""

from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import torch

from darts_mim.diagnostics.unit_roots.blocks import Series, to_numpy
from darts_mim.diagnostics.unit_roots.detrending import in_float64, inner

Lags = int | npt.NDArray[np.int64]


def long_run_variance(residuals: Series, lags: Lags) -> npt.NDArray[np.float64]:
    """Variance of the mean times the number of steps: autocovariances with Bartlett's weights.

    gamma_0 + 2 sum_{i=1}^{l} (1 - i / (l + 1)) gamma_i, with gamma_i the mean over all steps.

    Args:
        residuals: (cell, time), of mean 0 as far as the user means it: no mean is taken off.
        lags: Greatest lag that counts; one, or one a cell.

    Returns:
        (cell,), in the series' units squared.

    Source:
        Newey and West (1987), Econometrica 55, 703-708.

    >>> long_run_variance(np.array([[1.0, -2.0, 3.0]]), 1)  # (14 + 2 * 1/2 * (-8)) / 3
    array([2.])
    """
    return bartlett(PartialSums.of(in_float64(residuals), int(np.max(lags, initial=0))), lags)


class PartialSums(NamedTuple):
    """Cumulative sums of series that are 0 outside their steps."""

    padded: Any  # (cell, width + time + width), array or tensor
    width: int  # steps before the series, and after it

    @classmethod
    def of(cls, residuals: Any, lags: int) -> "PartialSums":
        """With room for as many lags on both sides."""
        (cells, steps), width = residuals.shape, lags + 1
        xp: Any = torch if isinstance(residuals, torch.Tensor) else np
        padded = xp.empty((cells, steps + 2 * width), dtype=xp.float64, device=residuals.device)
        padded[:, :width] = 0.0
        xp.cumsum(residuals, 1, out=padded[:, width : width + steps])
        padded[:, width + steps :] = padded[:, width + steps - 1, None]
        return cls(padded, width)

    @property
    def inside(self) -> Any:
        """Of the series' own steps: (cell, time)."""
        return self.padded[:, self.width : self.padded.shape[1] - self.width]


def bartlett(sums: PartialSums, lags: Lags) -> npt.NDArray[np.float64]:
    """Long-run variance of the series that were summed; their width must exceed all lags.

    The weighted sum of autocovariances is the sum of squares of all sums of l + 1 neighbours, over l + 1.
    """
    if not isinstance(lags, np.ndarray):
        return _with_one_lag(sums, slice(None), lags)
    variance = np.empty(len(lags))
    order = np.argsort(lags, kind="stable")
    ends = np.flatnonzero(np.diff(lags[order], append=-1))
    for start, end in zip([0, *(ends[:-1] + 1)], ends + 1, strict=True):
        cells = order[start:end] if end - start > 1 else slice(order[start], order[start] + 1)
        variance[cells] = _with_one_lag(sums, cells, int(lags[order[start]]))
    return variance


def _with_one_lag(sums: PartialSums, cells: Any, lag: int) -> npt.NDArray[np.float64]:
    steps = sums.padded.shape[1] - 2 * sums.width
    first, last = sums.width, sums.width + steps + lag
    neighbours = sums.padded[cells, first:last] - sums.padded[cells, first - lag - 1 : last - lag - 1]
    return to_numpy(inner(neighbours, neighbours)) / ((lag + 1) * steps)
