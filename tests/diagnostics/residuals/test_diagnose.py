import numpy as np
import pytest
import xarray as xr
from diagnostics.residuals.cases import forecasts, series
from scipy import stats
from statsmodels.stats.diagnostic import acorr_ljungbox

from darts_mim.backtesting.backtest import backtest
from darts_mim.diagnostics.residuals.diagnose import diagnose_residuals
from darts_mim.diagnostics.residuals.ljung_box import ljung_box
from darts_mim.diagnostics.residuals.trend import hac_mean, hac_trend
from darts_mim.diagnostics.spatial import morans_i


@pytest.fixture(scope="module")
def observed():
    return series()


@pytest.fixture(scope="module")
def best(observed):
    return diagnose_residuals(forecasts(observed), observed, model="best")


def errors_of(made, observed):
    truth = observed.sel(time=made["valid_time"]).drop_vars("time").transpose(*made.dims)
    return (made - truth).values


def test_the_best_forecast_has_nothing_left(best):
    """Its errors overlap, and are nothing else."""
    assert best["share_rejected"].max() < 0.08
    assert (best["mean_autocorrelation"][1:, :, 0] < 0.9).all()
    assert (best["mean_autocorrelation"][2, :, 0] > 0.5).all()
    assert abs(best["lag1_autocorrelation"].mean(["channel", "y", "x"])).max() < 0.05
    assert (abs(best["morans_i_share_positive"] - 0.05) < 0.03).all()
    assert best["bias_rejected"].mean() < 0.1
    assert best["squared_error_trend_pvalue"].min() > 0.01


def test_what_is_left_is_found(observed):
    lasting = forecasts(observed, persistence=0.4)
    assert (diagnose_residuals(lasting, observed)["share_rejected"] == 1).all()
    wave = np.sin(np.arange(397) / 2)[:, None, None, None, None] * np.array([-1, -1, 0, 1, 1])
    alike = diagnose_residuals(forecasts(observed) + 8 * wave, observed)
    assert (alike["morans_i_share_positive"] > 0.3).all()
    high = diagnose_residuals(forecasts(observed) + xr.DataArray([2.0, 0, 0, 0, 0], dims="x"), observed)
    assert (high["bias_rejected"].isel(x=0) == 1).all()
    assert high["bias_rejected"].isel(x=slice(1, None)).mean() < 0.2
    growing = forecasts(observed) * xr.DataArray(np.linspace(1, 3, 397), dims="init_time")
    worse = diagnose_residuals(growing, observed)
    assert (worse["squared_error_trend_pvalue"] < 0.01).all()
    assert (worse["squared_error_trend"] > 0).all()


def test_every_variable_is_what_it_says(observed):
    made = forecasts(observed).astype("float32")
    diagnosis = diagnose_residuals(made, observed, lags=6)
    errors = errors_of(made.astype(float), observed)
    days = np.arange(397) / 24
    for lead, channel in np.ndindex(3, 2):
        e = errors[:, lead, channel]
        of = diagnosis.dataset.isel(lead_time=lead, channel=channel)
        first, max_lag = lead + 1, round(1.3 * 397**0.5)
        white = ljung_box(e.reshape(397, -1).T, lags=6, first_lag=first)
        p = white.p_value.reshape(3, 5)
        np.testing.assert_allclose(of["ljung_box_statistic"].values.ravel(), white.statistic, rtol=1e-9)
        np.testing.assert_allclose(of["ljung_box_pvalue"], p, rtol=1e-9)
        adjusted = stats.false_discovery_control(p.ravel()).reshape(3, 5)
        np.testing.assert_array_equal(of["whiteness_rejected"], adjusted <= 0.05)
        np.testing.assert_allclose(of["share_rejected"], (adjusted <= 0.05).mean())
        r = white.autocorrelation
        np.testing.assert_allclose(of["lag1_autocorrelation"].values.ravel(), r[:, lead], rtol=1e-9)
        np.testing.assert_allclose(of["mean_autocorrelation"][: lead + 6], r.mean(axis=0), rtol=1e-9)
        assert of["mean_autocorrelation"][lead + 6 :].isnull().all()
        i = morans_i(e / np.sqrt((e**2).mean(axis=0)))
        np.testing.assert_allclose(of["morans_i"], i.value.mean(), rtol=1e-9)
        np.testing.assert_allclose(of["morans_i_expected"], -1 / 14, rtol=1e-12)
        np.testing.assert_allclose(of["morans_i_share_positive"], (i.z > stats.norm.ppf(0.95)).mean())
        bias = hac_mean(e.reshape(397, -1).T, max_lag=max_lag)
        for name, expected in zip(
            ("bias", "bias_t", "bias_pvalue"), (bias.value, bias.t, bias.p_value), strict=True
        ):
            np.testing.assert_allclose(of[name].values.ravel(), expected, rtol=1e-7)
        for name, course in (("error", e.mean(axis=(1, 2))), ("squared_error", (e**2).mean(axis=(1, 2)))):
            np.testing.assert_allclose(of[f"mean_{name}"], course, rtol=1e-7, atol=1e-9)
            trend = hac_trend(course[None], days, max_lag=max_lag)
            np.testing.assert_allclose(of[f"{name}_trend"], trend.value[0], rtol=1e-6)
            np.testing.assert_allclose(of[f"{name}_trend_t"], trend.t[0], rtol=1e-6)
            np.testing.assert_allclose(of[f"{name}_trend_pvalue"], trend.p_value[0], rtol=1e-5)
    theirs = acorr_ljungbox(errors[:, 0, 1, 2, 3], lags=[6])
    ours = diagnosis["ljung_box_pvalue"].isel(lead_time=0, channel=1, y=2, x=3)
    np.testing.assert_allclose(ours, theirs["lb_pvalue"].item(), rtol=1e-9)


