import pickle

import numpy as np
import pandas as pd
import pytest
import xarray as xr
from sklearn.base import clone
from sklearn.exceptions import NotFittedError
from sklearn.preprocessing import StandardScaler

from darts_mim import (
    Climatology,
    GridDifferencer,
    GridPipeline,
    GridScaler,
    MIMModel,
    Persistence,
    SeasonalAnomaly,
    from_timeseries,
    to_timeseries,
)
from darts_mim.stores import forecast_store

QUIET = {"enable_progress_bar": False, "enable_model_summary": False, "accelerator": "cpu"}


class Untransformer:
    def fit(self, series): ...
    def transform(self, series): ...


def flow(frames=80, seed=0):
    times = pd.date_range("2024-01-01", periods=frames, freq="3h")
    values = np.random.default_rng(seed).random((frames, 2, 5, 4)) * 300
    coords = {"time": times, "channel": ["in", "out"], "lat": np.arange(5.0)[::-1], "lon": np.arange(4.0)}
    return xr.DataArray(values, coords, tuple(coords), name="flow", attrs={"units": "cars"})


def mim():
    small = {"hidden": 4, "layers": 2, "kernel_size": 3, "n_epochs": 1, "random_state": 0}
    return MIMModel(4, 2, **small, pl_trainer_kwargs=QUIET)


def pipeline(last=None):
    return GridPipeline(
        [("day", SeasonalAnomaly("1D")), ("scale", GridScaler("standard")), ("model", last or Persistence())]
    )


def test_forecast_is_in_the_units_that_went_in():
    """Persistence of the scaled anomaly is the last anomaly on the next frame's climatology."""
    series = flow()
    forecast = pipeline().fit(series[:64]).predict(n=2, series=series[:70])
    climatology = Climatology("1D").fit(series[:64])
    by_hand = climatology.predict(2, series[:70]) + (
        series[69] - climatology.predict(1, series[:69]).isel(time=0, drop=True)
    ).drop_vars("time")
    xr.testing.assert_allclose(forecast, by_hand.transpose(*forecast.dims), rtol=1e-5)
    assert forecast.attrs == {"units": "cars"}
    assert (forecast - series[70:72]).sizes == forecast.sizes


def test_differencing_is_undone_from_the_history():
    """The persistence of a first difference is a straight line through the last two frames."""
    series = flow()
    model = GridPipeline([("difference", GridDifferencer(order=1)), ("last", Persistence())])
    forecast = model.fit(series).predict(3)
    slope = series[-1] - series[-2].values
    for lead in range(3):
        np.testing.assert_allclose(forecast[lead], series[-1] + (lead + 1) * slope, rtol=1e-6)


@pytest.mark.parametrize("last", [Persistence(), mim()], ids=["persistence", "mim"])
def test_historical_forecasts_equal_predictions_one_by_one(last):
    series = flow()
    model = pipeline(last).fit(series[:60])
    forecasts = model.historical_forecasts(series, forecast_horizon=2, start=series.time[60], stride=5)
    assert forecasts.dims == ("init_time", "lead_time", "channel", "lat", "lon")
    assert forecasts["init_time"].values[0] == series.time[59]
    for k, origin in enumerate(forecasts["init_time"]):
        one = model.predict(2, series.sel(time=slice(None, origin)))
        np.testing.assert_allclose(forecasts[k], one, rtol=1e-4, atol=1e-3)
        assert (forecasts["valid_time"][k].values == one["time"].values).all()


def test_only_origins_whose_differences_stand_on_a_missing_time_are_left_out():
    series = flow()
    gappy = series.drop_isel(time=62)
    steps = [("difference", GridDifferencer(0, lags="1D")), ("last", Persistence())]  # a day is 8 frames
    model = GridPipeline(steps).fit(series[:50])
    ask = {"forecast_horizon": 3, "start": series.time[60]}
    whole, some = (model.historical_forecasts(one, **ask) for one in (series, gappy))
    # a frame that is read is missing at 62, a difference at 70, and a frame added to in 67, 68 and 69
    left = np.setdiff1d(np.arange(59, 77), [62, 67, 68, 69, 70])
    np.testing.assert_array_equal(some["init_time"], series["time"][left])
    xr.testing.assert_allclose(some, whole.sel(init_time=some["init_time"]))


