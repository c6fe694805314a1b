"""What a grid needs to know of a series' arrays: their type, and a Dataset's variables."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import xarray as xr

from darts_mim.errors import GridDimsError
from darts_mim.grid import encoding

Gridded = xr.DataArray | xr.Dataset


@dataclass(frozen=True, kw_only=True)
class Variable:
    """One variable of a Dataset, so that a forecast is that Dataset again."""

    name: str
    dims: tuple[str, ...]
    dtype: np.dtype
    attrs: dict[str, Any]

    def to_metadata(self) -> dict[str, Any]:
        """The variable in JSON types."""
        return {
            "name": self.name,
            "dims": list(self.dims),
            "dtype": self.dtype.str,
            "attrs": encoding.encode_value(self.attrs),
        }

    @classmethod
    def from_metadata(cls, metadata: Mapping[str, Any]) -> "Variable":
        """The variable that ``to_metadata`` wrote."""
        return cls(
            name=metadata["name"],
            dims=tuple(metadata["dims"]),
            dtype=np.dtype(metadata["dtype"]),
            attrs=encoding.decode_value(metadata["attrs"]),
        )


def float_type(dtype: np.dtype) -> np.dtype:
    """The float type that values of this type are worked on in: float64 stays, all else float32.

    >>> float_type(np.dtype("uint8")), float_type(np.dtype("float64"))
    (dtype('float32'), dtype('float64'))
    """
    if dtype.kind not in "biuf":
        raise TypeError(f"Values of type {dtype} came, where numbers are wanted. Convert them first.")
    return np.dtype(np.float64 if dtype == np.float64 else np.float32)


def as_float(array: xr.DataArray) -> xr.DataArray:
    """The array in its float type, the same one where it has that already."""
    return array.astype(float_type(array.dtype), copy=False)


def one_array(series: Gridded) -> xr.DataArray:
    """The series, or the first variable of a Dataset, whose dims speak for all."""
    if isinstance(series, xr.DataArray):
        return series
    if not isinstance(series, xr.Dataset):  # pyright: ignore[reportUnnecessaryIsInstance]
        raise TypeError(
            f"A {type(series).__name__} came, where an xarray DataArray or Dataset is wanted. Wrap "
            f"it, e.g. xr.DataArray(values, dims=('time', 'y', 'x'), coords={{'time': times}})."
        )
    if not series.data_vars:
        raise GridDimsError("The Dataset has no variables. Pass one with at least one.")
    return next(iter(series.data_vars.values()))


def variables_of(series: xr.Dataset, channel_dim: str | None) -> tuple[Variable, ...]:
    """The variables, checked: all on the same dims, and one alone if it has channels itself.

    Raises:
        GridDimsError: If they are not.
    """
    dims = set(one_array(series).dims)
    for name, variable in series.data_vars.items():
        if set(variable.dims) != dims:
            raise GridDimsError(
                f"Variable {name!r} has the dims {variable.dims}, not {tuple(sorted(map(str, dims)))} "
                f"as the first has. Leave it out, e.g. .drop_vars({name!r})."
            )
    if channel_dim is not None and len(series.data_vars) > 1:
        names = list(series.data_vars)
        raise GridDimsError(
            f"The Dataset has {len(names)} variables, which are channels, and a channel dim "
            f"{channel_dim!r} besides. Pass one variable, e.g. series[{names[0]!r}], or one entry, "
            f"e.g. .isel({channel_dim}=0)."
        )
    return tuple(
        Variable(
            name=str(name),
            dims=tuple(str(dim) for dim in variable.dims),
            dtype=variable.dtype,
            attrs=dict(variable.attrs),
        )
        for name, variable in series.data_vars.items()
    )


def stack(series: xr.Dataset, channel_dim: str) -> xr.DataArray:
    """The variables as channels, in a type that holds each of them."""
    dtype = np.result_type(*(float_type(variable.dtype) for variable in series.data_vars.values()))
    return series.astype(dtype, copy=False).to_dataarray(channel_dim)
