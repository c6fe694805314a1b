import numpy as np
import pandas as pd
import pytest
import xarray as xr

from darts_mim.errors import GapError
from darts_mim.models._compat import TimeSeries
from darts_mim.models.doors import is_gridded, takes_grids, to_darts, without_broken
from darts_mim.models.timeseries import to_timeseries

NO_DIMS = {"time_dim": None, "spatial_dims": None, "channel_dim": None}


def test_a_time_or_a_list_of_numbers_is_no_grid(series):
    assert is_gridded(series) and is_gridded([series, series.to_dataset()])
    assert not any(
        map(is_gridded, (series.time[0], [], [series, 3], to_timeseries(series), None, [0.1, 0.9]))
    )


def test_times_become_what_pandas_has(series):
    wanted = pd.Timestamp("2024-01-01 05:00")
    assert to_darts(series.time[5], NO_DIMS) == wanted
    assert to_darts(series.time.values[5], NO_DIMS) == wanted
    assert isinstance(to_darts(series.time[5], NO_DIMS), pd.Timestamp)


def test_arguments_are_known_by_name_wherever_they_stand(series):
    class Model:
        entry = NO_DIMS

        @takes_grids
        def fit(self, series, past_covariates=None, *, start=None, verbose=True):
            return series, past_covariates, start, verbose

    hour = series.time.dt.hour
    for came in (
        Model().fit(series, hour, start=series.time[3]),
        Model().fit(past_covariates=hour, series=series, start=series.time.values[3]),
    ):
        target, past, start, verbose = came
        assert isinstance(target, TimeSeries) and isinstance(past, TimeSeries)
        assert (past.n_components, start, verbose) == (1, series.indexes["time"][3], True)


def test_forecasts_from_a_broken_window_are_left_out(series):
    target = to_timeseries(series)
    broken = target[3:5].with_values(np.full((2, 40, 1), np.nan))
    with pytest.warns(UserWarning, match="1 of 3 origins are left out"):
        whole = without_broken([target[1:3], broken, target[5:7]], None)
    assert list(whole) == [target[1:3], target[5:7]]
    masked = np.zeros(40, dtype=bool)
    masked[7] = True
    values = target[1:3].all_values()
    values[:, 7] = np.nan
    unseen = target[1:3].with_values(values)
    assert list(map(list, without_broken([[unseen]], masked))) == [[unseen]]
    with pytest.raises(GapError, match=r"None of 1 forecasts .*interpolate_na"):
        without_broken([unseen], None)


def test_a_number_in_an_array_is_a_number():
    assert to_darts(xr.DataArray(20), NO_DIMS) == 20
