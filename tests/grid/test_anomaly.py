import numpy as np
import pandas as pd
import pytest
import xarray as xr

from darts_mim.errors import GapError, TimeAxisError
from darts_mim.grid import transformer
from darts_mim.grid.anomaly import SeasonalAnomaly


def series_at(times, dtype="float64"):
    values = np.random.default_rng(0).normal(280, 9, (len(times), 4, 3)).astype(dtype)
    return xr.DataArray(values, dims=("time", "y", "x"), coords={"time": times})


@pytest.mark.parametrize("block", [2**24, 200])
@pytest.mark.parametrize("nan", [False, True])
@pytest.mark.parametrize(
    ("freq", "period", "key"),
    [
        ("30min", "7D", lambda t: [t.day_of_week, t.hour, t.minute]),
        ("h", "1D", lambda t: [t.hour]),
        ("MS", "1YE", lambda t: [t.month]),
        ("D", "YS", lambda t: [t.month, t.day]),
    ],
)
def test_equals_pandas_groupby(freq, period, key, nan, block, monkeypatch):
    monkeypatch.setattr(transformer, "BLOCK", block)
    times = pd.date_range("2021-01-01", periods=800, freq=freq).delete([30, 31, 200])
    series = series_at(times)
    if nan:
        series = series.where(np.random.default_rng(1).random(series.shape) > 0.3)
    table = pd.DataFrame(series.values.reshape(len(times), -1), index=times)
    expected = table - table.groupby(key(times)).transform("mean")
    anomaly = SeasonalAnomaly(period).fit(series)
    np.testing.assert_allclose(anomaly.transform(series).values.reshape(len(times), -1), expected, atol=1e-10)
    assert int(anomaly.counts_.sum()) == int(series.notnull().sum())


def test_later_times_get_the_training_means():
    times = pd.date_range("2024-01-01", periods=40, freq="6h")
    series = series_at(times)
    anomaly = SeasonalAnomaly("1D").fit(series[:21])
    noon = series[:21][2::4].mean("time")
    later = anomaly.transform(series[[38]])
    np.testing.assert_allclose(later[0], series[38] - noon)
    np.testing.assert_allclose(anomaly.inverse_transform(later), series[[38]])


def test_leap_day_shares_the_28th():
    times = pd.date_range("2022-01-01", "2023-12-31", freq="D")
    anomaly = SeasonalAnomaly("1YE").fit(series_at(times))
    later = series_at(pd.to_datetime(["2024-02-28", "2024-02-29"]))
    difference = later - anomaly.transform(later)
    np.testing.assert_allclose(difference[0], difference[1])


def test_float32_stays_and_is_averaged_in_float64():
    times = pd.date_range("2024-01-01", periods=48, freq="h")
    series = series_at(times, "float32")
    anomaly = SeasonalAnomaly("1D").fit(series)
    assert anomaly.climatology_.dtype == "float64"
    assert anomaly.transform(series).dtype == "float32"
    expected = series.values.astype("float64").reshape(2, 24, 4, 3).mean(axis=0)
    np.testing.assert_array_equal(anomaly.climatology_[:, 0], expected)


def test_positions_training_never_saw_are_an_error():
    times = pd.date_range("2024-01-01", periods=48, freq="h")
    anomaly = SeasonalAnomaly("7D").fit(series_at(times))
    later = series_at(pd.date_range("2024-01-02 20:00", periods=6, freq="h"))
    with pytest.raises(GapError, match=r"2024-01-03 00:00:00 is at a position.*\(2 frames are\).*Fit on"):
        anomaly.transform(later)
    with pytest.raises(GapError, match="Fit on a series that covers a whole period"):
        anomaly.inverse_transform(later)


def test_times_off_the_training_step_are_an_error():
    times = pd.date_range("2024-01-01", periods=48, freq="h")
    anomaly = SeasonalAnomaly("1D").fit(series_at(times))
    with pytest.raises(TimeAxisError, match=r"00:30:00 is no whole number of steps of h from"):
        anomaly.transform(series_at(times + pd.Timedelta("30min")))


def test_a_period_the_step_does_not_divide_is_an_error():
    with pytest.raises(TimeAxisError, match="does not divide period='1D'"):
        SeasonalAnomaly("1D").fit(series_at(pd.date_range("2024", periods=9, freq="5h")))


def test_frames_without_times_are_an_error():
    times = pd.date_range("2024-01-01", periods=48, freq="h")
    anomaly = SeasonalAnomaly("1D").fit(series_at(times))
    forecasts = series_at(times).rename(time="lead_time").drop_vars("lead_time")
    with pytest.raises(TimeAxisError, match=r"without the times its frames are for.*valid_time"):
        anomaly.inverse_transform(forecasts)
    with pytest.raises(TimeAxisError, match="without the times"):  # one time is not every frame's
        anomaly.inverse_transform(forecasts.assign_coords(time=times[0]))


def test_a_single_frame_and_a_single_forecast_have_their_own_times():
    times = pd.date_range("2024-01-01", periods=48, freq="h")
    series = series_at(times)
    anomaly = SeasonalAnomaly("1D").fit(series)
    changed = anomaly.transform(series)
    xr.testing.assert_allclose(anomaly.transform(series[30]), changed[30])
    forecast = changed[30:35].rename(time="valid_time").swap_dims(valid_time="lead_time")
    back = anomaly.inverse_transform(forecast)
    assert back.dims == ("lead_time", "y", "x")
    np.testing.assert_allclose(back, series[30:35])


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_a_smooth_mean_is_the_regression_of_each_cell_on_waves(dtype):
    times = pd.date_range("2024-01-01", periods=500, freq="6h").delete([30, 31, 200])
    series = series_at(times, dtype)
    series[::3, 1, 2] = np.nan
    smooth = SeasonalAnomaly("7D", harmonics=3).fit(series)
    phase = 2 * np.pi * ((times - times[0]) / pd.Timedelta("7D")).to_numpy()
    waves = np.stack([np.ones(len(times)), *(f(k * phase) for k in (1, 2, 3) for f in (np.sin, np.cos))], 1)
    for cell in ((0, 0), (1, 2)):
        values = series.values[:, *cell].astype(float)
        known = np.isfinite(values)
        fitted = waves @ np.linalg.lstsq(waves[known], values[known], rcond=None)[0]
        anomaly = smooth.transform(series).values[:, *cell]
        np.testing.assert_allclose(anomaly, values - fitted, atol=1e-9 if dtype == "float64" else 1e-4)
    later = series.assign_coords(time=times + pd.Timedelta("14D"))
    xr.testing.assert_allclose(smooth.inverse_transform(smooth.transform(later)), later)


def test_a_smooth_mean_bridges_a_position_that_training_never_saw():
    times = pd.date_range("2024-01-01", periods=56, freq="3h")
    series = series_at(times[times.hour != 9])
    with pytest.raises(GapError, match="never saw"):
        SeasonalAnomaly("1D").fit(series).transform(series_at(times))
    assert SeasonalAnomaly("1D", harmonics=2).fit(series).transform(series_at(times)).notnull().all()
    with pytest.raises(ValueError, match="harmonics=4 came for the 8 positions"):
        SeasonalAnomaly("1D", harmonics=4).fit(series)
