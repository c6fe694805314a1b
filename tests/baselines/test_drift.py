import darts
import numpy as np
import pandas as pd
import pytest
import xarray as xr
from baselines.series import flow
from darts.models import NaiveDrift

from darts_mim.baselines import Drift


def test_equals_darts_in_every_cell():
    series = flow(3)
    forecast = Drift().fit(series).predict(5)
    for cell in np.ndindex(2, 3, 4):
        one = darts.TimeSeries.from_times_and_values(series.indexes["time"], series.values[:, *cell])
        np.testing.assert_allclose(
            forecast.values[:, *cell], NaiveDrift().fit(one).predict(5).values()[:, 0], rtol=1e-12
        )


def test_the_window_is_darts_on_the_last_frames():
    series = flow(4)
    forecast = Drift(window=6).fit(series[:3]).predict(2, series)
    whole = Drift().fit(series[-6:]).predict(2)
    np.testing.assert_allclose(forecast, whole, rtol=1e-12)


def test_missing_values_at_either_end_by_hand():
    time = pd.date_range("2024-01-01", periods=5, freq="h")
    nan = np.nan
    # cells: 1 to 7 in 3 steps, a single value, none
    values = np.array([[nan, 4, nan], [1, nan, nan], [0, nan, nan], [nan, nan, nan], [7, nan, nan]])
    series = xr.DataArray(values[:, None], {"time": time}, ("time", "y", "x"))
    model = Drift().fit(series)
    np.testing.assert_array_equal(model.change_[:2], [2, 0])
    later = xr.DataArray(np.array([[[10, 5, nan]]]), {"time": time[:1]}, ("time", "y", "x"))
    np.testing.assert_array_equal(model.predict(2, later), [[[12, 5, nan]], [[14, 5, nan]]])


@pytest.mark.parametrize("window", [1, 0, 2.5, "3"])
def test_windows_that_are_none(window):
    with pytest.raises(ValueError, match=f"window={window!r} came"):
        Drift(window=window).fit(flow())
