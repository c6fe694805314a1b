"""The doors between xarray and darts: one component a cell, the grid in the metadata."""

from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Any, cast

import numpy as np
import pandas as pd
import xarray as xr

from darts_mim.grid.grid import METADATA_KEY, Grid
from darts_mim.grid.lazy import is_lazy
from darts_mim.grid.times import lead_times, times_of
from darts_mim.grid.windows import fill_axis
from darts_mim.models._compat import TimeSeries
from darts_mim.models.forecasts import Forecasts
from darts_mim.models.lazy_series import LazyTimeSeries, beside
from darts_mim.stores.frames import CACHE_BYTES, LazyFrames

Gridded = xr.DataArray | xr.Dataset


def to_timeseries(
    series: Gridded,
    *,
    time_dim: str | None = None,
    spatial_dims: Sequence[str] | None = None,
    channel_dim: str | None = None,
    cache_bytes: int = CACHE_BYTES,
) -> TimeSeries:
    """A gridded series as a darts TimeSeries, float32, with its grid in the metadata.

    Components are cells in (channel, row, column) order. Missing times become rows of NaN, since a
    TimeSeries has no gaps. A series that is not in memory stays where it is, and is read as it is used.

    Args:
        series: A DataArray, or a Dataset whose variables are the channels.
        time_dim: Which dim is time, where it cannot be told.
        spatial_dims: Rows and columns, where they cannot be told.
        channel_dim: Which dim is the channel, where it cannot be told.
        cache_bytes: Memory for the frames of a series that is not in memory.

    Raises:
        GridDimsError: If the dims cannot be told apart.
        TimeAxisError: If the times are unsorted, repeated or not on a regular step.

    >>> rain = xr.DataArray(
    ...     np.zeros((3, 2, 4)), dims=("time", "y", "x"), coords={"time": pd.date_range("2024", periods=3)}
    ... )
    >>> to_timeseries(rain).n_components
    8
    >>> from_timeseries(to_timeseries(rain)).identical(rain)
    True
    """
    grid = Grid.of(series, time_dim=time_dim, spatial_dims=spatial_dims, channel_dim=channel_dim)
    labels = tuple("cell" if label is None else str(label) for label in grid.channels)
    components = _component_names(labels, grid.height, grid.width)
    metadata = {METADATA_KEY: grid.to_metadata()}
    if is_lazy(series):
        return LazyTimeSeries.of(LazyFrames(series, grid, cache_bytes=cache_bytes), components, metadata)
    values = grid.components(series, own=True).astype(np.float32, copy=False)
    values, times = fill_axis(values, times_of(series, grid.time_dim))
    return TimeSeries(times, values[:, :, np.newaxis], components=components, metadata=metadata, copy=False)


@lru_cache(maxsize=16)
def _component_names(labels: tuple[str, ...], height: int, width: int) -> Any:
    names = [f"{label}_{i}_{j}" for label in labels for i in range(height) for j in range(width)]
    return pd.Index(names, dtype=object)  # darts walks over them, which takes longer in other types


def covariates_to_timeseries(
    covariates: Gridded,
    *,
    time_dim: str | None = None,
    spatial_dims: Sequence[str] | None = None,
    channel_dim: str | None = None,
    cache_bytes: int = CACHE_BYTES,
) -> TimeSeries:
    """Covariates as a TimeSeries: frames, numbers that hold for all cells, or both in one Dataset.

    A DataArray of (time) or (time, anything), and a Dataset's variables of (time) alone, are numbers a
    time; they stand behind the frames' components.

    Args:
        covariates: A DataArray or a Dataset.
        time_dim: As in ``to_timeseries``.
        spatial_dims: As in ``to_timeseries``.
        channel_dim: As in ``to_timeseries``.
        cache_bytes: As in ``to_timeseries``.

    >>> hour = xr.DataArray([0.0, 0.5], coords={"time": pd.date_range("2024", periods=2)}, name="hour")
    >>> list(covariates_to_timeseries(hour).components)
    ['hour']
    """
    entry: dict[str, Any] = {
        "time_dim": time_dim,
        "spatial_dims": spatial_dims,
        "channel_dim": channel_dim,
        "cache_bytes": cache_bytes,
    }
    if isinstance(covariates, xr.DataArray):
        return _numbers(covariates, time_dim) if covariates.ndim < 3 else to_timeseries(covariates, **entry)
    alone = [name for name, variable in covariates.items() if variable.ndim == 1]
    frames = covariates.drop_vars(alone)
    if not alone:
        return to_timeseries(frames, **entry)
    numbers = _numbers(covariates[alone].to_dataarray("variable"), time_dim)
    if not frames.data_vars:
        return numbers
    entered = to_timeseries(frames, **entry)
    return beside(entered, numbers) if isinstance(entered, LazyTimeSeries) else entered.stack(numbers)


