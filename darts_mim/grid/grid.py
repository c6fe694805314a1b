"""The grid of a series: what does not hang on time, and the way to darts' components and back."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import pandas as pd
import xarray as xr

from darts_mim.errors import GapError, GridDimsError, GridMismatchError, TooShortError
from darts_mim.grid import encoding
from darts_mim.grid.dims import FORECAST_DIMS, find_dims
from darts_mim.grid.lazy import as_dask
from darts_mim.grid.times import times_of
from darts_mim.grid.variables import Gridded, Variable, as_float, float_type, one_array, stack, variables_of

METADATA_KEY = "darts_mim_grid"


@dataclass(frozen=True, kw_only=True, eq=False)
class Grid:
    """What a gridded series is apart from its values and times.

    A series is one time dim, two spatial dims and at most one channel dim, in any order and under
    any names. A component, as darts counts them, is one cell of (channel, row, column), in C order.

    >>> rain = xr.DataArray(
    ...     np.arange(24.0).reshape(2, 3, 4),
    ...     dims=("time", "lat", "lon"),
    ...     coords={"time": pd.date_range("2024-01-01", periods=2, freq="5min")},
    ...     name="rain",
    ... )
    >>> grid = Grid.of(rain)
    >>> grid
    Grid: 1 channel x 3 lat x 4 lon
    >>> values = grid.components(rain)
    >>> values.shape
    (2, 12)
    >>> bool(grid.series(values, rain.indexes["time"]).identical(rain))
    True
    """

    dims: tuple[str, ...]  # the user's own order
    time_dim: str
    spatial_dims: tuple[str, str]  # rows, columns
    channel_dim: str | None
    height: int  # cells
    width: int  # cells
    channels: tuple[Any, ...]  # labels; of a Dataset, its variables' names
    variables: tuple[Variable, ...] | None = None  # None if it was a DataArray
    coords: xr.Dataset  # all that do not hang on time, with attrs
    name: str | None
    attrs: dict[str, Any]
    time_attrs: dict[str, Any] = field(default_factory=dict)
    dtype: np.dtype
    mask: np.ndarray | None = None  # (channel, row, column), True = NaN at all times

    @classmethod
    def of(
        cls,
        series: Gridded,
        *,
        time_dim: str | None = None,
        spatial_dims: Sequence[str] | None = None,
        channel_dim: str | None = None,
        with_mask: bool = True,
    ) -> "Grid":
        """Learn the grid of a series.

        Args:
            series: A DataArray, or a Dataset whose variables are the channels.
            time_dim: Which dim is time; by default the one with datetimes.
            spatial_dims: Rows and columns; by default told from CF attributes and known names.
            channel_dim: Which dim is the channel; by default the one left over, if any.
            with_mask: Look for cells that are NaN at all times. It reads a lazy series once, but
                only if its first frame holds NaN.

        Raises:
            GridDimsError: If the dims cannot be told apart, or two channels have one label.
            TimeAxisError: If the times are not datetimes, each once and in order.
            TooShortError: If there are no frames.
            GapError: If all values are NaN.
        """
        array = one_array(series)
        roles = find_dims(array, time_dim=time_dim, spatial_dims=spatial_dims, channel_dim=channel_dim)
        if not array.sizes[roles.time]:
            raise TooShortError(f"The series has no frames along {roles.time!r}. Pass at least one.")
        times_of(array, roles.time)
        grid = cls._of_roles(series, roles.time, roles.spatial, roles.channel)
        if len(set(grid.channels)) < grid.n_channels:
            raise GridDimsError(
                f"The channels {grid.channels} do not all have a label of their own. Give them one each, "
                f"e.g. .assign_coords({roles.channel}=range({grid.n_channels}))."
            )
        return grid._with_mask(series) if with_mask else grid

    @classmethod
    def _of_roles(
        cls, series: Gridded, time_dim: str, spatial_dims: tuple[str, str], channel_dim: str | None
    ) -> "Grid":
        array = one_array(series)
        variables = variables_of(series, channel_dim) if isinstance(series, xr.Dataset) else None
        of_time = {time_dim, *FORECAST_DIMS}
        coords = xr.Dataset(coords=series.coords).drop_vars(
            [
                name
                for name, coord in series.coords.items()
                if name in (*of_time, "valid_time") or of_time & set(coord.dims)
            ]
        )
        if channel_dim is None:
            channels = (array.name,) if variables is None else tuple(v.name for v in variables)
        elif channel_dim in coords.coords:
            channels = tuple(coords[channel_dim].values.tolist())
        else:
            channels = tuple(range(array.sizes[channel_dim]))
        return cls(
            dims=tuple(str(dim) for dim in array.dims),
            time_dim=time_dim,
            spatial_dims=spatial_dims,
            channel_dim=channel_dim,
            height=array.sizes[spatial_dims[0]],
            width=array.sizes[spatial_dims[1]],
            channels=channels,
            variables=variables,
            coords=coords.compute(),
            name=None if array.name is None else str(array.name),
            attrs=dict(series.attrs),
            time_attrs=dict(series[time_dim].attrs) if time_dim in series.coords else {},
            dtype=array.dtype,
        )

    def _with_mask(self, series: Gridded) -> "Grid":
        frame = series.isel({self.time_dim: 0})
        arrays = [frame] if isinstance(frame, xr.DataArray) else frame.data_vars.values()
        if not any(array.isnull().values.any() for array in arrays):
            return self  # a cell that is NaN at all times is NaN in the first frame
        mask = self.canonical(as_dask(series)).isnull().all(self.time_dim).values
        if mask.all():
            raise GapError("Every value of the series is NaN. Check how it was read or masked.")
        return replace(self, mask=mask) if mask.any() else self

    @classmethod
    def of_timeseries(cls, series: Any) -> "Grid":
        """The grid that a darts TimeSeries carries in its metadata.

        Without one it is a single cell whose channels are the components.

        Raises:
            GridMismatchError: If the components do not fit the grid in the metadata.
        """
        components = tuple(str(name) for name in series.components)
        encoded = (series.metadata or {}).get(METADATA_KEY)
        if encoded is None:
            return cls(
                dims=("time", "component", "y", "x"),
                time_dim="time",
                spatial_dims=("y", "x"),
                channel_dim="component",
                height=1,
                width=1,
                channels=components,
                coords=xr.Dataset(coords={"component": list(components)}),
                name=None,
                attrs={},
                dtype=np.dtype(series.dtype),
            )
        grid = cls.from_metadata(encoded)
        grid.require_width(len(components), "The TimeSeries")
        return grid

    @property
    def n_channels(self) -> int:
        """Number of channels, 1 without a channel dim."""
        return len(self.channels)

    @property
    def n_components(self) -> int:
        """Number of cells times channels."""
        return self.n_channels * self.height * self.width

    @property
    def shape(self) -> tuple[int, int, int]:
        """(channel, row, column)."""
        return self.n_channels, self.height, self.width

    @property
    def canonical_dims(self) -> tuple[str, str, str]:
        """The names of (channel, row, column); "channel" where the user has no such dim."""
        return self.channel_dim or "channel", *self.spatial_dims

    def __repr__(self) -> str:
        channels = f"{self.n_channels} channel{'s' if self.n_channels != 1 else ''}"
        rows, columns = self.spatial_dims
        masked = "" if self.mask is None else f", {int(self.mask.sum())} never observed"
        return f"Grid: {channels} x {self.height} {rows} x {self.width} {columns}{masked}"

    def canonical(self, series: Gridded) -> xr.DataArray:
        """The series as one array with dims (time, channel, row, column).

        The dims init_time, lead_time and realization stay in front; a lazy series stays lazy.

        Raises:
            GridMismatchError: If the series is on another grid.
        """
        array = one_array(series)
        wanted = {*self.spatial_dims, *([self.channel_dim] if self.channel_dim else [])}
        came = {str(dim) for dim in array.dims}
        if not wanted <= came or not came <= wanted | {self.time_dim, *FORECAST_DIMS}:
            raise GridMismatchError(
                f"The series has the dims {tuple(array.dims)}, where {self.dims} were learnt. Rename, "
                f"select or expand its dims so that they agree."
            )
        other = self._of_roles(series, self.time_dim, self.spatial_dims, self.channel_dim)
        self.require_same(other, "The series")
        return self._arranged(series)

    def _arranged(self, series: Gridded) -> xr.DataArray:
        """As ``canonical``, of a series that is known to be on this grid."""
        array = one_array(series)
        channel_dim = self.canonical_dims[0]
        if isinstance(series, xr.Dataset) and self.channel_dim is None:
            array = stack(series, channel_dim)
        elif self.channel_dim is None:
            array = array.expand_dims(channel_dim)
        front = [dim for dim in FORECAST_DIMS if dim in array.dims and dim not in self.canonical_dims]
        time = [self.time_dim] if self.time_dim in array.dims else []
        return array.transpose(*front, *time, *self.canonical_dims)

    def restore(self, canonical: xr.DataArray, like: Gridded) -> Gridded:
        """A canonical array as ``like`` is: its kind, dims, names and attributes."""
        if isinstance(like, xr.DataArray):
            array = self._without_channel(canonical, 0, drop=False).transpose(*like.dims)
            return array.rename(like.name).assign_attrs(like.attrs)
        arrays = {
            name: self._without_channel(canonical, position, drop=True)
            .transpose(*variable.dims)
            .drop_attrs(deep=False)  # stacked, the variables carry the Dataset's
            .assign_attrs(variable.attrs)
            for position, (name, variable) in enumerate(like.data_vars.items())
        }
        restored = xr.Dataset(arrays, attrs=like.attrs)
        # a scalar coordinate that has the channel dim's name was lost in stacking
        return restored.assign_coords(
            {name: like[name] for name in like.coords if name not in restored.coords}
        )

    def _without_channel(self, canonical: xr.DataArray, position: int, *, drop: bool) -> xr.DataArray:
        """One channel of an array whose channel dim the user does not have."""
        if self.channel_dim is not None:
            return canonical
        return canonical.isel({self.canonical_dims[0]: position}, drop=drop)

    def components(self, series: Gridded, *, own: bool = False) -> np.ndarray:
        """The values as (time, component): a view where the user's order and type allow it.

        Integers become float32; float64 stays. ``own`` says that the grid was learnt from this very series,
        which then is not checked again.
        """
        values = as_float(self._arranged(series) if own else self.canonical(series)).values
        return values.reshape(*values.shape[:-3], self.n_components)

    def series(self, values: np.ndarray, times: pd.DatetimeIndex) -> Gridded:
        """Values as the user knows them: dims, coords, names, attrs, dtype; NaN under the mask.

        Args:
            values: (time, component) or (time, channel, row, column), either with samples behind.
            times: One for each frame.

        Returns:
            What ``Grid.of`` was given, at these times; several samples are a leading dim
            "realization". Integers come back as float32.
        """
        values = np.asarray(values)
        if values.ndim in (4, 5):
            values = values.reshape(len(values), -1, *values.shape[4:])
        return self._build(values, (self.time_dim,), {self.time_dim: times}, self.dims)

    def forecasts(
        self,
        values: np.ndarray,
        init_times: Any,
        lead_times: np.ndarray,
        valid_times: np.ndarray,
    ) -> Gridded:
        """Forecasts from several times, each of several frames.

        Args:
            values: (init_time, lead_time, component), samples behind if there are any.
            init_times: The last time each forecast has seen.
            lead_times: From ``times.lead_times``.
            valid_times: (init_time, lead_time), the times the frames are for.

        Returns:
            Dims (init_time, lead_time, and the user's without time), with ``valid_time``.
        """
        front = ("init_time", "lead_time")
        coords = {
            "init_time": np.asarray(init_times),  # a named index would be a dim of that name
            "lead_time": lead_times,
            "valid_time": (front, np.asarray(valid_times)),
        }
        dims = (*front, *(dim for dim in self.dims if dim != self.time_dim))
        return self._build(np.asarray(values), front, coords, dims)

    def _build(
        self,
        values: np.ndarray,
        front: tuple[str, ...],
        coords: Mapping[str, Any],
        dims: tuple[str, ...],
    ) -> Gridded:
        """Lay (*front, component[, sample]) out on the grid."""
        samples = values.shape[len(front) + 1 :]
        self.require_width(values.shape[len(front)], "The array of values")
        if samples:
            values = np.moveaxis(values, -1, 0)
            front = ("realization", *front)
        values = values.reshape(*values.shape[:-1], *self.shape)
        if samples == (1,):
            values, front = values[0], front[1:]
        if self.mask is not None:
            values = np.where(self.mask, np.asarray(np.nan, dtype=float_type(values.dtype)), values)
        canonical = xr.DataArray(values, dims=(*front, *self.canonical_dims))
        dims = (*(dim for dim in front if dim not in dims), *dims)
        result = self._named(canonical, dims)
        result = result.assign_coords(self.coords.coords).assign_coords(coords)
        if self.time_dim in result.coords:
            result[self.time_dim].attrs.update(self.time_attrs)
        return result

    def _named(self, canonical: xr.DataArray, dims: tuple[str, ...]) -> Gridded:
        """A canonical array under the names, attributes and types that were learnt."""
        if self.variables is None:
            array = self._without_channel(canonical, 0, drop=True).transpose(*dims)
            array = array.astype(float_type(self.dtype), copy=False)
            return array.rename(self.name).assign_attrs(self.attrs)
        arrays = {
            variable.name: self._without_channel(canonical, position, drop=True)
            .transpose(*_in_order(variable.dims, dims))
            .astype(float_type(variable.dtype), copy=False)
            .assign_attrs(variable.attrs)
            for position, variable in enumerate(self.variables)
        }
        return xr.Dataset(arrays, attrs=self.attrs)

    def require_same(self, other: "Grid", what: str) -> None:
        """Check that another grid is this one: dims, sizes, channels, coordinates.

        A coordinate that only one of them has is not compared.

        Args:
            other: The grid that came.
            what: Whose it is, for the message, e.g. "The series".

        Raises:
            GridMismatchError: Naming the first difference.
        """
        wanted, came = self.canonical_dims, other.canonical_dims
        if wanted != came:
            remedy = f"Rename or transpose it, e.g. .transpose(..., {wanted[1]!r}, {wanted[2]!r})."
            self._mismatch(what, f"channel, rows and columns {came}, not {wanted}", remedy)
        for dim, size, other_size in zip(wanted, self.shape, other.shape, strict=True):
            if size != other_size:
                remedy = f"Select the same ones, e.g. .sel({dim}=...), or fit again on this grid."
                self._mismatch(what, f"{other_size} cells along {dim!r}, not {size}", remedy)
        if (self.variables or self.channel_dim) and self.channels != other.channels:
            self._mismatch(
                what, f"the channels {other.channels}, not {self.channels}", "Select and order them."
            )
        for name, coord in self.coords.coords.items():
            if coord.ndim and name in other.coords.coords:
                difference = _first_difference(coord, other.coords[name])
                if difference is not None:
                    remedy = f"Bring it to the same cells, e.g. .sortby({name!r}) or .interp(...)."
                    self._mismatch(what, f"{name!r} {difference}", remedy)

    def _mismatch(self, what: str, difference: str, remedy: str) -> None:
        raise GridMismatchError(f"{what} is on another grid: it has {difference}. {remedy}")

    def require_width(self, n_components: int, what: str) -> None:
        """Check a number of components; ``what`` says whose it is, e.g. "The TimeSeries"."""
        if n_components != self.n_components:
            raise GridMismatchError(
                f"{what} has {n_components} components, where {self!r} takes {self.n_components}. Pass "
                f"all components of that grid, in their order."
            )

    def to_metadata(self) -> dict[str, Any]:
        """The grid in JSON types alone, as it rides in ``TimeSeries.metadata``.

        >>> series = xr.DataArray(
        ...     np.zeros((1, 2, 3)), dims=("time", "y", "x"), coords={"time": [np.datetime64("2024")]}
        ... )
        >>> Grid.from_metadata(Grid.of(series).to_metadata())
        Grid: 1 channel x 2 y x 3 x
        """
        return {
            "dims": list(self.dims),
            "time_dim": self.time_dim,
            "spatial_dims": list(self.spatial_dims),
            "channel_dim": self.channel_dim,
            "height": self.height,
            "width": self.width,
            "channels": encoding.encode_value(self.channels),
            "variables": self.variables and [each.to_metadata() for each in self.variables],
            "coords": encoding.encode_coords(self.coords),
            "name": self.name,
            "attrs": encoding.encode_value(self.attrs),
            "time_attrs": encoding.encode_value(self.time_attrs),
            "dtype": self.dtype.str,
            "mask": encoding.encode_mask(self.mask),
        }

    @classmethod
    def from_metadata(cls, metadata: Mapping[str, Any]) -> "Grid":
        """The grid that ``to_metadata`` wrote."""
        variables = metadata["variables"]
        return cls(
            dims=tuple(metadata["dims"]),
            time_dim=metadata["time_dim"],
            spatial_dims=tuple(metadata["spatial_dims"]),
            channel_dim=metadata["channel_dim"],
            height=metadata["height"],
            width=metadata["width"],
            channels=tuple(encoding.decode_value(metadata["channels"])),
            variables=variables and tuple(Variable.from_metadata(each) for each in variables),
            coords=encoding.decode_coords(metadata["coords"]),
            name=metadata["name"],
            attrs=encoding.decode_value(metadata["attrs"]),
            time_attrs=encoding.decode_value(metadata["time_attrs"]),
            dtype=np.dtype(metadata["dtype"]),
            mask=encoding.decode_mask(metadata["mask"]),
        )


def _first_difference(wanted: xr.DataArray, came: xr.DataArray) -> str | None:
    """In words, or None if there is none; NaN equals NaN."""
    if set(came.dims) != set(wanted.dims):
        return f"on the dims {came.dims}, not {wanted.dims}"
    ours, theirs = wanted.values, came.transpose(*wanted.dims).values
    differs = np.argwhere((theirs != ours) & ~(pd.isnull(theirs) & pd.isnull(ours)))
    if not differs.size:
        return None
    at = tuple(differs[0].tolist())
    return f"= {theirs[at]} at position {at}, not {ours[at]}"


def _in_order(dims: tuple[str, ...], wanted: tuple[str, ...]) -> tuple[str, ...]:
    """The wanted dims, the variable's own in the variable's order."""
    new = tuple(dim for dim in wanted if dim not in dims)
    return (*new, *(dim for dim in dims if dim in wanted))
