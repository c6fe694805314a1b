import itertools
import json

import numpy as np
import pandas as pd
import pytest
import xarray as xr
from darts import TimeSeries

from darts_mim.errors import (
    GapError,
    GridDimsError,
    GridMismatchError,
    TimeAxisError,
    TooShortError,
)
from darts_mim.grid.grid import METADATA_KEY, Grid

TIMES = pd.date_range("2024-01-01", periods=7, freq="6h", unit="ns")


def flow(dtype="float32", dims=("time", "channel", "lat", "lon")):
    values = np.random.default_rng(0).integers(0, 50, (7, 2, 5, 4)).astype(dtype)
    series = xr.DataArray(
        values,
        dims=("time", "channel", "lat", "lon"),
        coords={
            "time": ("time", TIMES, {"long_name": "local time"}),
            "channel": ["inflow", "outflow"],
            "lat": ("lat", np.linspace(60, 50, 5), {"units": "degrees_north"}),
            "lon": np.arange(4.0),
            "area": (("lat", "lon"), np.random.default_rng(1).random((5, 4))),
            "height": ((), 2.0, {"units": "m"}),
            "holiday": ("time", np.arange(7) % 2),
        },
        name="flow",
        attrs={"units": "vehicles", "range": np.float32([0, 50])},
    )
    return series.transpose(*dims)


def weather():
    series = flow("float64")
    t2m = series.isel(channel=0, drop=True).assign_attrs(units="K").rename("t2m")
    wind = series.isel(channel=1, drop=True).astype("float32").assign_attrs(units="m s-1")
    rain = (wind + 1).astype("int16").assign_attrs(units="mm")
    variables = {"t2m": t2m, "wind": wind.transpose("lon", "lat", "time"), "rain": rain}
    return xr.Dataset(variables, attrs={"source": "test"})


def slow_components(series):
    """(time, component) by looping, in the order (channel, row, column)."""
    rows, columns = (dim for dim in series.dims if dim in ("lat", "lon"))
    return np.array(
        [
            [
                series.isel({"time": t, "channel": c, rows: i, columns: j}).item()
                for c in range(series.sizes["channel"])
                for i in range(series.sizes[rows])
                for j in range(series.sizes[columns])
            ]
            for t in range(series.sizes["time"])
        ]
    )


@pytest.mark.parametrize("dims", list(itertools.permutations(("time", "channel", "lat", "lon"))))
def test_components_and_back_in_any_order_of_dims(dims):
    series = flow(dims=dims)
    grid = Grid.of(series)
    values = grid.components(series)
    np.testing.assert_array_equal(values, slow_components(series))
    xr.testing.assert_identical(grid.series(values, TIMES), series.drop_vars("holiday"))


def test_components_are_a_view_where_the_order_allows_it():
    series = flow()
    assert np.shares_memory(Grid.of(series).components(series), series.values)
    plain = series.isel(channel=0)
    assert np.shares_memory(Grid.of(plain).components(plain), plain.values)


@pytest.mark.parametrize(
    ("dtype", "expected"),
    [("uint8", "float32"), ("int64", "float32"), ("float16", "float32"), ("float64", "float64")],
)
def test_types(dtype, expected):
    series = flow(dtype)
    grid = Grid.of(series)
    assert grid.components(series).dtype == expected
    back = grid.series(grid.components(series).astype("float64"), TIMES)
    assert back.dtype == expected
    np.testing.assert_array_equal(back, series)


def test_no_channel_dim():
    series = flow().isel(channel=0)  # leaves a scalar coordinate "channel"
    grid = Grid.of(series)
    assert (grid.channel_dim, grid.shape, grid.channels) == (None, (1, 5, 4), ("flow",))
    back = grid.series(grid.components(series), TIMES)
    xr.testing.assert_identical(back, series.drop_vars("holiday"))
    xr.testing.assert_identical(grid.restore(grid.canonical(series), series), series)


def test_a_dataset_is_stacked_and_comes_back_variable_by_variable():
    series = weather()
    grid = Grid.of(series)
    values = grid.components(series)
    assert grid.channels == ("t2m", "wind", "rain")
    np.testing.assert_array_equal(values[:, :20], series.t2m.values.reshape(7, 20))
    np.testing.assert_array_equal(
        values[:, 20:40], series.wind.transpose("time", "lat", "lon").values.reshape(7, 20)
    )
    back = grid.series(values, TIMES)
    expected = series.assign(rain=series.rain.astype("float32")).drop_vars("holiday")
    xr.testing.assert_identical(back, expected)
    assert back.wind.dims == ("lon", "lat", "time")
    assert {name: v.dtype for name, v in back.items()} == {name: v.dtype for name, v in expected.items()}
    xr.testing.assert_equal(grid.restore(grid.canonical(series), series), series)