def test_historical_forecasts_of_a_timeseries_are_whole_and_fit_nothing_again():
    """darts keeps the last frame of each by default: differences summed over those are nonsense."""
    series = flow()
    steps = [("difference", GridDifferencer()), ("scale", GridScaler("standard")), ("mim", mim())]
    model = GridPipeline(steps).fit(series[:60])
    start = pd.Timestamp(series.time.values[70])
    expected = model.historical_forecasts(series, forecast_horizon=2, start=start)
    of_darts = model.historical_forecasts(to_timeseries(series), forecast_horizon=2, start=start)
    for one, forecast in zip(of_darts, expected, strict=True):
        # a TimeSeries is float32, and the values go up to 300
        np.testing.assert_allclose(from_timeseries(one), forecast, atol=3e-4)
    with pytest.raises(ValueError, match="lead_time=-1"):
        model.historical_forecasts(series, forecast_horizon=2, start=start, last_points_only=True)


def test_transforms_learn_on_the_training_series_alone():
    series = flow()
    model = pipeline().fit(series[:60])
    before = model["day"].climatology_.copy(), model["scale"].transform(series[:1]).copy()
    model.predict(2, series)
    model.historical_forecasts(series, forecast_horizon=2, start=series.time[60])
    xr.testing.assert_identical(model["day"].climatology_, before[0])
    xr.testing.assert_identical(model["scale"].transform(series[:1]), before[1])


def test_validation_series_is_transformed_too():
    series = flow()
    seen = {}

    class Spy(Persistence):
        def fit(self, series, val_series):
            seen["val"] = val_series
            return super().fit(series)

    model = GridPipeline([("scale", GridScaler()), ("spy", Spy())]).fit(series[:60], val_series=series[60:])
    xr.testing.assert_identical(seen["val"], model["scale"].transform(series[60:]))


def test_scikit_learn_contract():
    model = pipeline(mim()).set_params(model__lr=0.5, day__period="12h")
    copy = clone(model)
    assert copy["model"].get_params()["lr"] == 0.5
    assert copy["day"].period == "12h"
    assert copy["model"] is not model["model"]
    assert set(model.named_steps) == {"day", "scale", "model"}
    assert "GridScaler" in model._repr_html_()
    with pytest.raises(ValueError, match="nonsense"):
        model.set_params(model__nonsense=1)


@pytest.mark.parametrize(
    ("steps", "message"),
    [
        ([], "empty"),
        ([("a", GridScaler()), ("a", Persistence())], "not unique"),
        ([("a__b", GridScaler()), ("last", Persistence())], "must not contain __"),
        ([("a", Persistence()), ("b", Persistence())], "transform"),
        ([("a", StandardScaler()), ("last", GridScaler())], "has no predict"),
        ([("a", Untransformer()), ("last", Persistence())], "has no inverse_transform"),
        ([("a", GridScaler()), ("last", "passthrough")], "has no predict"),
    ],
)
def test_steps_that_cannot_forecast_are_refused_before_fitting(steps, message):
    with pytest.raises((TypeError, ValueError), match=message):
        GridPipeline(steps).fit(flow())


def test_a_slice_shows_what_the_forecaster_sees():
    series = flow()
    model = pipeline().fit(series[:60])
    seen = model[:-1].transform(series)
    by_hand = model["scale"].transform(model["day"].transform(series))
    xr.testing.assert_identical(seen, by_hand)
    xr.testing.assert_identical(model[-1:].predict(2, seen), model["model"].predict(2, seen))
    with pytest.raises(ValueError, match="Pass a series"):
        model[1:].predict(2)


def test_a_pickled_pipeline_forecasts_the_same():
    model = pipeline(mim()).fit(flow())
    again = pickle.loads(pickle.dumps(model))
    xr.testing.assert_identical(again.predict(3), model.predict(3))


def test_lists_in_lists_out():
    one, two = flow(seed=1), flow(frames=40, seed=2)
    model = pipeline(mim()).fit([one, two])
    forecasts = model.predict(2, [one, two])
    for forecast, series in zip(forecasts, (one, two), strict=True):
        assert forecast["time"].values[0] == series["time"].values[-1] + np.timedelta64(3, "h")
    xr.testing.assert_allclose(forecasts[1], model.predict(2, two), rtol=1e-4)


