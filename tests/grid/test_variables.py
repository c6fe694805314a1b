import json

import numpy as np
import pandas as pd
import pytest
import xarray as xr

from darts_mim.errors import GridDimsError
from darts_mim.grid.grid import Grid
from darts_mim.grid.variables import Variable, as_float, float_type, stack, variables_of


def weather():
    coords = {"time": pd.date_range("2024-01-01", periods=3)}
    t2m = xr.DataArray(np.arange(60.0).reshape(3, 5, 4), dims=("time", "y", "x"), coords=coords)
    rain = t2m.astype("int16").transpose("x", "y", "time").assign_attrs(range=np.float32([0, 9]))
    return xr.Dataset({"t2m": t2m, "rain": rain})


def test_datasets_that_are_no_grid_are_an_error():
    with pytest.raises(GridDimsError, match=r"'land' has the dims \('y',\), not .*drop_vars\('land'\)"):
        Grid.of(weather().assign(land=("y", np.zeros(5))))
    with pytest.raises(GridDimsError, match=r"2 variables.*channel dim 'level' besides.*\.isel\(level=0\)"):
        Grid.of(weather().expand_dims(level=2))
    with pytest.raises(GridDimsError, match="no variables"):
        Grid.of(xr.Dataset())
    with pytest.raises(TypeError, match="ndarray came, where an xarray DataArray"):
        Grid.of(np.zeros((3, 4, 5)))


def test_variables_come_back_through_json():
    for variable in variables_of(weather(), None):
        back = Variable.from_metadata(json.loads(json.dumps(variable.to_metadata())))
        assert (back.name, back.dims, back.dtype) == (variable.name, variable.dims, variable.dtype)
        np.testing.assert_equal(back.attrs, variable.attrs)


@pytest.mark.parametrize(
    ("dtypes", "expected"),
    [(("int16", "float32"), "float32"), (("float32", "float64"), "float64"), (("uint8", "int64"), "float32")],
)
def test_stacked_variables_share_a_type_that_holds_each(dtypes, expected):
    series = weather()
    series = series.assign({name: series[name].astype(d) for name, d in zip(series, dtypes, strict=True)})
    stacked = stack(series, "channel")
    assert stacked.dtype == expected
    np.testing.assert_array_equal(stacked.sel(channel="rain"), stacked.sel(channel="t2m"))


def test_float_types():
    array = weather().t2m
    assert as_float(array).data is array.data
    assert as_float(array > 3).dtype == "float32"
    with pytest.raises(TypeError, match="complex128 came, where numbers are wanted"):
        float_type(np.dtype(complex))
