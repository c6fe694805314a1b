import copy
import os
import pickle
import warnings
from pathlib import Path

import numpy as np
import pytest
import torch
import xarray as xr
from sklearn.base import clone
from sklearn.exceptions import NotFittedError
from sklearn.utils.validation import check_is_fitted

from darts_mim.errors import (
    GapError,
    GridDimsError,
    GridMismatchError,
    NotScaledWarning,
    TimeAxisError,
    TooShortError,
)
from darts_mim.models.mim import MIMModel, MIMModule
from darts_mim.models.timeseries import to_timeseries

DATA = os.environ.get("DARTS_MIM_DATA")


def weights(model):
    return {name: value.clone() for name, value in model.model.state_dict().items()}


def equal(one, other):
    return one.keys() == other.keys() and all(torch.equal(one[name], other[name]) for name in one)


# Every series comes back as it went in


@pytest.mark.parametrize("order", ["time channel lat lon", "lat lon channel time", "channel time lon lat"])
@pytest.mark.parametrize("dtype", ["float32", "float64", "int16"])
def test_forecasts_line_up_with_the_series(tiny, frames, order, dtype):
    whole = (frames(30) * 10).astype(dtype).transpose(*order.split())
    train, rest = whole.isel(time=slice(24)), whole.isel(time=slice(24, None))
    forecast = tiny(patch_size=2).fit(train).predict(6)
    assert forecast.dtype == ("float64" if dtype == "float64" else "float32")
    assert forecast.dims == whole.dims and forecast.attrs == whole.attrs and forecast.name == whole.name
    with xr.set_options(arithmetic_join="exact"):
        error = forecast - rest
    assert error.sizes == rest.sizes
    for name in whole.coords:
        assert forecast[name].identical(rest[name])


def test_rows_count_from_wherever_the_series_does(tiny, series):
    """A descending latitude is a row order like any other; the forecast is of the same rows."""
    ascending = series.isel(lat=slice(None, None, -1))
    forecast = tiny().fit(ascending).predict(2)
    assert forecast.lat.identical(ascending.lat)


def test_a_dataset_comes_back_as_one(tiny, series):
    given = xr.Dataset({"rain": series.isel(channel=0, drop=True), "snow": series.isel(channel=1, drop=True)})
    given = given.assign(snow=given.snow.astype("float64"))
    model = tiny().fit(given)
    forecast = model.predict(2)
    assert list(forecast.data_vars) == ["rain", "snow"]
    assert forecast.snow.dtype == np.float64 and forecast.rain.dims == given.rain.dims
    np.testing.assert_allclose(forecast.rain, tiny().fit(series).predict(2)[:, 0], rtol=1e-5, atol=1e-6)
    past = model.historical_forecasts(given, start=36, forecast_horizon=2)
    assert past.snow.dims == ("init_time", "lead_time", "lat", "lon")


@pytest.mark.parametrize("engine", ["zarr", "h5netcdf", "scipy"])
def test_series_from_disk(tiny, series, fitted, tmp_path, engine):
    path = tmp_path / "series"
    if engine == "zarr":
        series.to_dataset().chunk(time=7).to_zarr(path, zarr_format=2)
        opened = xr.open_zarr(path).flow
        assert opened.chunks is not None
    else:
        if engine == "h5netcdf":
            pytest.importorskip("h5py")
        series.to_dataset().to_netcdf(path, engine=engine)
        opened = xr.open_dataset(path, engine=engine).flow
    model = tiny().fit(opened)
    assert equal(weights(model), weights(fitted))
    xr.testing.assert_equal(model.predict(3), fitted.predict(3))
    lazy = opened.isel(time=slice(30))
    xr.testing.assert_allclose(model.predict(2, lazy), fitted.predict(2, series[:30]))
    opened.close()


def test_dims_that_cannot_be_told_are_named_by_arguments(tiny, series):
    odd = series.rename(lat="a", lon="b", channel="kind")
    names = {"time_dim": "time", "spatial_dims": ("a", "b"), "channel_dim": "kind"}
    model = tiny(**names).fit(odd)
    np.testing.assert_array_equal(model.predict(2).values, tiny().fit(series).predict(2).values)
    assert model.predict(2).dims == odd.dims
    with pytest.raises(GridDimsError, match="spatial_dims="):
        tiny().fit(odd)


