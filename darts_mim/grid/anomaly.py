"""Take the mean of each position in a period off, and put it back on."""

from functools import partial
from operator import add
from typing import Any

import numpy as np
import pandas as pd
import xarray as xr
from pandas.tseries.offsets import BaseOffset

from darts_mim.errors import GapError, TimeAxisError
from darts_mim.grid.harmonics import smooth_cycle
from darts_mim.grid.position_sums import PositionMeans, positions_on, sums_of_block
from darts_mim.grid.times import position_in_period, step_of, times_of
from darts_mim.grid.transformer import GridTransformer


class SeasonalAnomaly(GridTransformer):
    """What a series has above the training mean of, e.g., the same half hour of the week.

    The mean is taken for each cell in float64 over all values that are not NaN. Where a cell has
    none at a position, its anomaly there is NaN. 29 February shares the 28th's mean.

    Args:
        period: A pandas offset that the step divides, e.g. "7D", "1D"; "1YE" for the year.
        harmonics: Pairs of sine and cosine of a smooth mean, as in ``Climatology``: with few periods in
            training the mean at each position is noise for a good part. None for that mean.
        time_dim: Name of the time dim, if it cannot be told.
        spatial_dims: Names of rows and columns, if they cannot be told.
        channel_dim: Name of the channel dim, if it cannot be told.

    Attributes:
        climatology_: The means, or the smooth ones, float64, (position, channel, row, column), in the units
            of the series.
        counts_: How many values each is the mean of.
        step_: The training series' step.
        start_: The training series' first time.

    >>> times = pd.date_range("2024-01-01", periods=4, freq="12h")
    >>> series = xr.DataArray(
    ...     [[[0.0]], [[10.0]], [[2.0]], [[14.0]]], dims=("time", "y", "x"), coords={"time": times}
    ... )
    >>> anomaly = SeasonalAnomaly("1D").fit(series)
    >>> anomaly.climatology_.values.ravel()
    array([ 1., 12.])
    >>> anomaly.transform(series).values.ravel()
    array([-1., -2.,  1.,  2.])
    """

    climatology_: xr.DataArray
    counts_: xr.DataArray
    step_: BaseOffset
    start_: np.datetime64

    def __init__(
        self,
        period: str = "7D",
        *,
        harmonics: int | None = None,
        time_dim: str | None = None,
        spatial_dims: tuple[str, str] | None = None,
        channel_dim: str | None = None,
    ) -> None:
        super().__init__(time_dim=time_dim, spatial_dims=spatial_dims, channel_dim=channel_dim)
        self.period = period
        self.harmonics = harmonics

    def _learn(self, arrays: list[xr.DataArray]) -> None:
        times = times_of(arrays[0], self.grid_.time_dim)
        self.step_, self.start_ = step_of(times), times.values[0]
        _, n_positions = position_in_period(times, self.period)
        total = PositionMeans.none(n_positions, self.grid_.shape)
        place = partial(positions_on, start=self.start_, period=self.period, step=self.step_)
        sums = partial(sums_of_block, place=place, dims=(self.grid_.time_dim, *self.grid_.canonical_dims))
        for cells, part in self._statistics(arrays, sums, add):
            total.add(part, cells)
        means, counts = total.means, total.counts
        if self.harmonics is not None:
            means = smooth_cycle(
                means.reshape(n_positions, -1),
                counts.reshape(n_positions, -1),
                self.harmonics,
                period=self.period,
                step=self.step_,
            )
        means = means.reshape(counts.shape)
        dims = ("position", *self.grid_.canonical_dims)
        self.climatology_ = xr.DataArray(means, dims=dims)
        self.counts_ = xr.DataArray(counts, dims=dims)

    def _forward(self, array: xr.DataArray) -> xr.DataArray:
        return array.copy(data=(array - self._climatology_of(array)).data)

    def _backward(self, array: xr.DataArray, history: Any) -> xr.DataArray:
        return array.copy(data=(array + self._climatology_of(array)).data)

    def _climatology_of(self, array: xr.DataArray) -> xr.DataArray:
        """The mean that belongs to each frame, lazy if the array is."""
        valid = _valid_times(array, self.grid_.time_dim)
        position = self._positions(valid)
        seen = self.climatology_.notnull().any(self.grid_.canonical_dims).values[position]
        if not seen.all():
            first = valid.values.ravel()[np.argmin(seen)]
            raise GapError(
                f"{pd.Timestamp(first)} is at a position of period={self.period!r} that training never "
                f"saw ({int((~seen).sum())} frames are). Fit on a series that covers a whole period."
            )
        climatology = self.climatology_.astype(array.dtype)
        if array.chunks is not None:
            climatology = climatology.chunk({d: array.variable.chunksizes[d] for d in climatology.dims[1:]})
        return climatology.isel(
            position=xr.DataArray(position.reshape(valid.shape), dims=valid.dims)
        ).transpose(..., *self.grid_.canonical_dims)

    def _positions(self, valid: xr.Variable) -> np.ndarray:
        """Where each time stands in the period, flat; an error if it is off the learnt step."""
        return positions_on(valid.values.ravel(), self.start_, self.period, self.step_)


def _valid_times(array: xr.DataArray, time_dim: str) -> xr.Variable:
    name = "valid_time" if {"init_time", "lead_time"} & set(array.dims) else time_dim
    if name in array.coords and np.issubdtype(array[name].dtype, np.datetime64):
        return array[name].variable
    raise TimeAxisError(
        f"A series with the dims {array.dims} came, without the times its frames are for. Give it "
        f"the coordinate {time_dim!r}, or valid_time(init_time, lead_time) if it holds forecasts."
    )