def test_a_dataset_of_one_variable_with_channels():
    series = flow().to_dataset()
    grid = Grid.of(series)
    assert grid.channels == ("inflow", "outflow")
    back = grid.series(grid.components(series), TIMES)
    xr.testing.assert_identical(back, series.drop_vars("holiday"))


def test_a_forecast_can_be_subtracted_without_renaming():
    series = flow()
    grid = Grid.of(series[:5])
    forecast = grid.series(grid.components(series[5:]) + 1, TIMES[5:])
    difference = forecast - series.isel(time=slice(5, None))
    assert difference.shape == (2, 2, 5, 4)
    np.testing.assert_array_equal(difference, 1)


def test_samples_become_realizations():
    series = flow(dims=("lat", "time", "lon", "channel"))
    grid = Grid.of(series)
    values = np.stack([grid.components(series), grid.components(series) + 1], axis=-1)
    sampled = grid.series(values, TIMES)
    assert sampled.dims == ("realization", "lat", "time", "lon", "channel")
    np.testing.assert_array_equal(sampled[1], series + 1)
    np.testing.assert_array_equal(grid.components(sampled), np.moveaxis(values, -1, 0))
    assert grid.series(values[..., :1], TIMES).dims == series.dims
    np.testing.assert_array_equal(grid.series(values.reshape(7, 2, 5, 4, 2), TIMES), sampled)


@pytest.mark.parametrize("n_samples", [None, 1, 3])
@pytest.mark.parametrize("make", [flow, weather])
def test_forecasts(make, n_samples):
    series = make()
    grid = Grid.of(series)
    values = grid.components(series)
    position = np.arange(2)[:, None] + np.arange(3) + 1  # init at 0 and 1, leads 1, 2, 3
    fields = values[position]
    if n_samples is not None:
        fields = np.stack([fields + sample for sample in range(n_samples)], axis=-1)
    leads = np.arange(1, 4) * np.timedelta64(6, "h").astype("m8[ns]")
    forecasts = grid.forecasts(fields, TIMES[:2], leads, TIMES.values[position])
    one = forecasts if isinstance(forecasts, xr.DataArray) else forecasts.t2m
    front = ("realization",) * (n_samples == 3) + ("init_time", "lead_time")
    assert one.dims[: len(front)] == front
    np.testing.assert_array_equal(
        forecasts.valid_time, forecasts.init_time.values[:, None] + forecasts.lead_time.values
    )
    observed = series.sel(time=forecasts.valid_time)
    error = forecasts.isel(realization=0) - observed if n_samples == 3 else forecasts - observed
    for field in error.data_vars.values() if isinstance(error, xr.Dataset) else [error]:
        np.testing.assert_array_equal(field, 0)
    np.testing.assert_array_equal(
        grid.canonical(forecasts).values.reshape(-1, 2, 3, grid.n_components)[0],
        fields if n_samples is None else fields[..., 0],
    )


def test_cells_never_observed_are_the_mask():
    series = flow().astype("float64")
    land = np.zeros((5, 4), bool)
    land[1, 2:] = True
    series = series.where(~xr.DataArray(land, dims=("lat", "lon")))
    series[3, 0, 0, 0] = np.nan  # a gap, not land
    series[0] = np.nan  # a missing first frame hides nothing
    grid = Grid.of(series)
    np.testing.assert_array_equal(grid.mask, [land, land])
    values = np.zeros((2, grid.n_components), dtype="float32")
    back = grid.series(values, TIMES[:2])
    np.testing.assert_array_equal(back.isnull(), np.broadcast_to(land, (2, 2, 5, 4)))
    assert not np.isnan(values).any()
    assert Grid.of(series, with_mask=False).mask is None
    assert Grid.of(flow()).mask is None


def test_a_lazy_series_stays_lazy():
    series = flow().chunk(time=3)
    grid = Grid.of(series, with_mask=False)
    assert grid.canonical(series).chunks is not None
    np.testing.assert_array_equal(grid.components(series), grid.components(flow()))
    dataset = weather().chunk(time=2)
    assert Grid.of(dataset).canonical(dataset).chunks is not None


def test_extra_leading_dims_stay_in_front():
    series = flow().isel(channel=0, drop=True)
    grid = Grid.of(series)
    ensemble = series.expand_dims(realization=3, axis=-1)
    assert grid.canonical(ensemble).dims == ("realization", "time", "channel", "lat", "lon")
    assert grid.canonical(series[0]).dims == ("channel", "lat", "lon")


@pytest.mark.parametrize("make", [flow, weather])
def test_metadata_round_trip(make):
    series = make()
    series = series.where(series.lat < 59)
    grid = Grid.of(series)
    metadata = grid.to_metadata()
    assert metadata == grid.to_metadata()
    back = Grid.from_metadata(json.loads(json.dumps(metadata)))
    assert back.to_metadata() == metadata
    xr.testing.assert_identical(back.coords, grid.coords)
    np.testing.assert_array_equal(back.mask, grid.mask)
    values = np.nan_to_num(grid.components(series))
    xr.testing.assert_identical(back.series(values, TIMES), grid.series(values, TIMES))