def test_times_may_be_given_as_xarray_has_them(fitted, series):
    forms = (20, series.time[20], series.time.values[20], series.indexes["time"][20])
    a, *others = [fitted.historical_forecasts(series, start=start, forecast_horizon=2) for start in forms]
    assert all(a.identical(other) for other in others)


# Gaps


def test_missing_times_and_nan_leave_whole_windows_alone(tiny, frames):
    holes = frames(40)
    holes[10, 1, 2, 3] = np.nan
    holes = holes.isel(time=[t for t in range(40) if t not in (20, 21)])
    model = tiny().fit(holes, val_series=holes)
    # of 35 windows, starts 5..10 hold the NaN and 15..21 touch the gap
    assert str(model.windows_) == ("22 of 35 windows used; 13 left out: 7 touch a missing time, 6 hold NaN")
    assert model.trainer.logged_metrics["train_loss"].isfinite()
    assert all(value.isfinite().all() for value in weights(model).values())
    assert np.isfinite(model.predict(3)).all()


def test_filled_gaps_are_never_seen(tiny, frames):
    """The weights are the same, whatever stood where the gap is."""
    whole = frames(30)
    holes = [whole.copy(deep=True) for _ in range(2)]
    holes[0][12] = np.nan
    holes[1] = holes[1].isel(time=[t for t in range(30) if t != 12])
    assert equal(*(weights(tiny().fit(series)) for series in holes))


def test_origins_in_a_gap_are_left_out(fitted, series):
    holes = series.isel(time=[t for t in range(40) if t != 30])
    with pytest.warns(UserWarning, match="4 of 19 origins are left out"):
        past = fitted.historical_forecasts(holes, start=20, forecast_horizon=2)
    kept = [t for t in range(19, 38) if not t - 3 <= 30 <= t]
    np.testing.assert_array_equal(past.init_time, series.time[kept])
    whole = fitted.historical_forecasts(series, start=20, forecast_horizon=2)
    xr.testing.assert_allclose(past, whole.sel(init_time=past.init_time), rtol=1e-6, atol=1e-7)


@pytest.mark.filterwarnings("ignore:Mean of empty slice")  # darts' metrics, on such a cell
def test_cells_that_are_never_observed_come_back_as_nan(tiny, masked):
    model = tiny(patch_size=2).fit(masked, val_series=masked)
    assert str(model.windows_) == "35 of 35 windows used"
    unseen = np.isnan(masked[0])
    for forecast in (model.predict(5), model.historical_forecasts(masked, start=36, forecast_horizon=2)):
        assert (np.isnan(forecast) == unseen).all()
    last = model.historical_forecasts(masked, start=36, forecast_horizon=2, last_points_only=True)
    assert (np.isnan(last) == unseen).all()
    # whatever stands there is not read
    other = masked.where(~unseen, 7.0)
    np.testing.assert_array_equal(
        model.predict(3, other).where(~unseen).values, model.predict(3, masked).values
    )
    assert np.isfinite(model.backtest(masked, start=36, forecast_horizon=2))
    past = model.historical_forecasts(other, start=36, forecast_horizon=2)
    assert (np.isnan(past) == unseen).all()


@pytest.mark.parametrize("times", [[t for t in range(40) if t != 20]])
def test_gaps_in_a_masked_series(tiny, masked, times):
    holes = masked.isel(time=times)
    model = tiny().fit(holes)
    assert (model.windows_.used, model.windows_.gap, model.windows_.nan) == (29, 6, 0)
    with pytest.raises(GapError, match="2024-01-01 20:00"):
        model.predict(1, holes.isel(time=slice(22)))
    with pytest.warns(UserWarning, match="left out"):
        past = model.historical_forecasts(holes, start=10, forecast_horizon=2)
    assert (np.isnan(past) == np.isnan(masked[0])).all()


def test_a_cell_that_one_of_several_series_observes_is_not_masked(tiny, frames):
    land, sea = frames(20, seed=1), frames(20, seed=2)
    land[:, :, 0, 0] = np.nan
    land[:, :, 0, 1] = sea[:, :, 0, 1] = np.nan
    model = tiny().fit([land, sea])
    assert model.windows_.used == 15  # land's windows lack a cell that sea shows to be observed
    assert np.isnan(model.predict(1, sea)).values.sum() == 2
    with pytest.raises(GapError):
        model.predict(1, land)


