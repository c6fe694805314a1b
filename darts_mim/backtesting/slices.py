"""Which slice a frame is in: by hour, weekday, season or labels of one's own; and pooling within slices.

A slice is a set of frames that were forecast, told by when they are for. What was counted in them is summed
first and divided last, so that the slices of one kind add up to the whole.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import xarray as xr

from darts_mim.metrics.statistic import Statistic

if TYPE_CHECKING:
    from darts_mim.backtesting.result import BacktestResult

FRAMES = ("init_time", "lead_time")
DIMS = (*FRAMES, "channel")  # of a statistic, besides the model and what a metric has of its own
RUSH_HOURS = ((7, 10), (16, 19))  # from the first hour until before the second, Monday to Friday
SEASONS = ("DJF", "MAM", "JJA", "SON")

By = str | xr.DataArray


def _hour(times: pd.DatetimeIndex) -> np.ndarray:
    return np.asarray((times - times.normalize()) / pd.Timedelta(hours=1))


def _weekday(times: pd.DatetimeIndex) -> np.ndarray:
    return np.asarray(times.day_of_week)


def _weekend(times: pd.DatetimeIndex) -> np.ndarray:
    return _weekday(times) >= 5


def _month(times: pd.DatetimeIndex) -> np.ndarray:
    return np.asarray(times.month)


def _season(times: pd.DatetimeIndex) -> pd.Categorical:
    return pd.Categorical.from_codes(_month(times) % 12 // 3, list(SEASONS), ordered=True)


def _rush_hour(times: pd.DatetimeIndex) -> np.ndarray:
    hour = _hour(times)
    rush = np.any([(first <= hour) & (hour < last) for first, last in RUSH_HOURS], axis=0)
    return rush & ~_weekend(times)


OF_TIMES: Mapping[str, Callable[[pd.DatetimeIndex], Any]] = {
    "hour": _hour,
    "weekday": _weekday,
    "weekend": _weekend,
    "month": _month,
    "season": _season,
    "rush_hour": _rush_hour,
}
ATTRS: Mapping[str, Mapping[str, str]] = {
    "hour": {"long_name": "Time of day", "units": "h"},
    "weekday": {"long_name": "Day of the week, 0 is Monday"},
    "weekend": {"long_name": "Saturday or Sunday"},
    "rush_hour": {"long_name": "Monday to Friday, 7 to 10 and 16 to 19 h"},
}


@dataclass(frozen=True, kw_only=True)
class Slices:
    """Slices along one dim of the scores, and which of them every frame is in."""

    name: str
    labels: np.ndarray  # (slice,) sorted
    place: np.ndarray  # (init_time, lead_time) whole numbers; -1: in none of them
    attrs: Mapping[str, Any]

    @classmethod
    def of(cls, by: By, valid_time: xr.DataArray, time_dim: str) -> "Slices":
        """Slices by name, or by labels.

        Args:
            by: ``"init_time"`` or ``"lead_time"``, a name of :data:`OF_TIMES`, or labels: on ``init_time``
                they are of all frames forecast from there, on ``time_dim`` of the frames for that time.
            valid_time: (init_time, lead_time), what the frames are for.
            time_dim: The series' name of time.

        Raises:
            ValueError: If labels have no name, or no times that fit.

        >>> hours = pd.date_range("2024-01-05 22:00", periods=4, freq="h").values.reshape(2, 2)
        >>> frames = xr.DataArray(hours, dims=("init_time", "lead_time"))
        >>> Slices.of("weekend", frames, "time").place
        array([[0, 0],
               [1, 1]])
        >>> Slices.of("hour", frames, "time").labels
        array([ 0.,  1., 22., 23.])
        """
        times, shape = valid_time.transpose(*FRAMES), [valid_time.sizes[dim] for dim in FRAMES]
        if isinstance(by, xr.DataArray):
            place, labels = _looked_up(by, times, time_dim)
            return cls(name=str(by.name), labels=labels, place=place.reshape(shape), attrs=by.attrs)
        if by in FRAMES:
            place = np.indices(shape)[FRAMES.index(by)]
            return cls(name=by, labels=times[by].values, place=place, attrs=times[by].attrs)
        found = OF_TIMES[by](pd.DatetimeIndex(times.values.ravel()))
        place, labels = pd.factorize(found, sort=True)
        return cls(name=by, labels=np.asarray(labels), place=place.reshape(shape), attrs=ATTRS.get(by, {}))


def _looked_up(
    labels: xr.DataArray, valid_time: xr.DataArray, time_dim: str
) -> tuple[np.ndarray, np.ndarray]:
    """Which label each frame has, flat, and those that occur."""
    dim = _dim_of(labels, time_dim)
    times = valid_time.values
    if dim == "init_time":
        times = np.broadcast_to(valid_time[dim].values[:, None], times.shape)
    row = labels.indexes[dim].get_indexer(pd.DatetimeIndex(times.ravel()))
    of_row, known = pd.factorize(labels.values, sort=True)
    place = np.where(row >= 0, of_row[row], -1)
    if (place < 0).all():
        raise ValueError(
            f"The labels {labels.name!r} say nothing of any forecast: these have {dim} from {times.min()} to "
            f"{times.max()}. Make labels for some of them."
        )
    used = np.unique(place[place >= 0])
    return np.where(place >= 0, np.searchsorted(used, place), -1), np.asarray(
        pd.Index(known).infer_objects()  # true and false, where some are missing, are objects
    )[used]


def _dim_of(labels: xr.DataArray, time_dim: str) -> str:
    """The dim of a user's labels, checked, as their name is."""
    if labels.name is None:
        raise ValueError("The labels have no name, which their dim takes. Add one, e.g. .rename('regime').")
    if labels.dims not in [("init_time",), (time_dim,)]:
        raise ValueError(
            f"The labels {labels.name!r} have the dims {labels.dims}; wanted is init_time, for labels of "
            f"origins, or {time_dim}, for labels of the times that were forecast."
        )
    dim = str(labels.dims[0])
    if dim not in labels.indexes or not labels.indexes[dim].is_unique:
        came = "times that come twice" if dim in labels.indexes else "no times"
        raise ValueError(
            f"The labels {labels.name!r} have {came} along {dim}. Say once what each is for, e.g. "
            f".assign_coords({dim}=...) or .drop_duplicates({dim!r})."
        )
    return dim


