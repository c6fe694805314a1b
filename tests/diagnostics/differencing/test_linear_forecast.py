import numpy as np
import pytest
from statsmodels.regression.linear_model import yule_walker
from statsmodels.tsa.stattools import acf

from darts_mim.diagnostics.differencing.linear_forecast import linear_errors


def test_one_step_errors_equal_yule_walker():
    series = np.random.default_rng(0).normal(size=600)
    for t in range(2, 600):
        series[t] += 0.5 * series[t - 1] - 0.3 * series[t - 2]
    for p in (1, 2, 3):
        _, sigma = yule_walker(series, order=p, method="mle", result_object=False)
        (error,) = linear_errors(acf(series, nlags=p), order=0, horizon=1, n_lags=p)
        assert error == pytest.approx(sigma**2 / series.var(), rel=1e-9)


def test_errors_of_differences_add_up():
    """By regression on a long series: the value itself is forecast, from the differences before it."""
    rng = np.random.default_rng(0)
    steps = rng.normal(size=200_000)
    steps[1:] += 0.6 * steps[:-1]
    for order in (1, 2):
        differences, values = steps, steps
        for _ in range(order):
            values = values.cumsum()
        errors = linear_errors(acf(differences, nlags=8), order=order, horizon=3, n_lags=4)
        past = np.stack(
            [differences[3 - lag : -3 - lag or None][: len(steps) - 6] for lag in range(4)], axis=1
        )
        for ahead in (1, 2, 3):
            known = values[3:] if order == 1 else values[3:] + ahead * (values[3:] - values[2:-1])
            target = values[3 + ahead :][: len(past)] - known[: len(past)]
            left = target - past @ np.linalg.lstsq(past, target, rcond=None)[0]
            assert errors[ahead - 1] * differences.var() == pytest.approx(left.var(), rel=0.02)
