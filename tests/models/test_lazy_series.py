"""A series on the disk gives the numbers that it gives in memory."""

import numpy as np
import pandas as pd
import pytest
import xarray as xr
from torch.utils.data import DataLoader

from darts_mim.errors import (
    AbsentChunksWarning,
    DamagedStoreError,
    GapError,
    NotScaledWarning,
    StoreChangedError,
    TimeAxisError,
)
from darts_mim.grid.lazy import is_lazy
from darts_mim.grid.scaling import GridScaler
from darts_mim.models.datasets import GridTrainingDataset
from darts_mim.models.mim import MIMModel
from darts_mim.models.timeseries import to_timeseries
from darts_mim.pipeline import GridPipeline
from darts_mim.stores import frames as frames_module

QUIET = {"enable_progress_bar": False, "enable_model_summary": False, "accelerator": "cpu", "logger": False}


def wave(n=40, *, dtype="float32", channels=2):
    rng = np.random.default_rng(3)
    grid = np.arange(4)[:, None] + 0.5 * np.arange(3)
    values = np.sin(np.arange(n)[:, None, None, None] / 3 + np.arange(channels)[:, None, None] + grid)
    values += 0.1 * rng.normal(size=values.shape)
    return xr.DataArray(
        values.astype(dtype),
        dims=("time", "channel", "y", "x"),
        coords={"time": pd.date_range("2024", periods=n, freq="h"), "channel": np.arange(channels)},
        name="flow",
    )


class Disk:
    """Writes a series and opens it."""

    def __init__(self, folder, chunks):
        self.folder, self.chunks, self.last = folder, chunks, None

    def __call__(self, series, chunk=7):
        self.last = self.folder / f"{len(list(self.folder.iterdir()))}.zarr"
        self.again(series, chunk)
        return xr.open_zarr(self.last, chunks=self.chunks, consolidated=False)["flow"]

    def again(self, series, chunk=7):
        series.to_dataset(name="flow").chunk(time=chunk).to_zarr(self.last, mode="w", consolidated=False)

    def chunk(self, number):
        """The file of a chunk of the series written last."""
        return next(self.last.glob(f"flow/c/{number}/*/*/*"))


@pytest.fixture(params=[None, {}], ids=["chunks=None", "dask"])
def stored(request, tmp_path):
    return Disk(tmp_path, request.param)


def model(**options):
    given = {"hidden": 4, "layers": 2, "kernel_size": 3, "n_epochs": 2, "batch_size": 4, "random_state": 1}
    return MIMModel(4, 2, **given | {"pl_trainer_kwargs": QUIET} | options)


IN_ORDER = {"dataloader_kwargs": {"shuffle": False}}


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"seasonal_lags": (6, "8h")},
        {"seasonal_lags": (6,), "add_encoders": {"cyclic": {"future": ["hour"]}}},
        {"time_reversal": True},
    ],
)
def test_a_store_gives_the_same_network_and_forecasts(stored, options):
    series = wave()
    lazy = stored(series)
    in_memory = model(**options).fit(series, **IN_ORDER)
    from_disk = model(**options).fit(lazy, **IN_ORDER)
    assert is_lazy(lazy), "the series was loaded"
    for name, weight in in_memory.model.state_dict().items():
        np.testing.assert_array_equal(from_disk.model.state_dict()[name], weight, err_msg=name)
    xr.testing.assert_identical(from_disk.predict(3), in_memory.predict(3))
    xr.testing.assert_identical(from_disk.predict(3, lazy[:20]), in_memory.predict(3, series[:20]))
    xr.testing.assert_identical(
        from_disk.historical_forecasts(lazy, forecast_horizon=3, start=lazy.time[20]),
        in_memory.historical_forecasts(series, forecast_horizon=3, start=series.time[20]),
    )
    assert is_lazy(lazy)


def test_gaps_and_masks_are_those_of_memory(stored):
    series = wave()
    series[:, 0, 1, 2] = np.nan  # never observed
    series[11, 1, 0, 0] = np.nan
    series = series.drop_isel(time=[20, 21])
    lazy = stored(series)
    in_memory, from_disk = model().fit(series, **IN_ORDER), model().fit(lazy, **IN_ORDER)
    assert from_disk.windows_ == in_memory.windows_
    assert from_disk.windows_.gap and from_disk.windows_.nan
    xr.testing.assert_identical(from_disk.predict(2), in_memory.predict(2))
    with pytest.warns(UserWarning, match="9 of 35 origins are left out"):
        wanted = in_memory.historical_forecasts(series, forecast_horizon=2)
    with pytest.warns(UserWarning, match="9 of 35 origins are left out"):
        came = from_disk.historical_forecasts(lazy, forecast_horizon=2)
    xr.testing.assert_identical(came, wanted)


def test_several_series_some_of_them_in_memory(stored):
    first, second = wave(30), wave(25) * 0.5
    in_memory = model().fit([first, second], **IN_ORDER)
    from_disk = model().fit([stored(first), second], **IN_ORDER)
    came, wanted = (one.predict(2, [first, second]) for one in (from_disk, in_memory))
    for k in (0, 1):
        xr.testing.assert_identical(came[k], wanted[k])


