"""How well a linear forecast could do, from the autocorrelation alone."""

import numpy as np
from scipy.linalg import solve_toeplitz


def linear_errors(acf: np.ndarray, order: int, horizon: int, n_lags: int) -> np.ndarray:
    """Squared error of the best linear forecast of a differenced series, added up again, by steps ahead.

    Args:
        acf: Autocorrelation of the ``order``-th differences at lags 0, 1, 2, ..., ``horizon + n_lags - 1``.
        order: How many differences are added up again.
        horizon: Steps ahead, at most.
        n_lags: How many past values are read.

    Returns:
        (horizon,), in variances of the differences.

    Source:
        Best linear prediction; Brockwell and Davis (1991), Time Series, section 5.1.

    >>> linear_errors(0.5 ** np.arange(4), order=0, horizon=2, n_lags=2)
    array([0.75  , 0.9375])
    >>> linear_errors(np.array([1.0, 0, 0, 0]), order=1, horizon=3, n_lags=1)
    array([1., 2., 3.])
    """
    apart = acf[np.abs(np.subtract.outer(np.arange(horizon), np.arange(horizon)))]
    errors = np.empty(horizon)
    for ahead in range(1, horizon + 1):
        # What the differences to come count in the value that is forecast: 1, or 1 2 3 ... if added up twice.
        counts = np.ones(ahead) if order else np.eye(ahead)[-1]
        for _ in range(order - 1):
            counts = counts[::-1].cumsum()[::-1]
        shared = np.array([counts @ acf[1 + lag : 1 + lag + ahead] for lag in range(n_lags)])
        errors[ahead - 1] = counts @ apart[:ahead, :ahead] @ counts - shared @ solve_toeplitz(
            acf[:n_lags], shared
        )
    return errors
