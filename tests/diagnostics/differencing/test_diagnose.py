import warnings

import numpy as np
import pandas as pd
import pytest
import xarray as xr
from coreforecast.differences import num_diffs
from statsmodels.tsa.stattools import acf, adfuller, kpss

from darts_mim.diagnostics.differencing import cell_tests, cells
from darts_mim.diagnostics.differencing.diagnose import diagnose_differencing
from darts_mim.errors import TimeAxisError

N = 300


def noise(*shape, seed=0):
    return np.random.default_rng(seed).normal(size=shape)


def gridded(values, **attrs):
    time = pd.date_range("2024-01-01", periods=len(values), freq="3h")
    dims = ("time", "y", "x")
    return xr.DataArray(values, {"time": time}, dims, name="flow", attrs={"units": "cars", **attrs})


@pytest.fixture(scope="module")
def mixed():
    """Noise, a walk, a walk of a walk, a season; a dead, a masked, a gappy and a short cell."""
    values = noise(N, 2, 4)
    values[:, 0, 1] = values[:, 0, 1].cumsum()
    values[:, 0, 2] = values[:, 0, 2].cumsum().cumsum()
    values[:, 0, 3] += 5 * np.sin(2 * np.pi * np.arange(N) / 8)
    values[:, 1, 0] = 7.0
    values[:, 1, 1] = np.nan
    values[120, 1, 2] = np.nan
    values[::20, 1, 3] = np.nan
    return gridded(values)


@pytest.fixture(scope="module")
def diagnosis(mixed):
    return diagnose_differencing(mixed, seasonal_periods=("1D",))


def test_every_statistic_equals_statsmodels(mixed, diagnosis):
    for y, x in [(0, 0), (0, 1), (0, 2), (0, 3)]:
        for label, treat in (("none", lambda s: s), ("1D", lambda s: s[8:] - s[:-8])):
            for order in range(3):
                series = np.diff(treat(mixed.values[:, y, x]), order)
                found = diagnosis.dataset.sel(seasonal=label, order=order).isel(y=y, x=x)
                statistic, pvalue, lags = adfuller(series, autolag="AIC", result_object=False)[:3]
                assert float(found["adf_statistic"]) == pytest.approx(statistic, abs=1e-8)
                assert float(found["adf_pvalue"]) == pytest.approx(pvalue, abs=1e-8)
                assert int(found["adf_lags"]) == lags
                with warnings.catch_warnings():
                    warnings.simplefilter("ignore")
                    oracle = kpss(series, nlags="auto")
                assert float(found["kpss_statistic"]) == pytest.approx(oracle[0], abs=1e-8)
                assert float(found["variance"]) == pytest.approx(series.var(), rel=1e-12)
                assert float(found["lag1_autocorrelation"]) == pytest.approx(
                    acf(series, nlags=1)[1], abs=1e-12
                )


def test_a_cell_is_tested_on_its_longest_run(mixed, diagnosis):
    assert int(diagnosis["n_steps"][1, 2]) == N - 121
    statistic = adfuller(mixed.values[121:, 1, 2], autolag="AIC", result_object=False)[0]
    assert float(diagnosis["adf_statistic"].isel(seasonal=0, order=0)[1, 2]) == pytest.approx(
        statistic, abs=1e-8
    )


def test_cells_that_cannot_be_tested_are_labelled(diagnosis):
    status = diagnosis["status"]
    assert status.attrs["flag_meanings"].split() == ["tested", "masked", "constant", "short"]
    wanted = [[0, 0, 0, 0], [cell_tests.CONSTANT, cell_tests.MASKED, 0, cell_tests.SHORT]]
    np.testing.assert_array_equal(status, wanted)
    untested = status.values != cell_tests.TESTED
    assert np.isnan(diagnosis["adf_pvalue"].values[..., untested]).all()
    assert not diagnosis["adf_rejected"].values[..., untested].any()


def test_needs_are_the_ones_planted(diagnosis):
    needed = diagnosis["ndiffs"].sel(seasonal="none")
    assert needed.values[0, :3].tolist() == [0, 1, 2]
    assert diagnosis["nsdiffs"].sel(period="1D").values[0].tolist() == [0, 0, 0, 1]
    assert float(diagnosis["overdifferenced"].sel(seasonal="none", order=1)[0, 0]) >= 2
    assert float(diagnosis["overdifferenced"].sel(seasonal="none", order=1)[0, 1]) == 0
    assert (diagnosis["overdifferenced"].sel(order=0) == 0).all()


