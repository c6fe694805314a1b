import numpy as np
import pandas as pd
import pytest
import xarray as xr

from darts_mim.backtesting.backtest import backtest
from darts_mim.metrics.spectrum import PowerSpectrumRatio
from darts_mim.plotting import panel, plot_spectra
from darts_mim.plotting import spectra as module
from darts_mim.plotting.spectra import power_ratios


@pytest.fixture(scope="module")
def result():
    """Truth of noise, forecasts that are half of it, or smooth along x."""
    time = pd.date_range("2024-01-01", periods=40, freq="h")
    series = xr.DataArray(
        np.random.default_rng(0).normal(size=(40, 8, 10)), {"time": time}, ("time", "y", "x")
    )
    at = np.arange(10, 38)[:, None] + np.arange(1, 3)
    coords = {"init_time": time.values[10:38], "lead_time": pd.to_timedelta(["1h", "2h"])}
    coords["valid_time"] = (("init_time", "lead_time"), time.values[at])
    truth = xr.DataArray(series.values[at], coords, ("init_time", "lead_time", "y", "x"))
    given = {"half": 0.5 * truth, "smooth": (truth + truth.roll(x=1)) / 2}
    return backtest(given, series, start=time[11], horizon=2)


def test_ratios_are_those_of_the_metric(result):
    ratios, n = power_ratios(result)
    assert n == result.n_origins
    np.testing.assert_allclose(ratios.sel(model="half"), 0.25, rtol=1e-12)
    last = result.observed.isel(lead_time=1, drop=True).drop_vars("valid_time")
    smooth = result.forecasts["smooth"].isel(lead_time=1, drop=True).drop_vars("valid_time")
    expected = PowerSpectrumRatio()(smooth, last, dims=last.dims)
    np.testing.assert_allclose(ratios.sel(model="smooth"), expected, rtol=1e-12)


def test_long_waves_are_at_the_left(result):
    _, axes = panel()
    assert plot_spectra(result, lead=0, ax=axes) is axes
    left, right = axes.get_xlim()
    assert left > right and axes.get_title(loc="left") == "Sharpness 1 h ahead"
    half = axes.get_lines()[1]
    np.testing.assert_allclose(half.get_ydata(), 0.25)
    np.testing.assert_allclose(half.get_xdata(), 10 / np.arange(1, 6))


def test_where_many_are_left_out_it_is_said(result, monkeypatch):
    monkeypatch.setattr(module, "MOST_CELLS", 80 * 7)
    ratios, n = power_ratios(result)
    assert n == 7
    np.testing.assert_allclose(ratios.sel(model="half"), 0.25, rtol=1e-12)
    _, axes = panel()
    plot_spectra(result, ax=axes)
    assert any("7 of 28 forecasts" in text.get_text() for text in axes.texts)
