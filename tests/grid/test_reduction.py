"""Series that are not in memory: every statistic of them is that of memory, wherever it is counted."""

import weakref
from functools import partial

import dask
import dask.array as da
import numpy as np
import pandas as pd
import pytest
import xarray as xr
from baselines.series import DIMS

from darts_mim import backtest
from darts_mim.baselines import Climatology, DampedAnomaly, Persistence
from darts_mim.grid import reduction
from darts_mim.grid.anomaly import SeasonalAnomaly
from darts_mim.grid.counted_quantiles import counted_quantiles
from darts_mim.grid.lazy import is_lazy
from darts_mim.grid.reduction import boxes, cell_blocks, merged, statistics
from darts_mim.grid.scaling import GridScaler
from darts_mim.metrics import MeanSquaredError, named, rmse

SHAPE = (90, 2, 7, 5)
CHUNKS = [{"time": 8}, {"time": 90, "y": 2, "x": 3}, {"time": 20, "channel": 1, "y": 4}]
METHODS = ("minmax", "standard", "robust", "log1p")
SCALERS = [(method, per) for method in METHODS for per in ("grid", "channel", "cell")]


def flow(dtype="float32", *, nan=True):
    """With missing times, missing values, and a cell that is never observed."""
    rng = np.random.default_rng(0)
    values = rng.gamma(2.0, 5.0, SHAPE).astype(dtype)
    if nan:
        values[rng.random(SHAPE) < 0.1] = np.nan
        values[:, 0, 1, 2] = np.nan
    times = pd.date_range("2024-01-01", periods=len(values), freq="6h")
    series = xr.DataArray(values, {"time": times}, DIMS, name="flow")
    return series.isel(time=~np.isin(np.arange(len(values)), [5, 30, 31])) if nan else series


@pytest.fixture(scope="module")
def stored(tmp_path_factory):
    """From memory to a store, written once for all tests, and not loaded from there."""
    paths = {}

    def open_store(name, series, chunks, dask_chunks):
        if name not in paths:
            paths[name] = tmp_path_factory.mktemp("stores") / name
            series.chunk(chunks).to_zarr(paths[name], consolidated=False)
        return xr.open_zarr(paths[name], chunks=dask_chunks, consolidated=False)["flow"]

    return open_store


@pytest.fixture(params=CHUNKS, ids=["in time", "in space", "in all"])
def pair(request, stored):
    """A series in memory and the same in a store, of one type opened with dask and of the other without."""
    dtype, dask_chunks = ("float64", {}) if request.param is CHUNKS[1] else ("float32", None)
    series = flow(dtype)
    return series, stored(f"flow {request.param_index}.zarr", series, request.param, dask_chunks)


def small_blocks(monkeypatch):
    monkeypatch.setattr(reduction, "BLOCK", 400)
    monkeypatch.setattr(reduction, "CELLS", 800)


@pytest.mark.parametrize(("method", "per"), SCALERS)
def test_a_scaler_learns_from_a_store_what_it_learns_in_memory(method, per, pair, monkeypatch):
    small_blocks(monkeypatch)
    series, lazy = pair
    theirs, ours = GridScaler(method, per=per).fit(series), GridScaler(method, per=per).fit(lazy)
    for name in ("center_", "scale_"):
        rtol = 1e-12 if method == "standard" else 0
        np.testing.assert_allclose(getattr(ours, name), getattr(theirs, name), rtol=rtol)
    changed = ours.transform(lazy)
    assert is_lazy(lazy) and is_lazy(changed)
    np.testing.assert_allclose(changed, theirs.transform(series), rtol=1e-5)


