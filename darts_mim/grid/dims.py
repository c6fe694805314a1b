"""Which dims of a series are time, rows, columns and channel."""

import functools
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass

import cf_xarray as cf_xarray  # registers the .cf accessor
import numpy as np
import xarray as xr

from darts_mim.errors import GridDimsError

FORECAST_DIMS = ("realization", "quantile", "init_time", "lead_time")

ROWS_AND_COLUMNS = (
    ("lat", "lon"),
    ("latitude", "longitude"),
    ("nav_lat", "nav_lon"),
    ("rlat", "rlon"),
    ("nlat", "nlon"),
    ("y", "x"),
    ("yc", "xc"),
    ("row", "col"),
    ("row", "column"),
    ("rows", "cols"),
    ("rows", "columns"),
    ("height", "width"),
    ("h", "w"),
    ("south_north", "west_east"),
    ("northing", "easting"),
    ("north", "east"),
    ("j", "i"),
)
TIMES = ("time", "valid_time", "date", "datetime", "timestamp", "t")
CHANNELS = (
    "channel",
    "channels",
    "band",
    "bands",
    "level",
    "lev",
    "plev",
    "pressure_level",
    "isobaricinhpa",
    "variable",
    "feature",
    "component",
    "c",
)

Described = tuple[str, tuple[str, ...], str, frozenset[tuple[Hashable, str]]]


@dataclass(frozen=True, kw_only=True)
class Dims:
    """The role of each dim of one series."""

    time: str
    spatial: tuple[str, str]  # rows, columns
    channel: str | None


def find_dims(
    series: xr.DataArray,
    *,
    time_dim: str | None = None,
    spatial_dims: Sequence[str] | None = None,
    channel_dim: str | None = None,
) -> Dims:
    """Tell time, rows, columns and channel apart.

    An argument settles its role. What is left is taken from the datetime coordinate, from CF
    attributes and from well-known names; of three dims, time takes one and the rows and columns
    are the other two, in the order in which they stand.

    Raises:
        GridDimsError: If a named dim is absent, or the roles cannot be told; it lists the dims
            and shows the argument to pass.

    >>> find_dims(xr.DataArray(np.zeros((3, 2, 5, 4)), dims=("time", "band", "lat", "lon")))
    Dims(time='time', spatial=('lat', 'lon'), channel='band')
    """
    dims = tuple(str(dim) for dim in series.dims)
    spatial = None if spatial_dims is None else _pair(spatial_dims)
    _require_present(series, [time_dim, *(spatial or ()), channel_dim])
    forecast = [dim for dim in dims if dim in FORECAST_DIMS and dim != channel_dim]
    if forecast:
        raise GridDimsError(
            f"{_listed(series)}; {forecast[0]!r} belongs to forecasts, and a series is wanted. Take "
            f"one, e.g. .isel({forecast[0]}=0)."
        )
    by_role = _coords_by_role(_described(series))
    time = time_dim or _find_time(series, by_role, taken=(*(spatial or ()), channel_dim))
    rest = [dim for dim in dims if dim not in (time, channel_dim)]
    if spatial is None:
        spatial = _find_spatial(series, by_role, rest)
    left = [dim for dim in rest if dim not in spatial]
    if len(left) > (channel_dim is None):
        size_one = [dim for dim in left if series.sizes[dim] == 1]
        drop = f".squeeze({size_one[0]!r})" if size_one else f".isel({left[-1]}=0)"
        raise GridDimsError(
            f"{_listed(series)}: besides {time!r}, {spatial[0]!r} and {spatial[1]!r} there may be one "
            f"channel dim, but {', '.join(map(repr, left))} are left. Take one entry, e.g. {drop}, or "
            f"name the dims, e.g. spatial_dims={tuple(left[-2:])!r}."
        )
    return Dims(time=time, spatial=spatial, channel=channel_dim or (left[0] if left else None))


def _described(series: xr.DataArray) -> frozenset[Described]:
    """All that cf_xarray looks at: each coordinate's name, dims, type and attributes that are text."""
    described: list[Described] = []
    for name, coord in series.coords.items():
        if not isinstance(coord.dtype, np.dtype):
            continue  # cf_xarray knows NumPy's types alone; times with a zone are refused by name later on
        is_time = isinstance(series.indexes.get(name), xr.CFTimeIndex)
        text = frozenset((key, value) for key, value in coord.attrs.items() if isinstance(value, str))
        dims = tuple(str(dim) for dim in coord.dims)
        # NumPy's own strings of any length have no name that makes them again
        dtype = "M8[ns]" if is_time else "U1" if coord.dtype.kind == "T" else coord.dtype.str
        described.append((str(name), dims, dtype, text))
    return frozenset(described)