def _numbers(values: xr.DataArray, time_dim: str | None) -> TimeSeries:
    """(time) or (time, anything) as a TimeSeries that lies on no grid."""
    datetimes = [dim for dim in values.dims if isinstance(values.indexes.get(dim), pd.DatetimeIndex)]
    time = time_dim or str((datetimes or values.dims)[0])
    times = times_of(values, time)
    (other,) = [dim for dim in values.dims if dim != time] or ["covariate"]
    if values.ndim == 1:
        values = values.expand_dims({other: [values.name or "0"]})
    filled, times = fill_axis(values.transpose(time, other).values.astype(np.float32), times)
    names = [str(name) for name in values[other].values]
    return TimeSeries(times=times, values=filled[:, :, np.newaxis], components=names)


def from_timeseries(series: TimeSeries) -> Gridded:
    """A TimeSeries that carries a grid, as the user knows it: dims, coords, names, attrs, dtype.

    Likelihood parameters, several components a cell, become a last dim ``parameter``.

    Raises:
        GridMismatchError: If the components do not fit the grid in the metadata.
    """
    return _on_grid(
        series.all_values(copy=False), series.schema(copy=False), cast(pd.DatetimeIndex, series.time_index)
    )


def from_each(forecasts: Forecasts) -> list[Gridded]:
    """Forecasts of several series, each as ``from_timeseries`` gives it."""
    return [
        _on_grid(forecasts.values[k], forecasts.schemas[k], forecasts.times_of(k))
        for k in range(len(forecasts))
    ]


def from_forecasts(forecasts: Sequence[TimeSeries]) -> Gridded:
    """Forecasts from several origins as one array over init_time and lead_time.

    ``init_time`` is the last time a forecast has seen, ``valid_time`` the time a frame is for.

    Args:
        forecasts: As ``historical_forecasts(last_points_only=False)`` gives them: equally long.
    """
    several = Forecasts.of(forecasts)
    schema = several.schemas[0]
    grid = _grid_of(schema)
    parameters = _parameters(schema, grid)
    valid_times = several.times()
    init_times = pd.DatetimeIndex(valid_times[:, 0]) - schema["time_freq"]
    leads = lead_times(schema["time_freq"], valid_times.shape[1])
    gridded = grid.forecasts(_apart(several.values, parameters), init_times, leads, valid_times)
    return _name(gridded, parameters)


def _on_grid(values: np.ndarray, schema: Mapping[str, Any], times: pd.DatetimeIndex) -> Gridded:
    grid = _grid_of(schema)
    parameters = _parameters(schema, grid)
    return _name(grid.series(_apart(values, parameters), times), parameters)


def _grid_of(schema: Mapping[str, Any]) -> Grid:
    return Grid.from_metadata((schema["metadata"] or {})[METADATA_KEY])


def _parameters(schema: Mapping[str, Any], grid: Grid) -> list[str]:
    """Names of the likelihood parameters, where a cell has several components; else none."""
    components = schema["columns"]
    per_cell, rest = divmod(len(components), grid.n_components)
    if per_cell < 2 or rest:
        return []
    return [str(name).rsplit("_", 1)[-1] for name in components[:per_cell]]


def _apart(values: np.ndarray, parameters: list[str]) -> np.ndarray:
    """(..., component, 1) with each cell's parameters in the last axis."""
    return values.reshape(*values.shape[:-2], -1, len(parameters)) if parameters else values


def _name(gridded: Gridded, parameters: list[str]) -> Gridded:
    if not parameters:
        return gridded
    return (
        gridded.rename(realization="parameter")
        .transpose(..., "parameter")
        .assign_coords(parameter=parameters)
    )
