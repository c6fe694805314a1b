"""Is anything left in the errors that the last errors tell? Ljung and Box's test, on every row at once."""

from dataclasses import dataclass

import numpy as np
from scipy import stats

from darts_mim.diagnostics.residuals.gaps import gap_patterns
from darts_mim.errors import TooShortError
from darts_mim.grid.times import positive


@dataclass(frozen=True, kw_only=True)
class LjungBox:
    """What the test gave for each row; NaN where it cannot tell."""

    statistic: np.ndarray  # (series), chi-squared with `freedom` degrees if the row is white
    freedom: np.ndarray  # (series), degrees of freedom; the number of lags if first_lag=1
    p_value: np.ndarray  # (series), small: the row is autocorrelated
    autocorrelation: np.ndarray  # (series, lag), of all lags from 1 to the last that was tested


def ljung_box(series: np.ndarray, *, lags: int, first_lag: int = 1) -> LjungBox:
    """Test of every row that its autocorrelations at ``lags`` lags, from ``first_lag`` on, are 0.

    Q = (n + 2) / n sum_k n_k r_k^2, where n counts the values that are not NaN, n_k the pairs k
    steps apart that both are not, and r_k is the mean product of those pairs by the mean square of
    the values. Without gaps n_k = n - k, and Q is Ljung and Box's. With gaps its expectation under
    white normal noise of known mean is still the number of lags.

    The errors of forecasts h steps ahead overlap: those of a perfect forecast are autocorrelated up to lag
    h - 1. ``first_lag=h`` leaves these lags out. It is not enough to do so: by Bartlett's formula
    the r_k beyond them vary 1 + 2 sum_{i<h} rho_i^2 times as much as those of white noise, and
    go together with each other. Their covariance is therefore estimated from r_1 ... r_{h-1} (with gaps,
    from how often the pairs overlap), and Q, a weighted sum of chi-squared variables, is scaled to
    the chi-squared distribution with the same mean and variance.

    The variance of the series must not change with time in a way that lasts from step to step: errors that
    are larger by day than by night are rejected more often than the level says.

    Args:
        series: (series, time), on a regular axis; NaN is missing.
        lags: How many lags are tested together.
        first_lag: The first of them; for errors of forecasts h steps ahead, h.

    Returns:
        Statistic, degrees of freedom, p-value and autocorrelations of each row; NaN where the row is
        constant, or no pair is left at one of the lags.

    Raises:
        ValueError: If ``series`` is no table, or a lag is not at least 1.
        TooShortError: If the last lag reaches beyond the series.

    Source:
        Ljung and Box (1978), Biometrika 65, 297-303; gaps: Stoffer and Toloi (1992), Stat. Probab. Lett.
        13, 391-396; Bartlett (1946), J. R. Stat. Soc. Suppl. 8, 27-41; scaling: Box (1954),
        Ann. Math. Stat. 25, 290-302, theorem 3.1.

    >>> white = np.random.default_rng(0).normal(size=(1, 500))
    >>> walk = white.cumsum(axis=1)
    >>> (ljung_box(np.concatenate([white, walk]), lags=10).p_value < 0.05).tolist()
    [False, True]
    >>> two_ahead = walk[:, 2:] - walk[:, :-2]  # errors of a perfect forecast of the walk
    >>> (ljung_box(two_ahead, lags=10).p_value < 0.05).tolist()
    [True]
    >>> (ljung_box(two_ahead, lags=10, first_lag=2).p_value < 0.05).tolist()
    [False]
    """
    lags, first_lag = positive(lags, "lags"), positive(first_lag, "first_lag")
    last = first_lag + lags - 1
    r, pairs, present = _autocorrelations(series, last)
    n = present.sum(axis=1)
    tested = slice(first_lag - 1, last)
    statistic = ((n[:, None] + 2) * pairs[:, tested] / np.maximum(n, 1)[:, None] * r[:, tested] ** 2).sum(
        axis=1
    )
    mean, square = _moments(r[:, : first_lag - 1], present, lags)
    # A multiple of a chi-squared variable whose mean is tr C and whose variance is 2 tr C^2.
    scale, freedom = square / mean, mean**2 / square
    known = np.isfinite(statistic)
    freedom = np.where(known, freedom, np.nan)
    return LjungBox(
        statistic=statistic / scale,
        freedom=freedom,
        p_value=stats.chi2.sf(statistic / scale, freedom),
        autocorrelation=r,
    )