def test_metadata_rides_on_a_darts_series():
    series = flow()
    grid = Grid.of(series)
    metadata = {METADATA_KEY: grid.to_metadata()}
    carried = TimeSeries.from_times_and_values(TIMES, grid.components(series), metadata=metadata)
    learnt = Grid.of_timeseries(carried[2:])
    grid.require_same(learnt, "The TimeSeries")
    xr.testing.assert_identical(
        learnt.series(carried.all_values(copy=False), carried.time_index),
        series.drop_vars("holiday"),
    )
    with pytest.raises(GridMismatchError, match=r"TimeSeries has 3 components, where .* takes 40"):
        Grid.of_timeseries(carried[["0", "1", "2"]])


def test_a_darts_series_without_a_grid_is_one_cell():
    plain = TimeSeries.from_times_and_values(TIMES, np.ones((7, 3)), columns=["a", "b", "c"])
    grid = Grid.of_timeseries(plain)
    assert (grid.shape, grid.channels) == ((3, 1, 1), ("a", "b", "c"))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda s: s.isel(lat=slice(3)), r"3 cells along 'lat', not 5.*\.sel\(lat="),
        (lambda s: s[..., ::-1], r"'lon' = 3.0 at position \(0,\), not 0.0.*\.sortby\('lon'\)"),
        (lambda s: s.assign_coords(area=s.area + 1), r"'area' = .* at position \(0, 0\), not"),
        (
            lambda s: s.assign_coords(area=s.area.mean("lon")),
            r"'area' on the dims \('lat',\), not \('lat', 'lon'\)",
        ),
        (lambda s: s.assign_coords(channel=["in", "out"]), r"channels \('in', 'out'\), not"),
        (lambda s: s.rename(lat="y"), r"dims \('time', 'channel', 'y', 'lon'\), where .* were learnt"),
        (lambda s: s.isel(channel=0), r"dims \('time', 'lat', 'lon'\), where .* were learnt"),
    ],
)
def test_another_grid_is_an_error_that_names_the_first_difference(change, message):
    series = flow()
    with pytest.raises(GridMismatchError, match=message):
        Grid.of(series).canonical(change(series))


def test_grids_in_another_order_of_rows_and_columns_differ():
    with pytest.raises(GridMismatchError, match=r"The forecast is on another grid.*transpose"):
        Grid.of(flow()).require_same(Grid.of(flow(dims=("time", "channel", "lon", "lat"))), "The forecast")


def test_a_grid_without_coordinates_fits_one_with_them():
    bare = flow().drop_vars(["lat", "lon", "area", "height"])
    Grid.of(flow()).require_same(Grid.of(bare), "The series")
    Grid.of(bare).require_same(Grid.of(flow()), "The series")


def test_nan_in_a_coordinate_equals_itself():
    series = flow().assign_coords(area=flow().area.where(flow().area > 0.5))
    Grid.of(series).canonical(series)


def test_wrong_number_of_components_is_an_error():
    with pytest.raises(GridMismatchError, match=r"values has 39 components, where .* takes 40"):
        Grid.of(flow()).series(np.zeros((7, 39)), TIMES)


def test_bad_times_and_empty_series_are_errors():
    series = flow()
    with pytest.raises(TimeAxisError, match=r"not sorted.*\.sortby\(\"time\"\)"):
        Grid.of(series[::-1])
    with pytest.raises(TimeAxisError, match=r"2 times come more than once, first 2024-01-01 00"):
        Grid.of(series.isel(time=[0, 0, 1, 1, 2]))
    with pytest.raises(TimeAxisError, match="'time' has no coordinate, where plain datetimes"):
        Grid.of(series.drop_vars("time"))
    with pytest.raises(TooShortError, match="no frames along 'time'"):
        Grid.of(series[:0])
    with pytest.raises(GapError, match="Every value of the series is NaN"):
        Grid.of(series * np.nan)


def test_two_channels_of_one_label_are_an_error_with_the_remedy():
    twice = flow().assign_coords(channel=["flow", "flow"])
    with pytest.raises(GridDimsError, match=r"assign_coords\(channel=range\(2\)\)"):
        Grid.of(twice)
    assert Grid.of(twice.assign_coords(channel=range(2))).channels == (0, 1)


def test_the_picture_in_words():
    assert repr(Grid.of(flow())) == "Grid: 2 channels x 5 lat x 4 lon"
    masked = flow().where(flow().lat < 59)
    assert repr(Grid.of(masked)) == "Grid: 2 channels x 5 lat x 4 lon, 8 never observed"