def test_masked_covariates(tiny, series, frames):
    """Sea temperature, say, which is not there on land."""
    heat = frames(44, channels=1, seed=5)
    heat[:, 0, :2] = np.nan
    model = tiny().fit(series, future_covariates=heat)
    assert np.isfinite(model.predict(3)).all()
    holes = heat.copy(deep=True)
    holes[41, 0, 4, 0] = np.nan
    with pytest.raises(GapError, match="future_covariates hold NaN"):
        model.predict(3, series, future_covariates=holes)


@pytest.mark.skipif(DATA is None, reason="DARTS_MIM_DATA is not set")
@pytest.mark.parametrize("with_nan", [False, True])
def test_taxi_flow_with_its_missing_half_hours(tiny, with_nan):
    flow = xr.open_zarr(Path(DATA) / "sf08_m32x32_t30.zarr", consolidated=False).flow.load()
    flow = (flow / flow.max()).astype("float32")
    if with_nan:
        flow[100] = flow[100].where(flow[100] > 0)
    step = np.timedelta64(30, "m")
    times = flow.indexes["time"]
    # a window is whole if its frames are there and hold no NaN: counted one by one
    known = set(times[np.isfinite(flow.values).reshape(len(times), -1).all(axis=1)])
    starts = np.arange(times[0].to_datetime64(), times[-1].to_datetime64() - 5 * step + step, step)
    whole = sum(all(start + k * step in known for k in range(6)) for start in starts)
    model = tiny(batch_size=64, pl_trainer_kwargs={"max_steps": 3}).fit(flow)
    assert (model.windows_.used, model.windows_.total) == (whole, len(starts))
    assert whole < len(starts)
    assert model.trainer.logged_metrics["train_loss"].isfinite()


# Saving


def test_saved_and_loaded_it_is_the_same(fitted, series, tmp_path):
    path = str(tmp_path / "model.pt")
    fitted.save(path)
    loaded = MIMModel.load(path)
    assert equal(weights(loaded), weights(fitted))
    assert loaded.get_params() == fitted.get_params()
    assert loaded.windows_ == fitted.windows_
    assert loaded.predict(4, series).identical(fitted.predict(4))
    with pytest.raises(ValueError, match=r"the model holds none.*predict\(n, series\)"):
        loaded.predict(4)
    with pytest.raises(GridMismatchError):
        loaded.predict(4, series.assign_coords(lat=series.lat + 1))


@pytest.mark.parametrize("clean", [False, True])
def test_loaded_and_saved_again_without_use(fitted, series, tmp_path, clean):
    first, second = str(tmp_path / "first.pt"), str(tmp_path / "second.pt")
    fitted.save(first, clean=clean)
    MIMModel.load(first, pl_trainer_kwargs={"accelerator": "cpu", "logger": False}).save(second, clean=clean)
    again = MIMModel.load(second, pl_trainer_kwargs={"enable_progress_bar": False, "logger": False})
    assert again.predict(3, series).identical(fitted.predict(3))


@pytest.mark.parametrize("clean", [False, True])
def test_the_training_data_are_not_in_the_file(tiny, frames, tmp_path, clean):
    series, heat = frames(2000), frames(2000, seed=9)
    model = tiny(batch_size=500).fit(series, future_covariates=heat, sample_weight=heat)
    before = torch.get_rng_state()
    model.save(str(tmp_path / "model.pt"), clean=clean)
    assert torch.equal(torch.get_rng_state(), before)
    assert model.training_series is not None and model.train_sample.past_target.any()
    written = b"".join(path.read_bytes() for path in tmp_path.iterdir())
    assert len(written) < series.nbytes / 2
    assert written.count(model.model.network.to_frame.weight.detach().numpy().tobytes()) == 1
    for array in (series, heat):
        for frame in array.values.reshape(len(array), -1):
            assert frame[:4].tobytes() not in written


def test_weights_alone(tiny, fitted, series, tmp_path):
    path = str(tmp_path / "model.pt")
    fitted.save(path)
    other = tiny(lr=1e-4, lr_schedule="cosine", loss_frames="forecast")
    other.load_weights(path)
    assert other.predict(3, series).identical(fitted.predict(3))
    with pytest.raises(GridMismatchError):
        other.predict(3, series.isel(lon=slice(1, None)))
    other.fit(series)
    assert not equal(weights(other), weights(fitted))


def test_pickles_keep_the_weights(fitted, series):
    again = pickle.loads(pickle.dumps(fitted))
    assert equal(weights(again), weights(fitted))
    assert again.predict(3).identical(fitted.predict(3))
    assert pickle.loads(pickle.dumps(again)).predict(3, series).identical(fitted.predict(3))
    assert copy.deepcopy(fitted).predict(3).identical(fitted.predict(3))


