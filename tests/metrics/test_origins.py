import numpy as np
import pandas as pd
import pytest
import xarray as xr

from darts_mim.metrics.origins import Origins


def losses(coordinate):
    return xr.DataArray(np.ones(len(coordinate)), {"init_time": coordinate}, "init_time")


def test_missing_origins_leave_their_place():
    hours = pd.date_range("2024-01-01", periods=9, freq="6h").delete([1, 4, 5])
    origins = Origins.of(losses(hours), "init_time", horizon=4)
    np.testing.assert_array_equal(origins.places, [0, 2, 3, 6, 7, 8])
    assert origins.overlap == 4 and len(origins) == 6


@pytest.mark.parametrize(("horizon", "overlap"), [(1, 1), (3, 1), (4, 2), (6, 2), (7, 3)])
def test_a_stride_makes_fewer_origins_overlap(horizon, overlap):
    origins = Origins.of(losses([7, 10, 16, 19]), "init_time", horizon=horizon)
    np.testing.assert_array_equal(origins.places, [0, 1, 3, 4])
    assert origins.overlap == overlap


def test_without_a_coordinate_none_is_missing():
    origins = Origins.of(xr.DataArray(np.ones((3, 2)), dims=("init_time", "x")), "init_time", horizon=2)
    np.testing.assert_array_equal(origins.places, [0, 1, 2])
    assert Origins.of(losses([5]), "init_time", horizon=2).places.tolist() == [0]


@pytest.mark.parametrize(
    ("coordinate", "horizon", "message"),
    [
        ([0.5, 1.5], 1, "of type float64; wanted are datetimes or whole numbers"),
        (["a", "b"], 1, "datetimes or whole numbers"),
        ([0, 2, 1], 1, "2 comes before 1. Sort them"),
        ([0, 1, 1], 1, "1 comes before 1"),
        ([], 1, "no origins along 'init_time'"),
        ([0, 1], 0, "horizon=0 came"),
    ],
)
def test_what_has_no_place_is_refused(coordinate, horizon, message):
    with pytest.raises(ValueError, match=message):
        Origins.of(losses(np.array(coordinate)), "init_time", horizon=horizon)
