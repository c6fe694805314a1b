import warnings

import numpy as np
import pandas as pd
import pytest
import xarray as xr
from baselines.series import flow, gappy
from statsmodels.tsa.exponential_smoothing.ets import ETSModel
from statsmodels.tsa.holtwinters import ExponentialSmoothing as HoltWinters

from darts_mim.baselines import ExponentialSmoothing
from darts_mim.errors import GapError

CELLS = [(0, 0, 0), (1, 2, 3), (0, 1, 2)]
PARAMETERS = {"alpha": 0.3, "beta": 0.2, "gamma": 0.1, "phi": 0.9}
PARTS = {  # ours, statsmodels'
    "simple": ({}, {}),
    "damped": ({"trend": "damped"}, {"trend": "add", "damped_trend": True}),
    "season": ({"period": "1D"}, {"seasonal": "add", "seasonal_periods": 4}),
    "both": (
        {"period": "1D", "trend": "damped"},
        {"trend": "add", "damped_trend": True, "seasonal": "add", "seasonal_periods": 4},
    ),
}
NAMES = {
    "alpha": "smoothing_level",
    "beta": "smoothing_trend",
    "gamma": "smoothing_seasonal",
    "phi": "damping_trend",
}


def used(parts):
    names = [
        "alpha",
        *(["beta", "phi"] if "trend" in parts else []),
        *(["gamma"] if "period" in parts else []),
    ]
    return {name: PARAMETERS[name] for name in names}


def first_state(series, cell, model):
    """As statsmodels takes it."""
    number = np.ravel_multi_index(cell, (2, 3, 4))
    initial = {"initial_level": model.initial_.level[number]}
    if model.initial_.trend is not None:
        initial["initial_trend"] = model.initial_.trend[number]
    if model.initial_.season is not None:
        first = [0, 6, 12, 18].index(series.indexes["time"][0].hour)
        initial["initial_seasonal"] = np.roll(model.initial_.season[:, number], -first)
    return {"initialization_method": "known", **initial}


def holt_winters(series, cell, model, parts, **bounds):
    """Good for squared errors; its forecast a season ahead leaves out the last update of the season."""
    initial = first_state(series, cell, model)
    return HoltWinters(series.values[:, *cell].astype(float), **initial, **PARTS[parts][1], **bounds)


def wandering(days=40, seed=0):
    """A level that wanders, with a daily cycle and noise."""
    series = flow(days, seed=seed)
    steps = np.random.default_rng(seed + 9).normal(size=series.shape)
    return series + steps.cumsum(axis=0) * np.linspace(0.1, 4, 24).reshape(2, 3, 4)


@pytest.mark.parametrize("parts", PARTS)
def test_equals_statsmodels_given_the_parameters(parts):
    series, ours = wandering(), PARTS[parts][0]
    given = used(ours)
    model = ExponentialSmoothing(**ours, **given).fit(series)
    forecast = model.predict(7)
    for cell in CELLS:
        initial = first_state(series, cell, model)
        theirs = ETSModel(series.values[:, *cell], error="add", **PARTS[parts][1], **initial)
        # their trend moves by a share of the error, ours by a share of the level's move
        values = {NAMES[name]: value for name, value in given.items()}
        values |= {"smoothing_trend": PARAMETERS["alpha"] * PARAMETERS["beta"]}
        fitted = theirs.smooth([values[name] for name in theirs.param_names])
        np.testing.assert_allclose(forecast.values[:, *cell], fitted.forecast(7), rtol=1e-10)


def test_without_damping_it_is_holt():
    series = wandering()
    model = ExponentialSmoothing(trend="damped", alpha=0.4, beta=0.3, phi=1.0).fit(series)
    holt = HoltWinters(series.values[:, 1, 1, 2], trend="add", **first_state(series, (1, 1, 2), model))
    holt = holt.fit(smoothing_level=0.4, smoothing_trend=0.3, optimized=False)
    np.testing.assert_allclose(model.predict(9).values[:, 1, 1, 2], holt.forecast(9), rtol=1e-10)


@pytest.mark.parametrize("parts", PARTS)
def test_fitted_parameters_err_as_little_as_those_of_statsmodels(parts):
    series, ours = wandering(), PARTS[parts][0]
    model = ExponentialSmoothing(**ours).fit(series)
    bounds = {"bounds": {"damping_trend": (0.8, 0.98)}} if "trend" in ours else {}
    for cell in CELLS:
        number = np.ravel_multi_index(cell, (2, 3, 4))
        found = {NAMES[name]: getattr(model.parameters_, name)[number] for name in used(ours)}
        sse = holt_winters(series, cell, model, parts).fit(**found, optimized=False).sse
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # that its optimiser did not converge
            best = holt_winters(series, cell, model, parts, **bounds).fit().sse
        assert sse <= 1.01 * best


