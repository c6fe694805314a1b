"""Has each series a unit root? The augmented Dickey-Fuller test, on many series at once."""

import numpy as np

from darts_mim.diagnostics.unit_roots.blocks import Series, over_blocks
from darts_mim.diagnostics.unit_roots.checks import as_series, count, long_enough, one_of
from darts_mim.diagnostics.unit_roots.detrending import TERMS
from darts_mim.diagnostics.unit_roots.dickey_fuller import DickeyFuller
from darts_mim.diagnostics.unit_roots.mackinnon import tau_pvalue
from darts_mim.diagnostics.unit_roots.unit_root_test import UnitRootTest

CELLS = 1024  # a block: enough that those with the same lags share a fit


def adf(
    series: Series,
    *,
    regression: str = "c",
    maxlag: int | None = None,
    autolag: str | None = "AIC",
    n_jobs: int = 1,
) -> UnitRootTest:
    """Augmented Dickey-Fuller test of every series, whose null hypothesis is that it has a unit root.

    The change of a step is explained by the level before it, lagged changes and deterministic
    terms. Lags are chosen among 0, ..., ``maxlag`` on the steps that all of them have; the test
    is then made on all steps that the chosen lags leave.

    Args:
        series: (cell, time), an array or a tensor on any device; computed in float64. A cell that
            holds NaN or infinity, is constant, or is explained without an error gives NaN.
        regression: Deterministic terms: ``"n"`` none, ``"c"`` a constant, ``"ct"`` and a trend,
            ``"ctt"`` and its square.
        maxlag: Greatest number of lags; ``None``: ceil(12 (steps / 100)^(1/4)), as far as that
            leaves half of the steps to the regression.
        autolag: How lags are chosen: least ``"AIC"`` or ``"BIC"``, or ``"t-stat"``: the most
            lags whose last is significant; ``None``: ``maxlag`` lags.
        n_jobs: Threads.

    Returns:
        Statistic (very negative: no unit root), MacKinnon's p-value, lags and rows of the
        regression of each cell, as NumPy arrays.

    Raises:
        TooShortError: If there are too few steps for the regression or ``maxlag``.
        ValueError: If an argument is none of its choices, or the series is not (cell, time).

    Source:
        Said and Dickey (1984), Biometrika 71, 599-607; greatest lag: Schwert (1989), J. Bus. Econ.
        Stat. 7, 147-159; rules of choice as in statsmodels' ``adfuller``.

    >>> noise = np.random.default_rng(0).normal(size=500)
    >>> test = adf(np.stack([noise, noise.cumsum()]))
    >>> test.pvalue.round(2), test.lags
    (array([0.  , 0.73]), array([0, 0]))
    """
    series = as_series(series)
    one_of("regression", regression, TERMS)
    one_of("autolag", autolag, ("AIC", "BIC", "t-stat", None))
    steps, terms = series.shape[1], TERMS[regression]
    lags = _greatest_lag(steps, terms, maxlag)
    model = DickeyFuller(steps=steps, terms=terms, lags=lags, autolag=autolag)
    parts = over_blocks(model.test, series, cells=CELLS, n_jobs=n_jobs)
    statistic, used = (np.concatenate(each) for each in zip(*parts, strict=True))
    tested = np.isfinite(statistic)
    return UnitRootTest(
        statistic=statistic,
        pvalue=tau_pvalue(statistic, regression=regression),
        lags=np.where(tested, used, -1),
        n_obs=np.where(tested, steps - 1 - used, 0),
    )


def _greatest_lag(steps: int, terms: int, maxlag: int | None) -> int:
    """As given, or Schwert's; half of the steps, less one for each other parameter, are the most."""
    most = steps // 2 - terms - 1
    if maxlag is None:
        long_enough(steps, 2 * (terms + 1), "the regression", "Take longer series, or fewer terms.")
        return min(most, int(np.ceil(12 * (steps / 100) ** 0.25)))
    lags = count("maxlag", maxlag)
    remedy = f"Take longer series, or maxlag={most}." if most >= 0 else "Take longer series, or fewer terms."
    long_enough(steps, 2 * (lags + terms + 1), f"maxlag={lags}", remedy)
    return lags