def test_ndiffs_equals_coreforecast():
    rng = np.random.default_rng(1)
    for n in (40, 150, 700):
        e = rng.normal(size=(40, n))
        e[10:20] = e[10:20].cumsum(1)
        e[20:30] = e[20:30].cumsum(1).cumsum(1)
        e[30:] += 0.01 * np.arange(n)
        wanted = [num_diffs(row, 2) for row in e]
        assert cell_tests.ndiffs(e).tolist() == wanted


def test_false_discoveries_are_controlled():
    """Of walks, 5 % would be called stationary by the p-value alone; with control, hardly any."""
    walks = gridded(noise(200, 10, 30, seed=3).cumsum(0))
    found = diagnose_differencing(walks, seasonal_periods=(), max_order=0)
    assert (found["adf_pvalue"] < 0.05).sum() >= 5
    assert found["adf_rejected"].sum() <= 1


def test_blocks_gaps_and_laziness_change_nothing(mixed, diagnosis, monkeypatch):
    monkeypatch.setattr(cells, "BLOCK", 3 * N)
    lazy = diagnose_differencing(mixed.chunk(time=70, x=3), seasonal_periods=("1D",), n_jobs=2)
    xr.testing.assert_allclose(lazy.dataset, diagnosis.dataset, rtol=1e-9)


def test_a_missing_time_is_a_gap(mixed):
    gappy = mixed.isel(time=np.delete(np.arange(N), 100))
    found = diagnose_differencing(gappy, seasonal_periods=())
    assert int(found["n_steps"][0, 0]) == N - 101


def test_the_users_dims_and_order(mixed):
    with_channel = xr.concat([mixed, mixed + 1], pd.Index(["in", "out"], name="way")).transpose(
        "y", "way", "time", "x"
    )
    found = diagnose_differencing(with_channel, seasonal_periods=("1D",))
    assert found["ndiffs"].dims == ("seasonal", "way", "y", "x")
    assert found["way"].values.tolist() == ["in", "out"]
    as_dataset = diagnose_differencing(with_channel.to_dataset("way"), seasonal_periods=("1D",))
    np.testing.assert_array_equal(as_dataset["adf_pvalue"], found["adf_pvalue"])


def test_float32_and_integers():
    values = np.rint(10 * noise(200, 2, 3).cumsum(0))
    whole = diagnose_differencing(gridded(values), seasonal_periods=())
    for dtype in (np.float32, np.int16):
        other = diagnose_differencing(gridded(values.astype(dtype)), seasonal_periods=())
        np.testing.assert_allclose(other["adf_statistic"], whole["adf_statistic"], rtol=1e-9)


def test_periods_are_told_from_the_step():
    series = gridded(noise(N, 2, 3))
    assert list(diagnose_differencing(series, max_order=0).periods) == ["1D", "7D"]
    monthly = series.assign_coords(time=pd.date_range("2000-01-01", periods=N, freq="MS"))
    assert diagnose_differencing(monthly, max_order=0).periods == {"1YE": 12}
    with pytest.raises(TimeAxisError, match="2 whole periods"):
        diagnose_differencing(series, seasonal_periods=("30D",))


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"max_order": -1}, "max_order=-1"),
        ({"alpha": 2}, "alpha=2"),
        ({"n_jobs": 0}, "n_jobs=0"),
        ({"regression": "x"}, "regression"),
    ],
)
def test_bad_arguments(mixed, wrong, said):
    with pytest.raises(ValueError, match=said):
        diagnose_differencing(mixed, **wrong)


def test_a_device_gives_the_same(mixed, diagnosis):
    on_device = diagnose_differencing(mixed, seasonal_periods=("1D",), device="cpu")
    xr.testing.assert_allclose(on_device.dataset, diagnosis.dataset, rtol=1e-8)


def test_summary_and_pictures(diagnosis):
    said = diagnosis.summary()
    assert said.startswith("5 of 7 cells tested") and "Season of 1D" in said
    assert len(diagnosis.plot().axes) >= 5
    assert len(diagnosis.plot_regions().axes) == 6


def test_a_series_too_short_is_labelled_and_not_refused():
    found = diagnose_differencing(gridded(noise(12, 2, 3)))
    assert (found["status"] == cell_tests.SHORT).all()
    assert "too short to tell" in found.summary()
    assert found.suggest().treatment.name == "raw"