def test_pickles_keep_double_precision(tiny, series):
    target = to_timeseries(series).astype(np.float64)
    model = tiny().fit(target)
    again = pickle.loads(pickle.dumps(model))
    assert again.model.dtype == torch.float64
    assert again.predict(2) == model.predict(2)


class Stopped(Exception):
    """The machine goes down."""


@pytest.mark.filterwarnings("ignore:`ModelCheckpoint", "ignore:Checkpoint directory")  # darts' callbacks
@pytest.mark.parametrize("with_validation", [False, True])
def test_a_fit_that_stops_and_resumes_is_as_one_that_did_not(
    tiny, series, tmp_path, monkeypatch, with_validation
):
    def model(name):
        return tiny(
            n_epochs=4,
            batch_size=10,
            lr_schedule="cosine",
            sampling_steps=12,
            save_checkpoints=True,
            model_name=name,
            work_dir=str(tmp_path),
            pl_trainer_kwargs={"enable_checkpointing": True},
        )

    def stop_at_epoch_2(module):
        if module.current_epoch == 2:
            raise Stopped

    val = {"val_series": series} if with_validation else {}
    whole = model("whole").fit(series, **val)
    with monkeypatch.context() as patch, pytest.raises(Stopped):
        patch.setattr(MIMModule, "on_train_epoch_start", stop_at_epoch_2)
        model("stopped").fit(series, **val)
    stopped = MIMModel.load_from_checkpoint("stopped", work_dir=str(tmp_path), best=False)
    assert "epoch=1" in stopped.load_ckpt_path
    assert not equal(weights(stopped), weights(whole))
    torch.rand(11)
    stopped.fit(series, **val)
    assert stopped.epochs_trained == 4
    assert equal(weights(stopped), weights(whole))
    assert stopped.predict(3).identical(whole.predict(3))


# scikit-learn


def test_scikit_learn_clones_it_and_sets_its_parameters(fitted, series):
    fresh = clone(fitted)
    assert fresh.get_params() == fitted.get_params() and fresh is not fitted
    with pytest.raises(NotFittedError):
        check_is_fitted(fresh)
    check_is_fitted(fitted)
    fresh.set_params(hidden=6, lr=0.5)
    assert fresh.get_params()["hidden"] == 6 and fresh.model_params["lr"] == 0.5
    assert fresh.fit(series).model.hidden == 6
    with pytest.raises(ValueError, match="hiden"):
        fresh.set_params(hiden=3)


# Bad input: one clear error each


def test_before_fit(tiny, series):
    for ask in (
        lambda model: model.predict(2),
        lambda model: model.predict(2, series),
        lambda model: model.historical_forecasts(series),
        lambda model: model.backtest(series),
        lambda model: model.residuals(series),
    ):
        with pytest.raises(NotFittedError, match=r"Call fit\(series\) first"):
            ask(tiny())


@pytest.mark.parametrize("n", [0, -2])
def test_n_is_at_least_1(fitted, n):
    with pytest.raises(ValueError, match=f"n={n} came; it wants a whole number"):
        fitted.predict(n)


def test_bad_times(tiny, series):
    with pytest.raises(TimeAxisError, match="sortby"):
        tiny().fit(series[::-1])
    with pytest.raises(TimeAxisError, match="drop_duplicates"):
        tiny().fit(xr.concat([series[:9], series[8:]], "time"))
    with pytest.raises(TimeAxisError, match="resample"):
        tiny().fit(series.isel(time=[0, 2, 4, 6, 7, 9, 11]))
    with pytest.raises(TimeAxisError, match="assign_coords"):
        tiny(time_dim="time").fit(series.drop_vars("time"))


def test_bad_dims(tiny, series):
    with pytest.raises(GridDimsError):
        tiny().fit(series.expand_dims(depth=[0.0, 1.0]))
    with pytest.raises(GridDimsError):
        tiny().fit(series.isel(lat=0))
    with pytest.raises(GridDimsError, match="absent"):
        tiny(time_dim="absent").fit(series)


