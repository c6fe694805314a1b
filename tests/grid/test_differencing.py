import numpy as np
import pandas as pd
import pytest
import xarray as xr
from darts import TimeSeries
from statsmodels.tsa.statespace.tools import diff as statsmodels_diff

from darts_mim.errors import GapError, TimeAxisError, TooShortError
from darts_mim.grid.differencing import GridDifferencer
from darts_mim.grid.grid import Grid

TIMES = pd.date_range("2024-01-01", periods=60, freq="6h", unit="ns")


def walk(times=TIMES, dtype="float64"):
    values = np.random.default_rng(0).normal(0, 1, (len(times), 4, 3)).cumsum(axis=0)
    return xr.DataArray(values.astype(dtype), dims=("time", "y", "x"), coords={"time": times})


@pytest.mark.parametrize("order", [0, 1, 2])
@pytest.mark.parametrize("lags", [(), (4,), ("1D",), (4, "7D")])
def test_equals_statsmodels(order, lags):
    series = walk()
    if not order and not lags:
        return
    expected = statsmodels_diff(series.values.reshape(60, -1), k_diff=order)
    for lag in [{"1D": 4, "7D": 28}.get(lag, lag) for lag in lags]:
        expected = statsmodels_diff(expected, k_diff=0, k_seasonal_diff=1, seasonal_periods=lag)
    model = GridDifferencer(order, lags).fit(series)
    changed = model.transform(series)
    np.testing.assert_allclose(changed.values.reshape(len(changed), -1), expected, atol=1e-12)
    assert model.n_lost_ == 60 - len(changed)
    back = model.inverse_transform(changed, history=series[: model.n_lost_])
    np.testing.assert_allclose(back, series[model.n_lost_ :], atol=1e-11)


def test_a_difference_across_a_missing_time_is_nan():
    gappy = walk().isel(time=[*range(20), *range(23, 60)])
    changed = GridDifferencer(1, (4,)).fit(gappy).transform(gappy)
    table = pd.DataFrame(gappy.values.reshape(57, -1), index=gappy.time).reindex(TIMES)
    expected = table.diff().diff(4)
    np.testing.assert_allclose(changed.values.reshape(52, -1), expected.loc[changed.time.values], atol=1e-12)
    assert bool(changed.sel(time=TIMES[23]).isnull().all())


def test_months_are_steps_whatever_their_length():
    times = pd.date_range("2015-01-31", periods=60, freq="ME").delete([17])
    series = walk(times)
    changed = GridDifferencer(0, ("1YE",)).fit(series).transform(series)
    table = pd.DataFrame(series.values.reshape(59, -1), index=times)
    expected = table.reindex(pd.date_range("2015-01-31", periods=60, freq="ME")).diff(12)
    np.testing.assert_allclose(changed.values.reshape(47, -1), expected.loc[times[12:]], atol=1e-12)


def test_forecasts_start_from_their_own_history():
    series = walk()
    model = GridDifferencer(1, ("1D",)).fit(series)
    forecasts = Grid.of(series).forecasts(
        np.zeros((3, 6, 12)),
        TIMES[[10, 11, 50]],
        np.arange(1, 7) * np.timedelta64(6, "h").astype("m8[ns]"),
        TIMES.values[np.array([10, 11, 50])[:, None] + np.arange(1, 7)],
    )
    back = model.inverse_transform(forecasts, history=series[:51])
    for row, init in enumerate((10, 11, 50)):
        frames = list(series.values[: init + 1])
        for _ in range(6):  # no change of the daily change: yesterday's step once more
            frames.append(frames[-1] + frames[-4] - frames[-5])
        np.testing.assert_allclose(back[row], frames[init + 1 :], atol=1e-12)


def test_float32_forecasts_add_up_in_float64():
    series = walk(dtype="float32") * 0 + 16777216
    model = GridDifferencer().fit(series)
    ones = model.transform(series) * 0 + np.float32(0.5)
    back = model.inverse_transform(ones, history=series[:1])
    assert back.dtype == "float32"
    np.testing.assert_array_equal(back[:, 0, 0], np.float32(16777216 + 0.5 * np.arange(1, 60)))