def _autocorrelations(series: np.ndarray, lags: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Autocorrelations and their numbers of pairs, (series, lag), and which values are present."""
    if series.ndim != 2:
        raise ValueError(
            f"An array of shape {series.shape} came, where (series, time) is wanted. Bring it to two dims, "
            f"e.g. .reshape({series.shape[0] if series.ndim else 1}, -1) for a series a row."
        )
    if lags >= series.shape[1]:
        raise TooShortError(
            f"Lag {lags} reaches beyond the {series.shape[1]} frames that came. Ask for fewer lags, or "
            f"pass a longer series."
        )
    present = np.isfinite(series)
    whole = bool(present.all())
    n = present.sum(axis=1)
    # float64: the sums of long float32 series lose digits.
    x = np.where(present, series, 0.0).astype(float)
    constant = x.max(axis=1, where=present, initial=-np.inf) <= x.min(axis=1, where=present, initial=np.inf)
    x = np.where(present, x - (x.sum(axis=1) / np.maximum(n, 1))[:, None], 0.0)
    products, pairs = np.empty((len(x), lags)), np.empty((len(x), lags))
    for lag in range(1, lags + 1):
        products[:, lag - 1] = (x[:, lag:] * x[:, :-lag]).sum(axis=1)
        overlap = x.shape[1] - lag if whole else (present[:, lag:] & present[:, :-lag]).sum(axis=1)
        pairs[:, lag - 1] = overlap
    mean_square = (x * x).sum(axis=1) / np.maximum(n, 1)
    with np.errstate(divide="ignore", invalid="ignore"):  # NaN is the answer there
        r = products / pairs / mean_square[:, None]
    r[constant] = np.nan
    return r, pairs, present


def _moments(rho: np.ndarray, present: np.ndarray, lags: int) -> tuple[np.ndarray, np.ndarray]:
    """Traces of C and of C^2 for each row, C the covariance of the scaled autocorrelations.

    Args:
        rho: (series, q), the autocorrelations that the overlap explains.
        present: (series, time).
        lags: How many follow on these and are tested.
    """
    mean, square = np.full(len(rho), float(lags)), np.full(len(rho), float(lags))
    if not rho.shape[1]:
        return mean, square
    patterns, of_row = gap_patterns(present)
    for number, pattern in enumerate(patterns):
        rows = of_row == number
        covariance = _covariance(rho[rows], pattern, lags)
        mean[rows] = np.trace(covariance, axis1=1, axis2=2)
        square[rows] = (covariance**2).sum(axis=(1, 2))
    return mean, square


def _covariance(rho: np.ndarray, present: np.ndarray, lags: int) -> np.ndarray:
    """(series, lag, lag): sum_d rho_d rho_{d+k-j} m_jk(d) / sqrt(n_j n_k), Bartlett's formula with gaps.

    m_jk(d) counts the times t at which t, t + j, t + d and t + d + k are all present.
    """
    q, n_times = rho.shape[1], len(present)
    padded = np.concatenate([np.ones((len(rho), 1)), rho, np.zeros((len(rho), lags))], axis=1)
    whole = np.zeros((lags, n_times))
    for row, lag in enumerate(range(q + 1, q + 1 + lags)):
        whole[row, : n_times - lag] = present[lag:] & present[:-lag]
    root = np.sqrt(np.maximum(whole.sum(axis=1), 1))
    apart = np.arange(lags)[None, :] - np.arange(lags)[:, None]
    covariance = np.zeros((len(rho), lags, lags))
    for d in range(-q, q + 1):
        early, late = (whole, whole[:, d:]) if d >= 0 else (whole[:, -d:], whole)
        size = n_times - abs(d)
        together = early[:, :size] @ late[:, :size].T / np.outer(root, root)
        covariance += together * padded[:, abs(d), None, None] * padded[:, np.abs(apart + d)]
    return covariance
