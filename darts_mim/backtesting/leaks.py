"""Does a forecast know what it is scored on? What can be seen of it is checked here."""

import warnings
from collections.abc import Mapping
from typing import Any, cast

import dask
import numpy as np
import pandas as pd
import xarray as xr

from darts_mim.backtesting.clock import Clock, Walk
from darts_mim.backtesting.forecasts import Made, can_sample, forecast_many, forecast_one
from darts_mim.backtesting.lead_labels import lead_labels
from darts_mim.errors import GapError, LeakError, LeakWarning, TooShortError
from darts_mim.grid.grid import Grid

Series = xr.DataArray | xr.Dataset

# Share of the spread of the frames forecast. What networks forecast in batches of another size differs by
# 1e-6 of it, in half precision by 1e-3; by what a model knows of the future and can use, by far more.
ROUNDING = 1e-3
BLOCK = 2**24  # values compared together, so that it needs little memory


def require_trained_before(forecasters: Mapping[str, Any], clock: Clock, gap: int) -> None:
    """Check that fitted models have learnt nothing from the frames that are forecast.

    Raises:
        LeakError: Naming the first that has, until when it was fitted, and what it should have been.
    """
    last = int(clock.rows[0]) - gap
    for name, forecaster in forecasters.items():
        until = fitted_until(forecaster)
        if until is None or (last >= 0 and until <= cast(pd.Timestamp, clock.axis[last])):
            continue
        before = f", less gap={gap}" if gap else ""
        raise LeakError(
            f"{name!r} was fitted on frames until {until}, and the first frame forecast is that of "
            f"{clock.axis[clock.rows[0] + 1]}{before}: it has learnt from what it is scored on. Fit it on "
            f"earlier frames alone, start later, or pass refit_every, so that it is fitted here. To score a "
            f"model on its training frames, pass the forecasts it makes there instead of the model."
        )


def fitted_until(forecaster: Any) -> pd.Timestamp | None:
    """The last time that a forecaster, or a step of a pipeline, has learnt from; None if there is none.

    It is also None where it cannot be known: of a model loaded from a file, or one that does not say so
    in ``fitted_until_`` or, as darts' models do, ``training_series``.
    """
    steps = [step for _, step in getattr(forecaster, "steps", []) if not isinstance(step, str | None)]
    known = [_own_end(step) for step in (*steps, forecaster)]
    learns = any(
        one is not None or not hasattr(step, "fitted_until_") for one, step in zip(known, steps, strict=False)
    )
    if learns and hasattr(forecaster, "series_"):  # of a pipeline: transformers learn from it
        known.append(_end_of(forecaster.series_))
    return max((one for one in known if one is not None), default=None)


def _own_end(step: Any) -> pd.Timestamp | None:
    if hasattr(step, "fitted_until_"):
        return step.fitted_until_
    return _end_of(getattr(step, "training_series", None))


def _end_of(series: Any) -> pd.Timestamp | None:
    """The last time of a series of any kind, or of a list of them."""
    if series is None:
        return None
    if isinstance(series, list | tuple):
        ends = [end for end in map(_end_of, series) if end is not None]
        return max(ends, default=None)
    if isinstance(series, xr.DataArray | xr.Dataset):
        times = [index for index in series.indexes.values() if isinstance(index, pd.DatetimeIndex)]
        return max((cast(pd.Timestamp, index[-1]) for index in times), default=None)
    end = series.end_time()
    return end if isinstance(end, pd.Timestamp) else None


def require_no_peeking(forecaster: Any, walk: Walk, made: Made, n: int, name: str) -> None:
    """Check that some of the forecasts come out the same where the future is not there to be seen.

    A forecaster that was only ever shown the past is not checked. One with ``predict`` is asked for the
    forecast from the past alone. If that differs, or there is no ``predict``, or forecasts are samples, it is
    asked twice from one origin, with the same seed: with the frames after it as they are, and as they are
    not.

    Args:
        forecaster: As it was when it made the forecasts.
        walk: What it was asked.
        made: What it forecast.
        n: How many of the origins to check: the first, the last and others in between.
        name: Whose they are, for the message.

    Raises:
        LeakError: Naming the origin, and by how much its forecast changes with the future.
    """
    if not hasattr(forecaster, "historical_forecasts") or not len(made.rows):
        return
    for index in np.unique(np.linspace(0, len(made.rows) - 1, n).round().astype(int)):
        row = made.rows[index : index + 1]
        if not _is_that_of_the_past(forecaster, walk, row, made.values[index], name):
            _require_same_with_another_future(forecaster, walk, row, name)


def _is_that_of_the_past(forecaster: Any, walk: Walk, row: np.ndarray, made: np.ndarray, name: str) -> bool:
    if can_sample(forecaster) or not hasattr(forecaster, "predict"):
        return False
    try:
        alone = forecast_one(forecaster, walk, row, name).values[0]
    except (GapError, TooShortError):
        return False
    return not _change(made, alone, _rounding(walk, row))


