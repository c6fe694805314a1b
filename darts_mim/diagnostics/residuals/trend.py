"""Means and trends of autocorrelated series, with t statistics that do not take neighbours for new facts."""

from dataclasses import dataclass

import numpy as np
from scipy import stats

from darts_mim.diagnostics.residuals.gaps import gap_patterns


@dataclass(frozen=True, kw_only=True)
class HACEstimate:
    """A mean or a slope of each row; t and p are NaN where they cannot be told."""

    value: np.ndarray  # (series)
    t: np.ndarray  # (series), the value by its standard error
    p_value: np.ndarray  # (series), two-sided: how likely a value so far from 0 is by chance


def hac_mean(series: np.ndarray, *, max_lag: int) -> HACEstimate:
    """Mean of every row, and whether it differs from 0.

    The variance has Newey and West's weights over ``max_lag`` neighbours. It comes out too small and
    varies, the more so the more neighbours: as Bell and McCaffrey do with clusters, t is taken
    times the root of its expectation by the true variance, and Student's distribution has the
    degrees of freedom that match its mean and variance, both as they are for white noise.

    Args:
        series: (series, time), on a regular axis; NaN is missing and adds nothing to the variance.
        max_lag: Neighbours on either side that may be correlated; 0 for none.

    Returns:
        ``t`` is the plain one; ``p_value`` has the correction. Both are NaN where a row is constant,
        or no longer than ``max_lag``.

    Source:
        Newey and West (1987), Econometrica 55, 703-708; gaps: Parzen (1963), Sankhya A 25, 383-392;
        Bell and McCaffrey (2002), Surv. Methodol. 28, 169-181.

    >>> estimate = hac_mean(np.array([[1.0, 3.0, np.nan, 1.0, 3.0]]), max_lag=0)
    >>> estimate.value.item(), estimate.t.item(), round(estimate.p_value.item(), 3)
    (2.0, 4.0, 0.041)
    """
    return _estimate(series, None, max_lag)


def hac_trend(series: np.ndarray, time: np.ndarray, *, max_lag: int) -> HACEstimate:
    """Least-squares slope of every row against time, and whether it differs from 0.

    Variance and p-value are as in :func:`hac_mean`.

    Args:
        series: (series, time), on a regular axis; NaN is missing.
        time: (time), e.g. in days; the slope is in units of the series by this one.
        max_lag: Neighbours on either side that may be correlated; 0 for none.

    >>> noisy = np.array([[0.0, 1.0, 2.1, 2.9, 4.0, np.nan, 6.0]])
    >>> hac_trend(noisy, np.arange(7.0), max_lag=1).value.round(2)
    array([1.])
    """
    return _estimate(series, time, max_lag)


def _estimate(series: np.ndarray, time: np.ndarray | None, max_lag: int) -> HACEstimate:
    """The mean, or the slope if there is a time, from regressors that are orthogonal to each other."""
    present = np.isfinite(series)
    n = present.sum(axis=1)
    # float64: the sums of long float32 series lose digits.
    y = np.where(present, series, 0.0).astype(float)
    patterns, of_row = gap_patterns(present)
    with np.errstate(divide="ignore", invalid="ignore"):  # NaN is the answer there
        regressors = [patterns.astype(float)]
        if time is not None:
            centre = (patterns * time).sum(axis=1) / patterns.sum(axis=1)
            regressors.append(np.where(patterns, time - centre[:, None], 0.0))
        rows = slice(None) if len(patterns) == 1 else of_row  # one for all, or each its own
        x = [each[rows] for each in regressors]
        weights = [(each * each).sum(axis=1) for each in x]
        values = [(each * y).sum(axis=1) / weight for each, weight in zip(x, weights, strict=True)]
        fit = sum(value[:, None] * each for value, each in zip(values, x, strict=True))
        residual = np.where(present, y - fit, 0.0)
        # What rounding leaves of a constant row or of an exact line is no variance.
        exact = (residual**2).sum(axis=1) <= 1e-24 * (y * y).sum(axis=1)
        variance = _long_run_sum(x[-1] * residual, max_lag) / weights[-1] ** 2
        t = np.where(exact | (n <= max(max_lag, len(x))), np.nan, values[-1] / np.sqrt(variance))
        share, freedom = _small_sample(regressors, max_lag)
        p_value = 2 * stats.t.sf(np.abs(t) * np.sqrt(share[of_row]), freedom[of_row])
    return HACEstimate(value=values[-1], t=t, p_value=p_value)


def _long_run_sum(scores: np.ndarray, max_lag: int) -> np.ndarray:
    """Sum of the products of all scores up to ``max_lag`` apart, with Bartlett's weights."""
    total = (scores * scores).sum(axis=1)
    for lag, weight in _weights(scores, max_lag):
        total += 2 * weight * np.einsum("st,st->s", scores[:, lag:], scores[:, :-lag])
    return total


def _small_sample(regressors: list[np.ndarray], max_lag: int) -> tuple[np.ndarray, np.ndarray]:
    """How much of the variance is estimated on average under white noise, and its degrees of freedom.

    The long-run sum of x times the residuals is e' M A M e with A_st = weight(s - t) x_s x_t and
    M = I - B B', where x is the last regressor and B all of them at length 1: expectation tr(M A),
    variance 2 tr(M A M A) under unit noise.
    """
    x = regressors[-1]
    basis = [each / np.sqrt((each * each).sum(axis=1))[:, None] for each in regressors]
    weight, squares = (x * x).sum(axis=1), (x**4).sum(axis=1)  # tr(A), tr(A A)
    spread = [x * x * each for each in basis]  # A B
    for lag, factor in _weights(x, max_lag):
        pair = factor * x[:, lag:] * x[:, :-lag]
        squares += 2 * (pair * pair).sum(axis=1)
        for along, each in zip(spread, basis, strict=True):
            along[:, lag:] += pair * each[:, :-lag]
            along[:, :-lag] += pair * each[:, lag:]
    inner = np.stack([[(a * b).sum(axis=1) for b in basis] for a in spread])  # B' A B
    mean = weight - np.trace(inner)
    square = squares - 2 * sum((along * along).sum(axis=1) for along in spread) + (inner**2).sum(axis=(0, 1))
    return mean / weight, mean**2 / square


def _weights(scores: np.ndarray, max_lag: int) -> list[tuple[int, float]]:
    last = min(max_lag, scores.shape[1] - 1)
    return [(lag, 1 - lag / (max_lag + 1)) for lag in range(1, last + 1)]
