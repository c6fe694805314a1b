import dataclasses

import numpy as np
import pytest
import sklearn.metrics
import xarray as xr

from darts_mim.errors import GridMismatchError
from darts_mim.metrics.pointwise import bias, mae, mse, rmse, sum_statistics

METRICS = [mse, rmse, mae, bias]
DIMS = ("time", "y", "x")

REFERENCE = {
    "mse": sklearn.metrics.mean_squared_error,
    "rmse": sklearn.metrics.root_mean_squared_error,
    "mae": sklearn.metrics.mean_absolute_error,
    "bias": lambda truth, forecast: np.mean(forecast - truth),
}


def field(seed, *, dtype=np.float32):
    values = np.random.default_rng(seed).gamma(2.0, 3.0, (7, 2, 5, 3)).astype(dtype)
    coords = {"time": np.arange(7), "channel": ["in", "out"], "y": np.arange(5) / 2}
    return xr.DataArray(values, coords, ("time", "channel", "y", "x"), attrs={"units": "mm"})


@pytest.mark.parametrize("metric", METRICS)
def test_equals_scikit_learn(metric):
    forecast, observed = field(0), field(1)
    score = metric(forecast, observed, dims=DIMS)
    for channel in ("in", "out"):
        truth = observed.sel(channel=channel).values.ravel().astype(float)
        guess = forecast.sel(channel=channel).values.ravel().astype(float)
        np.testing.assert_allclose(
            score.sel(channel=channel), REFERENCE[metric.name](truth, guess), rtol=1e-12
        )


@pytest.mark.parametrize("metric", METRICS)
def test_perfect_forecast(metric):
    assert (metric(field(0), field(0), dims=DIMS) == metric.perfect).all()


@pytest.mark.parametrize("metric", METRICS)
@pytest.mark.parametrize("cuts", [(1,), (3,), (2, 3, 6)])
def test_pooled_in_chunks_equals_the_whole(metric, cuts):
    forecast, observed = field(0), field(1)
    observed[2, 1, 3:] = np.nan
    parts = zip(np.split(forecast, cuts), np.split(observed, cuts), strict=True)
    pooled = sum_statistics(metric.statistic(f, o, DIMS) for f, o in parts)
    whole = metric.statistic(forecast, observed, DIMS)
    np.testing.assert_array_equal(pooled.weight, whole.weight)
    xr.testing.assert_allclose(metric.score(pooled), metric.score(whole), rtol=1e-13)


@pytest.mark.parametrize("metric", METRICS)
def test_statistic_sums_over_what_is_left(metric):
    forecast, observed = field(0), field(1)
    by_time = metric.statistic(forecast, observed, ("channel", "y", "x")).sum("time")
    whole = metric(forecast, observed, dims=forecast.dims)
    xr.testing.assert_allclose(metric.score(by_time), whole, rtol=1e-13)


@pytest.mark.parametrize("metric", METRICS)
def test_unobserved_cells_are_left_out(metric):
    forecast, observed = field(0), field(1)
    observed[4:] = np.nan
    forecast[5:] = np.nan
    expected = metric(forecast[:4], observed[:4], dims=DIMS)
    xr.testing.assert_identical(metric(forecast, observed, dims=DIMS), expected)


@pytest.mark.parametrize("metric", METRICS)
def test_nothing_observed_is_nan(metric):
    forecast, observed = field(0), field(1)
    observed[:, 0] = np.nan
    assert metric(forecast, observed, dims=DIMS).isnull().values.tolist() == [True, False]


@pytest.mark.parametrize("metric", METRICS)
def test_nan_forecast_of_an_observed_cell_is_an_error(metric):
    forecast = field(0)
    forecast[3, 1, 2, 0] = np.nan
    with pytest.raises(ValueError, match="NaN at cells that were observed, in 1 of 2 windows"):
        metric(forecast, field(1), dims=DIMS)


@pytest.mark.parametrize("metric", METRICS)
def test_lazy_equals_in_memory(metric):
    forecast, observed = field(0), field(1)
    lazy = metric(forecast.chunk(time=2), observed.chunk(time=3, y=2), dims=DIMS)
    xr.testing.assert_allclose(lazy, metric(forecast, observed, dims=DIMS), rtol=1e-13)


@pytest.mark.parametrize("metric", METRICS)
def test_order_of_dims_does_not_matter(metric):
    turned = field(0).transpose("x", "time", "y", "channel")
    xr.testing.assert_allclose(
        metric(turned, field(1), dims=DIMS), metric(field(0), field(1), dims=DIMS), rtol=1e-13
    )


@pytest.mark.parametrize("metric", METRICS)
def test_unsigned_integers_do_not_wrap_around(metric):
    small, large = (field(0) * 0 + n for n in (3, 10))
    expected = metric(small, large, dims=DIMS)
    np.testing.assert_array_equal(metric(small.astype(np.uint8), large.astype(np.uint8), dims=DIMS), expected)


def test_sums_are_float64():
    truth = xr.DataArray(np.zeros(3, np.float32), dims="x")
    forecast = xr.DataArray(np.array([1e4, 1.0, 1.0], np.float32), dims="x")
    assert mse.statistic(forecast, truth, "x").value == 1e8 + 2  # 1e8 in float32


def test_units():
    assert [m.units("mm") for m in METRICS] == ["mm^2", "mm", "mm", "mm"]
    assert mse.units("") == ""
    assert mse.units("mm/h") == "(mm/h)^2"


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda f: f.assign_coords(y=f.y + 1), "differ in coordinate 'y'"),
        (lambda f: f[:, :, :, 1:], "Forecast has 2 along x, the truth 3"),
        (lambda f: f.expand_dims(realization=2), "realization"),
        (lambda f: f.rename(y="lat"), "lat"),
    ],
)
def test_another_grid_is_an_error(change, said):
    with pytest.raises(GridMismatchError, match=said):
        mse(change(field(0)), field(1), dims=DIMS)


def test_only_equal_windows_pool():
    statistics = [mse.statistic(field(0)[:n], field(1)[:n], ("y", "x")) for n in (3, 4)]
    with pytest.raises(ValueError, match="align"):
        sum_statistics(statistics)
    with pytest.raises(ValueError, match="at least one"):
        sum_statistics([])


def test_statistic_is_frozen():
    statistic = mse.statistic(field(0), field(1), DIMS)
    with pytest.raises(dataclasses.FrozenInstanceError):
        statistic.value = statistic.weight
