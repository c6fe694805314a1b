import json
from functools import cache

import numpy as np
import pandas as pd
import pytest
import xarray as xr

from darts_mim.backtesting import saving
from darts_mim.backtesting.backtest import backtest
from darts_mim.backtesting.saving import read_forecasts
from darts_mim.baselines import Climatology

WRITERS = {"zarr": "to_zarr", "nc": "to_netcdf"}


def rain(n=60, *, dtype=float, freq="3h"):
    """Two channels on 3 x 4 cells; a cell that never was observed, a gap, and a frame that is NaN."""
    time = pd.date_range("2024-01-01", periods=n, freq=freq)
    values = np.random.default_rng(0).gamma(2.0, 5.0, (n, 2, 3, 4)).astype(dtype)
    values[:, 1, 0, 2] = np.nan
    values[51] = np.nan
    return xr.DataArray(
        values,
        {
            "time": time,
            "channel": ["in", "out"],
            "x": ("x", np.arange(4) * 2.0, {"units": "km"}),
            "place": (("y", "x"), np.arange(12.0).reshape(3, 4)),
            "height": 2.0,
        },
        ("time", "channel", "y", "x"),
        name="rain",
        attrs={"units": "mm", "valid_range": np.float32([0, 90]), "cell_methods": "time: sum"},
    ).drop_isel(time=[45, 46])


def scored(series, *, metrics=("mae", "rmse", "csi_8"), more=None, horizon=3, **options):
    past = series.isel(time=slice(30))
    fitted = {"normal": Climatology("1D").fit(past), "half a normal": Climatology("1D").fit(past * 0.5)}
    more = {} if more is None else more
    return backtest(fitted | more, series, start=series.time[30], horizon=horizon, metrics=metrics, **options)


@cache
def plain(dtype=float, horizon=3):
    """A backtest that changes nothing about the series; results are frozen."""
    return scored(rain(dtype=dtype), horizon=horizon)


def reopened(path):
    decode = {"lead_time": True}
    if path.suffix == ".zarr":
        return xr.open_zarr(path, decode_timedelta=decode).load()
    with xr.open_dataset(path, engine="h5netcdf", decode_timedelta=decode) as opened:
        return opened.load()


@pytest.mark.parametrize("kind", WRITERS)
@pytest.mark.parametrize("dtype", [float, np.float32])
def test_everything_is_there_again(tmp_path, kind, dtype):
    result = plain(dtype)
    dataset = result.to_dataset()
    assert dataset["forecast"].dims == ("model", "init_time", "lead_time", "channel", "y", "x")
    for model, forecast in result.forecasts.items():
        np.testing.assert_array_equal(dataset["forecast"].sel(model=model), forecast)
    xr.testing.assert_identical(
        dataset["observed"].drop_attrs(), result.observed.rename("observed").drop_attrs()
    )
    assert dataset["forecast"].dtype == dataset["observed"].dtype == dtype
    path = getattr(result, WRITERS[kind])(tmp_path / "deep" / f"run.{kind}")
    stored = reopened(path)
    xr.testing.assert_equal(stored, dataset)
    for name in ("forecast", "observed"):
        assert stored[name].dtype == dtype and stored[name].attrs["units"] == "mm"
        np.testing.assert_array_equal(stored[name].attrs["valid_range"], [0, 90])
    assert stored["x"].attrs["units"] == "km" and stored["rmse"].attrs["units"] == "mm"
    np.testing.assert_array_equal(stored["lead_time"], pd.to_timedelta(["3h", "6h", "9h"]))
    xr.testing.assert_equal(stored[list(result.scores)].drop_vars(["height"]), result.scores)
    assert json.loads(stored.attrs["settings"]) == dict(result.settings)
    assert json.loads(stored.attrs["origins_offered"]) == dict(result.origins_offered)
    assert stored.attrs["origins_wanted"] == result.origins_wanted and stored.attrs["series"] == "rain"
    assert json.loads(stored.attrs["versions"])["xarray"] == xr.__version__
    assert [entry.name for entry in path.parent.iterdir()] == [path.name]


