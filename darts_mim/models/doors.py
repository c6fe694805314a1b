"""Darts' methods, so that they take grids in xarray and answer in kind."""

import functools
import inspect
import warnings
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
import xarray as xr

from darts_mim.errors import GapError
from darts_mim.grid.times import moment
from darts_mim.grid.windows import WHOLE, row_kinds
from darts_mim.models._compat import TimeSeries
from darts_mim.models.forecasts import Forecasts
from darts_mim.models.timeseries import (
    covariates_to_timeseries,
    from_each,
    from_forecasts,
    from_timeseries,
    to_timeseries,
)


def is_gridded(value: Any) -> bool:
    """Whether a value is a series in xarray, or a list of such."""
    if isinstance(value, list | tuple):
        return bool(value) and all(is_gridded(one) for one in value)  # pyright: ignore[reportUnknownVariableType]
    return isinstance(value, xr.Dataset) or (isinstance(value, xr.DataArray) and value.ndim > 0)


def to_darts(value: Any, dims: Mapping[str, Any], *, covariates: bool = False) -> Any:
    """A grid as a TimeSeries, a time as pandas has it; anything else as it is."""
    if is_gridded(value):
        convert = covariates_to_timeseries if covariates else to_timeseries
        if isinstance(value, list | tuple):
            return [convert(one, **dims) for one in value]  # pyright: ignore[reportUnknownVariableType]
        return convert(value, **dims)
    if isinstance(value, xr.DataArray | np.datetime64):  # start=test.time[0]
        scalar: Any = np.asarray(value)[()]
        return pd.Timestamp(scalar) if isinstance(scalar, np.datetime64) else scalar
    return value


def arguments_to_darts(arguments: Mapping[str, Any], dims: Mapping[str, Any]) -> dict[str, Any]:
    """Each of a call's arguments as darts takes it; covariates may be numbers a time, ``start`` text."""
    entered = {
        name: to_darts(value, dims, covariates=name.endswith("covariates"))
        for name, value in arguments.items()
    }
    if isinstance(entered.get("start"), str) and entered["start"] != "end":
        entered["start"] = moment(entered["start"], "start")
    return entered


def to_xarray(result: Any) -> Any:
    """A TimeSeries, or each of a list, as the grid it carries."""
    if isinstance(result, Forecasts):
        return from_each(result)
    return from_timeseries(result) if isinstance(result, TimeSeries) else [from_timeseries(r) for r in result]


def as_lists(forecasts: Any) -> Any:
    """Historical forecasts as darts gives them: a TimeSeries, or lists of them."""
    if isinstance(forecasts, TimeSeries):
        return forecasts
    return [as_lists(each) for each in forecasts]


def like(method: Callable[..., Any]) -> Callable[[Callable[..., Any]], Any]:
    """Give an override the name, docstring and signature of darts' method, which it stands for."""
    return functools.wraps(method)


def takes_grids(method: Callable[..., Any]) -> Callable[..., Any]:
    """Let a darts method take a DataArray or Dataset wherever it takes a TimeSeries.

    Args:
        method: Of an object that says in ``entry`` how a grid comes in: which dims are which.
    """
    _, *names = inspect.signature(method).parameters

    @functools.wraps(method)
    def wrapped(self: Any, *args: Any, **kwargs: Any) -> Any:
        named = dict(zip(names, args, strict=False)) | kwargs
        return method(self, **arguments_to_darts(named, self.entry))

    return wrapped


def gather(forecasts: Any, series: Any, *, last_points_only: bool) -> Any:
    """Historical forecasts as grids, one a series.

    Args:
        forecasts: From darts: of each series, or of the one, a TimeSeries of last points or a list of
            whole forecasts.
        series: What was forecast, one or several.
        last_points_only: Whether only the last frame of each forecast was kept.

    Returns:
        Last points over time; whole forecasts over (init_time, lead_time).
    """
    if last_points_only:
        return to_xarray(forecasts)
    several = isinstance(series, list | tuple)
    return [from_forecasts(each) for each in forecasts] if several else from_forecasts(forecasts)


def without_broken(forecasts: Sequence[Any], masked: np.ndarray | None) -> Sequence[Any]:
    """The forecasts, of one series or of each, less those that were made from a broken window.

    Args:
        forecasts: A list of whole forecasts, or a list of such lists.
        masked: Components that the model never saw observed, so that they are NaN in every forecast.

    Raises:
        GapError: If every forecast of a series is broken.
    """
    if not isinstance(forecasts, Forecasts) and not isinstance(forecasts[0], TimeSeries):
        return [without_broken(each, masked) for each in forecasts]
    several = Forecasts.of(forecasts)
    whole = np.flatnonzero(~_are_broken(several.values[..., 0], masked)).tolist()
    if not whole:
        raise GapError(
            f"None of {len(forecasts)} forecasts has a whole input window: each touches a missing time or "
            f"NaN. Fill the gaps, e.g. .interpolate_na('time'), or start elsewhere."
        )
    if len(whole) < len(forecasts):
        warnings.warn(
            f"{len(forecasts) - len(whole)} of {len(forecasts)} origins are left out: their input window "
            f"touches a missing time or NaN.",
            stacklevel=3,
        )
    return several if len(whole) == len(several) else several.take(whole)


def _are_broken(values: np.ndarray, masked: np.ndarray | None) -> np.ndarray:
    """(forecast, time, component): which forecasts hold NaN."""
    if masked is not None:  # likelihood parameters are several components a cell
        masked = masked.repeat(values.shape[2] // masked.size)
    kinds = row_kinds(values.reshape(-1, values.shape[2]), masked)
    return (kinds != WHOLE).reshape(values.shape[:2]).any(axis=1)
