"""Has each series a unit root? Phillips and Perron's test: a long-run variance in place of lags."""

from functools import partial
from typing import Any

import numpy as np
import numpy.typing as npt

from darts_mim.diagnostics.unit_roots.blocks import Series, cached, over_blocks, to_numpy
from darts_mim.diagnostics.unit_roots.checks import as_series, count, long_enough, one_of
from darts_mim.diagnostics.unit_roots.detrending import (
    NOTHING_LEFT,
    TERMS,
    detrend,
    in_float64,
    inner,
    orthonormal_trend,
)
from darts_mim.diagnostics.unit_roots.long_run_variance import PartialSums, bartlett
from darts_mim.diagnostics.unit_roots.mackinnon import rho_pvalue, tau_pvalue
from darts_mim.diagnostics.unit_roots.unit_root_test import UnitRootTest


def phillips_perron(
    series: Series, *, regression: str = "c", lags: int | None = None, test_type: str = "tau", n_jobs: int = 1
) -> UnitRootTest:
    """Phillips-Perron test of every series, whose null hypothesis is that it has a unit root.

    Args:
        series: (cell, time), an array or a tensor on any device; computed in float64. A cell that
            holds NaN or infinity, is constant, or follows from its last value without an error gives NaN.
        regression: Deterministic terms: ``"n"`` none, ``"c"`` a constant, ``"ct"`` and a trend.
        lags: Of the long-run variance; ``None``: ceil(12 (steps / 100)^(1/4)).
        test_type: ``"tau"``: Z-tau, from the coefficient's t value; ``"rho"``: Z-alpha, from the
            coefficient.
        n_jobs: Threads.

    Returns:
        Statistic (very negative: no unit root), MacKinnon's p-value, lags and rows of the
        regression of each cell, as NumPy arrays.

    Raises:
        TooShortError: If there are too few steps for the regression or the lags.
        ValueError: If an argument is none of its choices, or the series is not (cell, time).

    Source:
        Phillips and Perron (1988), Biometrika 75, 335-346; as in Hamilton (1994), Time Series
        Analysis, equations 17.6.8 and 17.6.12.

    >>> noise = np.random.default_rng(0).normal(size=500)
    >>> test = phillips_perron(np.stack([noise, noise.cumsum()]))
    >>> test.pvalue.round(2), test.lags
    (array([0.  , 0.75]), array([18, 18]))
    """
    series = as_series(series)
    one_of("regression", regression, ("n", "c", "ct"))
    one_of("test_type", test_type, ("tau", "rho"))
    terms, steps = TERMS[regression], series.shape[1]
    long_enough(steps, 3 + terms, f"regression={regression!r}", "Take longer series.")
    if lags is None:
        used = min(int(np.ceil(12 * (steps / 100) ** 0.25)), steps - 1)
    else:
        used = count("lags", lags)
        long_enough(steps, used + 1, f"lags={used}", f"Take longer series, or lags={steps - 1}.")
    trend = orthonormal_trend(steps - 1, terms)
    block = partial(_phillips_perron, trend=trend, lags=used, tau=test_type == "tau")
    statistic = np.concatenate(over_blocks(block, series, cells=1024, n_jobs=n_jobs))
    tested = np.isfinite(statistic)
    return UnitRootTest(
        statistic=statistic,
        pvalue=(tau_pvalue if test_type == "tau" else rho_pvalue)(statistic, regression=regression),
        lags=np.where(tested, used, -1),
        n_obs=np.where(tested, steps - 1, 0),
    )


def _phillips_perron(
    block: Series, *, trend: npt.NDArray[np.float64], lags: int, tau: bool
) -> npt.NDArray[np.float64]:
    return np.concatenate([_part(part, trend, lags, tau) for part in cached(block)])


def _part(part: Series, trend: npt.NDArray[np.float64], lags: int, tau: bool) -> npt.NDArray[np.float64]:
    with np.errstate(all="ignore"):  # a cell that cannot be tested is NaN by then
        values = in_float64(part)
        level, spread, varies = detrend(values[:, :-1], trend)
        change = values[:, 1:] - values[:, :-1]
        slope = inner(level, change) / spread  # the autoregressive coefficient less 1
        errors, squares, _ = detrend(change - slope[:, None] * level, trend)
        usable = varies & (squares > NOTHING_LEFT**2 * inner(change, change))
        long_run = bartlett(PartialSums.of(errors, lags), lags)
        slope, spread, squares = to_numpy(slope), to_numpy(spread), to_numpy(squares)
        statistic = _statistic(slope, spread, squares, long_run, change.shape[1], len(trend) + 1, tau)
    return np.where(to_numpy(usable) & np.isfinite(statistic), statistic, np.nan)


def _statistic(
    slope: Any, spread: Any, squares: Any, long_run: Any, n: int, parameters: int, tau: bool
) -> npt.NDArray[np.float64]:
    """Z-tau or Z-alpha from the slope, the sums of squares of level and errors, and the long-run variance."""
    short_run = squares / n
    excess = 0.5 * (long_run - short_run)
    if not tau:
        return n * slope - excess * n**2 / spread
    error = (squares / (n - parameters) / spread) ** 0.5  # the slope's standard error
    return (short_run / long_run) ** 0.5 * slope / error - excess * n / (long_run * spread) ** 0.5
