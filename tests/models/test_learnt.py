import json

import numpy as np
import pytest

from darts_mim.errors import GridMismatchError
from darts_mim.models.learnt import FUTURE, PAST, SERIES, LearntGrids
from darts_mim.models.timeseries import covariates_to_timeseries, to_timeseries


def learnt(series, past=None, future=None):
    return LearntGrids.of({SERIES: [to_timeseries(s) for s in series], PAST: past, FUTURE: future})


def test_masked_is_what_no_series_observes(frames):
    land, sea = frames(9), frames(9, seed=1)
    land[:, 0, 0, :2] = np.nan
    sea[:, 0, 0, 1:3] = np.nan
    assert np.flatnonzero(learnt([land, sea]).masked(SERIES)).tolist() == [1]
    assert learnt([land, frames(9)]).masked(SERIES) is None


def test_masked_components_come_in_as_0_and_the_series_stays_as_it_was(masked):
    target = to_timeseries(masked)
    (admitted,) = learnt([masked]).admit([target], SERIES)
    np.testing.assert_array_equal(admitted.values(), np.nan_to_num(target.values()))
    assert np.isnan(target.values()).any()


def test_nothing_is_copied_without_a_mask(series):
    target = to_timeseries(series)
    assert learnt([series]).admit([target], SERIES) == [target]


def test_numbers_behind_masked_frames_stay(masked, series):
    numbers = covariates_to_timeseries(series.time.dt.hour.astype("float32") + 1)
    past = to_timeseries(masked).stack(numbers)
    (admitted,) = learnt([series], past=[past]).admit([past], PAST)
    np.testing.assert_array_equal(admitted.values()[:, -1], numbers.values()[:, 0])
    assert np.isfinite(admitted.values()).all()


def test_channels_on_the_grid_are_counted(series, frames):
    heat = to_timeseries(frames(40, channels=3))
    grids = learnt([series], past=[heat], future=[covariates_to_timeseries(series.time.dt.hour)])
    assert [grids.n_channels(role) for role in (SERIES, PAST, FUTURE)] == [2, 3, 0]


def test_it_is_plain(masked):
    grids = learnt([masked])
    again = LearntGrids(json.loads(json.dumps(dict(grids.encoded))))
    np.testing.assert_array_equal(again.masked(SERIES), grids.masked(SERIES))


def test_series_and_covariates_on_other_grids(series, frames):
    with pytest.raises(GridMismatchError, match=r"future_covariates lie on 5 x 3 cells.*interp_like"):
        learnt([series], future=[to_timeseries(frames(40, width=3))])
    grids = learnt([series], past=[to_timeseries(series)])
    other = to_timeseries(series.assign_coords(lat=series.lat + 1))
    for role in (SERIES, PAST):
        with pytest.raises(GridMismatchError, match=f"The {role} is on another grid: it has 'lat'"):
            grids.admit([other], role)
        with pytest.raises(GridMismatchError, match=f"The {role} has 39 components"):
            grids.admit([to_timeseries(series)[[*to_timeseries(series).components[1:]]]], role)
