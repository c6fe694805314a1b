import numpy as np
import pandas as pd
import pytest
import xarray as xr
from darts import TimeSeries
from sklearn.base import clone
from sklearn.exceptions import NotFittedError

from darts_mim.errors import GridDimsError, GridMismatchError
from darts_mim.grid import transformer
from darts_mim.grid.anomaly import SeasonalAnomaly
from darts_mim.grid.differencing import GridDifferencer
from darts_mim.grid.grid import METADATA_KEY, Grid
from darts_mim.grid.scaling import GridScaler

TIMES = pd.date_range("2024-01-01", periods=40, freq="6h", unit="ns")
EACH = pytest.mark.parametrize(
    "make",
    [
        GridScaler,
        lambda: GridScaler("standard", per="cell"),
        lambda: GridScaler("robust", per="channel"),
        lambda: GridScaler("log1p"),
        lambda: SeasonalAnomaly("1D"),
        lambda: GridDifferencer(order=1, lags=("1D",)),
    ],
    ids=["minmax", "standard", "robust", "log1p", "anomaly", "differencer"],
)


def flow(dtype="float32"):
    values = np.random.default_rng(0).gamma(2, 20, (40, 2, 5, 3)).astype(dtype)
    return xr.DataArray(
        values,
        dims=("time", "channel", "lat", "lon"),
        coords={
            "time": TIMES,
            "channel": ["inflow", "outflow"],
            "lat": np.linspace(60, 50, 5),
            "lon": np.arange(3.0),
            "lat2d": (("lat", "lon"), np.random.default_rng(1).random((5, 3))),
            "holiday": ("time", np.arange(40) % 2),
        },
        name="flow",
        attrs={"units": "vehicles"},
    )


def as_timeseries(series, *, metadata=True):
    grid = Grid.of(series)
    carried = {METADATA_KEY: grid.to_metadata()} if metadata else None
    return TimeSeries.from_times_and_values(series.indexes["time"], grid.components(series), metadata=carried)


def lost(model):
    return getattr(model, "n_lost_", 0)


def there_and_back(model, series):
    """The part of the series that survives, restored from what came before it."""
    changed = model.transform(series)
    return model.inverse_transform(changed, history=series[: lost(model)])


@EACH
@pytest.mark.parametrize("dtype", ["float32", "float64", "uint8", "int64"])
@pytest.mark.parametrize("dims", [("time", "channel", "lat", "lon"), ("lon", "time", "channel", "lat")])
def test_arrays_go_there_and_back(make, dtype, dims):
    series = flow(dtype).transpose(*dims)
    model = make().fit(series)
    changed = model.transform(series)
    kept = series.isel(time=slice(lost(model), None))
    assert changed.dtype == ("float64" if dtype == "float64" else "float32")
    assert changed.dims == dims
    assert changed.attrs == series.attrs
    xr.testing.assert_identical(changed.coords.to_dataset(), kept.coords.to_dataset())
    back = model.inverse_transform(changed, history=series.isel(time=slice(lost(model))))
    # float32 carries seven digits, and log1p and its inverse lose one
    np.testing.assert_allclose(back, kept, rtol=1e-12 if dtype == "float64" else 2e-5, atol=1e-4)
    assert back.name == "flow"


@EACH
def test_one_channel_datasets_and_darts_series_give_the_same_numbers(make):
    series = flow("float64")
    expected = make().fit(series).transform(series)

    dataset = series.to_dataset("channel")
    changed = make().fit(dataset).transform(dataset)
    np.testing.assert_allclose(changed.to_dataarray("channel"), expected.transpose("channel", ...))
    assert list(changed) == ["inflow", "outflow"]
    assert [array.attrs for array in (changed, *changed.values())] == [dataset.attrs, {}, {}]

    darts_series = as_timeseries(series)
    model = make().fit(darts_series)
    changed = model.transform(darts_series)
    np.testing.assert_allclose(changed.values(), Grid.of(series).components(expected))
    assert changed.metadata == darts_series.metadata
    assert changed.end_time() == darts_series.end_time()
    back = there_and_back(model, darts_series)
    np.testing.assert_allclose(back.values(), darts_series[lost(model) :].values(), atol=1e-9)

    plain = series.isel(channel=0)
    model = make().fit(plain)
    assert model.transform(plain).dims == ("time", "lat", "lon")
    np.testing.assert_allclose(there_and_back(model, plain), plain[lost(model) :], atol=1e-9)