def test_not_fitted_is_an_error():
    with pytest.raises(NotFittedError):
        pipeline().predict(2)
    with pytest.raises(NotFittedError):
        pipeline().historical_forecasts(flow(), forecast_horizon=2)


def test_likelihood_parameters_are_refused():
    with pytest.raises(ValueError, match="num_samples"):
        pipeline().fit(flow()).predict(2, predict_likelihood_parameters=True)


def test_start_is_a_time_and_not_a_count_of_what_differencing_left():
    model = GridPipeline([("difference", GridDifferencer(order=1)), ("last", Persistence())]).fit(flow())
    with pytest.raises(ValueError, match="start=20 came, where a time is wanted"):
        model.historical_forecasts(flow(), forecast_horizon=2, start=20)


def lazy(series, path):
    """The series in a store, as one opens it."""
    series.to_dataset(name="flow").drop_vars("channel").to_zarr(
        path, consolidated=False, encoding={"flow": {"chunks": [7, 2, 5, 4]}}
    )
    return xr.open_zarr(path, consolidated=False)["flow"].assign_coords(channel=series["channel"])


def with_steps(*steps, last=None):
    names = [f"step{i}" for i in range(len(steps))]
    return GridPipeline([*zip(names, steps, strict=True), ("model", last or Persistence())])


STEPS = [(), (SeasonalAnomaly("1D"), GridScaler("standard")), (GridScaler(), GridDifferencer(lags=("1D",)))]


@pytest.mark.parametrize("steps", STEPS, ids=["none", "anomaly", "differences"])
@pytest.mark.parametrize("stride", [1, 3])
def test_forecasts_in_a_store_equal_those_in_memory(steps, stride, tmp_path, monkeypatch):
    monkeypatch.setattr(forecast_store, "BLOCK", 4)
    whole = flow().astype("f4")
    series = whole.drop_isel(time=[50, 51, 66])
    model = with_steps(*steps).fit(series.isel(time=slice(0, 45)))
    asked = {"forecast_horizon": 2, "start": whole.time[46], "stride": stride}
    expected = model.historical_forecasts(series, **asked)
    stored = lazy(series, tmp_path / "series")
    for name, one in {"memory": series, "lazy": stored}.items():
        made = model.historical_forecasts(one, **asked, to=tmp_path / name)
        assert made.chunks is not None
        xr.testing.assert_allclose(made.compute(), expected, rtol=1e-6)
        assert made.dims == expected.dims and made.attrs == expected.attrs and made.name == expected.name
    forecast = model.predict(3, stored, to=tmp_path / "one")
    xr.testing.assert_allclose(forecast.compute(), model.predict(3, series), rtol=1e-6)
    again = with_steps(*steps).fit(series.isel(time=slice(0, 45)))
    monkeypatch.setattr(Persistence, "predict", None)
    monkeypatch.setattr(Persistence, "historical_forecasts", None)
    xr.testing.assert_identical(again.predict(3, stored, to=tmp_path / "one"), forecast)
    xr.testing.assert_identical(again.historical_forecasts(stored, **asked, to=tmp_path / "lazy"), made)


def test_a_lazy_series_is_fitted_and_forecast_as_one_in_memory(tmp_path):
    series = flow().astype("f4")
    stored = lazy(series, tmp_path / "series")
    for steps in STEPS:
        one, other = (with_steps(*steps).fit(each) for each in (series, stored))
        xr.testing.assert_allclose(other.predict(2), one.predict(2), rtol=1e-5)
        assert other.series_ is stored and other.series_.chunks is not None


def test_what_cannot_go_to_a_store_is_refused(tmp_path):
    series = flow()
    model = pipeline().fit(series)
    with pytest.raises(ValueError, match="one DataArray or Dataset; a list came"):
        model.predict(2, [series, series], to=tmp_path / "run")
    with pytest.raises(ValueError, match="a TimeSeries came"):
        model.historical_forecasts(to_timeseries(series), forecast_horizon=2, to=tmp_path / "run")
    with pytest.raises(ValueError, match="to= takes start="):
        model.historical_forecasts(series, forecast_horizon=2, to=tmp_path / "run")
    assert not list(tmp_path.iterdir())