def kept_by(result: "BacktestResult", *asked: By) -> list[str | Slices]:
    """What its scores are to keep, checked: dims of a statistic as they are, or slices of the frames.

    Args:
        result: Of a backtest.
        *asked: Dims, slices by name, or labels.

    Raises:
        ValueError: If one of them is not known, or labels have a name that is taken.
    """
    valid_time, time_dim = result.valid_time, result.grid.time_dim
    names = [by for by in asked if isinstance(by, str)]
    labels = [by for by in asked if isinstance(by, xr.DataArray)]
    if strange := [name for name in names if name not in (*DIMS, *OF_TIMES)]:
        raise ValueError(
            f"Scores have no dim {strange[0]!r}. Choose from {[*DIMS, *OF_TIMES]}, or pass labels, a named "
            f"DataArray on init_time or {time_dim}."
        )
    own = (statistic.value.dims for statistic in result.statistics.values())
    taken = [*names, *result.statistics, *{str(dim) for dims in own for dim in dims}]
    for one in labels:
        if one.name in taken:
            raise ValueError(
                f"The labels are named {one.name!r}, as something else is. Name them otherwise: .rename(...)."
            )
        taken.append(str(one.name))
    if not labels and set(names) <= set(DIMS):
        return list(dict.fromkeys(names))
    frames = {str(by.name) if isinstance(by, xr.DataArray) else by: by for by in asked if not _is_channel(by)}
    channel = ["channel"] if "channel" in names else []
    return [*(Slices.of(by, valid_time, time_dim) for by in frames.values()), *channel]


def _is_channel(by: By) -> bool:
    return isinstance(by, str) and by == "channel"


def pool(statistic: Statistic, kept: Sequence[str | Slices]) -> Statistic:
    """Pool origins, leads and channels, but for what is kept.

    A combination of slices that no frame is in has the weight 0.

    >>> counted = xr.DataArray([[1.0, 2.0], [4.0, 8.0]], dims=("init_time", "lead_time"))
    >>> place = np.array([[0, 1], [1, -1]])
    >>> storm = Slices(name="storm", labels=np.array(["no", "yes"]), place=place, attrs={})
    >>> pool(Statistic(value=counted, weight=counted > 0), [storm]).value.values
    array([1., 6.])
    """
    slices = [one for one in kept if isinstance(one, Slices)]
    pooled = [dim for dim in DIMS if dim in statistic.value.dims and dim not in kept]
    if not slices:
        return statistic.sum(pooled)
    statistic = statistic.sum([dim for dim in pooled if dim not in FRAMES])
    return Statistic(value=_sums(statistic.value, slices), weight=_sums(statistic.weight, slices))


def _sums(counted: xr.DataArray, slices: Sequence[Slices]) -> xr.DataArray:
    """The sum of each combination of slices. What hangs on origins alone counts once an origin."""
    frames = [dim for dim in FRAMES if dim in counted.dims]
    others = [dim for dim in counted.dims if dim not in frames]
    values = counted.transpose(*frames, *others).values
    values = values.reshape(-1, *values.shape[len(frames) :])
    inside = np.nonzero(np.all([one.place >= 0 for one in slices], axis=0))
    row = np.zeros(len(inside[0]), int)
    for dim in frames:
        row = row * counted.sizes[dim] + inside[FRAMES.index(dim)]
    shape = [len(one.labels) for one in slices]
    of_slice = np.ravel_multi_index([one.place[inside] for one in slices], shape)
    of_slice, row = np.divmod(np.unique(of_slice * len(values) + row), len(values))
    there = values[row].astype(float)
    there[np.isnan(there)] = 0.0  # as in the sums of xarray
    sums = np.zeros((int(np.prod(shape)), *values.shape[1:]))
    if len(row):
        first = np.flatnonzero(np.diff(of_slice, prepend=-1))
        sums[of_slice[first]] = np.add.reduceat(there, first)
    of_others = {name: coord for name, coord in counted.coords.items() if set(coord.dims) <= set(others)}
    of_slices = {one.name: (one.name, one.labels, dict(one.attrs)) for one in slices}
    dims = [one.name for one in slices]
    return xr.DataArray(sums.reshape(*shape, *values.shape[1:]), {**of_others, **of_slices}, (*dims, *others))
