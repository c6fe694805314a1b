import numpy as np
import pandas as pd
import pytest
import xarray as xr
from plotting.backtests import four_models

from darts_mim.backtesting.backtest import backtest
from darts_mim.plotting import panel, plot_calendar, plot_week
from darts_mim.plotting.calendar import calendar_height


@pytest.fixture(scope="module")
def result():
    return four_models()


def field_of(axes):
    return np.ma.filled(axes.collections[0].get_array(), np.nan)


def test_each_forecast_is_at_its_day_and_hour(result):
    _, axes = panel()
    field = field_of(plot_calendar(result, ax=axes))
    scores = result.scores_by("init_time")["mse"].sel(model="damped")
    times = pd.DatetimeIndex(scores["init_time"].values)
    assert field.shape == (8, len(times.normalize().unique()))
    row, column = times.hour // 3, (times.normalize() - times[0].normalize()).days
    np.testing.assert_array_equal(field[row, column], scores)
    assert np.isfinite(field).sum() == len(scores)
    assert [tick.get_text() for tick in axes.get_yticklabels()] == [
        f"{hour:02d}:00" for hour in range(0, 24, 3)
    ]


@pytest.mark.parametrize(
    ("freq", "start", "shape", "rows", "columns"),
    [
        ("D", "2024-01-01", (3, 31), ["Jan 2024", "Feb 2024", "Mar 2024"], ["1", "2"]),
        ("MS", "2020-01-01", (6, 12), ["2020", "2021"], ["Jan", "Feb"]),
        ("5min", "2024-01-01 16:00", (1, 70), ["1 Jan"], ["16:00", "16:45"]),
    ],
)
def test_the_calendar_fits_the_step(freq, start, shape, rows, columns):
    time = pd.date_range(start, periods=72, freq=freq)
    series = xr.DataArray(np.random.default_rng(0).random((72, 2, 3)), {"time": time}, ("time", "y", "x"))
    at = np.arange(70)
    coords = {"init_time": time.values[at], "lead_time": [1] if freq == "MS" else [time[1] - time[0]]}
    coords["valid_time"] = (("init_time", "lead_time"), time.values[at + 1][:, None])
    given = xr.DataArray(series.values[at][:, None], coords, ("init_time", "lead_time", "y", "x"))
    result = backtest({"last": given}, series, start=time[1], horizon=1)
    _, axes = panel()
    field = field_of(plot_calendar(result, ax=axes))
    assert field.shape == shape and np.isfinite(field).sum() == result.n_origins
    assert [tick.get_text() for tick in axes.get_yticklabels()][: len(rows)] == rows
    assert [tick.get_text() for tick in axes.get_xticklabels()][: len(columns)] == columns
    assert 1.5 < calendar_height(result) < 4


def test_the_week_is_by_the_time_forecast(result):
    _, axes = panel()
    field = field_of(plot_week(result, "bias", model="last", ax=axes))
    scores = result.scores_by("weekday", "hour")["bias"].sel(model="last")
    for weekday in range(7):
        seen = weekday in scores["weekday"]
        expected = scores.sel(weekday=weekday) if seen else np.full(8, np.nan)
        np.testing.assert_array_equal(field[weekday], expected)
    low, high = axes.collections[0].get_clim()
    assert low == -high  # a bias has two sides
