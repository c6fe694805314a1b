import numpy as np
import pandas as pd
import pytest
import xarray as xr

from darts_mim.errors import GridDimsError
from darts_mim.grid.dims import Dims, find_dims


def array(*dims, **coords):
    sizes = {dim: size for dim, size in zip(dims, (3, 4, 5, 6), strict=False)}
    return xr.DataArray(np.zeros(tuple(sizes.values())), dims=dims, coords=coords)


DAYS = pd.date_range("2024-01-01", periods=3)


@pytest.mark.parametrize(
    ("dims", "spatial", "channel"),
    [
        (("time", "channel", "lat", "lon"), ("lat", "lon"), "channel"),
        (("time", "lon", "lat", "band"), ("lon", "lat"), "band"),
        (("time", "level", "row", "col"), ("row", "col"), "level"),
        (("time", "quantity", "south_north", "west_east"), ("south_north", "west_east"), "quantity"),
        (("time", "level", "a", "b"), ("a", "b"), "level"),
        (("time", "height", "lat", "lon"), ("lat", "lon"), "height"),
        (("time", "Height", "Width"), ("Height", "Width"), None),
        (("time", "a", "b"), ("a", "b"), None),
    ],
)
def test_known_names_and_what_is_left(dims, spatial, channel):
    assert find_dims(array(*dims)) == Dims(time="time", spatial=spatial, channel=channel)


def test_time_is_the_dim_with_datetimes_whatever_its_name():
    assert find_dims(array("a", "slot", "b", a=("a", DAYS))).time == "a"
    assert find_dims(array("a", "b", "when", when=("when", pd.date_range("2024", periods=5)))) == Dims(
        time="when", spatial=("a", "b"), channel=None
    )


def test_cf_attributes_tell_rows_and_columns():
    series = array("time", "p", "q", "r", time=DAYS)
    series = series.assign_coords(
        p=("p", np.arange(4.0), {"units": "degrees_north", "standard_name": "latitude"}),
        r=("r", np.arange(6.0), {"axis": "X"}),
        q=("q", np.arange(5.0)),
    )
    series["p"].attrs["axis"] = "Y"
    assert find_dims(series) == Dims(time="time", spatial=("p", "r"), channel="q")


def test_2d_latitude_and_longitude_tell_rows_and_columns():
    series = array("time", "p", "q", "r", time=DAYS)
    both = ("q", "r"), np.zeros((5, 6))
    assert find_dims(series.assign_coords(lat=both, lon=both)).spatial == ("q", "r")


def test_arguments_settle_it():
    series = array("t1", "t2", "u", "v")
    found = find_dims(series, time_dim="u", spatial_dims=("v", "t1"), channel_dim="t2")
    assert found == Dims(time="u", spatial=("v", "t1"), channel="t2")
    assert find_dims(array("time", "u", "v", "w"), channel_dim="v").spatial == ("u", "w")
    assert find_dims(array("time", "u", "v", "w"), spatial_dims=("w", "u")).channel == "v"


@pytest.mark.parametrize(
    ("series", "arguments", "message"),
    [
        (array("a", "b", "c"), {}, r"dims \(a: 3, b: 4, c: 5\).*time cannot be told.*time_dim='a'"),
        (
            array("d1", "d2", "y", d1=("d1", DAYS), d2=("d2", pd.date_range("2024", periods=4))),
            {},
            r"which one is time cannot be told.*time_dim='d1'",
        ),
        (array("time", "u", "v", "w"), {}, r"rows and columns cannot be told.*spatial_dims=\('v', 'w'\)"),
        (array("time", "level", "lon"), {}, r"cannot be told.*spatial_dims=\('level', 'lon'\)"),
        (array("time", "y"), {}, r"cannot be told. Give it two.*expand_dims"),
        (array("time", "lat", "lon", "y"), {"channel_dim": "z"}, "'z' is none of them"),
        (
            array("time", "lat", "lon"),
            {"spatial_dims": ("lat",)},
            r"spatial_dims=\('lat',\) came; a grid has two",
        ),
        (array("time", "lat", "lon"), {"time_dim": "lat", "channel_dim": "lat"}, "for two roles"),
        (array("time", "band", "lat", "lon"), {"spatial_dims": ("lat", "lon"), "time_dim": "band"}, None),
    ],
)
def test_what_cannot_be_told_is_an_error_with_the_remedy(series, arguments, message):
    if message is None:
        assert find_dims(series, **arguments).channel == "time"
        return
    with pytest.raises(GridDimsError, match=message):
        find_dims(series, **arguments)


def test_two_dims_besides_rows_and_columns_are_too_many():
    series = xr.DataArray(np.zeros((1, 2, 3, 4, 5)), dims=("time", "level", "number", "lat", "lon"))
    with pytest.raises(GridDimsError, match=r"'level', 'number' are left.*\.isel\(number=0\)"):
        find_dims(series)
    with pytest.raises(GridDimsError, match=r"\.squeeze\('level'\)"):
        find_dims(series.isel(level=[0]))


def test_four_known_spatial_names_are_ambiguous():
    series = xr.DataArray(np.zeros((1, 2, 3, 4, 5)), dims=("time", "y", "x", "lat", "lon"))
    with pytest.raises(GridDimsError, match="which two are rows and columns cannot be told"):
        find_dims(series)


def test_a_forecast_is_no_series():
    forecasts = array("init_time", "lead_time", "lat", "lon")
    with pytest.raises(GridDimsError, match=r"'init_time' belongs to forecasts.*\.isel\(init_time=0\)"):
        find_dims(forecasts)
    ensemble = array("time", "realization", "lat", "lon")
    with pytest.raises(GridDimsError, match="'realization' belongs to forecasts"):
        find_dims(ensemble)
    assert find_dims(ensemble, channel_dim="realization").channel == "realization"


def test_labels_of_any_length_are_no_obstacle():
    """NumPy's StringDType, as zarr gives strings."""
    labels = np.array(["inflow", "outflow"], dtype=np.dtypes.StringDType())
    series = xr.DataArray(
        np.zeros((3, 2, 4, 5)),
        dims=("time", "channel", "y", "x"),
        coords={"time": pd.date_range("2024", periods=3), "channel": ("channel", labels)},
    )
    assert find_dims(series).channel == "channel"
