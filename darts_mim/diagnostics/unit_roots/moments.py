"""All that a Dickey-Fuller regression needs to know of a series, with any number of lags.

The regression explains the change d_s = y_{s+1} - y_s by powers of time f(s), the level y_s and the
lagged changes d_{s-1}, ..., d_{s-p}. Its matrix of sums of products over s = p, p + 1, ... holds
little that is new: its entries are those one row and one column before, less the product that
leaves the sum and with the one that enters. So p + 1 sums along time are enough.
"""

from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import torch

from darts_mim.diagnostics.unit_roots.blocks import to_numpy
from darts_mim.diagnostics.unit_roots.detrending import inner, lagged_products

Floats = npt.NDArray[np.float64]


class Moments(NamedTuple):
    """Sums over the steps s = p, p + 1, ... of a regression with p lags, and the values at both ends."""

    changes: Floats  # (cell, p + 1): d_s d_{s-j}
    level_change: Floats  # (cell,): y_s d_s
    level: Floats  # (cell,): y_s^2
    trend_change: Floats  # (cell, term): f(s) d_s
    trend_level: Floats  # (cell, term): f(s) y_s
    first: Floats  # (cell, p + 1): the first values of the series
    last: Floats  # (cell, p + 1): its last values


def moments(values: Any, powers: Floats, lags: int) -> Moments:
    """Of series in float64, arrays or tensors: (cell, time), with the powers (term, time - 1)."""
    xp: Any = torch if isinstance(values, torch.Tensor) else np
    trend = xp.asarray(powers, device=values.device)
    changes = values[:, 1:] - values[:, :-1]
    change, level = changes[:, lags:], values[:, lags:-1]

    def with_trend(series: Any) -> Any:
        sums = [inner(series, power[None, lags:]) for power in trend]
        return xp.stack(sums, -1) if sums else series[:, :0]

    products = lagged_products(changes, lags)
    start, end = values[:, lags], values[:, -1]
    sums = (
        products,
        # y_s d_s = (y_{s+1}^2 - y_s^2 - d_s^2) / 2
        ((end - start) * (end + start) - products[:, 0]) / 2,
        inner(level, level),
        with_trend(change),
        with_trend(level),
        values[:, : lags + 1],
        values[:, values.shape[1] - lags - 1 :],
    )
    return Moments(*(np.array(to_numpy(each)) for each in sums))  # copies: no view keeps the values alive


def concatenated(parts: list[Moments]) -> Moments:
    """Of all their cells."""
    return Moments(*(np.concatenate(each) for each in zip(*parts, strict=True)))


def of_cells(given: Moments, cells: npt.NDArray[np.intp] | slice) -> Moments:
    """Of some of the cells."""
    return Moments(*(each[cells] for each in given))


def with_fewer_lags(given: Moments, powers: Floats, lags: int) -> Moments:
    """Of the regression with fewer lags, which begins that many steps earlier."""
    fewer = given.changes.shape[1] - 1 - lags
    if fewer == 0:
        return given
    early = moments(given.first, powers[:, : given.first.shape[1] - 1], lags)
    return Moments(
        changes=given.changes[:, : lags + 1] + early.changes,
        level_change=given.level_change + early.level_change,
        level=given.level + early.level,
        trend_change=given.trend_change + early.trend_change,
        trend_level=given.trend_level + early.trend_level,
        first=early.first,
        last=given.last[:, fewer:],
    )


def gram(given: Moments, powers: Floats, *, level_first: bool) -> Floats:
    """Sums of products of every two columns of the regression: (column, column, cell).

    Columns: trend, level, lags 1 to p, target; or, not ``level_first``, trend, lags 1 to p, level,
    target. Only the lower triangle is filled.
    """
    terms, lags = len(powers), given.changes.shape[1] - 1
    columns, cells = terms + lags + 2, len(given.level)
    between = slice(terms + level_first, terms + level_first + lags)
    level, target = terms if level_first else columns - 2, columns - 1
    change_change, change_level, change_trend = _changes(given, powers)
    matrix = np.empty((columns, columns, cells))
    matrix[:terms, :terms] = (powers[:, lags:] @ powers[:, lags:].T)[:, :, None]
    matrix[between, between] = change_change[1:, 1:]
    matrix[between, :terms] = change_trend[1:]
    matrix[level, :terms], matrix[level, level] = given.trend_level.T, given.level
    if level_first:
        matrix[between, level] = change_level[1:]
    else:
        matrix[level, between] = change_level[1:]
    matrix[target, :terms], matrix[target, level] = change_trend[0], change_level[0]
    matrix[target, between], matrix[target, target] = change_change[1:, 0], change_change[0, 0]
    return matrix


def _changes(given: Moments, powers: Floats) -> tuple[Floats, Floats, Floats]:
    """Products of each lagged change with every other (lower triangle), with the level, with the trend."""
    lags, cells = given.changes.shape[1] - 1, len(given.level)
    # What enters and what leaves each sum as both its factors move one step back, the nearest first.
    enters, leaves = (np.diff(each).T[::-1].copy() for each in (given.first, given.last))
    level_enters, level_leaves = given.first.T[-2::-1], given.last.T[-2::-1]
    same_time = np.cumsum(
        level_enters * enters - level_leaves * leaves, axis=0
    )  # y_{s-j} d_{s-j}, less at j=0
    changes = np.empty((lags + 1, lags + 1, cells))
    level = np.empty((lags + 1, cells))
    trend = np.empty((lags + 1, len(powers), cells))
    changes[:, 0], level[0], trend[0] = given.changes.T, given.level_change, given.trend_change.T
    shift = _shift(powers)
    for lag in range(lags):
        after = lag + 1
        changes[after, 1 : after + 1] = (
            changes[lag, :after] + enters[lag] * enters[:after] - leaves[lag] * leaves[:after]
        )
        # y_s = y_{s-j} + d_{s-1} + ... + d_{s-j}
        level[after] = given.level_change + same_time[lag] + changes[after, 1 : after + 1].sum(0)
        if len(powers):
            moved = trend[lag] + powers[:, lags - 1, None] * enters[lag] - powers[:, -1, None] * leaves[lag]
            trend[after] = shift @ moved
    return changes, level, trend


def _shift(powers: Floats) -> Floats:
    """The matrix that takes the powers of time one step on."""
    terms = len(powers)
    step = powers[1, 1] - powers[1, 0] if terms > 1 and powers.shape[1] > 1 else 0.0
    return np.array([[1.0, 0.0, 0.0], [step, 1.0, 0.0], [step**2, 2 * step, 1.0]])[:terms, :terms]