def test_every_darts_forecast_of_a_list_goes_back_by_one_history():
    values = np.random.default_rng(0).normal(size=(60, 3)).cumsum(axis=0)
    series = TimeSeries.from_times_and_values(TIMES, values)
    model = GridDifferencer(2).fit(series)
    changed = model.transform(series)
    forecasts = [changed[start : start + 5] for start in (0, 9, 40)]
    for start, back in zip((2, 11, 42), model.inverse_transform(forecasts, history=series), strict=True):
        np.testing.assert_allclose(back.values(), values[start : start + 5], atol=1e-12)


def test_a_lazy_history_is_read_only_where_it_is_needed():
    series = walk()
    model = GridDifferencer().fit(series)
    changed = model.transform(series)[40:]
    poisoned = series.chunk(time=1).copy()
    poisoned[:39] = poisoned[:39].map_blocks(lambda block: 1 / 0, template=poisoned[:39])
    back = model.inverse_transform(changed, history=poisoned)
    np.testing.assert_allclose(back, series[41:], atol=1e-12)


def test_missing_history_is_an_error():
    series = walk()
    model = GridDifferencer(1, (4,)).fit(series)
    changed = model.transform(series)
    with pytest.raises(ValueError, match=r"No history came.*last 5 frames.*history=series"):
        model.inverse_transform(changed)
    message = r"from the frame at 2024-01-01 00:00:00, which history \(2024-01-01 06"
    with pytest.raises(GapError, match=message):
        model.inverse_transform(changed, history=series[1:5])
    with pytest.raises(GapError, match=r"which history \(2024-01-01 00:00:00 to 2024-01-01 18"):
        model.inverse_transform(changed[20:], history=series[:4])
    with pytest.raises(TooShortError, match="history has no frames"):
        model.inverse_transform(changed, history=series[:0])


def test_forecasts_without_valid_time_are_an_error():
    series = walk()
    model = GridDifferencer().fit(series)
    frames = series.rename(time="lead_time").expand_dims(init_time=TIMES[:1])
    with pytest.raises(TimeAxisError, match=r"init_time and lead_time with the coordinate valid_time"):
        model.inverse_transform(frames, history=series)
    wrong = frames.assign_coords(valid_time=(("init_time", "lead_time"), TIMES.values[None]))
    with pytest.raises(TimeAxisError, match="valid_time is not init_time"):
        model.inverse_transform(wrong, history=series)


@pytest.mark.parametrize("arguments", [{"order": 0}, {"order": -1, "lags": (4,)}, {"lags": (0,)}])
def test_nothing_to_subtract_is_an_error(arguments):
    with pytest.raises(ValueError, match=r"came, where an order of at least 0"):
        GridDifferencer(**arguments).fit(walk())


@pytest.mark.parametrize("lag", [4, "1D"])
def test_one_lag_may_stand_alone(lag):
    """As text it would be read letter by letter."""
    series = walk()
    xr.testing.assert_identical(
        GridDifferencer(0, lag).fit_transform(series), GridDifferencer(0, [lag]).fit_transform(series)
    )


def test_too_short_is_an_error():
    model = GridDifferencer(2).fit(walk())
    with pytest.raises(TooShortError, match=r"2 frames, and its differences reach 2 steps back.*3 steps"):
        model.transform(walk()[:2])
    with pytest.raises(TooShortError, match="0 frames"):
        model.transform(walk()[:0])


def test_what_stands_on_an_unknown_frame_is_nan():
    series = walk()
    model = GridDifferencer(0, (4,)).fit(series)
    changed = model.transform(series)
    changed[10, 2, 1] = np.nan
    back = model.inverse_transform(changed, history=series[:4])
    expected = series[4:].copy()
    expected[10::4, 2, 1] = np.nan
    np.testing.assert_allclose(back, expected, atol=1e-12)
    back = model.inverse_transform(changed.isel(time=[0, 4, 9, 13]), history=series[:4])
    np.testing.assert_allclose(back[:2], series[[4, 8]], atol=1e-12)
    assert bool(back[2:].isnull().all())
