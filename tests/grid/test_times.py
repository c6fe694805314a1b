import numpy as np
import pandas as pd
import pytest
import xarray as xr

from darts_mim.errors import TimeAxisError
from darts_mim.grid.grid import Grid
from darts_mim.grid.times import (
    fixed_step,
    following,
    lead_times,
    period_steps,
    position_in_period,
    regular_axis,
    step_of,
    steps_between,
    times_of,
)

FREQS = ["10s", "5min", "30min", "h", "6h", "D", "7D", "MS", "ME", "3MS", "2ME", "YS", "YE-SEP"]


@pytest.mark.parametrize("unit", ["s", "us", "ns"])
@pytest.mark.parametrize("freq", FREQS)
def test_step_and_axis_of_every_frequency_with_and_without_gaps(freq, unit):
    times = pd.date_range("2019-01-31", periods=40, freq=freq, unit=unit)
    gappy = times.delete([3, 4, 5, 17, 30])
    for given in (times, gappy, pd.DatetimeIndex(gappy.values)):
        axis = regular_axis(given)
        pd.testing.assert_index_equal(axis, times, check_names=False)
        assert axis.freq == step_of(given)
        assert axis.unit == unit


def test_the_middle_of_the_month_is_a_calendar_step():
    times = pd.date_range("2019-01-16 12:00", periods=9, freq=pd.DateOffset(months=1))
    pd.testing.assert_index_equal(regular_axis(times.delete(4)), times)


def test_two_months_are_a_calendar_step():
    assert step_of(pd.to_datetime(["2024-07-01", "2024-08-01"])) == pd.offsets.MonthBegin()


@pytest.mark.parametrize(
    ("times", "message"),
    [
        (["2024-01-02", "2024-01-01"], r"2024-01-01 .*comes after 2024-01-02 .*\.sortby\(\"time\"\)"),
        (["2024-01-01", "2024-01-01"], r"first 2024-01-01 .*\.drop_duplicates\(\"time\"\)"),
        (
            ["2024-01-01", "2024-01-02", "2024-01-03", "2024-01-03 12:00"],
            r"most are 1 days .*2024-01-03 12.*resample\(time=\"D\"\)",
        ),
        (["2024-01-01"], r"1 frame\(s\) came.* at least two"),
        (["2024-01-01", "NaT"], "Time 1 of 2 is NaT"),
    ],
)
def test_bad_times_are_named(times, message):
    with pytest.raises(TimeAxisError, match=message):
        step_of(pd.DatetimeIndex([pd.Timestamp(time) for time in times]))


@pytest.mark.parametrize(
    ("index", "message"),
    [
        (pd.RangeIndex(3), "coordinates of type int64"),
        (pd.Index(["a", "b", "c"]), "coordinates of type"),
    ],
)
def test_an_axis_that_holds_no_datetimes_is_an_error(index, message):
    with pytest.raises(TimeAxisError, match=rf"'t' has {message}.*\.assign_coords\(t=pd.date_range"):
        times_of(xr.DataArray(np.zeros(3), coords={"t": index}, dims="t"), "t")


def test_months_on_a_day_that_february_lacks_are_irregular():
    """pandas goes on from 29 February, so that no later frame would be found on the axis."""
    with pytest.raises(TimeAxisError, match="resample"):
        regular_axis(pd.to_datetime(["2024-01-30", "2024-03-30", "2024-04-30", "2024-05-30"]))


def test_a_time_zone_is_an_error_with_the_remedy():
    times = pd.date_range("2024-01-01", periods=3, freq="h", tz="Europe/Paris")
    series = xr.DataArray(np.zeros((3, 2, 4)), {"time": times}, ("time", "y", "x"))
    with pytest.raises(TimeAxisError, match=r"time zone Europe/Paris.*tz_convert\(None\)"):
        Grid.of(series)
    Grid.of(series.assign_coords(time=series.indexes["time"].tz_convert(None)))


def test_a_cftime_axis_is_an_error_with_the_remedy():
    pytest.importorskip("cftime")
    times = xr.date_range("2024-01-01", periods=3, calendar="noleap", use_cftime=True)
    with pytest.raises(TimeAxisError, match=r"cftime calendar, 'noleap'.*convert_calendar"):
        times_of(xr.DataArray(np.zeros(3), coords={"time": times}, dims="time"), "time")


def test_following_continues_the_axis():
    for freq in FREQS:
        times = pd.date_range("2019-01-31", periods=9, freq=freq)
        pd.testing.assert_index_equal(following(times[4], times.freq, 4), times[5:])


def test_lead_times():
    np.testing.assert_array_equal(lead_times(pd.offsets.Day(), 2), np.array([24, 48], dtype="m8[h]"))
    assert lead_times(pd.offsets.Minute(30), 2).dtype == "m8[ns]"
    assert lead_times(pd.offsets.MonthEnd(3), 3).tolist() == [1, 2, 3]