def test_histories_are_one_for_each_or_one_for_all():
    series = flow()
    model = GridDifferencer().fit(series)
    with pytest.raises(ValueError, match="2 histories came for 1 series"):
        model.inverse_transform([model.transform(series)], history=[series, series])


@EACH
def test_a_dataset_of_one_selected_channel_keeps_its_label(make):
    series = flow().isel(channel=0).to_dataset(name="flow")
    changed = make().fit(series).transform(series)
    assert changed["channel"].item() == "inflow"
    assert set(changed.coords) == set(series.coords)


@EACH
def test_a_fit_on_arrays_transforms_darts_series_without_metadata(make):
    series = flow("float64")
    model = make().fit(series)
    changed = model.transform(as_timeseries(series, metadata=False))
    np.testing.assert_array_equal(changed.values(), Grid.of(series).components(model.transform(series)))


@EACH
def test_an_ordinary_darts_series_is_one_cell_with_its_components(make):
    values = np.random.default_rng(0).gamma(2, 20, (40, 3))
    series = TimeSeries.from_times_and_values(TIMES, values, columns=["a", "b", "c"])
    model = make().fit(series)
    assert model.grid_.shape == (3, 1, 1)
    np.testing.assert_allclose(there_and_back(model, series).values(), values[lost(model) :])


@EACH
def test_samples_are_changed_one_by_one(make):
    series = as_timeseries(flow("float64"))
    model = make().fit(series)
    other = series + 1.0
    both = series.with_values(np.concatenate([series.all_values(), other.all_values()], axis=-1))
    changed = model.transform(both).all_values()
    np.testing.assert_array_equal(changed[..., :1], model.transform(series).all_values())
    np.testing.assert_array_equal(changed[..., 1:], model.transform(other).all_values())
    forecast = model.inverse_transform(model.transform(both)[:4], history=series[: lost(model)])
    np.testing.assert_allclose(forecast.all_values()[..., 0], series[lost(model) :][:4].values())


@EACH
def test_a_list_is_fitted_as_one(make):
    series = flow("float64")
    whole, parts = make().fit(series), make().fit([series[:17], series[17:]])
    for name in ("center_", "scale_", "climatology_"):
        if hasattr(whole, name):
            np.testing.assert_allclose(getattr(parts, name), getattr(whole, name), rtol=1e-12)
    answered = parts.transform([series, as_timeseries(series)])
    xr.testing.assert_allclose(answered[0], whole.transform(series))
    assert isinstance(answered[1], TimeSeries)
    back = parts.inverse_transform(answered[:1], history=[series[: lost(parts)]])
    xr.testing.assert_allclose(back[0], series[lost(parts) :])


@EACH
def test_lazy_stays_lazy_and_equals_the_eager_answer(make, monkeypatch):
    series = flow("float32").where(flow() > 5)
    lazy = series.chunk(time=7, lat=2)
    monkeypatch.setattr(transformer, "BLOCK", 500)
    model = make().fit(lazy)
    changed = model.transform(lazy)
    assert changed.chunks is not None
    expected = make().fit(series).transform(series)
    xr.testing.assert_allclose(changed.compute(), expected, rtol=1e-6)
    assert changed.dtype == "float32"
    back = model.inverse_transform(changed, history=lazy[: lost(model)])
    assert np.isfinite(back).sum() > 0


