"""The time axis: its step, its gaps, its lead times, and where a time stands in a period."""

from typing import Any, cast

import numpy as np
import pandas as pd
import xarray as xr
from pandas.tseries.frequencies import to_offset
from pandas.tseries.offsets import BaseOffset

from darts_mim.errors import TimeAxisError, TooShortError

MONDAY = np.datetime64("1970-01-05", "ns")  # periods count from here, so 7D begins on a Monday
DAY = np.timedelta64(1, "D")
NS = "timedelta64[ns]"


def times_of(series: xr.DataArray | xr.Dataset, time_dim: str) -> pd.DatetimeIndex:
    """The series' times, checked: datetimes without a time zone, each once, in order.

    Raises:
        TimeAxisError: If they are not; it names the first offending times and the remedy.

    >>> times_of(xr.DataArray([1, 2], coords={"time": pd.date_range("2024", periods=2)}), "time")
    DatetimeIndex(['2024-01-01', '2024-01-02'], dtype='datetime64[...]', name='time', freq='D')
    """
    index = series.indexes.get(time_dim)
    if isinstance(index, pd.DatetimeIndex) and index.tz is None:
        _require_increasing(index, time_dim)
        return index
    new = f"pd.date_range('2024-01-01', periods={series.sizes[time_dim]}, freq='1h')"
    if index is None:
        came = "no coordinate"
    elif type(index).__name__ == "CFTimeIndex":
        came = f"a cftime calendar, {getattr(index, 'calendar', '')!r}"
    elif isinstance(index, pd.DatetimeIndex):
        came, new = f"the time zone {index.tz}", f"series.indexes[{time_dim!r}].tz_convert(None)"
    else:
        came = f"coordinates of type {index.dtype}"
    raise TimeAxisError(
        f"{time_dim!r} has {came}, where plain datetimes (datetime64) are wanted. Give it some, e.g. "
        f".assign_coords({time_dim}={new}); a cftime calendar is changed by .convert_calendar('standard')."
    )


def _require_increasing(times: pd.DatetimeIndex, name: str = "time") -> None:
    if times.hasnans:
        position = int(np.flatnonzero(times.isna())[0])
        raise TimeAxisError(
            f"Time {position} of {len(times)} is NaT. Drop such frames, e.g. "
            f".isel({name}=series[{name!r}].notnull().values)."
        )
    backwards = np.flatnonzero(np.diff(times.asi8) < 0)
    if backwards.size:
        first = backwards[0]
        raise TimeAxisError(
            f"The times are not sorted: {times[first + 1]} comes after {times[first]}. "
            f'Sort them, e.g. .sortby("{name}").'
        )
    if times.has_duplicates:
        twice = times[times.duplicated()].unique()
        raise TimeAxisError(
            f"{len(twice)} times come more than once, first {twice[0]}. Keep one of each, e.g. "
            f'.drop_duplicates("{name}"), or add them up, e.g. .groupby("{name}").sum().'
        )


def step_of(times: pd.DatetimeIndex) -> BaseOffset:
    """The regular step of the times; gaps are allowed.

    The step is the most common difference, and every other difference must be a whole number of
    it. Times on one day of the month (or all on its last day) are months or years apart: a month
    is a calendar step, not a number of days.

    Raises:
        TimeAxisError: If the times are unsorted, repeated, irregular, or fewer than two.

    >>> step_of(pd.to_datetime(["2024-01-01 00:00", "2024-01-01 00:30", "2024-01-01 02:00"]))
    <30 * Minutes>
    >>> step_of(pd.date_range("2024-01-31", periods=4, freq="ME"))
    <MonthEnd>
    """
    if len(times) < 2:
        raise TimeAxisError(
            f"{len(times)} frame(s) came; the step between frames takes at least two. Pass a longer series."
        )
    _require_increasing(times)
    months = _month_step(times)
    if months is not None:
        return months
    differences = np.diff(times.values).astype(NS)
    step = np.timedelta64(_most_common(differences))
    off = np.flatnonzero(differences % step)
    if off.size:
        first = off[0]
        raise TimeAxisError(
            f"The times are not on a regular step: most are {pd.Timedelta(step)} apart, but "
            f"{times[first]} and {times[first + 1]} are {pd.Timedelta(differences[first])} apart. Put "
            f'them on one, e.g. .resample(time="{_as_offset(step).freqstr}").mean().'
        )
    return _as_offset(step)