@pytest.mark.parametrize(("scale", "offset"), [(1e-6, 0.0), (1.0, 1e6), (1e12, 0.0)])
def test_the_fit_knows_no_units(scale, offset):
    series = wandering()
    expected = ExponentialSmoothing("1D", trend="damped").fit(series).parameters_
    found = ExponentialSmoothing("1D", trend="damped").fit(scale * series + offset).parameters_
    for name in NAMES:
        np.testing.assert_allclose(getattr(found, name), getattr(expected, name), atol=0.02)


def test_the_first_state_by_hand():
    time = pd.date_range("2024-01-01", periods=12, freq="12h")
    line = 5 + 2.0 * np.arange(1, 13)
    values = np.stack([line, np.where(np.arange(12) % 4 == 1, np.nan, line)], axis=1)
    series = xr.DataArray(values[:, None], {"time": time}, ("time", "y", "x"))
    initial = ExponentialSmoothing(trend="damped").fit(series).initial_
    np.testing.assert_allclose(initial.level, [5, 5], rtol=1e-12)
    np.testing.assert_allclose(initial.trend, [2, 2], rtol=1e-12)
    initial = ExponentialSmoothing("1D").fit(series).initial_
    np.testing.assert_allclose(initial.season[:, 0], [-1, 1], rtol=1e-12)
    np.testing.assert_allclose(initial.level[0], line[:10].mean(), rtol=1e-12)


def held(values, level, trend, season, given):
    """One cell, a row at a time: what is forecast for the row after the last; None is missing."""
    for t, value in enumerate(values):
        before = level
        level, trend = level + given["phi"] * trend, given["phi"] * trend
        error = 0.0 if value is None else value - level - season[t % 4]
        assert value is not None or before + trend == pytest.approx(level)
        level += given["alpha"] * error
        trend += given["alpha"] * given["beta"] * error
        season[t % 4] += given["gamma"] * error
    return level + given["phi"] * trend + season[len(values) % 4]


@pytest.mark.parametrize("lost", [[7], [20, 21, 22, 23, 24], [39]])
def test_over_a_gap_the_state_is_held(lost):
    series = wandering(10)
    model = ExponentialSmoothing("1D", trend="damped", **PARAMETERS).fit(series)
    with_gap = series.copy()
    with_gap[lost, 0, 1, 2] = np.nan  # in one cell
    if 39 not in lost:
        with_gap = with_gap.drop_isel(time=lost)  # or in all
    forecast = model.predict(1, with_gap).values[0, 0, 1, 2]
    state = [model.initial_.level[6], model.initial_.trend[6], np.roll(model.initial_.season[:, 6], -1)]
    values = [None if t in lost else value for t, value in enumerate(series.values[:, 0, 1, 2])]
    assert forecast == pytest.approx(held(values, *state, PARAMETERS), rel=1e-12)


def test_a_later_series_goes_on_where_the_training_series_ends():
    series = wandering()
    model = ExponentialSmoothing("1D", trend="damped", **PARAMETERS).fit(series[:100])
    np.testing.assert_array_equal(model.predict(3, series[100:130]), model.predict(3, series[:130]))
    np.testing.assert_array_equal(model.predict(3, series[60:130]), model.predict(3, series[:130]))
    with_gap = xr.concat([series[:100], series[110:130]], "time")
    np.testing.assert_allclose(model.predict(3, series[110:130]), model.predict(3, with_gap), rtol=1e-12)


def test_a_forecast_from_inside_a_gap_is_that_of_before():
    series = gappy()  # frame 5 is missing
    model = ExponentialSmoothing(alpha=0.5).fit(series)
    forecasts = model.historical_forecasts(series, forecast_horizon=1)
    np.testing.assert_array_equal(forecasts[5], forecasts[4])


def test_a_position_that_training_never_saw():
    series = flow(6)
    with pytest.raises(GapError, match="saw no training frame like Saturday 2024-01-06 06:00"):
        ExponentialSmoothing("7D").fit(series[:12]).predict(12)


@pytest.mark.parametrize("wrong", [{"alpha": 1.5}, {"phi": -0.1}, {"trend": "linear"}])
def test_wrong_arguments(wrong):
    with pytest.raises(ValueError, match=f"{next(iter(wrong))}=.* came"):
        ExponentialSmoothing(**wrong).fit(flow())