@pytest.mark.parametrize("chunks", CHUNKS, ids=str)
@pytest.mark.parametrize("per", ["grid", "channel", "cell"])
@pytest.mark.parametrize("parts", [[slice(None)], [slice(0, 40), slice(40, None)]], ids=["one", "several"])
def test_robust_is_numpys_quantile(chunks, per, parts, monkeypatch):
    small_blocks(monkeypatch)
    series = flow("float64", nan=False) - 9.0
    series = series.where(np.random.default_rng(1).random(SHAPE) > 0.3)
    scaler = GridScaler("robust", per=per).fit([series[part].chunk(chunks) for part in parts])
    axis = {"grid": (0, 1, 2, 3), "channel": (0, 2, 3), "cell": (0,)}[per]
    lower, median, upper = np.nanquantile(series, (0.25, 0.5, 0.75), axis)
    np.testing.assert_allclose(scaler.center_.reshape(median.shape), median, rtol=1e-14)
    np.testing.assert_allclose(scaler.scale_.reshape(median.shape), upper - lower, rtol=1e-13)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_counted_quantiles_are_numpys_whatever_the_floats(dtype):
    """Both zeros, subnormal numbers, the largest, repeats, many channels, one without any value."""
    limits = np.finfo(dtype)
    odd = [
        0.0,
        -0.0,
        limits.smallest_subnormal,
        -limits.tiny,
        limits.max / 8,
        -limits.max / 8,
        1.0,
        1.0,
        np.nan,
    ]
    values = np.random.default_rng(0).choice(np.array(odd, dtype), (40, 11, 3, 2))
    values[:, 4] = np.nan
    values[1:, 5], values[0, 5] = np.nan, 3.0
    lazy = xr.DataArray(values, dims=("time", "channel", "y", "x")).chunk(time=7, channel=4)
    levels = [0.0, 0.1, 0.25, 0.5, 0.9, 1.0]
    found = counted_quantiles(partial(statistics, lazy), levels, dtype=lazy.dtype, channels=11)
    assert np.isnan(found[:, 4]).all() and (found[:, 5] == 3.0).all()
    some = np.delete(np.arange(11), 4)
    expected = np.nanquantile(values[:, some].astype(float), levels, axis=(0, 2, 3))
    np.testing.assert_allclose(found[:, some, 0, 0], expected, rtol=1e-13, atol=limits.tiny)
    pooled = counted_quantiles(partial(statistics, lazy), levels, dtype=lazy.dtype)
    np.testing.assert_allclose(pooled.ravel(), np.nanquantile(values.astype(float), levels), rtol=1e-13)


