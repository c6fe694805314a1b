"""Is each series stationary around a constant or a trend? Kwiatkowski, Phillips, Schmidt and Shin's test."""

from functools import partial
from typing import Any

import numpy as np
import numpy.typing as npt

from darts_mim.diagnostics.unit_roots.blocks import Series, cached, over_blocks, to_numpy
from darts_mim.diagnostics.unit_roots.checks import as_series, count, long_enough, one_of
from darts_mim.diagnostics.unit_roots.detrending import TERMS, detrend, inner, orthonormal_trend
from darts_mim.diagnostics.unit_roots.long_run_variance import PartialSums, bartlett
from darts_mim.diagnostics.unit_roots.unit_root_test import UnitRootTest

CRITICAL = {"c": (0.347, 0.463, 0.574, 0.739), "ct": (0.119, 0.146, 0.176, 0.216)}
PVALUES = (0.10, 0.05, 0.025, 0.01)  # of those


def kpss(
    series: Series, *, regression: str = "c", nlags: str | int = "auto", n_jobs: int = 1
) -> UnitRootTest:
    """KPSS test of every series, whose null hypothesis is that it is stationary.

    Args:
        series: (cell, time), an array or a tensor on any device; computed in float64. A cell that
            holds NaN or infinity, or is constant (with ``"ct"``: a straight line), gives NaN.
        regression: Stationary around ``"c"`` a constant or ``"ct"`` a trend.
        nlags: Lags of the long-run variance: ``"auto"`` chosen for each cell by its
            autocovariances, ``"legacy"`` ceil(12 (steps / 100)^(1/4)), or a number.
        n_jobs: Threads.

    Returns:
        Statistic (large: not stationary), p-value interpolated in the authors' table and so never
        below 0.01 nor above 0.1, lags and steps of each cell, as NumPy arrays.

    Raises:
        TooShortError: If there are no more steps than lags, or than deterministic terms.
        ValueError: If an argument is none of its choices, or the series is not (cell, time).

    Source:
        Kwiatkowski, Phillips, Schmidt and Shin (1992), J. Econometrics 54, 159-178, equations 10
        to 13 and table 1; lags: Hobijn, Franses and Ooms (2004), Stat. Neerlandica 58, 483-502.

    >>> noise = np.random.default_rng(0).normal(size=500)
    >>> test = kpss(np.stack([noise, noise.cumsum()]))
    >>> test.pvalue.round(2), test.lags
    (array([0.1 , 0.01]), array([ 5, 12]))
    """
    series = as_series(series)
    one_of("regression", regression, CRITICAL)
    lags = nlags if isinstance(nlags, str) else count("nlags", nlags)
    if isinstance(lags, str):
        one_of("nlags", nlags, ("auto", "legacy"))
    steps = series.shape[1]
    long_enough(steps, TERMS[regression] + 1, f"regression={regression!r}", "Take longer series.")
    if isinstance(lags, int):
        long_enough(steps, lags + 1, f"nlags={lags}", f"Take longer series, or nlags={max(steps - 1, 0)}.")
    trend = orthonormal_trend(steps, TERMS[regression])
    block = partial(_kpss, trend=trend, lags=legacy_lags(steps) if lags == "legacy" else lags)
    parts = over_blocks(block, series, cells=1024, n_jobs=n_jobs)
    statistic, used = (np.concatenate(each) for each in zip(*parts, strict=True))
    tested = np.isfinite(statistic)
    return UnitRootTest(
        statistic=statistic,
        pvalue=np.interp(statistic, CRITICAL[regression], PVALUES),
        lags=np.where(tested, used, -1),
        n_obs=np.where(tested, steps, 0),
    )


def legacy_lags(steps: int) -> int:
    """Schwert's number of lags, rounded up, and fewer than steps."""
    return min(int(np.ceil(12 * (steps / 100) ** 0.25)), steps - 1)


def _kpss(
    block: Series, *, trend: npt.NDArray[np.float64], lags: str | int
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.int64]]:
    """Statistic and lags of each cell of a block."""
    parts = [_part(part, trend, lags) for part in cached(block)]
    statistic, used = (np.concatenate(each) for each in zip(*parts, strict=True))
    return statistic, used


def _part(
    part: Series, trend: npt.NDArray[np.float64], lags: str | int
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.int64]]:
    with np.errstate(all="ignore"):  # a cell that cannot be tested is NaN by then
        residuals, squares, usable = detrend(part, trend)
        used = automatic_lags(residuals, squares) if isinstance(lags, str) else lags
        sums = PartialSums.of(residuals, int(np.max(used, initial=0)))
        variance = bartlett(sums, used)
        statistic = to_numpy(inner(sums.inside, sums.inside)) / part.shape[1] ** 2 / variance
    usable = to_numpy(usable) & np.isfinite(statistic)
    return np.where(usable, statistic, np.nan), np.broadcast_to(used, usable.shape)


def automatic_lags(residuals: Any, squares: Any) -> npt.NDArray[np.int64]:
    """How many lags each cell's long-run variance takes: 1.1447 (s1 / s0)^(2/3) steps^(1/3).

    s0 and s1 sum the first steps^(2/9) autocovariances and i times the i-th, on both sides.

    Source:
        Hobijn, Franses and Ooms (2004), Stat. Neerlandica 58, 483-502, Bartlett's kernel.
    """
    steps = residuals.shape[1]
    few = range(1, int(steps ** (2 / 9)) + 1)
    products = np.stack([to_numpy(inner(residuals[:, lag:], residuals[:, : steps - lag])) for lag in few])
    s0 = to_numpy(squares) + 2 * products.sum(0)
    s1 = 2 * (np.array(few) @ products)
    lags = 1.1447 * ((s1 / s0) ** 2) ** (1 / 3) * steps ** (1 / 3)
    return np.minimum(np.nan_to_num(lags, nan=0.0), steps - 1).astype(np.int64)
