import numpy as np
import pandas as pd
import pytest
import xarray as xr
from baselines.series import flow, gappy

from darts_mim.baselines import Climatology, DampedAnomaly
from darts_mim.errors import GapError


def regression(values, phases, harmonics):
    """The curve through the values that are there, at all phases; one cell."""
    waves = [np.ones_like(phases)]
    for k in range(1, harmonics + 1):
        waves += [np.sin(2 * np.pi * k * phases), np.cos(2 * np.pi * k * phases)]
    waves, there = np.stack(waves, axis=1), np.isfinite(values)
    return waves @ np.linalg.lstsq(waves[there], values[there], rcond=None)[0]


def daily(years, seed=0):
    time = pd.date_range("2019-01-01", periods=365 * years, freq="D")
    values = np.random.default_rng(seed).normal(size=(len(time), 2, 3)).cumsum(axis=0)
    return xr.DataArray(values, {"time": time}, ("time", "lat", "lon"))


@pytest.mark.parametrize("harmonics", [1, 3])
def test_harmonics_are_the_regression_of_each_cell_on_its_values(harmonics):
    series = daily(3)
    series = series.where(np.random.default_rng(1).random(series.shape) > 0.3)
    model = Climatology("1YE", harmonics=harmonics).fit(series)
    time = series.indexes["time"]
    day = np.asarray(time.day_of_year) - 1 - (time.is_leap_year & (time.day_of_year >= 60))
    for cell, values in enumerate(series.values.reshape(len(series), -1).T):
        curve = regression(values, day / 365, harmonics)[:365]
        np.testing.assert_allclose(model.climatology_[:, cell], curve, rtol=1e-9, atol=1e-9)


def test_over_the_year_each_time_of_day_has_its_curve():
    time = pd.date_range("2019-01-01", periods=2 * 365 * 4, freq="6h")
    values = np.random.default_rng(0).normal(size=(len(time), 2, 3)).astype(np.float32)
    series = xr.DataArray(values, {"time": time}, ("time", "lat", "lon"))
    forecast = Climatology("1YE", harmonics=2).fit(series).predict(4)
    for hour in range(4):
        alone = Climatology("1YE", harmonics=2).fit(series[hour::4]).predict(1)
        np.testing.assert_allclose(forecast[hour], alone[0], rtol=1e-6)


def test_within_the_week_one_curve_goes_through_all_hours():
    series = flow(14)
    model = Climatology("7D", harmonics=4).fit(series)
    since_monday = (series.indexes["time"] - pd.Timestamp("2024-01-01")) / pd.Timedelta("7D")
    order = np.argsort(since_monday[:28] % 1)
    curve = regression(series.values[:, 0, 1, 2], since_monday.values, 4)
    np.testing.assert_allclose(model.climatology_[:, 6], curve[:28][order], rtol=1e-10)


def test_a_smooth_cycle_forecasts_a_smooth_year_better_than_means_do():
    time = pd.date_range("2000-01-01", periods=365 * 4 + 1, freq="D")
    cycle = -10 * np.cos(2 * np.pi * np.asarray(time.day_of_year) / 365.25)
    noise = np.random.default_rng(0).normal(scale=3, size=(len(time), 2, 3))
    series = xr.DataArray(cycle[:, None, None] + noise, {"time": time}, ("time", "lat", "lon"))
    truth = xr.DataArray(cycle[-365:], {"time": time[-365:]}, ("time",))
    errors = {
        harmonics: float(
            (Climatology("1YE", harmonics=harmonics).fit(series[:-365]).predict(365) - truth).std()
        )
        for harmonics in (None, 2)
    }
    # of 3 years a mean by day keeps 3 / sqrt(3), a fit of 5 coefficients 3 sqrt(5 / 1095)
    assert errors[None] == pytest.approx(3**0.5, rel=0.1)
    assert errors[2] == pytest.approx(3 * (5 / 1095) ** 0.5, rel=0.4)


def test_anomalies_are_from_the_smooth_cycle():
    series = gappy()
    model = DampedAnomaly("1D", harmonics=1).fit(series)
    smooth = Climatology("1D", harmonics=1).fit(series)
    forecast, normal = model.predict(3), smooth.historical_forecasts(series, forecast_horizon=1)[-1, 0]
    departure = (series[-1] - normal).values.ravel()
    expected = smooth.predict(3).values.reshape(3, -1) + model.damping(3) * departure
    np.testing.assert_allclose(forecast.values.reshape(3, -1), expected, rtol=1e-12)


@pytest.mark.parametrize(("harmonics", "known"), [(2, True), (3, False)])
def test_a_stretch_without_values_is_bridged_if_short(harmonics, known):
    """The year's last 65 days: half of 365 / 2 is longer, half of 365 / 3 is not."""
    model = Climatology("1YE", harmonics=harmonics).fit(daily(1)[:300])
    assert np.isfinite(model.climatology_[:300]).all()
    if known:
        assert np.isfinite(model.predict(65)).all()
    else:
        with pytest.raises(GapError, match="saw no training frame like Monday 2019-10-28"):
            model.predict(1)


@pytest.mark.parametrize("harmonics", [0, 2, 1.5])
def test_harmonics_that_cannot_be_told_apart(harmonics):
    with pytest.raises(ValueError, match="harmonics="):
        Climatology("1D", harmonics=harmonics).fit(flow())