@pytest.mark.parametrize("harmonics", [None, 1])
def test_anomalies_of_a_store_are_those_of_memory(harmonics, pair, monkeypatch):
    small_blocks(monkeypatch)
    series, lazy = pair
    theirs = SeasonalAnomaly("1D", harmonics=harmonics).fit(series)
    ours = SeasonalAnomaly("1D", harmonics=harmonics).fit(lazy)
    xr.testing.assert_allclose(ours.climatology_, theirs.climatology_, rtol=1e-12)
    xr.testing.assert_identical(ours.counts_, theirs.counts_)
    changed = ours.transform(lazy)
    assert is_lazy(lazy) and is_lazy(changed)
    xr.testing.assert_allclose(changed.compute(), theirs.transform(series), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("method", ["minmax", "robust"])
@pytest.mark.parametrize("per", ["grid", "cell"])
def test_an_infinite_value_in_a_store_is_told_by_its_time(method, per):
    with pytest.raises(ValueError, match=r"between 2024-01-11T06:00:00\S* and 2024-01-12T00:00:00"):
        GridScaler(method, per=per).fit(infinite().chunk(time=8))


def infinite():
    series = flow(nan=False)
    series[[41, 44], 0, 1, 1] = -np.inf
    return series


@pytest.mark.parametrize(("most", "lengths"), [(30, [8] * 5), (70 * 16, [16, 16, 8]), (10**6, [40])])
def test_a_block_is_whole_chunks(most, lengths):
    series = flow(nan=False)[:40].chunk(time=8, x=3, channel=1)
    cuts = list(boxes(series, most))
    times = [box["time"] for box in cuts if box["x"].start == 0 and box["channel"].start == 0]
    assert [time.stop - time.start for time in times] == lengths
    seen = np.zeros(series.shape, dtype=int)
    for box in cuts:
        seen[tuple(box.values())] += 1
    assert (seen == 1).all()


@pytest.mark.parametrize("chunks", CHUNKS, ids=str)
@pytest.mark.parametrize("values", [90, 700, 10**6])
def test_blocks_of_cells_have_all_frames_and_are_not_too_large(chunks, values):
    series = flow(nan=False)
    seen = np.full(series.shape, np.nan, series.dtype)
    for cells, (frames,) in cell_blocks([series.chunk(chunks)], 90, values):
        assert frames.size <= values
        assert np.isnan(seen[:, *cells]).all()
        seen[:, *cells] = frames
    np.testing.assert_array_equal(seen, series)


def test_few_blocks_are_in_memory_at_a_time():
    """Each block counts how many are there: those in flight, never all."""
    alive, most = [0], [0]

    def counted(block, cells):
        most[0] = max(most[0], alive[0])
        return 1

    def reading(values):
        alive[0] += 1
        weakref.finalize(values, lambda: alive.__setitem__(0, alive[0] - 1))
        return values

    frames = da.zeros((400, 1, 2, 3), chunks=(1, 1, 2, 3)).map_blocks(
        lambda v: reading(v.copy()), dtype=float
    )
    array = xr.DataArray(frames, dims=("time", "channel", "y", "x"))
    with dask.config.set(scheduler="threads", num_workers=2), pytest.MonkeyPatch.context() as patch:
        patch.setattr(reduction, "BLOCK", 6)
        total = sum(n for _, n in statistics(array, counted, lambda a, b: a + b))
    assert total == 400
    assert 1 <= most[0] <= reduction.AHEAD * 2


@pytest.fixture(scope="module")
def client():
    distributed = pytest.importorskip("distributed", reason="distributed is not installed")
    with (
        distributed.LocalCluster(n_workers=2, threads_per_worker=1, dashboard_address=None) as cluster,
        distributed.Client(cluster) as client,
    ):
        yield client


@pytest.fixture
def far(client, stored):
    """A series in memory and the same in a store, with workers to read it."""
    return flow(), stored("flow 2.zarr", flow(), CHUNKS[2], None)


@pytest.mark.usefixtures("client")
def test_what_has_one_key_is_merged_by_workers_and_in_order():
    tasks = (("ab"[n // 7], dask.delayed(str)(n)) for n in range(14))
    found = list(merged(tasks, lambda one, other: one + other))
    assert "".join(value for key, value in found if key == "a") == "0123456"
    assert "".join(value for key, value in found if key == "b") == "78910111213"
    assert len(found) < 14


@pytest.mark.parametrize("method", METHODS)
def test_workers_scale_as_memory_does(method, far):
    series, lazy = far
    for per in ("channel", "cell"):
        theirs, ours = GridScaler(method, per=per).fit(series), GridScaler(method, per=per).fit(lazy)
        np.testing.assert_allclose(ours.center_, theirs.center_, rtol=1e-12)
        np.testing.assert_allclose(ours.scale_, theirs.scale_, rtol=1e-12)


def test_workers_average_as_memory_does(far, monkeypatch):
    small_blocks(monkeypatch)
    series, lazy = far
    theirs, ours = SeasonalAnomaly("1D").fit(series), SeasonalAnomaly("1D").fit(lazy)
    xr.testing.assert_allclose(ours.climatology_, theirs.climatology_, rtol=1e-12)
    theirs, ours = DampedAnomaly("1D").fit(series), DampedAnomaly("1D").fit(lazy)
    np.testing.assert_allclose(ours.climatology_, theirs.climatology_, rtol=1e-12)
    np.testing.assert_allclose(ours.damping(3), theirs.damping(3), rtol=1e-11)


def test_an_error_of_a_worker_is_the_one_of_memory(client):
    with pytest.raises(ValueError, match="between 2024-01-11T06:00:00"):
        GridScaler().fit(infinite().chunk(time=8))


@pytest.mark.usefixtures("client")
def test_workers_score_lazy_forecasts_as_memory_does(stored):
    series = flow(nan=False)
    lazy = stored("whole.zarr", series, CHUNKS[0], None)
    models = {"persistence": Persistence().fit(series[:60]), "mean": Climatology("1D").fit(series[:60])}
    asked = {"start": series.time[60].values, "horizon": 3, "metrics": [rmse, "mae", "fss_10_3"]}
    theirs, ours = backtest(models, series, **asked).scores, backtest(models, lazy, **asked).scores
    xr.testing.assert_allclose(ours, theirs, rtol=1e-12)


@pytest.mark.usefixtures("client")
def test_workers_count_lazy_fields():
    rng = np.random.default_rng(0)
    values = rng.random((6, 3, 2, 9, 7))
    values[1, 2, 0] = np.nan
    dims = ("init_time", "lead_time", "channel", "y", "x")
    truth = xr.DataArray(values, dims=dims)
    forecast = truth.fillna(0) + rng.random(truth.shape)
    weights = xr.DataArray(np.linspace(1, 2, 9), dims="y")
    along = ("init_time", "y", "x")
    for metric in (rmse, MeanSquaredError(weights=weights), named("fss_0.5_3"), named("csi_0.5")):
        expected = metric(forecast, truth, dims=along)
        both = metric(forecast.chunk(init_time=2, y=4), truth.chunk(init_time=3), dims=along)
        xr.testing.assert_allclose(both, expected, rtol=1e-12)
        half = metric(forecast.chunk(init_time=2), truth, dims=along)
        xr.testing.assert_allclose(half, expected, rtol=1e-12)
    with pytest.raises(ValueError, match="NaN at cells that were observed"):
        rmse(forecast.where(forecast > 0.1).chunk(init_time=2), truth, dims=("y", "x"))
