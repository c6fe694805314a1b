import numpy as np
import pandas as pd
import pytest
import xarray as xr
from baselines.series import flow, gappy
from sklearn.linear_model import LinearRegression, Ridge
from statsmodels.tsa.ar_model import AutoReg

from darts_mim.baselines import Autoregression, Climatology, DampedAnomaly
from darts_mim.errors import TimeAxisError, TooShortError
from darts_mim.grid.anomaly import SeasonalAnomaly
from darts_mim.pipeline import GridPipeline

CELLS = [(0, 0, 0), (1, 2, 3), (1, 0, 0)]


def regressors(values, t, lead, lags, seasons):
    """The frames that the docstring names, of one cell, in the order of time and each once."""
    rows = {t - j for j in range(lags)}
    for season in seasons:
        back = season
        while lead > back:
            back += season
        rows |= {t + lead - back} | {t - back - j for j in range(lags)}
    return [values[row] if row >= 0 else np.nan for row in sorted(rows)]


def by_hand(train, past, lead, lags, seasons, estimator):
    """A regression of one cell on all its whole windows, one at a time."""
    windows = [(regressors(train, t, lead, lags, seasons), train[t + lead]) for t in range(len(train) - lead)]
    windows = [(x, y) for x, y in windows if np.isfinite([*x, y]).all()]
    fitted = estimator.fit(*map(np.array, zip(*windows, strict=True)))
    return fitted.predict([regressors(past, len(past) - 1, lead, lags, seasons)])[0]


@pytest.mark.parametrize("make", [flow, gappy])
@pytest.mark.parametrize(("lags", "periods", "seasons"), [(3, (), ()), (2, ("1D", "2D"), (4, 8))])
@pytest.mark.parametrize("ridge", [0.0, 5.0])
def test_equals_a_regression_for_each_cell_and_lead(make, lags, periods, seasons, ridge):
    series = make(25)
    train, past = series[:70], series[60:]
    model = Autoregression(lags, seasonal_lags=periods, ridge=ridge).fit(train)
    forecast = model.predict(6, past)
    axis = pd.date_range(train.time.values[0], train.time.values[-1], freq="6h")
    rows = train.reindex(time=axis).values
    estimator = Ridge(ridge, solver="svd") if ridge else LinearRegression()
    for lead in range(1, 7):
        for cell in CELLS:
            expected = by_hand(rows[:, *cell], past.values[:, *cell], lead, lags, seasons, estimator)
            np.testing.assert_allclose(forecast.values[lead - 1, *cell], expected, rtol=1e-9)


def test_the_first_lead_is_statsmodels_autoreg():
    series = flow(20)
    forecast = Autoregression(5).fit(series).predict(1)
    for cell in CELLS:
        expected = AutoReg(series.values[:, *cell], lags=5).fit().forecast(1)
        np.testing.assert_allclose(forecast.values[:, *cell], expected, rtol=1e-9)


def test_a_process_is_found_again():
    rng = np.random.default_rng(0)
    x = np.zeros((4000, 2, 3))
    for t in range(2, len(x)):
        x[t] = 0.6 * x[t - 1] - 0.3 * x[t - 2] + rng.normal(size=(2, 3))
    time = pd.date_range("2024-01-01", periods=len(x), freq="h")
    model = Autoregression(2).fit(xr.DataArray(x + 7, {"time": time}, ("time", "y", "x")))
    np.testing.assert_array_equal(model.offsets(1), [-1, 0])
    constant, before, last = model.coefficients(1)
    np.testing.assert_allclose(before, -0.3, atol=0.06)
    np.testing.assert_allclose(last, 0.6, atol=0.06)
    np.testing.assert_allclose(constant, 7 * 0.7, atol=0.5)


def test_a_huge_offset_costs_no_digits():
    series = flow(20)
    model, far = Autoregression(3).fit(series), Autoregression(3).fit(series + 1e6)
    np.testing.assert_allclose(far.predict(3) - 1e6, model.predict(3), rtol=1e-7)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_constant_cells_stay_constant(dtype):
    series = flow(20).astype(dtype)
    series[:, 0, 0, 0], series[:, 1, 2, 3], series[:, 1, 0, 0] = 0.0, 0.1, 1e5 + 0.1
    later = series.copy()
    later[-1, 1, 2, 3] = 5.0  # has never varied before, so that nothing is known of what follows
    forecast = Autoregression(3, seasonal_lags=("1D",)).fit(series).predict(2, later)
    for cell, value in (((0, 0, 0), 0.0), ((1, 2, 3), 0.1), ((1, 0, 0), 1e5 + 0.1)):
        np.testing.assert_allclose(forecast.values[:, *cell], value, rtol=1e-6)
    assert np.isfinite(forecast).all()


def test_a_cell_that_repeats_itself_does_so_still():
    """Its regressors depend on one another: any of many solutions forecasts the same."""
    series = flow(20)
    series[:, 0, 0, 0] = np.resize([1.0, 5.0, 2.0, 8.0], len(series))
    forecast = Autoregression(6, seasonal_lags=("1D",)).fit(series).predict(5)
    np.testing.assert_allclose(forecast[:, 0, 0, 0], [1, 5, 2, 8, 1], rtol=1e-6)


def test_cells_in_blocks_are_the_cells_alone(monkeypatch):
    series = gappy()
    whole = Autoregression(2).fit(series).predict(2)
    monkeypatch.setattr("darts_mim.baselines.autoregression.BLOCK", 500)
    np.testing.assert_allclose(Autoregression(2).fit(series).predict(2), whole, rtol=1e-12)


def test_on_anomalies_one_lag_is_nearly_the_damped_anomaly():
    """They differ in the constant, which anomalies hardly need."""
    series = flow(200)
    pipeline = GridPipeline([("day", SeasonalAnomaly("1D")), ("ar", Autoregression(1))]).fit(series)
    damped = DampedAnomaly("1D").fit(series).predict(3)
    departure = np.abs(damped - Climatology("1D").fit(series).predict(3))
    assert np.abs(pipeline.predict(3) - damped).mean() < 0.3 * departure.mean()


@pytest.mark.parametrize(("lags", "seasonal_lags"), [(20, ()), (2, ("1D", "2D", "3D"))])
def test_fewer_windows_than_coefficients(lags, seasonal_lags):
    series = flow(5)
    with pytest.raises(TooShortError, match=r"whole windows of .* frames in some or all cells"):
        Autoregression(lags, seasonal_lags=seasonal_lags).fit(series)
    assert np.isfinite(Autoregression(2, seasonal_lags=("3D",), ridge=1.0).fit(series).predict(2)).all()


@pytest.mark.parametrize(
    ("wrong", "error"),
    [
        ({"lags": 0}, ValueError),
        ({"ridge": -1.0}, ValueError),
        ({"seasonal_lags": "1D"}, ValueError),
        ({"seasonal_lags": ("7h",)}, TimeAxisError),
    ],
)
def test_wrong_arguments(wrong, error):
    with pytest.raises(error):
        Autoregression(**wrong).fit(flow())