def same_scores(result, path, series, **options):
    stored = read_forecasts(path)
    assert list(stored) == result.models
    metrics = [metric.name for metric in result.metrics]
    again = backtest(
        stored,
        series,
        start=series.time[30],
        horizon=result.observed.sizes["lead_time"],
        metrics=metrics,
        **options,
    )
    xr.testing.assert_identical(again.scores, result.scores)
    xr.testing.assert_identical(
        again.scores_by("init_time", "channel"), result.scores_by("init_time", "channel")
    )
    return stored


@pytest.mark.parametrize("kind", WRITERS)
@pytest.mark.parametrize("dtype", [float, np.float32])
def test_stored_forecasts_score_the_same(tmp_path, kind, dtype):
    result = plain(dtype)
    path = getattr(result, WRITERS[kind])(tmp_path / f"run.{kind}")
    stored = same_scores(result, path, rain(dtype=dtype))
    for model, forecast in result.forecasts.items():
        xr.testing.assert_equal(stored[model].compute(), forecast)
        assert stored[model].name == "rain" and stored[model].dtype == dtype


@pytest.mark.parametrize("kind", WRITERS)
def test_a_dataset_keeps_its_variables(tmp_path, kind):
    series = rain().to_dataset("channel").assign_attrs(source="radar")
    series["in"] = series["in"].astype(np.float32).assign_attrs(units="degC")
    result = scored(series)
    dataset = result.to_dataset()
    assert {"forecast_in", "forecast_out", "observed_in", "observed_out"} <= set(dataset)
    assert dataset["forecast_in"].dtype == np.float32 and dataset["forecast_out"].dtype == float
    assert dataset["observed_in"].attrs["units"] == "degC" and dataset.attrs["source"] == "radar"
    path = getattr(result, WRITERS[kind])(tmp_path / f"run.{kind}")
    stored = same_scores(result, path, series)
    xr.testing.assert_equal(stored["normal"].compute(), result.forecasts["normal"])


@pytest.mark.parametrize("kind", WRITERS)
def test_samples_of_any_number_beside_none(tmp_path, kind):
    base = plain()
    normal = base.forecasts["normal"]
    noise = np.random.default_rng(1).normal(size=(5, *normal.shape))
    many = xr.concat([normal + one for one in noise], pd.Index([1, 2, 3, 4, 9], name="realization"))
    few = xr.concat([normal - 1, normal + 2], "realization").transpose(..., "realization")
    result = scored(rain(), more={"many": many, "few": few, "rounded": normal.astype(np.float32)})
    dataset = result.to_dataset()
    assert "forecast" not in dataset
    assert dataset["forecast_2"].dims[0] == "realization_2" and dataset["forecast_2"].attrs["model"] == "many"
    assert dataset["forecast_3"].sizes["realization_3"] == 2
    path = getattr(result, WRITERS[kind])(tmp_path / f"run.{kind}")
    stored = same_scores(result, path, rain())
    assert stored["many"].dims[0] == "realization"
    assert stored["many"]["realization"].values.tolist() == [1, 2, 3, 4, 9]
    assert stored["few"].sizes["realization"] == 2 and "model" not in stored["few"].attrs
    assert stored["rounded"].dtype == np.float32
    alike = plain().to_dataset()
    assert "forecast" in alike


def test_models_that_are_all_sampled_share_a_variable(tmp_path):
    normal = plain().forecasts["normal"]
    samples = xr.concat([normal - 1, normal + 2, normal], "realization")
    result = backtest({"a": samples, "b": 2 * samples}, rain(), start=rain().time[30], horizon=3)
    dataset = result.to_dataset()
    assert dataset["forecast"].dims[:3] == ("model", "realization", "init_time")
    same_scores(result, result.to_zarr(tmp_path / "run.zarr"), rain())


