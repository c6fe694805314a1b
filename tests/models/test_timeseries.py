import itertools
import json

import numpy as np
import pandas as pd
import pytest
import xarray as xr

from darts_mim.errors import GridDimsError, GridMismatchError, TimeAxisError
from darts_mim.grid.grid import METADATA_KEY
from darts_mim.models.timeseries import (
    covariates_to_timeseries,
    from_forecasts,
    from_timeseries,
    to_timeseries,
)

DIMS = ("time", "channel", "lat", "lon")


def test_a_component_is_a_cell_in_channel_row_column_order(series):
    target = to_timeseries(series)
    assert target.components[7] == "flow_0_1_3"
    assert target.components[5 * 4] == "flow_1_0_0"
    np.testing.assert_array_equal(target.all_values()[:, 27, 0], series.values[:, 1, 1, 3])
    assert np.shares_memory(target.all_values(copy=False), series.values)


@pytest.mark.parametrize("order", list(itertools.permutations(DIMS))[::3], ids="-".join)
def test_there_and_back_in_any_order_of_dims(series, order):
    given = series.transpose(*order)
    assert from_timeseries(to_timeseries(given)).identical(given)


@pytest.mark.parametrize("dtype", ["float64", "float32", "int16", "uint8"])
def test_types_come_back(frames, dtype):
    given = (frames(10) * 100).astype(dtype)
    back = from_timeseries(to_timeseries(given))
    assert back.dtype == (given.dtype if given.dtype.kind == "f" else np.float32)
    xr.testing.assert_allclose(back, given.astype(back.dtype))


def test_a_dataset_comes_back_as_one(series):
    given = series.drop_vars("channel").isel(channel=0, drop=True).rename("rain").to_dataset()
    given["snow"] = (given.rain * 2).transpose("lat", "time", "lon").assign_attrs(units="mm")
    assert from_timeseries(to_timeseries(given)).identical(given)


def test_missing_times_are_rows_of_nan(series):
    target = to_timeseries(series.isel(time=[0, 1, 4, 5, 6]))
    assert len(target) == 7
    assert np.isnan(target.all_values()[2:4]).all()
    assert np.isfinite(target.all_values()[[0, 1, 4, 5, 6]]).all()


def test_the_metadata_are_plain_and_survive_slicing_and_scaling(masked):
    target = to_timeseries(masked)
    assert json.loads(json.dumps(target.metadata)) == target.metadata
    assert (target[3:9] * 2).metadata[METADATA_KEY] == target.metadata[METADATA_KEY]


def test_numbers_a_time_lie_on_no_grid(series):
    hour = series.time.dt.hour / 24
    both = xr.Dataset({"hour": hour, "day": series.time.dt.dayofweek / 7})
    table = both.to_dataarray("what").transpose("time", "what")
    assert METADATA_KEY not in (covariates_to_timeseries(hour).metadata or {})
    for given in (both, table):
        numbers = covariates_to_timeseries(given)
        assert list(numbers.components) == ["hour", "day"]
        np.testing.assert_allclose(numbers.values()[:, 0], hour.values, rtol=1e-6)
        assert numbers.dtype == np.float32


def test_numbers_stand_behind_frames(series):
    given = xr.Dataset({"heat": series.isel(channel=0, drop=True), "hour": series.time.dt.hour / 24})
    target = covariates_to_timeseries(given)
    assert target.n_components == 21
    assert target.components[-1] == "hour"
    np.testing.assert_array_equal(target.values()[:, :20].reshape(-1, 5, 4), given.heat.values)


def test_numbers_on_missing_times(series):
    hour = (series.time.dt.hour / 24).isel(time=[0, 1, 3])
    assert np.isnan(covariates_to_timeseries(hour).values()[2, 0])


def test_forecasts_over_init_time_and_lead_time(series):
    target = to_timeseries(series)
    gathered = from_forecasts([target[10:13], target[14:17]])
    assert gathered.dims == ("init_time", "lead_time", "channel", "lat", "lon")
    assert list(gathered.init_time.values) == list(series.time.values[[9, 13]])
    assert list(gathered.lead_time.values) == [np.timedelta64(h, "h") for h in (1, 2, 3)]
    np.testing.assert_array_equal(gathered.valid_time.values[1], series.time.values[14:17])
    np.testing.assert_array_equal(gathered.values[1], series.values[14:17])


def test_forecasts_of_months_count_their_steps(frames):
    target = to_timeseries(frames(12, freq="MS"))
    gathered = from_forecasts([target[3:5], target[4:6]])
    assert list(gathered.lead_time.values) == [1, 2]
    assert list(gathered.init_time.values) == list(target.time_index[[2, 3]])


def test_likelihood_parameters_are_a_last_dim(frames):
    given = frames(6, channels=1).isel(channel=0, drop=True).transpose("lat", "time", "lon")
    target = to_timeseries(given)
    names = [f"{name}_{p}" for name in target.components for p in ("mu", "sigma")]
    values = np.repeat(target.all_values(), 2, axis=1) * np.tile([1.0, 10.0], 20)[:, None]
    both = type(target)(target.time_index, values, components=names, metadata=target.metadata)
    back = from_timeseries(both)
    assert back.dims == ("lat", "time", "lon", "parameter")
    xr.testing.assert_allclose(back.sel(parameter="mu", drop=True), given)
    xr.testing.assert_allclose(back.sel(parameter="sigma", drop=True), given * 10)
    gathered = from_forecasts([both[:2], both[3:5]])
    assert gathered.dims == ("init_time", "lead_time", "lat", "lon", "parameter")
    np.testing.assert_allclose(gathered.sel(parameter="sigma")[1, 1], given.isel(time=4) * 10, rtol=1e-6)


def test_components_that_do_not_fit_the_grid(series):
    target = to_timeseries(series)
    with pytest.raises(GridMismatchError, match=r"has 7 components, where .* takes 40"):
        from_timeseries(target[list(target.components[:7])])


def test_wrong_series_are_told_so(series):
    with pytest.raises(GridDimsError):
        to_timeseries(series.isel(lat=0))
    with pytest.raises(TimeAxisError, match="sortby"):
        to_timeseries(series[::-1])
    with pytest.raises(TimeAxisError, match="drop_duplicates"):
        to_timeseries(xr.concat([series[:3], series[2:5]], "time"))
    with pytest.raises(TimeAxisError, match="assign_coords"):
        covariates_to_timeseries(xr.DataArray([1.0, 2.0], dims="time"))
    assert isinstance(to_timeseries(series).time_index, pd.DatetimeIndex)