@functools.lru_cache(maxsize=64)  # 15 ms, which a forecast in service would pay each time
def _coords_by_role(described: frozenset[Described]) -> dict[str, list[str]]:
    """Names of the coordinates that are T, X, Y, latitude or longitude, by attribute or well-known name."""
    coords = {
        name: (dims, np.zeros([1] * len(dims), dtype), dict(attrs)) for name, dims, dtype, attrs in described
    }
    guessed = xr.Dataset(coords=coords).cf.guess_coord_axis()
    return {
        str(role): [str(name) for name in names]
        for role, names in (guessed.cf.axes | guessed.cf.coordinates).items()
    }


def _listed(series: xr.DataArray) -> str:
    sizes = ", ".join(f"{dim}: {size}" for dim, size in series.sizes.items())
    return f"The series has the dims ({sizes})"


def _pair(spatial_dims: Sequence[str]) -> tuple[str, str]:
    if isinstance(spatial_dims, str) or len(spatial_dims) != 2:
        raise GridDimsError(
            f"spatial_dims={spatial_dims!r} came; a grid has two, rows and columns, e.g. "
            f"spatial_dims=('lat', 'lon')."
        )
    return spatial_dims[0], spatial_dims[1]


def _require_present(series: xr.DataArray, roles: Sequence[str | None]) -> None:
    named = [dim for dim in roles if dim is not None]
    for dim in named:
        if dim not in series.dims:
            raise GridDimsError(f"{_listed(series)}, and {dim!r} is none of them. Name one of these.")
    if len(set(named)) < len(named):
        raise GridDimsError(f"{_listed(series)}, and one is named for two roles: {named}.")


def _find_time(
    series: xr.DataArray, by_role: Mapping[str, Sequence[str]], taken: Sequence[str | None]
) -> str:
    dims = [str(dim) for dim in series.dims if dim not in taken]
    dtypes = {dim: series.coords[dim].dtype for dim in dims if dim in series.coords}
    by_dtype = [dim for dim, dtype in dtypes.items() if isinstance(dtype, np.dtype) and dtype.kind == "M"]
    by_attribute = [dim for dim in dims if dim in by_role.get("T", [])]
    by_name = [dim for dim in dims if dim.lower() in TIMES]
    for found in (by_dtype, by_attribute, by_name):
        if len(found) == 1:
            return found[0]
        if len(found) > 1:
            dims = found
    raise GridDimsError(
        f"{_listed(series)}; which one is time cannot be told. Pass it, e.g. "
        f"time_dim={str(series.dims[0])!r}."
    )


def _find_spatial(
    series: xr.DataArray, by_role: Mapping[str, Sequence[str]], rest: list[str]
) -> tuple[str, str]:
    """The rows and columns among the dims that are left, in the order in which they stand."""
    channels = [dim for dim in rest if dim.lower() in CHANNELS]
    others = [dim for dim in rest if dim not in channels]
    candidates = [
        _spatial_by_attribute(series, by_role, rest),
        *({dim for dim in rest if dim.lower() in pair} for pair in ROWS_AND_COLUMNS),
    ]
    found = {frozenset(pair) for pair in candidates if len(pair) == 2}
    if len(found) == 1:
        rows, columns = (dim for dim in rest if dim in next(iter(found)))
        return rows, columns
    if not found and len(others) == 2 and len(channels) <= 1:
        return others[0], others[1]
    guess = tuple(rest[-2:]) if len(rest) >= 2 else ("lat", "lon")
    remedy = (
        f"Pass them, e.g. spatial_dims={guess!r}."
        if len(rest) >= 2
        else "Give it two, e.g. .expand_dims('y', axis=-2) where there are no rows."
    )
    raise GridDimsError(f"{_listed(series)}; which two are rows and columns cannot be told. {remedy}")


def _spatial_by_attribute(
    series: xr.DataArray, by_role: Mapping[str, Sequence[str]], rest: list[str]
) -> set[Hashable]:
    axes = {name for role in ("X", "Y") for name in by_role.get(role, [])}
    if not axes:  # 2-D latitude and longitude stand on the dims that are wanted
        axes = {name for role in ("latitude", "longitude") for name in by_role.get(role, [])}
    return {dim for name in axes for dim in series.coords[name].dims if dim in rest}