def test_another_grid(tiny, fitted, series):
    with pytest.raises(GridMismatchError, match=r"'lat' .*sortby"):
        tiny().fit([series, series.isel(lat=slice(None, None, -1))])
    with pytest.raises(GridMismatchError, match="4 cells along 'lat', not 5"):
        tiny().fit([series, series.isel(lat=slice(4))])
    with pytest.raises(GridMismatchError, match="4 cells along 'lat', not 5"):
        fitted.predict(2, series.isel(lat=slice(4)))
    with pytest.raises(GridMismatchError, match="1 cells along 'channel', not 2"):
        fitted.predict(2, series.isel(channel=[0]))
    with pytest.raises(GridMismatchError, match=r"flow_1.*Select and order"):
        fitted.predict(2, series.isel(channel=[1, 0]))
    with pytest.raises(GridMismatchError, match="'lon'"):
        tiny().fit(series, val_series=series.assign_coords(lon=series.lon + 1))
    with pytest.raises(GridMismatchError, match=r"past_covariates lie on 4 x 4 cells, the series on 5 x 4"):
        tiny().fit(series, past_covariates=series.isel(lat=slice(4)))
    with pytest.raises(ValueError, match="takes 40"):
        fitted.predict(2, to_timeseries(series)[["flow_0_0_0"]].with_metadata(None))


def test_too_short(tiny, fitted, series):
    with pytest.raises(TooShortError, match=r"5 frames; one window needs 6"):
        tiny().fit(series[:5])
    with pytest.raises(TooShortError, match=r"3 frames; a forecast reads 4 .*at least 4"):
        fitted.predict(2, series[:3])


def test_gaps_where_whole_frames_are_needed(tiny, fitted, series):
    with pytest.raises(GapError, match="No window is whole: 0 of"):
        tiny().fit(series.isel(time=[t for t in range(40) if t % 5]))
    holes = series.copy(deep=True)
    holes[38, 0, 0, 0] = np.nan
    with pytest.raises(GapError, match=r"1 of the 4 frames .* at 2024-01-02 14:00:00. Fill them"):
        fitted.predict(2, holes)
    with pytest.raises(GapError, match="missing or hold NaN"):
        fitted.predict(2, series.isel(time=[*range(38), 39]))
    fitted.predict(2, holes[:38])
    with pytest.raises(GapError, match=r"None of .* forecasts has a whole input window"):
        fitted.historical_forecasts(series.isel(time=[t for t in range(40) if t % 4]), forecast_horizon=2)


def test_data_far_from_unit_scale_warn_once_and_name_the_remedy(tiny, series):
    with pytest.warns(NotScaledWarning, match=r"root mean square is .* GridScaler") as caught:
        tiny().fit(series * 1000)
    ours = [warning for warning in caught if warning.category is NotScaledWarning]
    assert [warning.filename for warning in ours] == [__file__]
    with pytest.warns(NotScaledWarning, match="root mean square is 1000,"):
        tiny().fit(to_timeseries(series * 0 - 1000))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        warnings.filterwarnings("ignore", ".*LeafSpec|Total length")
        tiny(use_reversible_instance_norm=True).fit(series * 1000)
        tiny().fit(series * 10)


def test_another_step_is_an_error(fitted, series):
    """Every second frame would be read as the frame after, in silence."""
    for ask in (
        lambda: fitted.predict(2, series[::2]),
        lambda: fitted.historical_forecasts(series[::2], forecast_horizon=2),
    ):
        with pytest.raises(TimeAxisError, match=r"have a step of .* the model was fitted on"):
            ask()


@pytest.mark.parametrize(
    ("wrong", "error", "message"),
    [
        (None, TypeError, "NoneType came, where a DataArray"),
        (np.zeros((9, 5, 4)), TypeError, "ndarray came, where a DataArray"),
        ([], ValueError, "An empty list came"),
    ],
)
def test_what_is_no_series_is_an_error(tiny, wrong, error, message):
    with pytest.raises(error, match=message):
        tiny().fit(wrong)


def test_a_validation_series_on_another_grid_is_an_error(tiny, series):
    with pytest.raises(GridMismatchError):
        tiny().fit(series, val_series=series.isel({series.dims[-1]: slice(1, None)}))


def test_a_series_too_short_for_a_backtest_is_an_error(fitted, series):
    with pytest.raises(TooShortError, match="one forecast within it takes"):
        fitted.historical_forecasts(series[:5], forecast_horizon=2)


def test_start_may_be_text(fitted, series):
    start = str(series["time"].values[20])
    forecasts = fitted.historical_forecasts(series, forecast_horizon=1, start=start)
    assert forecasts["valid_time"].values[0, 0] == series["time"].values[20]
