"""The doors between xarray and darts: one component a cell, the grid in the metadata."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
import xarray as xr

from darts_mim.grid.grid import METADATA_KEY, Grid
from darts_mim.grid.times import lead_times, times_of
from darts_mim.grid.windows import fill_axis
from darts_mim.models._compat import TimeSeries

Gridded = xr.DataArray | xr.Dataset


def to_timeseries(
    series: Gridded,
    *,
    time_dim: str | None = None,
    spatial_dims: Sequence[str] | None = None,
    channel_dim: str | None = None,
) -> TimeSeries:
    """A gridded series as a darts TimeSeries, float32, with its grid in the metadata.

    Components are cells in (channel, row, column) order. Missing times become rows of NaN, since a
    TimeSeries has no gaps.

    Args:
        series: A DataArray, or a Dataset whose variables are the channels.
        time_dim: Which dim is time, where it cannot be told.
        spatial_dims: Rows and columns, where they cannot be told.
        channel_dim: Which dim is the channel, where it cannot be told.

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
    values = grid.components(series).astype(np.float32, copy=False)
    values, times = fill_axis(values, times_of(series, grid.time_dim))
    channels, height, width = grid.shape
    names = [
        f"{grid.channels[c]}_{i}_{j}" for c in range(channels) for i in range(height) for j in range(width)
    ]
    return TimeSeries(
        times=times,
        values=values[:, :, np.newaxis],
        components=names,
        metadata={METADATA_KEY: grid.to_metadata()},
        copy=False,
    )


def from_timeseries(series: TimeSeries) -> Gridded:
    """A TimeSeries that carries a grid, as the user knows it: dims, coords, names, attrs, dtype.

    Likelihood parameters, several components a cell, become a last dim ``parameter``.

    Raises:
        GridMismatchError: If the components do not fit the grid in the metadata.
    """
    metadata = (series.metadata or {})[METADATA_KEY]
    grid = Grid.from_metadata(metadata)
    values = series.all_values(copy=False)
    per_cell, rest = divmod(series.n_components, grid.n_components)
    if per_cell > 1 and rest == 0:
        split = values[..., 0].reshape(len(values), grid.n_components, per_cell)
        names = [str(name).rsplit("_", 1)[-1] for name in series.components[:per_cell]]
        gridded = grid.series(split, series.time_index).rename(realization="parameter")
        last = [dim for dim in gridded.dims if dim != "parameter"]
        return gridded.transpose(*last, "parameter").assign_coords(parameter=names)
    return grid.series(values, series.time_index)


def from_forecasts(forecasts: Sequence[TimeSeries]) -> Gridded:
    """Forecasts from several origins as one array over init_time and lead_time.

    ``init_time`` is the last time a forecast has seen, ``valid_time`` the time a frame is for.

    Args:
        forecasts: As ``historical_forecasts(last_points_only=False)`` gives them: equally long.
    """
    grid = Grid.from_metadata((forecasts[0].metadata or {})[METADATA_KEY])
    step = forecasts[0].freq
    values = np.stack([forecast.all_values(copy=False) for forecast in forecasts])
    valid_times = np.stack([forecast.time_index.values for forecast in forecasts])
    init_times = pd.DatetimeIndex([forecast.start_time() - step for forecast in forecasts])
    leads: Any = lead_times(step, values.shape[1])
    return grid.forecasts(values, init_times, leads, valid_times)
