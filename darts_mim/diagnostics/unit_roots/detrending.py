"""Series less their deterministic terms, in float64; and sums of products along time."""

from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import torch

from darts_mim.diagnostics.unit_roots.blocks import Series

TERMS = {"n": 0, "c": 1, "ct": 2, "ctt": 3}  # how many deterministic terms a regression has

NOTHING_LEFT = 1e-14  # of a series' size: rounding leaves so much of a constant or a straight line
STEPS = 8192  # of time at once: BLAS starts no threads of its own


class Detrended(NamedTuple):
    """Residuals of series on their deterministic terms."""

    values: Any  # (cell, time) float64, array or tensor as the series
    squares: Any  # (cell,): their sum of squares
    usable: Any  # (cell,) bool: False where a value is not finite, or nothing but rounding is left


def time_powers(steps: int, terms: int) -> npt.NDArray[np.float64]:
    """Powers 0, 1, ... of time, centred and running from -1 to 1: shape (term, time).

    >>> time_powers(3, 2)
    array([[ 1.,  1.,  1.],
           [-1.,  0.,  1.]])
    """
    time = (2 * np.arange(steps) - (steps - 1)) / max(steps - 1, 1)
    return time ** np.arange(terms)[:, None]


def orthonormal_trend(steps: int, terms: int) -> npt.NDArray[np.float64]:
    """The same powers as orthonormal rows: shape (term, time)."""
    return np.ascontiguousarray(np.linalg.qr(time_powers(steps, terms).T)[0].T)


def detrend(series: Series, trend: npt.NDArray[np.float64]) -> Detrended:
    """Take the deterministic terms off by least squares.

    Args:
        series: (cell, time), any real type, array or tensor.
        trend: Orthonormal rows, a constant first, from :func:`orthonormal_trend`; with no row nothing
            is taken off.

    >>> found = detrend(np.array([[1.0, 2.0, 6.0], [4.0, 4.0, 4.0]]), orthonormal_trend(3, 1))
    >>> found.values[0], found.usable
    (array([-2., -1.,  3.]), array([ True, False]))
    """
    values, size = in_float64(series), 0.0
    xp: Any = torch if isinstance(values, torch.Tensor) else np
    terms = xp.asarray(trend, device=values.device)
    if len(trend):
        parts = [inner(values, term[None]) for term in terms]
        size = sum(part * part for part in parts)
        values = _less(values, parts, terms)
    squares = inner(values, values)
    if len(trend):  # what rounding left of the terms
        parts = [inner(values, term[None]) for term in terms]
        if any((abs(part) > 1e-14 * squares**0.5).any() for part in parts):
            values = _less(values, parts, terms)
    usable = (squares > NOTHING_LEFT**2 * (size + squares)) & (squares < np.inf)
    return Detrended(values, squares, usable)


def _less(values: Any, parts: Any, terms: Any) -> Any:
    """The series less its parts along the terms, the first of which is a constant."""
    values = values - (parts[0] * terms[0, 0])[:, None]
    for part, term in zip(parts[1:], terms[1:], strict=True):
        values -= part[:, None] * term
    return values


def in_float64(series: Series) -> Any:
    """Rows in float64, each contiguous; no copy where they are that already."""
    if isinstance(series, torch.Tensor):
        rows = series.detach().to(torch.float64)
        return rows if rows.stride(-1) == 1 else rows.contiguous()
    rows = np.asarray(series, dtype=np.float64)
    return rows if rows.strides[-1] == rows.itemsize else np.ascontiguousarray(rows)


def inner(left: Any, right: Any) -> Any:
    """Sum over time of the product: (cell, time), (cell, time) -> (cell,)."""
    if isinstance(left, torch.Tensor):
        return torch.linalg.vecdot(left, right)
    total = np.vecdot(left[:, :STEPS], right[:, :STEPS])
    for start in range(STEPS, left.shape[1], STEPS):
        total += np.vecdot(left[:, start : start + STEPS], right[:, start : start + STEPS])
    return total


def lagged_products(values: Any, lags: int) -> Any:
    """Sum over t = lags, lags + 1, ... of ``values[t] * values[t - lag]``: (cell, time) -> (cell, lags + 1).

    >>> lagged_products(np.array([[1.0, 2.0, 3.0, 4.0]]), 1)
    array([[29., 20.]])
    """
    steps = values.shape[1]
    if isinstance(values, torch.Tensor):
        late = values[:, lags:]
        return torch.stack([inner(late, values[:, lags - lag : steps - lag]) for lag in range(lags + 1)], -1)
    products = np.zeros((len(values), lags + 1))
    for start in range(lags, steps, STEPS):
        part = values[:, start - lags : start + STEPS]
        # (cell, lag, time), the greatest lag first: a view
        lagged = np.lib.stride_tricks.sliding_window_view(part, part.shape[1] - lags, axis=1)
        products += np.vecdot(part[:, None, lags:], lagged[:, ::-1])
    return products