def test_covariates_and_validation_from_disk(stored):
    series = wave()
    forecastable = wave(44).rename("known") * 0.1
    in_memory = model().fit(
        series,
        past_covariates=series**2,
        future_covariates=forecastable,
        val_series=series[20:],
        val_past_covariates=series**2,
        val_future_covariates=forecastable,
        **IN_ORDER,
    )
    lazy, lazy_past, lazy_future = stored(series), stored(series**2), stored(forecastable)
    from_disk = model().fit(
        lazy,
        past_covariates=lazy_past,
        future_covariates=lazy_future,
        val_series=lazy[20:],
        val_past_covariates=lazy_past,
        val_future_covariates=lazy_future,
        **IN_ORDER,
    )
    wanted = in_memory.predict(2, series, past_covariates=series**2, future_covariates=forecastable)
    came = from_disk.predict(2, lazy, past_covariates=lazy_past, future_covariates=lazy_future)
    xr.testing.assert_identical(came, wanted)
    xr.testing.assert_identical(from_disk.predict(2), wanted)


@pytest.mark.parametrize("dtype", ["uint8", "int16", "float64"])
def test_numbers_of_any_type(stored, dtype):
    series = (100 * (wave() + 1.5)).astype(dtype)
    with pytest.warns(NotScaledWarning):
        in_memory = model().fit(series, **IN_ORDER)
    with pytest.warns(NotScaledWarning):
        from_disk = model().fit(stored(series), **IN_ORDER)
    xr.testing.assert_identical(from_disk.predict(2), in_memory.predict(2))


def test_a_dataset_of_variables(stored):
    wind = xr.Dataset({"u": wave(channels=1)[:, 0], "v": -wave(channels=1)[:, 0]})
    lazy = xr.Dataset({name: stored(one) for name, one in wind.items()})
    in_memory, from_disk = model().fit(wind, **IN_ORDER), model().fit(lazy, **IN_ORDER)
    xr.testing.assert_identical(from_disk.predict(2), in_memory.predict(2))


def test_what_needs_all_values_is_refused(stored):
    lazy = stored(wave())
    fitted = model(n_epochs=1).fit(lazy)
    with pytest.raises(TypeError, match=r"not in memory. Load them first, series.load\(\)"):
        fitted.historical_forecasts(lazy, forecast_horizon=2, retrain=True)
    with pytest.raises(TypeError, match="not in memory"):
        fitted.training_series.all_values()


def test_a_pipeline_reads_from_disk(stored):
    series = (100 * (wave() + 1.5)).round().astype("uint8")
    lazy = stored(series)

    def pipeline():
        return GridPipeline([("scale", GridScaler()), ("mim", model())])

    in_memory, from_disk = pipeline().fit(series, **IN_ORDER), pipeline().fit(lazy, **IN_ORDER)
    xr.testing.assert_identical(from_disk.predict(3), in_memory.predict(3))
    assert is_lazy(lazy)


def test_windows_that_touch_an_absent_chunk_are_left_out(stored):
    series = (100 * (wave() + 1.5)).astype("uint8")
    lazy = stored(series)
    stored.chunk(2).unlink()
    holed = series.drop_isel(time=range(14, 21))
    with pytest.warns(NotScaledWarning):
        in_memory = model().fit(holed, **IN_ORDER)
    with pytest.warns((NotScaledWarning, AbsentChunksWarning)) as warned:
        from_disk = model().fit(lazy, **IN_ORDER)
    assert any(issubclass(one.category, AbsentChunksWarning) for one in warned)
    assert from_disk.windows_ == in_memory.windows_ and from_disk.windows_.gap == 12
    xr.testing.assert_identical(from_disk.predict(2), in_memory.predict(2))
    with pytest.warns(AbsentChunksWarning), pytest.raises(GapError, match="4 of the 4 frames"):
        from_disk.predict(2, lazy[:20])


def test_a_corrupt_chunk_is_named(stored):
    lazy = stored(wave())
    stored.chunk(2).write_bytes(b"nonsense")
    with pytest.raises(DamagedStoreError, match=r"2024-01-01 14:00:00 to 2024-01-01 20:00:00.*flow/c/2"):
        model().fit(lazy)


def test_a_store_that_changed_after_fit_is_not_read(stored):
    series = wave()
    lazy = stored(series)
    fitted = model().fit(lazy)
    stored.again(series[:, :, :3])
    with pytest.raises(StoreChangedError, match="shape"):
        fitted.predict(2)


def test_times_out_of_order_are_an_error(stored):
    with pytest.raises(TimeAxisError, match="sort"):
        model().fit(stored(wave().isel(time=[0, 2, 1, *range(3, 40)])))