def _require_same_with_another_future(forecaster: Any, walk: Walk, row: np.ndarray, name: str) -> None:
    def ask(series: Series) -> np.ndarray:
        return forecast_many(forecaster, walk, row, name, series=series).values[0]

    series, n_past = _around(walk, int(row[0]))
    as_it_is = ask(series)
    other = ask(_with_another_future(series, n_past, walk.grid.time_dim))
    change = _change(as_it_is, other, _rounding(walk, row))
    if not change or _change(as_it_is, ask(series), np.zeros(1)):
        return  # the second: it never answers twice alike, so that nothing can be said
    raise LeakError(
        f"{name!r} knows what comes after {walk.clock.axis[row[0]]}: its forecast from there changes by up "
        f"to {change:.3g} when the frames after it do. Its historical_forecasts may read no frame after an "
        f"origin; leave it out of the class, and predict is called with the past alone."
    )


def _around(walk: Walk, row: int) -> tuple[Series, int]:
    """The series, and how many of its frames a row has seen; of a lazy one not all after it."""
    time_dim = walk.grid.time_dim
    n_past = walk.between(0, row).sizes[time_dim]
    if not walk.is_lazy:
        return walk.series, n_past
    ahead = max(walk.clock.horizon, BLOCK // walk.grid.n_components)
    return walk.between(0, min(row + ahead, len(walk.clock.axis) - 1)), n_past


def _with_another_future(series: Series, n_past: int, time_dim: str) -> Series:
    """All frames but the first upside down, and nearer to one another: other extremes, mean and spread."""

    def changed(frames: xr.DataArray) -> xr.DataArray:
        past = frames.isel({time_dim: slice(0, n_past)})
        future = frames.isel({time_dim: slice(n_past, None)}).variable.compute()
        if np.isfinite(values := future.values).any():
            low, high = np.nanmin(values), np.nanmax(values)
            future = future.copy(data=(low + (high - low) / 4 + (high - values) / 2).astype(frames.dtype))
        joined = xr.Variable.concat([past.variable, future], time_dim)
        return frames.copy(data=joined.transpose(*frames.dims).data)

    return series.map(changed) if isinstance(series, xr.Dataset) else changed(series)


def _rounding(walk: Walk, row: np.ndarray) -> np.ndarray:
    """(component,): by how much a forecast may differ, by the spread and size of its channel's frames."""
    frames = walk.observed(walk.clock.valid_rows(row)).astype(np.float64)
    channels = np.moveaxis(frames.reshape(-1, walk.grid.n_channels, walk.grid.height * walk.grid.width), 1, 0)
    known = [channel[np.isfinite(channel)] for channel in channels]
    allowed = [ROUNDING * one.std() + 1e-6 * abs(one).max() if one.size else 0.0 for one in known]
    return np.repeat(allowed, channels.shape[-1])


def _change(one: np.ndarray, other: np.ndarray, allowed: np.ndarray) -> float:
    """The largest difference of two forecasts, (lead, component[, sample]), that is more than allowed, or 0.

    It is infinite where only one of them is NaN, or they have other shapes.
    """
    if one.shape != other.shape or not np.array_equal(np.isnan(one), np.isnan(other)):
        return float("inf")
    difference = abs(one.astype(np.float64) - other)
    beyond = difference > allowed.reshape(-1, *(1,) * (one.ndim - 2))
    return float(np.max(difference, where=beyond, initial=0.0))


def warn_if_known(
    name: str, forecasts: Series, observed: Series, last_seen: xr.DataArray, grid: Grid
) -> None:
    """Warn of forecasts that hit the truth in every cell of a frame: they cannot be asked again.

    Frames that are the same in all cells, and those that are as the last one seen, are hit by chance
    or by persistence, and do not count. What is lazy is read block by block.

    Args:
        name: Whose forecasts they are.
        forecasts: On (init_time, lead_time, ...), samples or quantiles too.
        observed: The truth for the same origins.
        last_seen: (init_time, channel, row, column): the frames at the origins.
        grid: Of both.
    """
    truth, made, cells = grid.canonical(observed), grid.canonical(forecasts), grid.canonical_dims
    step = max(1, BLOCK // made.isel(init_time=0).size)
    hits = np.zeros(truth.sizes["lead_time"], dtype=int)
    for first in range(0, len(last_seen), step):
        block = {"init_time": slice(first, first + step)}
        hits += _hits(*_in_memory(made[block], truth[block], last_seen[block]), cells)
    if hits.any():
        labels = lead_labels(truth["lead_time"])
        each = ", ".join(f"{n} at {lead}" for n, lead in zip(hits, labels, strict=True) if n)
        warnings.warn(
            f"The forecasts of {name!r} equal the truth in every cell of frames that change: of those from "
            f"{len(last_seen)} origins, {each}. Check that they were made from the frames up to their "
            f"init_time, and that init_time is the last time seen.",
            LeakWarning,
            stacklevel=3,
        )


def _in_memory(*fields: xr.DataArray) -> tuple[xr.DataArray, xr.DataArray, xr.DataArray]:
    return dask.compute(*fields)


def _hits(made: xr.DataArray, truth: xr.DataArray, seen: xr.DataArray, cells: tuple[str, ...]) -> np.ndarray:
    """(lead,): from how many origins all cells of a frame that changes were hit."""
    known = truth.notnull()
    changes = (truth.max(cells) > truth.min(cells)) & ((truth != seen) & known).any(cells)
    front = [dim for dim in made.dims if dim not in truth.dims]  # samples or quantiles
    hit = ((made == truth) | ~known).all([*cells, *front])
    return (changes & hit).sum("init_time").values