def _most_common(values: np.ndarray) -> Any:
    distinct, counts = np.unique(values, return_counts=True)
    return distinct[np.argmax(counts)]


def _as_offset(step: np.timedelta64) -> BaseOffset:
    # "D" rather than "24h": what pandas infers, so that the axes of others agree with ours
    days, rest = divmod(step, DAY)
    return pd.offsets.Day(int(days)) if not rest else to_offset(cast(pd.Timedelta, pd.Timedelta(step)))


def _month_step(times: pd.DatetimeIndex) -> BaseOffset | None:
    """Months or years, where all times are on one day of the month; else None."""
    month, time_of_day = _month_number(times), _time_of_day(times)
    same_hour = bool(np.all(time_of_day == time_of_day[0]))
    same_day = bool(np.all(times.day == times.day[0]))
    at_end = bool(np.all(times.is_month_end))
    apart = np.diff(month)
    if not same_hour or not (same_day or at_end) or np.any(apart == 0):
        return None
    step = int(_most_common(apart))
    if np.any(apart % step):
        return None
    first_month = int(np.asarray(times.month)[0])
    if at_end:
        yearly = pd.offsets.YearEnd(step // 12, month=first_month) if step % 12 == 0 else None
        return yearly or pd.offsets.MonthEnd(step)
    if np.asarray(times.day)[0] == 1:
        yearly = pd.offsets.YearBegin(step // 12, month=first_month) if step % 12 == 0 else None
        return yearly or pd.offsets.MonthBegin(step)
    if np.asarray(times.day)[0] > 28 and step % 12:
        return None  # February has no such day, and pandas would stay on the 28th from then on
    return pd.DateOffset(months=step)


def fixed_step(step: BaseOffset) -> np.timedelta64 | None:
    """The step as a duration, or None for a calendar step (months, years).

    >>> fixed_step(pd.offsets.Day(7)), fixed_step(pd.offsets.MonthBegin())
    (np.timedelta64(604800000000000,'ns'), None)
    """
    if isinstance(step, pd.offsets.Tick):
        return np.timedelta64(step.nanos, "ns")
    if isinstance(step, pd.offsets.Day | pd.offsets.Week):
        days = step.n * (7 if isinstance(step, pd.offsets.Week) else 1)
        return np.timedelta64(days, "D").astype(NS)
    return None


def regular_axis(times: pd.DatetimeIndex, step: BaseOffset | None = None) -> pd.DatetimeIndex:
    """Every time from the first to the last on the regular step, gaps filled in.

    Args:
        times: In order, each once.
        step: The step, where it was learnt elsewhere; by default the times' own.

    Raises:
        TimeAxisError: If a time is not on the step.

    >>> regular_axis(pd.to_datetime(["2024-01-01", "2024-01-02", "2024-01-04"])).day
    Index([1, 2, 3, 4], dtype='int32')
    """
    wanted = step_of(times) if step is None else step
    axis = pd.date_range(times[0], times[-1], freq=wanted, name=times.name).as_unit(times.unit)
    if step is not None and len(off := times.difference(axis)):
        raise TimeAxisError(
            f"{off[0]} is not a whole number of steps ({step.freqstr}, learnt in fit) after {times[0]}. "
            f"Pass a series with the step of the training series."
        )
    return axis


def following(time: pd.Timestamp, step: BaseOffset, n: int) -> pd.DatetimeIndex:
    """The n times after ``time``.

    >>> following(pd.Timestamp("2024-01-31"), pd.offsets.MonthEnd(), 2).strftime("%m-%d").tolist()
    ['02-29', '03-31']
    """
    return pd.date_range(time, periods=n + 1, freq=step).as_unit(time.unit)[1:]


def positive(n: int, name: str) -> int:
    """A number of frames or steps, checked.

    Raises:
        ValueError: If it is no whole number of at least 1.
    """
    if not isinstance(n, int | np.integer) or n < 1:  # pyright: ignore[reportUnnecessaryIsInstance]
        raise ValueError(f"{name}={n!r} came; it wants a whole number of at least 1.")
    return int(n)


def moment(when: Any, name: str) -> pd.Timestamp:
    """A time as a user writes it: text, a datetime, a NumPy or pandas time, ``series.time[0]``.

    Raises:
        ValueError: If it is none of these, or has a time zone.

    >>> moment("2024-01-01T06:00", "start")
    Timestamp('2024-01-01 06:00:00')
    """
    value: Any = np.asarray(when)[()]
    remedy = f"Pass one, e.g. {name}='2024-01-31T12:00' or {name}=series.time[100]."
    if value is None or isinstance(value, np.ndarray | np.number):  # a number would be nanoseconds from 1970
        raise ValueError(f"{name}={value} came, where a time is wanted. {remedy}")
    time = pd.Timestamp(value)
    if time is pd.NaT or time.tz is not None:
        raise ValueError(f"{name}={value} came, where a time without a time zone is wanted. {remedy}")
    return cast(pd.Timestamp, time)


def origin_rows(axis: pd.DatetimeIndex, *, start: Any, horizon: int, stride: int) -> np.ndarray:
    """Rows of a regular axis to forecast ``horizon`` frames from.

    The first is the row before ``start``, the others follow each ``stride`` rows. Where the axis begins
    later, so do they, in the same rhythm: models that lose their first frames share their origins.

    Args:
        axis: Times, with their ``freq``.
        start: Time of the first frame to be forecast; None is as early as possible.
        horizon: Frames forecast from each row; all lie on the axis.
        stride: Rows from one to the next.

    Raises:
        TooShortError: If there is none.

    >>> days = pd.date_range("2024-01-01", periods=9)
    >>> origin_rows(days, start="2024-01-04", horizon=2, stride=3)
    array([2, 5])
    >>> origin_rows(days[1:], start="2024-01-01", horizon=2, stride=3)
    array([1, 4])
    """
    horizon, stride, first = positive(horizon, "horizon"), positive(stride, "stride"), 0
    if start is not None:
        start = moment(start, "start")
        ahead = len(pd.date_range(start, axis[0], freq=axis.freq)) - 1 if start <= axis[0] else 0
        first = int(axis.searchsorted(start)) - 1 - ahead
    rows = np.arange(first, len(axis) - horizon, stride)
    rows = rows[rows >= 0]
    if not len(rows):
        raise TooShortError(
            f"The series, {len(axis)} frames to {axis[-1]}, holds no origin with {horizon} frames after it "
            f"from start={start} on. Start earlier, or forecast fewer frames."
        )
    return rows


def steps_between(
    origin: pd.Timestamp | np.datetime64, times: pd.DatetimeIndex, step: BaseOffset
) -> np.ndarray:
    """How many steps after the origin each time is; negative if before.

    Raises:
        TimeAxisError: If a time is not a whole number of steps away.

    >>> days = pd.to_datetime(["2024-03-31", "2023-12-31"])
    >>> steps_between(pd.Timestamp("2024-01-31"), days, pd.offsets.MonthEnd())
    array([ 2, -1])
    """
    first = pd.DatetimeIndex([origin])
    fixed = fixed_step(step)
    if fixed is not None:
        apart = (times - first[0]).values.astype(NS)
        steps, off = apart // fixed, (apart % fixed).astype(bool)
    else:
        steps, rest = divmod(_month_number(times) - _month_number(first), _months_of(step))
        same_day = np.asarray(times.is_month_end if _at_end(step) else times.day == first.day[0])
        off = (rest != 0) | ~same_day | (_time_of_day(times) != _time_of_day(first))
    if np.any(off):
        raise TimeAxisError(
            f"{times[np.flatnonzero(off)[0]]} is no whole number of steps of {step.freqstr} from "
            f"{first[0]}. Bring the series to the same time axis, e.g. .resample or .shift its times."
        )
    return np.asarray(steps).astype(int)


def _at_end(step: BaseOffset) -> bool:
    return isinstance(step, pd.offsets.MonthEnd | pd.offsets.YearEnd)


def _month_number(times: pd.DatetimeIndex) -> np.ndarray:
    return np.asarray(times.year) * 12 + np.asarray(times.month)


def _time_of_day(times: pd.DatetimeIndex) -> np.ndarray:
    return (times - times.normalize()).values.astype(NS)


def lead_times(step: BaseOffset, n: int) -> np.ndarray:
    """How far ahead each of n frames is: durations, or for calendar steps their number.

    >>> lead_times(pd.offsets.Hour(6), 3).astype("timedelta64[h]")
    array([ 6, 12, 18], dtype='timedelta64[h]')
    >>> lead_times(pd.offsets.MonthBegin(), 3)
    array([1, 2, 3])
    """
    fixed = fixed_step(step)
    count = np.arange(1, n + 1)
    return count if fixed is None else count * fixed


def _period_of(period: str) -> np.timedelta64 | None:
    """The period as a duration, or None for the year."""
    try:
        offset = to_offset(period)
    except ValueError as error:
        raise TimeAxisError(
            f"period={period!r} is not understood. Write a length of time, e.g. '1D', '7D', '24h', "
            f"or '1YE' for the year."
        ) from error
    if isinstance(offset, pd.offsets.YearBegin | pd.offsets.YearEnd) and offset.n == 1:
        return None
    length = fixed_step(offset)
    if length is None or length <= np.timedelta64(0, "ns"):
        raise TimeAxisError(
            f"period={period!r} has no fixed length. Use days or hours, e.g. '7D' or '24h', or "
            f"'1YE' for the year."
        )
    return length


def _months_of(step: BaseOffset) -> int:
    if isinstance(step, pd.offsets.YearBegin | pd.offsets.YearEnd):
        return 12 * step.n
    if isinstance(step, pd.offsets.MonthBegin | pd.offsets.MonthEnd):
        return step.n
    return int(step.kwds["months"])


def _whole(length: Any, each: Any, period: str, step: BaseOffset) -> int:
    """How many times ``each`` goes into the length, without a rest."""
    if not length % each:
        return int(length // each)
    raise TimeAxisError(
        f"The step between frames, {step.freqstr}, does not divide period={period!r}. Choose a "
        f"period that is a whole number of steps, or '1YE' for the position in the year."
    )


def period_steps(period: str, step: BaseOffset) -> int:
    """How many steps make up the period.

    Raises:
        TimeAxisError: If that is no whole number, or differs from year to year.

    >>> period_steps("7D", pd.offsets.Minute(30)), period_steps("1YE", pd.offsets.MonthBegin())
    (336, 12)
    """
    length, fixed = _period_of(period), fixed_step(step)
    if length is None and fixed is None:
        return _whole(12, _months_of(step), period, step)
    if length is not None and fixed is not None:
        return _whole(length, fixed, period, step)
    raise TimeAxisError(
        f"period={period!r} is not the same number of steps of {step.freqstr} each time: months "
        f"and years differ in length. Use days with a step of hours or days, e.g. '7D', and "
        f"'1YE' with a step of months."
    )


def position_in_period(
    times: pd.DatetimeIndex, period: str, *, step: BaseOffset | None = None
) -> tuple[np.ndarray, int]:
    """Where each time stands in its period, and how many positions the period has.

    A period of days counts from a Monday 00:00, so that a time has the same position in every
    series. In the year ('1YE', 'YS') the position is the month for monthly steps; for steps that
    divide the day it is the day and the time of day, and 29 February shares 28 February's.

    Args:
        times: In any order; repeats are allowed if ``step`` is given.
        period: A pandas offset, e.g. '1D', '7D', '1W', '24h', '1YE'.
        step: The step of the series the times belong to; by default that of ``times``.

    Raises:
        TimeAxisError: If the step does not divide the period.

    >>> position_in_period(pd.date_range("2024-01-03 12:00", periods=3, freq="12h"), "7D")
    (array([5, 6, 7]), 14)
    """
    step = step_of(times) if step is None else step
    length, fixed = _period_of(period), fixed_step(step)
    if length is None and fixed is not None:
        per_day = _whole(DAY, fixed, period, step)
        day_of_year = np.asarray(times.day_of_year)
        day = day_of_year - 1 - (np.asarray(times.is_leap_year) & (day_of_year >= 60))
        return day * per_day + (_time_of_day(times) // fixed).astype(int), 365 * per_day
    n_positions = period_steps(period, step)
    if length is None or fixed is None:
        return (np.asarray(times.month) - 1) * n_positions // 12, n_positions
    since = (times.values - MONDAY).astype(NS)
    return ((since % length) // fixed).astype(int), n_positions