def test_forecasts_go_to_a_store(stored, tmp_path):
    series = wave().drop_isel(time=[30])
    lazy = stored(series)
    fitted = model().fit(lazy)
    when = {"forecast_horizon": 3, "start": lazy.time[20], "stride": 2}
    with pytest.warns(UserWarning, match="origins are left out"):
        wanted = fitted.historical_forecasts(lazy, **when)
    with pytest.warns(UserWarning, match="origins are left out"):
        came = fitted.historical_forecasts(lazy, **when, to=tmp_path / "history.zarr")
    assert is_lazy(came) and is_lazy(lazy)
    xr.testing.assert_identical(came.compute(), wanted)
    again = fitted.historical_forecasts(lazy, **when, to=tmp_path / "history.zarr")
    xr.testing.assert_identical(again.compute(), wanted)
    next_frames = fitted.predict(3, lazy, to=tmp_path / "next.zarr")
    xr.testing.assert_identical(next_frames.compute(), fitted.predict(3, lazy))
    with pytest.raises(ValueError, match="start="):
        fitted.historical_forecasts(lazy, forecast_horizon=3, to=tmp_path / "other.zarr")
    for option in ({"retrain": True}, {"overlap_end": True}, {"start_format": "position"}):
        with pytest.raises(ValueError, match=f"Leave {next(iter(option))} out.*refit_every="):
            fitted.historical_forecasts(lazy, **when, **option, to=tmp_path / "other.zarr")


def test_windows_are_read_in_other_processes_too(stored, monkeypatch):
    monkeypatch.setattr(frames_module, "BLOCK_BYTES", 1)
    lazy = stored(wave(60), chunk=7)
    dataset = GridTrainingDataset(
        [to_timeseries(lazy)], None, None, input_chunk_length=4, output_chunk_length=2
    )
    loader = DataLoader(dataset, num_workers=1, collate_fn=list, multiprocessing_context="fork", timeout=60)
    wanted = GridTrainingDataset(
        [to_timeseries(wave(60))], None, None, input_chunk_length=4, output_chunk_length=2
    )
    for number, (came,) in enumerate(loader):
        np.testing.assert_array_equal(came.past_target, wanted[number].past_target)


def test_a_store_whose_values_changed_is_forecast_from_anew(stored, tmp_path):
    series = wave()
    fitted = model().fit(series)
    lazy = stored(series)
    before = fitted.predict(2, lazy, to=tmp_path / "next.zarr")
    kept = before.compute()
    stored.again(-series)
    lazy = xr.open_zarr(stored.last, chunks=stored.chunks, consolidated=False)["flow"]
    after = fitted.predict(2, lazy, to=tmp_path / "next.zarr")
    xr.testing.assert_identical(after.compute(), fitted.predict(2, -series).assign_attrs(after.attrs))
    assert not after.equals(kept)
    with pytest.raises(StoreChangedError, match="other forecasts than when it was opened"):
        before.compute()


def test_arguments_by_position_go_along_to_a_store(stored, tmp_path):
    series, known = wave(), wave(44).rename("known") * 0.1
    fitted = model().fit(series, future_covariates=known)
    when = {"forecast_horizon": 2, "start": series.time[20]}
    other = 3 * known
    wanted = fitted.historical_forecasts(series, None, other, **when)
    came = fitted.historical_forecasts(stored(series), None, other, **when, to=tmp_path / "history.zarr")
    xr.testing.assert_identical(came.compute(), wanted)


def test_a_dataset_of_which_a_part_is_in_memory(stored):
    wind = xr.Dataset({"u": wave(channels=1)[:, 0], "v": -wave(channels=1)[:, 0]})
    lazy = wind.assign(u=stored(wind["u"]))
    in_memory, from_disk = model().fit(wind, **IN_ORDER), model().fit(lazy, **IN_ORDER)
    xr.testing.assert_identical(from_disk.predict(2), in_memory.predict(2))


def test_covariates_of_frames_on_disk_and_numbers(stored):
    series = wave()
    known = xr.Dataset({"frame": wave(44, channels=1)[:, 0] * 0.1})
    hour = np.sin(known["time"].dt.hour.astype("float32"))
    in_memory = model().fit(series, future_covariates=known.assign(hour=hour), **IN_ORDER)
    lazy = xr.Dataset({"frame": stored(known["frame"])}).assign(hour=hour)
    from_disk = model().fit(stored(series), future_covariates=lazy, **IN_ORDER)
    wanted = in_memory.predict(2, series, future_covariates=known.assign(hour=hour))
    xr.testing.assert_identical(from_disk.predict(2, series, future_covariates=lazy), wanted)


@pytest.mark.parametrize("on_disk", [True, False])
def test_the_frames_after_training_go_to_a_store(stored, tmp_path, on_disk):
    fitted = model().fit(stored(wave()) if on_disk else wave())
    xr.testing.assert_identical(fitted.predict(2, to=tmp_path / "next.zarr").compute(), fitted.predict(2))


@pytest.mark.parametrize("size", ["much", "1 XiB", None, -5, 0])
def test_the_size_of_the_cache_is_checked(size):
    with pytest.raises(ValueError, match=r"cache_size is .*256 MiB"):
        model(cache_size=size)
