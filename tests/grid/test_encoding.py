import json

import numpy as np
import pytest
import xarray as xr

from darts_mim.grid import encoding


@pytest.mark.parametrize(
    "array",
    [
        np.float32([[1.1, np.nan], [np.inf, -0.0]]),
        np.arange(6, dtype=">i2").reshape(2, 3),
        np.array(["2024-01-01T00:00:00.123456789", "NaT"], dtype="M8[ns]"),
        np.array([1, 2], dtype="m8[h]"),
        np.array(["inflow", "é"]),
        np.array(["inflow", "é"], dtype=np.dtypes.StringDType()),  # as zarr gives strings back
        np.array(["a", None, 3], dtype=object),
        np.array([True, False]),
        np.float64(2.5),
    ],
)
def test_arrays_come_back_exactly_through_json(array):
    decoded = encoding.decode_array(json.loads(json.dumps(encoding.encode_array(array))))
    np.testing.assert_array_equal(decoded, array)
    assert decoded.dtype == array.dtype
    assert decoded.shape == array.shape


def test_attributes_come_back_and_compare_equal():
    attrs = {
        "units": "K",
        "scale": 0.1,
        "n": 3,
        "none": None,
        "range": [185.16, 322.1],
        "nested": {"flag": True},
        "fill": float("nan"),
        "bytes": np.float32([1, 2]),
    }
    encoded = encoding.encode_value(attrs)
    assert encoded == encoding.encode_value(attrs)
    decoded = encoding.decode_value(json.loads(json.dumps(encoded)))
    assert np.isnan(decoded.pop("fill"))
    np.testing.assert_array_equal(decoded.pop("bytes"), attrs["bytes"])
    assert decoded == {key: attrs[key] for key in decoded}


def test_an_attribute_json_has_no_word_for_becomes_text():
    assert encoding.encode_value({"slice": slice(3)}) == {"slice": "slice(None, 3, None)"}


def test_coords_come_back_identical():
    coords = xr.Dataset(
        coords={
            "lat": ("lat", np.float32([60, 50.5]), {"units": "degrees_north"}),
            "lat2d": (("lat", "x"), np.arange(6.0).reshape(2, 3)),
            "channel": ["in", "out"],
            "reference": np.datetime64("2024-01-01", "ns"),
        }
    )
    decoded = encoding.decode_coords(json.loads(json.dumps(encoding.encode_coords(coords))))
    xr.testing.assert_identical(decoded, coords)
    assert decoded["lat"].dtype == np.float32


def test_masks_come_back():
    mask = np.random.default_rng(0).random((2, 5, 3)) < 0.3
    encoded = json.loads(json.dumps(encoding.encode_mask(mask)))
    np.testing.assert_array_equal(encoding.decode_mask(encoded), mask)
    assert encoding.decode_mask(encoding.encode_mask(None)) is None