def test_labels_and_units(best, observed):
    assert best["ljung_box_pvalue"].dims == ("lead_time", "channel", "y", "x")
    assert best["mean_error"].dims == ("init_time", "lead_time", "channel")
    assert best["morans_i"].dims == ("lead_time", "channel")
    assert best.dataset["channel"].values.tolist() == ["in", "out"]
    assert best.dataset["first_lag"].values.tolist() == [1, 2, 3]
    assert best.dataset["lag"][0] == np.timedelta64(1, "h")
    for name in best.dataset.data_vars:
        assert best[name].attrs["long_name"]
    units = {
        name: best[name].attrs["units"] for name in ("bias", "mean_squared_error", "squared_error_trend")
    }
    assert units == {"bias": "mm", "mean_squared_error": "mm^2", "squared_error_trend": "mm^2 per day"}
    with pytest.raises(KeyError, match="'moran' was not diagnosed"):
        best["moran"]


def test_a_backtest_says_the_same(observed):
    made = {"damped": forecasts(observed), "last": forecasts(observed, persistence=1.0)}
    result = backtest(made, observed, start=observed.time[1], horizon=3)
    for name in made:
        xr.testing.assert_allclose(
            diagnose_residuals(result, model=name).dataset, diagnose_residuals(made[name], observed).dataset
        )


def test_gaps_are_no_neighbours(observed):
    made = forecasts(observed)
    errors = errors_of(made, observed)
    left_out = np.r_[10:25, 60, 200:230]
    errors[left_out] = np.nan
    diagnosis = diagnose_residuals(made.drop_isel(init_time=left_out), observed)
    expected = ljung_box(errors[:, 1].reshape(397, -1).T, lags=10, first_lag=2)
    np.testing.assert_allclose(diagnosis["ljung_box_pvalue"][1].values.ravel(), expected.p_value, rtol=1e-8)
    assert diagnosis["mean_error"].isel(init_time=left_out).isnull().all()
    assert diagnosis.dataset.sizes["init_time"] == 397


def test_cells_never_observed_and_cells_without_errors(observed):
    masked = observed.copy()
    masked[:, 0, 1, 2] = np.nan
    made = forecasts(masked)
    made[:, :, 1, 0, 0] = masked.sel(time=made["valid_time"])[..., 1, 0, 0]
    diagnosis = diagnose_residuals(made, masked)
    for name in ("ljung_box_pvalue", "whiteness_rejected", "lag1_autocorrelation", "bias_pvalue"):
        assert diagnosis[name][:, 0, 1, 2].isnull().all()
        assert diagnosis[name][:, 1, 0, 0].isnull().all()
        assert diagnosis[name].isnull().sum() == 6
    assert diagnosis["bias"][:, 0, 1, 2].isnull().all()
    assert diagnosis["morans_i"].notnull().all()
    np.testing.assert_allclose(diagnosis["morans_i_expected"], -1 / 13)
    for text in (diagnosis.summary(), repr(diagnosis)):
        assert "nan" not in text


def test_a_series_without_channels(observed):
    alone = observed.isel(channel=1, drop=True)
    made = forecasts(observed)
    diagnosis = diagnose_residuals(made.isel(channel=1, drop=True), alone)
    assert diagnosis["bias"].dims == ("lead_time", "y", "x")
    expected = diagnose_residuals(made, observed).dataset.isel(channel=1, drop=True)
    xr.testing.assert_allclose(diagnosis.dataset, expected)
    split = diagnose_residuals(made.to_dataset("channel"), observed.to_dataset("channel"))
    xr.testing.assert_allclose(split.dataset.isel(channel=1, drop=True), expected)


@pytest.mark.parametrize("n", [2, 5, 12])
def test_few_origins_are_no_error(n):
    short = series(n + 3)
    diagnosis = diagnose_residuals(forecasts(short), short)
    assert diagnosis.dataset.sizes["init_time"] == n
    assert diagnosis["bias"].notnull().all()
    assert "nan" not in diagnosis.summary()


def test_months():
    monthly = series(83, freq="MS")
    diagnosis = diagnose_residuals(forecasts(monthly), monthly)
    assert diagnosis.dataset["lead_time"].values.tolist() == [1, 2, 3]
    assert diagnosis.dataset["lag"].values.tolist() == list(range(1, 13))
