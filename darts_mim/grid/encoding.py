"""Coordinates, masks and attributes as JSON and back, exactly.

JSON types alone compare with ``==`` and survive ``json.dumps``; arrays do neither.
"""

import base64
from collections.abc import Mapping
from typing import Any

import numpy as np
import xarray as xr

ARRAY = "__array__"
STRINGS = np.dtypes.StringDType().str  # not a name that np.dtype takes back


def encode_array(array: np.ndarray) -> dict[str, Any]:
    """An array as its type, shape and values: datetimes and strings listed, numbers as base64.

    >>> encode_array(np.array(["2024-01-01"], dtype="M8[D]"))
    {'__array__': '<M8[D]', 'shape': [1], 'values': ['2024-01-01']}
    """
    array = np.asarray(array)
    head: dict[str, Any] = {ARRAY: array.dtype.str, "shape": list(array.shape)}
    if array.dtype.kind in "MUOT":
        text = np.datetime_as_string(array) if array.dtype.kind == "M" else array
        return head | {"values": [encode_value(value) for value in text.ravel().tolist()]}
    return head | {"base64": base64.b64encode(array.tobytes()).decode("ascii")}


def decode_array(encoded: Mapping[str, Any]) -> np.ndarray:
    """What ``encode_array`` was given.

    >>> decode_array(encode_array(np.float32([1.5, np.nan])))
    array([1.5, nan], dtype=float32)
    """
    name = encoded[ARRAY]
    dtype = np.dtypes.StringDType() if name == STRINGS else np.dtype(name)
    if "base64" in encoded:
        flat = np.frombuffer(base64.b64decode(encoded["base64"]), dtype=dtype).copy()
    else:
        flat = np.array([decode_value(value) for value in encoded["values"]], dtype=dtype)
    return flat.reshape(encoded["shape"])


def encode_value(value: Any) -> Any:
    """An attribute or label as JSON; what JSON has no word for becomes its text."""
    if isinstance(value, np.ndarray | np.generic) or (
        isinstance(value, float) and not np.isfinite(value)  # NaN is unequal to itself
    ):
        return encode_array(np.asarray(value))
    if value is None or isinstance(value, bool | int | float | str):
        return value
    if isinstance(value, list | tuple):
        return [encode_value(each) for each in value]
    if isinstance(value, Mapping):
        return {str(key): encode_value(each) for key, each in value.items()}
    return str(value)


def decode_value(encoded: Any) -> Any:
    """What ``encode_value`` was given; a tuple comes back as a list."""
    if isinstance(encoded, list):
        return [decode_value(each) for each in encoded]
    if isinstance(encoded, dict):
        if ARRAY in encoded:
            array = decode_array(encoded)
            return array if array.ndim else array[()]
        return {key: decode_value(each) for key, each in encoded.items()}
    return encoded


def encode_coords(coords: xr.Dataset) -> dict[str, Any]:
    """Each coordinate's dims, values and attributes."""
    return {
        str(name): {
            "dims": [str(dim) for dim in coord.dims],
            "values": encode_array(coord.values),
            "attrs": encode_value(coord.attrs),
        }
        for name, coord in coords.coords.items()
    }


def decode_coords(encoded: Mapping[str, Any]) -> xr.Dataset:
    """What ``encode_coords`` was given."""
    return xr.Dataset(
        coords={
            name: (coord["dims"], decode_array(coord["values"]), decode_value(coord["attrs"]))
            for name, coord in encoded.items()
        }
    )


def encode_mask(mask: np.ndarray | None) -> dict[str, Any] | None:
    """A mask as base64 of its packed bits."""
    if mask is None:
        return None
    bits = base64.b64encode(np.packbits(mask).tobytes()).decode("ascii")
    return {"shape": list(mask.shape), "bits": bits}


def decode_mask(encoded: Mapping[str, Any] | None) -> np.ndarray | None:
    """What ``encode_mask`` was given."""
    if encoded is None:
        return None
    packed = np.frombuffer(base64.b64decode(encoded["bits"]), dtype=np.uint8)
    shape = tuple(encoded["shape"])
    return np.unpackbits(packed, count=int(np.prod(shape))).astype(bool).reshape(shape)
