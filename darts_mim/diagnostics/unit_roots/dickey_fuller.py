"""Dickey and Fuller's augmented regression of many series: how many lags, and the level's t value."""

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt
import torch

from darts_mim.diagnostics.unit_roots.blocks import Series, cached, to_numpy
from darts_mim.diagnostics.unit_roots.detrending import NOTHING_LEFT, detrend, orthonormal_trend, time_powers
from darts_mim.diagnostics.unit_roots.least_squares import Fit, by_cholesky, by_householder
from darts_mim.diagnostics.unit_roots.moments import (
    Moments,
    concatenated,
    gram,
    moments,
    of_cells,
    with_fewer_lags,
)

Floats = npt.NDArray[np.float64]
Integers = npt.NDArray[np.int64]

SIGNIFICANT = 1.6448536269514722  # |t| of the last lag: 5 % of a normal variable exceed it
RELIABLE = 3e-4  # left of every column: with less, the sums of products give fewer than nine digits
SINGULAR = 1e-22  # left of a column, or of the target: nothing but rounding
TOGETHER = 128  # cells whose matrices are factored at once: they stay in a core's cache
DESIGN = 2**21  # values of the regressions that are set up in full at once: 16 MB


@dataclass(frozen=True, kw_only=True)
class DickeyFuller:
    """The regression of d_s = y_{s+1} - y_s on powers of time, y_s and d_{s-1}, ..., d_{s-lags}."""

    steps: int  # of the series
    terms: int  # powers of time: 0 none, 1 a constant, 2 and a trend, 3 and its square
    lags: int  # at most
    autolag: str | None  # "AIC", "BIC", "t-stat", or None: all lags

    @cached_property
    def powers(self) -> Floats:
        """Powers of time, (term, step that has a change)."""
        return time_powers(self.steps - 1, self.terms)

    @cached_property
    def trend(self) -> Floats:
        """The same on all steps, orthonormal."""
        return orthonormal_trend(self.steps, self.terms)

    def test(self, block: Series) -> tuple[Floats, Integers]:
        """The level's t value and the lags of each cell; NaN where a cell cannot be tested.

        The sums of products do for most cells. Where columns are nearly collinear, the columns
        themselves are set up.
        """
        with np.errstate(all="ignore"):  # a cell that cannot be tested is NaN by then
            held, usable = self._summarised(block)
            statistic, lags, reliable = self._from_moments(held)
            doubtful = np.flatnonzero(usable & ~reliable)
            if len(doubtful):
                statistic[doubtful], lags[doubtful] = self._from_columns(block, doubtful)
        return np.where(usable, statistic, np.nan), lags

    def _summarised(self, block: Series) -> tuple[Moments, npt.NDArray[np.bool_]]:
        parts: list[Moments] = []
        usable: list[npt.NDArray[np.bool_]] = []
        for part in cached(block):
            values, _, sound = detrend(part, self.trend)
            parts.append(moments(values, self.powers, self.lags))
            usable.append(to_numpy(sound))
        held = concatenated(parts)
        moves = held.changes[:, 0] > NOTHING_LEFT**2 * held.level
        return held, np.concatenate(usable) & moves

    def _from_moments(self, held: Moments) -> tuple[Floats, Integers, npt.NDArray[np.bool_]]:
        """Statistic and lags, and whether they can be relied on."""
        n_cells = len(held.level)
        statistic, lags = np.full(n_cells, np.nan), np.full(n_cells, self.lags)
        reliable = np.ones(n_cells, dtype=bool)
        if self.autolag is not None:
            for start in range(0, n_cells, TOGETHER):
                cells = slice(start, start + TOGETHER)
                fit = by_cholesky(gram(of_cells(held, cells), self.powers, level_first=True))
                lags[cells], reliable[cells] = self.chosen(fit), fit.left.min(0) > RELIABLE
        for lag in np.unique(lags[reliable]):
            alike = np.flatnonzero(reliable & (lags == lag))
            for start in range(0, len(alike), TOGETHER):
                cells = alike[start : start + TOGETHER]
                longer = with_fewer_lags(of_cells(held, cells), self.powers, int(lag))
                fit = by_cholesky(gram(longer, self.powers, level_first=False))
                statistic[cells], reliable[cells] = self.t_value(fit), fit.left.min(0) > RELIABLE
        return statistic, lags, reliable

    def _from_columns(self, block: Series, cells: npt.NDArray[np.intp]) -> tuple[Floats, Integers]:
        """Statistic and lags of some cells, few at a time, from the regression itself."""
        together = max(1, DESIGN // (self.steps * (self.terms + self.lags + 2)))
        parts = [
            self._from_few_columns(block[_index(block, cells[start : start + together])])
            for start in range(0, len(cells), together)
        ]
        statistic, lags = (np.concatenate(each) for each in zip(*parts, strict=True))
        return statistic, lags

    def _from_few_columns(self, series: Series) -> tuple[Floats, Integers]:
        values = to_numpy(detrend(series, self.trend).values)
        statistic, lags = np.full(len(values), np.nan), np.full(len(values), self.lags)
        if self.autolag is not None:
            lags = self.chosen(by_householder(self._columns(values, self.lags, level_first=True)))
        for lag in np.unique(lags[lags >= 0]):
            alike = lags == lag
            fit = by_householder(self._columns(values[alike], int(lag), level_first=False))
            statistic[alike] = self.t_value(fit)
        return statistic, lags

    def _columns(self, values: Floats, lags: int, *, level_first: bool) -> Floats:
        """The regression's columns, target last: (cell, time, column)."""
        changes = np.diff(values)
        n = changes.shape[1]
        level = values[:, lags:-1]
        lagged = [changes[:, lags - lag : n - lag] for lag in range(1, lags + 1)]
        between = [level, *lagged] if level_first else [*lagged, level]
        trend = [np.broadcast_to(power[lags:], level.shape) for power in self.powers]
        return np.stack([*trend, *between, changes[:, lags:]], axis=-1)

    def chosen(self, fit: Fit) -> Integers:
        """Lags of each cell, from the fit of all, level first; -1 where there is no error to explain.

        Lags whose columns follow from those before them, or that leave no degree of freedom, are no choice.
        """
        n, parameters = self.steps - 1 - self.lags, self.terms + 1 + np.arange(self.lags + 1)[:, None]
        nested = fit.nested()
        squares = nested[self.terms + 1 :]
        possible = np.minimum.accumulate(fit.left[:-1])[self.terms :] > SINGULAR
        possible &= n > parameters
        if self.autolag == "t-stat":
            t = np.abs(fit.effects[self.terms :]) / np.sqrt(squares / (n - parameters))
            significant = possible & (t >= SIGNIFICANT)
            lags = np.where(significant.any(0), self.lags - significant[::-1].argmax(0), 0)
        else:
            each = 2.0 if self.autolag == "AIC" else np.log(n)
            criterion = n * np.log(squares) + each * parameters
            lags = np.where(possible, criterion, np.inf).argmin(0)
        exact = (possible & (squares <= SINGULAR * nested[0])).any(0)
        return np.where(possible[0] & ~exact, lags, -1)

    def t_value(self, fit: Fit) -> Floats:
        """Of the last column, the level; NaN where the fit is exact or a column follows from others."""
        columns = len(fit.effects)
        n = self.steps - 1 - (columns - 1 - self.terms)
        t = (
            fit.effects[-1] / np.sqrt(fit.unexplained / (n - columns))
            if n > columns
            else fit.effects[-1] * np.nan
        )
        return np.where(fit.left.min(0) > SINGULAR, t, np.nan)


def _index(block: Series, cells: npt.NDArray[np.intp]) -> npt.NDArray[np.intp] | torch.Tensor:
    return torch.as_tensor(cells, device=block.device) if isinstance(block, torch.Tensor) else cells
