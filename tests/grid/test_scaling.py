import numpy as np
import pandas as pd
import pytest
import xarray as xr
from sklearn.preprocessing import MinMaxScaler, RobustScaler, StandardScaler

from darts_mim.grid import transformer
from darts_mim.grid.grid import Grid
from darts_mim.grid.scaling import GridScaler


def temperature(dtype="float64", n=60):
    rng = np.random.default_rng(0)
    values = 280 + 10 * rng.standard_normal((n, 2, 5, 3)) * rng.gamma(1, 1, (2, 5, 3))
    return xr.DataArray(
        values.astype(dtype),
        dims=("time", "channel", "lat", "lon"),
        coords={"time": pd.date_range("2024-01-01", periods=n, freq="h")},
    )


def columns(series, per):
    """(samples, features) as scikit-learn takes them: a feature is what shares one scale."""
    values = Grid.of(series, with_mask=False).components(series)
    if per == "cell":
        return values
    n_channels = 1 if per == "grid" else 2
    return np.moveaxis(values.reshape(len(values), n_channels, -1), 1, -1).reshape(-1, n_channels)


@pytest.mark.parametrize("block", [2**24, 130])
@pytest.mark.parametrize("nan", [False, True])
@pytest.mark.parametrize("per", ["grid", "channel", "cell"])
@pytest.mark.parametrize(
    ("method", "theirs"),
    [("minmax", MinMaxScaler), ("standard", StandardScaler), ("robust", RobustScaler)],
)
def test_equals_scikit_learn(method, theirs, per, nan, block, monkeypatch):
    monkeypatch.setattr(transformer, "BLOCK", block)
    series = temperature()
    if nan:
        series = series.where(np.random.default_rng(1).random(series.shape) > 0.2)
    train, test = series[:45], series[45:]
    arguments = {"feature_range": (-1, 2)} if method == "minmax" else {}
    expected = theirs(**arguments).fit(columns(train, per)).transform(columns(test, per))
    scaler = GridScaler(method, per=per, **arguments).fit(train)
    np.testing.assert_allclose(columns(scaler.transform(test), per), expected, rtol=1e-9, atol=1e-12)


def test_three_standard_deviations_become_one():
    series = temperature()
    scaled = GridScaler("standard", deviations=3).fit(series).transform(series)
    np.testing.assert_allclose(scaled, (series - series.mean()) / (3 * series.std()), atol=1e-12)
    with pytest.raises(ValueError, match="positive"):
        GridScaler("standard", deviations=0).fit(series)


def test_log1p_equals_numpy():
    rain = np.maximum(temperature() - 280, 0)
    scaled = GridScaler("log1p", feature_range=(-1, 1)).fit(rain).transform(rain)
    logarithm = np.log1p(rain.values)
    expected = 2 * (logarithm - logarithm.min()) / (logarithm.max() - logarithm.min()) - 1
    np.testing.assert_allclose(scaled, expected, atol=1e-13)


@pytest.mark.parametrize("chunks", [None, {"time": 10}])
def test_log1p_of_negative_values_is_an_error(chunks):
    rain = np.maximum(temperature() - 280, 0)
    below = rain - 0.5
    if chunks:
        rain, below = rain.chunk(chunks), below.chunk(chunks)
    with pytest.raises(ValueError, match=r"never negative, but -0.5 came.*\.clip\(min=0\)"):
        GridScaler("log1p").fit(below)
    scaler = GridScaler("log1p").fit(rain)
    with pytest.raises(ValueError, match="never negative"):
        scaler.transform(below).compute()


@pytest.mark.parametrize("method", ["minmax", "standard", "robust", "log1p"])
def test_a_constant_cell_is_shifted_and_divided_by_nothing(method):
    series = temperature("float32")
    series[:, 0, 0, 0] = 280.1
    scaler = GridScaler(method, per="cell").fit(series)
    assert scaler.scale_[0, 0, 0] == 1
    np.testing.assert_allclose(scaler.transform(series)[:, 0, 0, 0], 0, atol=1e-4)


@pytest.mark.parametrize("method", ["minmax", "standard", "robust", "log1p"])
def test_a_cell_training_never_saw_has_no_scale(method):
    series = temperature("float32")
    train = series.copy()
    train[:, 1, 2, 0] = np.nan
    scaled = GridScaler(method, per="cell").fit(train).transform(series)
    assert scaled[:, 1, 2, 0].isnull().all()
    assert int(scaled.isnull().sum()) == len(series)


def test_statistics_are_exact_for_large_float32_values():
    series = temperature("float32") * 0 + 16777216
    series[::2] += 2
    scaler = GridScaler("standard").fit(series)
    assert scaler.center_.item() == pytest.approx(np.asarray(series, "float64").mean(), rel=1e-15)
    assert scaler.scale_.item() == pytest.approx(np.asarray(series, "float64").std(), rel=1e-12)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"method": "max"}, r"method='max' came, where one of \('minmax'"),
        ({"per": "pixel"}, r"per='pixel' came, where one of \('grid', 'channel', 'cell'\)"),
        ({"feature_range": (1, 0)}, r"feature_range=\(1, 0\) came.*low < high"),
    ],
)
def test_bad_arguments_are_errors(arguments, message):
    with pytest.raises(ValueError, match=message):
        GridScaler(**arguments).fit(temperature())