@pytest.mark.parametrize("kind", WRITERS)
def test_lead_times_that_are_counted(tmp_path, kind):
    months = pd.date_range("2000-01-31", periods=60, freq="ME")
    series = xr.DataArray(
        np.random.default_rng(0).gamma(2.0, size=(60, 3, 2)), {"time": months}, ("time", "b", "a")
    )
    fitted = {"normal": Climatology("1YE", spatial_dims=("a", "b")).fit(series[:30])}
    result = backtest(fitted, series, start=series.time[30], horizon=2, spatial_dims=("a", "b"))
    path = getattr(result, WRITERS[kind])(tmp_path / f"run.{kind}")
    assert reopened(path)["lead_time"].values.tolist() == [1, 2]
    stored = same_scores(result, path, series, spatial_dims=("a", "b"))
    assert stored["normal"].name is None and stored["normal"].dims == ("init_time", "lead_time", "b", "a")


@pytest.mark.parametrize("kind", WRITERS)
def test_hours_are_a_unit_like_any_other(tmp_path, kind):
    """xarray may take values in hours for durations when it reads them."""
    series = rain().assign_attrs(units="hours")
    result = scored(series)
    path = getattr(result, WRITERS[kind])(tmp_path / f"run.{kind}")
    assert same_scores(result, path, series)["normal"].dtype == float


@pytest.mark.parametrize("kind", WRITERS)
def test_folds_are_stored(tmp_path, kind):
    result = scored(rain(), refit_every=6)
    stored = reopened(getattr(result, WRITERS[kind])(tmp_path / f"run.{kind}"))
    for column in result.folds:
        np.testing.assert_array_equal(stored[column], result.folds[column])


@pytest.mark.parametrize("kind", WRITERS)
def test_attributes_that_files_cannot_hold_become_text(tmp_path, kind):
    odd = {
        "flags": {"a": 1},
        "none": None,
        "true": True,
        "mixed": ["a", 1],
        "two": ["a", "b"],
        "when": pd.Timestamp("2024"),
    }
    result = scored(rain().assign_attrs(odd))
    found = reopened(getattr(result, WRITERS[kind])(tmp_path / f"run.{kind}"))["observed"].attrs
    assert json.loads(found["flags"]) == {"a": 1} and json.loads(found["mixed"]) == ["a", 1]
    assert [found[name] for name in ("none", "true", "when")] == ["None", "True", "2024-01-01 00:00:00"]
    assert list(found["two"]) == ["a", "b"]
    assert result.to_dataset()["observed"].attrs["flags"] == {"a": 1}


class Broken(RuntimeError):
    pass


@pytest.mark.parametrize("kind", WRITERS)
@pytest.mark.parametrize("there", [False, True], ids=["nothing", "an older one"])
def test_a_write_that_fails_leaves_what_was_there(tmp_path, monkeypatch, kind, there):
    result, path = plain(), tmp_path / f"run.{kind}"
    older = plain(horizon=2)
    if there:
        getattr(older, WRITERS[kind])(path)
    before = set(tmp_path.rglob("*"))

    writing = xr.Dataset.to_zarr if kind == "zarr" else xr.Dataset.to_netcdf

    def fails(dataset, target, **options):
        writing(dataset[["observed"]], target, **options)
        raise Broken

    monkeypatch.setattr(xr.Dataset, writing.__name__, fails)
    with pytest.raises(Broken):
        getattr(result, WRITERS[kind])(path)
    monkeypatch.undo()
    assert set(tmp_path.rglob("*")) == before
    if there:
        xr.testing.assert_equal(reopened(path), older.to_dataset())
    getattr(result, WRITERS[kind])(path)
    xr.testing.assert_equal(reopened(path), result.to_dataset())
    assert [entry.name for entry in tmp_path.iterdir()] == [path.name]