def test_fixed_step():
    assert fixed_step(pd.offsets.Week()) == np.timedelta64(7, "D")
    assert fixed_step(pd.offsets.Hour(24)) == fixed_step(pd.offsets.Day())


def test_position_in_the_week_counts_from_monday_midnight():
    times = pd.date_range("2016-01-01", "2016-03-30 23:30", freq="30min")
    expected = times.day_of_week * 48 + times.hour * 2 + times.minute // 30
    for period in ("7D", "1W", "168h"):
        position, n = position_in_period(times, period)
        np.testing.assert_array_equal(position, expected)
        assert n == 336


def test_position_in_the_day_before_1970_too():
    times = pd.date_range("1969-12-29 05:00", periods=100, freq="h")
    position, n = position_in_period(times, "1D")
    np.testing.assert_array_equal(position, times.hour)
    assert n == 24


def test_position_in_the_year():
    months = pd.date_range("2019-05-31", periods=30, freq="ME")
    position, n = position_in_period(months, "1YE")
    np.testing.assert_array_equal(position, months.month - 1)
    assert n == 12
    quarters = pd.date_range("2019-03-01", periods=9, freq="3MS")
    np.testing.assert_array_equal(position_in_period(quarters, "YS")[0], np.arange(9) % 4)
    hours = pd.date_range("2019-01-01", "2020-12-31 18:00", freq="6h")
    position, n = position_in_period(hours, "1YS")
    plain = hours.year == 2019
    assert n == 365 * 4
    np.testing.assert_array_equal(position[plain], np.arange(n))
    # 2020 is a leap year: 29 February shares the positions of the 28th, all else is by date
    shifted = hours[~plain].map(
        lambda t: t.replace(year=2019, day=28 if (t.month, t.day) == (2, 29) else t.day)
    )
    np.testing.assert_array_equal(position[~plain], position[plain][hours[plain].get_indexer(shifted)])


def test_position_agrees_between_training_and_later():
    times = pd.date_range("2019-01-03", periods=5000, freq="6h")
    for period in ("1D", "7D", "1YE"):
        position, n = position_in_period(times, period)
        later, same = position_in_period(times[[4321]], period, step=step_of(times))
        assert (later[0], same) == (position[4321], n)


def test_period_steps():
    assert period_steps("1D", pd.offsets.Day()) == 1
    assert period_steps("YE", pd.offsets.YearBegin()) == 1
    assert period_steps("1YE", pd.DateOffset(months=3)) == 4


@pytest.mark.parametrize(
    ("period", "step", "message"),
    [
        ("7D", pd.offsets.Hour(5), r"step between frames, 5h, does not divide period='7D'"),
        ("1h", pd.offsets.Day(), "does not divide"),
        ("7D", pd.offsets.MonthBegin(), "not the same number of steps of MS"),
        ("1YE", pd.offsets.MonthBegin(5), "does not divide"),
        ("1YE", pd.offsets.Day(5), "does not divide"),
        ("MS", pd.offsets.Day(), "no fixed length.*'1YE' for the year"),
        ("soon", pd.offsets.Day(), "'soon' is not understood"),
    ],
)
def test_periods_that_do_not_fit_are_errors(period, step, message):
    times = pd.date_range("2024-01-01", periods=3, freq=step)
    with pytest.raises(TimeAxisError, match=message):
        position_in_period(times, period, step=step)


def test_hours_do_not_count_the_year():
    with pytest.raises(TimeAxisError, match="not the same number of steps of h"):
        period_steps("1YE", pd.offsets.Hour())


@pytest.mark.parametrize("freq", FREQS)
def test_steps_between_counts_along_the_axis(freq):
    times = pd.date_range("2019-01-31 06:00", periods=40, freq=freq)
    expected = np.arange(40) - 7
    np.testing.assert_array_equal(steps_between(times[7], times, step_of(times)), expected)
    np.testing.assert_array_equal(steps_between(times.values[7], times[::-1], times.freq), expected[::-1])


@pytest.mark.parametrize(
    ("freq", "time"),
    [("6h", "2019-01-01 01:00"), ("MS", "2019-03-02"), ("3MS", "2019-02-01"), ("ME", "2019-03-30")],
)
def test_times_off_the_step_are_named(freq, time):
    times = pd.date_range("2019-01-01", periods=4, freq=freq)
    with pytest.raises(TimeAxisError, match=rf"{time}.* is no whole number of steps of {freq} from 2019"):
        steps_between(times[0], pd.DatetimeIndex([times[1], pd.Timestamp(time)]), step_of(times))