@EACH
def test_nan_is_left_out_of_the_fit_and_kept(make):
    series = flow("float64")
    series[5, 0, 1, 1] = np.nan
    series[:, :, 4, 2] = np.nan  # land
    model = make().fit(series)
    changed = model.transform(series)
    assert changed[:, :, 4, 2].isnull().all()
    if not lost(model):
        np.testing.assert_array_equal(changed.isnull(), series.isnull())


@EACH
def test_forecasts_go_back(make):
    series = flow("float64")
    model = make().fit(series)
    grid = Grid.of(series)
    changed = model.transform(series)
    position = np.arange(8, 20)[:, None] + np.arange(1, 7)
    valid = TIMES.values[position]
    leads = np.arange(1, 7) * np.timedelta64(6, "h").astype("m8[ns]")
    fields = grid.components(changed)[position - lost(model)]
    forecasts = grid.forecasts(fields, TIMES[8:20], leads, valid)
    back = model.inverse_transform(forecasts, history=series)
    assert back.dims == ("init_time", "lead_time", "channel", "lat", "lon")
    expected = series.drop_vars("holiday").sel(time=forecasts.valid_time).drop_vars("time")
    np.testing.assert_allclose(back, expected, rtol=1e-10)
    xr.testing.assert_identical(back.coords.to_dataset(), forecasts.coords.to_dataset())
    sampled = grid.forecasts(np.stack([fields, fields], -1), TIMES[8:20], leads, valid)
    back = model.inverse_transform(sampled, history=series)
    assert back.dims[0] == "realization"
    np.testing.assert_allclose(back[1], expected, rtol=1e-10)


@EACH
def test_sklearn_manners(make):
    model = make()
    assert clone(model).get_params() == model.get_params()
    with pytest.raises(NotFittedError):
        model.transform(flow())
    with pytest.raises(NotFittedError):
        model.inverse_transform(flow())
    series = flow()
    assert model.fit(series) is model
    xr.testing.assert_identical(clone(model).fit_transform(series), model.transform(series))
    before = flow()
    model.transform(series)
    xr.testing.assert_identical(series, before)


@EACH
def test_another_grid_is_an_error(make):
    series = flow()
    model = make().fit(series)
    with pytest.raises(GridMismatchError, match="4 cells along 'lat', not 5"):
        model.transform(series.isel(lat=slice(4)))
    with pytest.raises(GridMismatchError, match=r"TimeSeries is on another grid.*'lon' = 2"):
        model.transform(as_timeseries(series[..., ::-1]))
    with pytest.raises(GridMismatchError, match="TimeSeries has 15 components"):
        model.transform(as_timeseries(series.isel(channel=0), metadata=False))
    with pytest.raises(GridMismatchError):
        make().fit([series, series.isel(lon=slice(2))])


def test_dims_that_cannot_be_told_are_named():
    series = flow().drop_vars("lat2d").rename(lat="a", lon="b", channel="c1")
    with pytest.raises(GridDimsError, match="spatial_dims="):
        GridScaler().fit(series)
    model = GridScaler(spatial_dims=("a", "b")).fit(series)
    np.testing.assert_array_equal(model.transform(series), GridScaler().fit(flow()).transform(flow()))


def test_empty_and_infinite_input_are_errors():
    with pytest.raises(ValueError, match="An empty list came"):
        GridScaler().fit([])
    series = flow()
    series[7, 0, 0, 0] = np.inf
    with pytest.raises(ValueError, match=r"infinite values between 2024.*\.where\(np\.isfinite"):
        GridScaler().fit(series)


@pytest.mark.parametrize("frames", [7, 10, 40, 1000])
def test_blocks_hold_every_frame_once(frames, monkeypatch):
    monkeypatch.setattr(transformer, "BLOCK", 30 * frames)
    series = flow()
    model = GridScaler().fit(series)
    blocks = [block for _, block in model._statistics([series], lambda block, cells: block, None)]
    np.testing.assert_array_equal(np.concatenate([block.values for block in blocks]), series)
    assert {block.sizes["time"] for block in blocks[:-1]} <= {frames}