def test_a_store_comes_back_if_the_new_one_cannot_take_its_place(tmp_path, monkeypatch):
    path, older = tmp_path / "run.zarr", plain(horizon=2)
    older.to_zarr(path)
    replace = saving.os.replace

    def fails(source, target):
        if source.name == "new":
            raise PermissionError(13, "refused")
        replace(source, target)

    monkeypatch.setattr(saving.os, "replace", fails)
    with pytest.raises(PermissionError):
        plain().to_zarr(path)
    xr.testing.assert_equal(reopened(path), older.to_dataset())
    assert [entry.name for entry in tmp_path.iterdir()] == [path.name]


def test_a_store_may_be_written_over_itself(tmp_path):
    """What was read from it is lazy still."""
    result, path = plain(), tmp_path / "run.zarr"
    result.to_zarr(path)
    lazy = read_forecasts(path)
    assert lazy["normal"].chunks is not None
    again = backtest(lazy, rain(), start=rain().time[30], horizon=3, metrics=["mae"])
    again.to_zarr(path)
    np.testing.assert_array_equal(reopened(path)["forecast"], result.to_dataset()["forecast"])


def test_nothing_else_is_replaced(tmp_path):
    result = plain()
    (tmp_path / "notes.txt").write_text("mine")
    with pytest.raises(FileExistsError, match="no Zarr store"):
        result.to_zarr(tmp_path)
    with pytest.raises(FileExistsError, match="no Zarr store"):
        result.to_zarr(tmp_path / "notes.txt")
    with pytest.raises(FileExistsError, match="is a folder"):
        result.to_netcdf(tmp_path)
    with pytest.raises(ValueError, match="only a local path"):
        result.to_zarr("s3://bucket/run.zarr")
    assert [entry.name for entry in tmp_path.iterdir()] == ["notes.txt"]
    assert (tmp_path / "notes.txt").read_text() == "mine"


def test_without_h5netcdf_the_error_says_how_to_get_it(tmp_path, monkeypatch):
    monkeypatch.setattr(saving, "find_spec", lambda name: None)
    with pytest.raises(ImportError, match="pip install h5netcdf"):
        plain().to_netcdf(tmp_path / "run.nc")
    assert not list(tmp_path.iterdir())


def test_what_is_no_backtest_is_not_read(tmp_path):
    with pytest.raises(FileNotFoundError, match="Nothing is at"):
        read_forecasts(tmp_path / "run.zarr")
    rain().to_dataset().drop_encoding().to_zarr(tmp_path / "rain.zarr", zarr_format=2)
    with pytest.raises(ValueError, match="holds no forecasts"):
        read_forecasts(tmp_path / "rain.zarr")


def test_names_that_are_taken():
    coordinate = scored(rain().assign_coords(model="GFS", mae=("y", [1.0, 2.0, 3.0]))).to_dataset()
    assert coordinate["model"].values.tolist() == ["normal", "half a normal"]
    assert coordinate["series_model"] == "GFS" and coordinate["series_mae"].dims == ("y",)
    bands = scored(
        rain().rename(channel="model").assign_coords(model=[1, 2]), metrics=["mae"], channel_dim="model"
    )
    with pytest.raises(ValueError, match="the dim 'model', which is taken"):
        bands.to_dataset()


def test_a_dim_of_a_metric_beside_one_of_the_series():
    series = rain().isel(y=[0, 1, 2] * 4, x=[0, 1, 2, 3] * 3).drop_vars(["x", "place"])
    series = series.fillna(1.0).rename(channel="wavelength").assign_coords(wavelength=[0.6, 10.8])
    result = scored(series, metrics=["power_spectrum_ratio", "mae"], channel_dim="wavelength")
    dataset = result.to_dataset()
    assert dataset["wavelength"].values.tolist() == [0.6, 10.8]
    own = result.scores["power_spectrum_ratio"].rename(wavelength="power_spectrum_ratio_wavelength")
    xr.testing.assert_equal(dataset["power_spectrum_ratio"].drop_vars("height"), own)
