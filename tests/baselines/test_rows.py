"""Simple forecasts of series that are not in memory: the same, and no more is read than they need."""

import numpy as np
import pandas as pd
import pytest
import xarray as xr
from baselines.series import MODELS, flow, gappy
from sklearn.base import clone

from darts_mim.baselines import (
    Autoregression,
    Climatology,
    DampedAnomaly,
    Drift,
    ExponentialSmoothing,
    Persistence,
    SeasonalNaive,
    autoregression,
    damped_anomaly,
    rows,
    smoothing,
)
from darts_mim.grid import reduction
from darts_mim.grid.grid import Grid
from darts_mim.grid.lazy import is_lazy

CHUNKS = [{"time": 7}, {"time": 80, "y": 2, "x": 3}, {"time": 16, "channel": 1, "y": 2}]


class Store:
    """A lazy series that remembers which of its frames were read, and how often."""

    def __init__(self, series, length):
        self.read = np.zeros(series.sizes["time"], dtype=int)
        lazy = series.chunk(time=length)
        data = lazy.data.map_blocks(self._note, dtype=series.dtype, meta=np.empty((0,) * 4, series.dtype))
        self.series = lazy.copy(data=data)

    def _note(self, block, block_info=None):
        if block_info:
            first, stop = block_info[0]["array-location"][0]
            self.read[first:stop] += 1
        return block


@pytest.fixture
def small_blocks(monkeypatch):
    for module in (reduction, rows, damped_anomaly):
        monkeypatch.setattr(module, "BLOCK", 200)
    for module in (autoregression, smoothing):
        monkeypatch.setattr(module, "CELLS", 500)


@pytest.mark.usefixtures("small_blocks")
@pytest.mark.parametrize("chunks", CHUNKS, ids=["in time", "in space", "in all"])
@pytest.mark.parametrize("model", MODELS)
def test_a_lazy_series_gives_the_forecasts_of_memory(model, chunks):
    series = gappy(20)
    lazy = series.chunk(chunks)
    theirs, ours = clone(model).fit(series[:50]), clone(model).fit(lazy[:50])
    tight = {"rtol": 1e-11, "atol": 1e-11}
    xr.testing.assert_allclose(ours.predict(5), theirs.predict(5), **tight)
    for start in (None, series.time[55].values):
        asked = {"forecast_horizon": 3, "start": start, "stride": 2}
        expected = theirs.historical_forecasts(series, **asked)
        xr.testing.assert_allclose(ours.historical_forecasts(lazy, **asked), expected, **tight)
    assert is_lazy(lazy)


@pytest.mark.parametrize("model", [Climatology("1D"), DampedAnomaly("1D"), Drift(), SeasonalNaive("1D")])
@pytest.mark.parametrize("kind", ["array", "dataset"])
def test_a_store_opened_without_dask_is_not_loaded(model, kind, tmp_path):
    series = gappy(20).drop_vars("channel")
    kept = series if kind == "array" else xr.Dataset({"in": series[:, 0], "out": series[:, 1]})
    kept.chunk(time=16).to_zarr(tmp_path / "flow.zarr", consolidated=False)
    opened = xr.open_zarr(tmp_path / "flow.zarr", chunks=None, consolidated=False)
    lazy = opened["flow"] if kind == "array" else opened[["in", "out"]]
    theirs = clone(model).fit(series).historical_forecasts(series, forecast_horizon=2)
    ours = clone(model).fit(lazy).historical_forecasts(lazy, forecast_horizon=2)
    ours = ours if kind == "array" else ours.to_dataarray("channel").transpose(*theirs.dims)
    np.testing.assert_allclose(ours, theirs, rtol=1e-12)
    assert is_lazy(lazy)


@pytest.mark.parametrize(
    ("model", "back"),
    [(Persistence(), [0]), (SeasonalNaive("1D"), [3, 2]), (Drift(window=3), [2, 0]), (Climatology("1D"), [])],
)
def test_forecasts_read_the_frames_they_are_made_from(model, back):
    series = flow(20)
    model = clone(model).fit(series)
    store = Store(series, 1)
    model.predict(2, store.series)
    last = series.sizes["time"] - 1
    assert np.flatnonzero(store.read).tolist() == sorted(last - n for n in back)
    store = Store(series, 1)
    model.historical_forecasts(store.series, forecast_horizon=2, start=series.time[41].values, stride=10)
    assert np.flatnonzero(store.read).tolist() == sorted(n - b for n in (40, 50, 60, 70) for b in back)
    assert store.read.max(initial=0) <= 1


