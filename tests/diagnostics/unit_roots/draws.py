"""Series of all kinds, and what libraries and long arithmetic say of them."""

import warnings
from typing import NamedTuple

import numpy as np
from arch.unitroot import PhillipsPerron
from statsmodels.tsa.stattools import adfuller
from statsmodels.tsa.stattools import kpss as statsmodels_kpss

TERMS = {"n": 0, "c": 1, "ct": 2, "ctt": 3}


class Expected(NamedTuple):
    """What a library's own loop gave."""

    statistic: np.ndarray
    pvalue: np.ndarray
    lags: np.ndarray
    n_obs: np.ndarray


def autoregression(coefficient, noise):
    series = noise.copy()
    for step in range(1, series.shape[1]):
        series[:, step] += coefficient * series[:, step - 1]
    return series


def assorted(cells, steps, seed):
    """Noise, autoregressions up to a unit root, moving averages; trends, seasons, outliers, offsets."""
    rng = np.random.default_rng([seed, steps])
    time = np.arange(steps)
    series = np.stack([kind(rng, steps) for kind in np.resize(KINDS, cells)])
    series[1::3] += rng.normal(size=(len(series[1::3]), 1)) * time / steps**0.5
    series[2::4] += 3 * np.sin(2 * np.pi * time / rng.integers(4, 25))
    series[::7, steps // 3] += 20
    return series + rng.normal(scale=10, size=(cells, 1))


KINDS = [
    lambda rng, steps: rng.normal(size=steps),
    lambda rng, steps: rng.normal(size=steps).cumsum(),
    lambda rng, steps: autoregression(0.97, rng.normal(size=(1, steps)))[0],
    lambda rng, steps: autoregression(0.6, rng.normal(size=(1, steps)))[0],
    lambda rng, steps: autoregression(-0.5, rng.normal(size=(1, steps)))[0],
    lambda rng, steps: np.convolve(rng.normal(size=steps + 4), [1, 0.8, 0.5, -0.4, 0.3], "valid").cumsum(),
    lambda rng, steps: autoregression(0.99, rng.standard_t(4, size=(1, steps)))[0],
]


def by_statsmodels(series, **kwargs):
    results = [adfuller(np.asarray(row, dtype=float), result_object=False, **kwargs) for row in series]
    return Expected(*(np.array([result[i] for result in results]) for i in range(4)))


def by_statsmodels_kpss(series, **kwargs):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # InterpolationWarning: the p-value is at the table's end
        results = [
            statsmodels_kpss(np.asarray(row, dtype=float), result_object=False, **kwargs) for row in series
        ]
    values = [np.array([result[i] for result in results]) for i in range(3)]
    return Expected(*values, np.full(len(series), series.shape[1]))


def by_arch(series, **kwargs):
    tests = [PhillipsPerron(np.asarray(row, dtype=float), **kwargs) for row in series]
    return Expected(
        np.array([test.stat for test in tests]),
        np.array([test.pvalue for test in tests]),
        np.array([test.lags for test in tests]),
        np.array([test.nobs for test in tests]),
    )


def assert_same(test, expected, tolerance=1e-8):
    np.testing.assert_array_equal(test.lags, expected.lags)
    np.testing.assert_array_equal(test.n_obs, expected.n_obs)
    np.testing.assert_allclose(test.statistic, expected.statistic, rtol=0, atol=tolerance)
    np.testing.assert_allclose(test.pvalue, expected.pvalue, rtol=0, atol=1e-8)


def t_in_long_arithmetic(series, terms, lags):
    """The level's t value, columns made orthonormal one by one in 80 bits."""
    series = series.astype(np.longdouble)
    change = np.diff(series)
    n = len(change)
    time = np.linspace(-1, 1, n - lags, dtype=np.longdouble)
    columns = [time**power for power in range(terms)]
    columns += [change[lags - lag : n - lag] for lag in range(1, lags + 1)]
    columns += [series[lags:-1]]
    basis = []
    for column in columns:
        left = _less(column, basis)
        basis.append(left / np.sqrt(left @ left))
    errors = _less(change[lags:], basis)
    return float(basis[-1] @ change[lags:] / np.sqrt(errors @ errors / (n - lags - len(columns))))


def _less(column, basis):
    for _ in range(3):  # once more takes off what rounding left
        for direction in basis:
            column = column - (direction @ column) * direction
    return column
