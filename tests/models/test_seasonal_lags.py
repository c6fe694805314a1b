import numpy as np
import pandas as pd
import pytest
import xarray as xr
from darts import TimeSeries

from darts_mim.errors import GapError, TimeAxisError, TooShortError
from darts_mim.models.mim import MIMModel
from darts_mim.models.seasonal_lags import lag_steps, with_lags
from darts_mim.models.timeseries import to_timeseries

CALENDAR = {"cyclic": {"future": ["hour"]}}


def shifted(series, hours):
    """The series as it was so many hours ago, as a user would hand it over."""
    times = series.time.values + np.timedelta64(hours, "h")
    return series.assign_coords(
        time=times, channel=[f"{name}, {hours} h ago" for name in series.channel.values]
    )


def weights(model):
    return [value.numpy() for value in model.model.state_dict().values()]


@pytest.mark.parametrize(
    "options", [{}, {"add_encoders": CALENDAR}, {"patch_size": 2, "time_reversal": True}]
)
def test_it_is_the_series_shifted_as_a_future_covariate(tiny, frames, options):
    series = frames(60)
    asked = {"forecast_horizon": 4, "start": series.time[40]}
    model = tiny(seasonal_lags=("12h",), **options).fit(series)
    known = shifted(series, 12)
    other = tiny(**options).fit(series, future_covariates=known)
    assert model.windows_.used == other.windows_.used == 60 - 12 - 5
    for mine, theirs in zip(weights(model), weights(other), strict=True):
        np.testing.assert_array_equal(mine, theirs)
    xr.testing.assert_identical(model.predict(12), other.predict(12, future_covariates=known))
    xr.testing.assert_identical(
        model.historical_forecasts(series, **asked),
        other.historical_forecasts(series, future_covariates=known, **asked),
    )


def test_several_lags_beside_covariates_of_both_kinds(tiny, frames):
    series, heat = frames(60), frames(80, channels=1, seed=1)
    given = xr.Dataset({"heat": heat, "hour": heat.time.dt.hour / 24})
    model = tiny(seasonal_lags=(12, "1D")).fit(series, future_covariates=given)
    by_hand = xr.concat([heat, shifted(series, 12), shifted(series, 24)], "channel", join="inner")
    other = tiny().fit(series, future_covariates=given[["hour"]].assign(all=by_hand).sel(time=by_hand.time))
    assert model.windows_.used == other.windows_.used == 60 - 24 - 5
    for mine, theirs in zip(weights(model), weights(other), strict=True):
        np.testing.assert_array_equal(mine, theirs)
    assert not model.predict(4, future_covariates=given).equals(model.predict(4, future_covariates=given * 2))


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("first", [-3, 0, 2])
def test_lags_stand_between_grids_and_numbers(first, dtype):
    days = pd.date_range("2024-01-10", periods=5)
    series = TimeSeries(days, np.arange(5.0, dtype=dtype).reshape(5, 1, 1), components=["flow"])
    times = pd.date_range(days[0] + first * days.freq, periods=20)
    own = np.stack([np.arange(100.0, 120), np.arange(200.0, 220)], 1).astype(dtype)
    covariates = TimeSeries(times, own[..., None], components=["heat", "day"])
    together = with_lags(series, covariates, [2, 3], 1)
    assert list(together.components) == ["heat", "flow, 2 steps ago", "flow, 3 steps ago", "day"]
    assert together.dtype == dtype
    assert together.start_time() == times[0] and together.end_time() == days[-1] + 2 * days.freq
    level = pd.Series(np.arange(5.0), days)
    for lag, name in ((2, "flow, 2 steps ago"), (3, "flow, 3 steps ago")):
        wanted = level.shift(freq=lag * days.freq).reindex(together.time_index).to_numpy()
        np.testing.assert_array_equal(together[name].values()[:, 0], wanted)
    np.testing.assert_array_equal(together["day"].values()[:, 0], own[: len(together), 1])


def test_origins_without_the_frames_of_a_season_ago_are_left_out(tiny, frames):
    series = frames(70)
    model = tiny(seasonal_lags=("12h",)).fit(series)
    gappy = series.drop_isel(time=40)
    with pytest.warns(UserWarning, match="origins are left out"):
        forecasts = model.historical_forecasts(gappy, forecast_horizon=2, start=30)
    origins = {int(row) for row in (forecasts.init_time - series.time[0]) / np.timedelta64(1, "h")}
    reads_gap = set(range(40, 44))  # among its four frames
    a_season_on = set(range(50, 55))  # 40 + 12 is to come, or among its frames but the first
    assert {*range(30, 68)} - origins == reads_gap | a_season_on
    with pytest.raises(GapError, match="frames of seasonal_lags are among the future ones"):
        model.predict(2, gappy.isel(time=slice(53)))


def test_masked_cells_and_a_file(tiny, masked, tmp_path):
    model = tiny(seasonal_lags=("6h",)).fit(masked)
    forecast = model.predict(3)
    assert np.array_equal(np.isnan(forecast[0]), np.isnan(masked[0]))
    model.save(str(tmp_path / "mim.pt"))
    loaded = MIMModel.load(str(tmp_path / "mim.pt"))
    xr.testing.assert_identical(loaded.predict(3, masked), forecast)


def test_an_ordinary_series(tiny):
    level = np.sin(np.arange(60) / 3).astype("float32")
    series = TimeSeries(pd.date_range("2024", periods=60, freq="h"), level.reshape(60, 1, 1))
    assert len(tiny(seasonal_lags=(12,), kernel_size=1).fit(series).predict(3)) == 3


def test_what_is_not_known_is_refused(tiny, frames):
    series = frames(60)
    with pytest.raises(ValueError, match=r"4 frames are to be forecast, and seasonal_lags go 3 steps back"):
        tiny(4, 4, seasonal_lags=("3h",)).fit(series)
    with pytest.raises(TimeAxisError, match="90min"):
        tiny(seasonal_lags=("90min",)).fit(series)
    model = tiny(seasonal_lags=("12h",)).fit(series)
    with pytest.raises(ValueError, match="Forecast at most 12 frames, or use a longer lag"):
        model.predict(13)
    with pytest.raises(ValueError, match="Forecast at most 12 frames"):
        model.historical_forecasts(series, forecast_horizon=13, start=30)
    with pytest.raises(TooShortError, match=r"has 15 frames; .* ask for 16"):
        model.predict(2, series[:15])
    assert model.predict(2, series[:16]).sizes["time"] == 2
    assert to_timeseries(series).n_components == 40  # what came in is as it was


def test_times_may_be_whole_numbers():
    series = TimeSeries(pd.RangeIndex(10, 20, 2), np.arange(5.0).reshape(5, 1, 1))
    covariates = TimeSeries(pd.RangeIndex(8, 30, 2), np.arange(11.0).reshape(11, 1, 1))
    known = with_lags(series, covariates, [2], 0).values()[:, 0]
    np.testing.assert_array_equal(known, [np.nan, np.nan, np.nan, 0, 1, 2, 3, 4])
    with pytest.raises(TimeAxisError, match="The lag '1D' is a time"):
        lag_steps(["1D"], series)