@pytest.mark.parametrize("model", [Persistence(), Climatology("1D"), DampedAnomaly("1D", harmonics=1)])
def test_learning_reads_each_frame_once(model):
    store = Store(flow(20), 8)
    model = clone(model).fit(store.series)
    store.read[:8] -= 1  # the grid looks for NaN in the first frame
    assert (store.read == isinstance(model, Climatology)).all()
    if isinstance(model, DampedAnomaly):
        model.damping(3)
        assert (store.read == 2).all()


def test_the_drift_reads_both_ends_until_all_cells_are_known():
    series = flow(20)
    series[:9, 0, 1, 1] = np.nan
    series[-1, 1, 0, 0] = np.nan
    store = Store(series, 4)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(rows, "BLOCK", 4 * 24)
        model = Drift().fit(store.series)
    np.testing.assert_array_equal(model.change_, Drift().fit(series).change_)
    n = series.sizes["time"]
    # where the first frame holds NaN, the grid looks once for cells that are NaN at all times
    assert (store.read[12 : n - 4] == 1).all() and (store.read[1:12] >= 2).all() and store.read[n - 1] == 2


@pytest.mark.parametrize(
    "model", [Persistence(), Climatology("1D"), DampedAnomaly("1D"), Drift(), SeasonalNaive("1D")]
)
def test_missing_centuries_take_no_frames(model):
    """On the regular axis of hours there are a million rows, of which a hundred hold a frame."""
    times = pd.date_range("1890-01-01", periods=50, freq="h").append(
        pd.date_range("2010-01-01", periods=50, freq="h")
    )
    values = np.random.default_rng(0).random((100, 40, 30))
    lazy = xr.DataArray(values, {"time": times}, ("time", "y", "x")).chunk(time=10)
    fitted = clone(model).fit(lazy)
    held = fitted._rows(lazy).held(fitted._rows(lazy).position)
    assert held.values.shape == (100, 1200) and len(held.at) > 10**6
    forecast = fitted.predict(2)
    assert np.isfinite(forecast).all()
    if isinstance(model, DampedAnomaly):
        parts = [values[:50], values[50:]]
        hours = np.arange(50) % 24
        normal = np.stack(
            [np.concatenate([p[hours == hour] for p in parts]).mean(axis=0) for hour in range(24)]
        )
        away = [part - normal[hours] for part in parts]
        slope = sum((a[:-1] * a[1:]).sum(0) for a in away) / sum((a[:-1] ** 2).sum(0) for a in away)
        np.testing.assert_allclose(fitted.damping(1)[0], slope.ravel(), rtol=1e-9)


@pytest.mark.parametrize(
    ("model", "means"), [(ExponentialSmoothing("1D"), 2), (Autoregression(2, seasonal_lags=("1D",)), 0)]
)
def test_parameters_are_found_for_some_cells_at_a_time(model, means, monkeypatch):
    """A pass over the store for each block of cells, and one for each of the means."""
    series = flow(20)
    store, most = Store(series, 8), series.size // 3
    for module in (autoregression, smoothing):
        monkeypatch.setattr(module, "CELLS", most)
    model = clone(model).fit(store.series)
    assert store.read.min() == means + 4  # each channel by itself, in two parts
    blocks = list(rows.Rows(store.series, model.grid_, model.step_).of_cells(most))
    assert [values.shape for _, values in blocks] == [(80, 8), (80, 4)] * 2
    numbers = np.concatenate([components for components, _ in blocks])
    together = np.concatenate([values for _, values in blocks], axis=1)
    np.testing.assert_array_equal(together[:, np.argsort(numbers)], series.values.reshape(80, -1))


def test_a_long_chunk_is_read_in_parts(monkeypatch):
    monkeypatch.setattr(rows, "BLOCK", 24 * 5)
    series = flow(20)
    parts = list(rows.Rows(series.chunk(), Grid.of(series), pd.offsets.Hour(6)).blocks(stop=70))
    assert max(len(at) for at, _ in parts) <= 24 and sum(len(at) for at, _ in parts) == 70
    np.testing.assert_array_equal(np.concatenate([v for _, v in parts]), series.values[:70].reshape(70, -1))
