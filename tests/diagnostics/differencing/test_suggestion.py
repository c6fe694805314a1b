import numpy as np
import pandas as pd
import pytest
import xarray as xr

from darts_mim.backtesting.backtest import backtest
from darts_mim.baselines import Persistence
from darts_mim.diagnostics.differencing.diagnose import diagnose_differencing
from darts_mim.diagnostics.differencing.treatment import Treatment
from darts_mim.errors import TooShortError

N, DAY = 400, 8


def series_of(values):
    time = pd.date_range("2024-01-01", periods=len(values), freq="3h")
    return xr.DataArray(values, {"time": time}, ("time", "y", "x"), attrs={"units": "mm"})


def noise(seed=0):
    return np.random.default_rng(seed).normal(size=(N, 2, 3))


def seasonal_walk():
    values = noise()
    for t in range(DAY, N):
        values[t] += values[t - DAY]
    return values


WAVE = 4 * np.sin(2 * np.pi * np.arange(N) / DAY)[:, None, None]
PLANTED = {
    "raw": noise(),
    "differenced": noise().cumsum(0),
    "1D anomaly": noise() + WAVE,
    "1D anomaly, differenced": noise().cumsum(0) + 3 * WAVE,
    "1D difference": seasonal_walk(),
}


def suggested(values, **options):
    return diagnose_differencing(series_of(values), seasonal_periods=("1D",)).suggest(**options)


@pytest.mark.parametrize("wanted", PLANTED)
def test_what_was_planted_is_suggested(wanted):
    found = suggested(PLANTED[wanted])
    assert found.treatment.name == wanted
    assert found.evidence.index[0] == wanted
    assert wanted in found.text or "the raw series" in found.text


def test_the_second_difference_where_one_is_not_enough():
    assert suggested(noise().cumsum(0).cumsum(0)).treatment == Treatment(order=2)


def test_the_pipeline_is_the_suggestion():
    pipeline = suggested(PLANTED["1D anomaly, differenced"]).pipeline(Persistence())
    assert [name for name, _ in pipeline.steps] == ["season", "difference", "scale", "forecaster"]
    series = series_of(PLANTED["1D anomaly, differenced"])
    forecast = pipeline.fit(series).predict(n=3)
    assert forecast.dims == series.dims and np.isfinite(forecast).all()
    seasonal = suggested(PLANTED["1D difference"]).pipeline(Persistence())
    assert seasonal["difference"].fit(series).n_lost_ == DAY


def test_input_length_follows_the_memory():
    values = noise()
    for t in range(3, N):
        values[t] += 0.2 * values[t - 1] + 0.6 * values[t - 3]
    assert suggested(values).input_chunk_length >= 3
    assert suggested(noise()).input_chunk_length >= 2


def test_the_check_is_a_backtest_of_the_same_pipelines():
    values = PLANTED["differenced"]
    found = suggested(values, check=True, forecaster=Persistence())
    series = series_of(values)
    train = series[: N - N // 5]
    models = {
        one.name: Treatment.pipeline(one, Persistence()).fit(train)
        for one in (Treatment(order=1), Treatment(), Treatment(period="1D", seasonal="anomaly"))
    }
    by_hand = backtest(models, series, start=series.time[len(train)], horizon=4, metrics=["mse"])
    for name in models:
        mse = float(by_hand.scores_by()["mse"].sel(model=name))
        assert found.evidence.loc[name, "mse"] == pytest.approx(mse, rel=0.02)  # other origins are common
    assert found.checked is not None and "Checked: it" in found.text


class NeedsMuch(Persistence):
    """A forecaster that a treatment leaves too few frames for."""

    def fit(self, series):
        if len(series) < 318:
            raise TooShortError("too short")
        return super().fit(series)


def test_what_is_too_short_to_fit_is_left_out_of_the_check():
    found = suggested(noise(), check=True, forecaster=NeedsMuch())
    assert found.checked.models == ["raw", "differenced", "1D anomaly"]  # the seasonal difference has 312
    assert np.isnan(found.evidence.loc["1D difference", "mse"])


def test_few_frames_are_differenced_if_that_helps_though_the_tests_cannot_tell():
    """As radar rain: a few dozen scans, on which KPSS rejects nothing."""
    walks = np.random.default_rng(0).normal(size=(36, 6, 7)).cumsum(0)
    diagnosis = diagnose_differencing(series_of(walks), seasonal_periods=())
    rejected = diagnosis["kpss_rejected"].sel(seasonal="none", order=0)
    assert not rejected.any()
    assert diagnosis.suggest().treatment == Treatment(order=1)
