import tracemalloc

import dask.array
import numpy as np
import pandas as pd
import pytest
import xarray as xr

from darts_mim.backtesting.backtest import backtest
from darts_mim.backtesting.scoring import cell_statistics, statistics_of
from darts_mim.errors import GridMismatchError
from darts_mim.grid.grid import Grid
from darts_mim.metrics import MeanSquaredError, latitude_weights, named
from darts_mim.metrics.names import NUMBERED, PLAIN

NUMBERS = {"fss": "0.5_3", "power_ratio": "4", "coverage": "0.8", "ssim": "1", "psnr": "1"}
EVERY = [*PLAIN, *(f"{stem}_{NUMBERS.get(stem, '0.5')}" for stem in NUMBERED)]
LEVELS = [0.1, 0.5, 0.9]
SPACE = ("lat", "lon")


def flow(n=30, *, shape=(2, 12, 13), dtype=np.float64, seed=0):
    time = pd.date_range("2024-01-01", periods=n, freq="h", name="time")
    values = np.random.default_rng(seed).random((n, *shape)).astype(dtype)
    coords = {"time": time, "flow": ["in", "out"][: shape[0]], "lat": np.linspace(50, 55, shape[1])}
    return xr.DataArray(values, coords, ("time", "flow", *SPACE), attrs={"units": "mm"})


def forecasts(series, *, horizon=2, seed=1, **own):
    """Given forecasts from every origin of the series; ``own``: sizes or labels of dims of their own."""
    origins = series.sizes["time"] - horizon
    lead = np.arange(1, horizon + 1) * np.timedelta64(1, "h").astype("m8[ns]")
    truth = xr.concat([series[k : origins + k] for k in range(1, horizon + 1)], "lead_time", join="override")
    truth = truth.rename(time="init_time").transpose("init_time", "lead_time", ...)
    truth = truth.assign_coords(init_time=series.time.values[:origins], lead_time=lead)
    rng = np.random.default_rng(seed)
    for dim, labels in own.items():
        truth = truth.expand_dims({dim: labels})
    noise = 0.2 * rng.normal(size=truth.shape)
    noise = np.sort(noise, axis=0) if "quantile" in own else noise
    return (truth + noise).clip(0, 1).astype(series.dtype)


SAMPLES, QUANTILES = {"realization": range(4)}, {"quantile": LEVELS}


def scored(models, series, metrics, horizon=2):
    return backtest(models, series, start=series.time[1], horizon=horizon, metrics=metrics)


def direct(name, forecast, result):
    truth = result.observed
    forecast = forecast.sel(init_time=truth.init_time)
    return named(name)(forecast, truth, dims=[dim for dim in truth.dims if dim != "lead_time"])


def test_samples_are_scored_as_samples_by_what_reads_them_and_by_their_mean_by_all_else():
    series = flow()
    samples, other = forecasts(series, **SAMPLES), forecasts(series, seed=2)
    result = scored(
        {"samples": samples, "other": other}, series, [*EVERY[:8], "crps", "csi_0.5", "coverage_0.8"]
    )
    for name in result.scores:
        reads = named(name).reads
        expected = direct(name, samples if reads else samples.mean("realization"), result)
        np.testing.assert_allclose(result.scores[name].sel(model="samples"), expected, rtol=1e-12)
        expected = direct(name, other.expand_dims(realization=1) if reads else other, result)
        np.testing.assert_allclose(result.scores[name].sel(model="other"), expected, rtol=1e-12)
    pd.testing.assert_series_equal(
        result.table("crps").loc["other"], result.table("mae").loc["other"], rtol=1e-12
    )


@pytest.mark.parametrize("name", ["crps_fair", "spread_skill", "rank_histogram"])
def test_a_forecast_without_samples_has_no_score_that_wants_several(name):
    series = flow()
    samples = forecasts(series, **SAMPLES)
    models = {"one": forecasts(series), "samples": samples}
    scores = scored(models, series, ["mse", name]).scores
    assert scores[name].sel(model="one").isnull().all() and scores["mse"].notnull().all()
    expected = direct(name, samples, scored(models, series, ["mse"]))
    np.testing.assert_allclose(scores[name].sel(model="samples").transpose(*expected.dims), expected)
    with pytest.raises(ValueError, match=f"{name} can score none of the models; of 'one': "):
        scored({"one": forecasts(series)}, series, [name])


def test_ranks_among_different_numbers_of_samples_are_an_error():
    series = flow()
    models = {"four": forecasts(series, **SAMPLES), "three": forecasts(series, realization=range(3))}
    assert scored(models, series, ["crps_fair"]).scores["crps_fair"].notnull().all()
    with pytest.raises(ValueError, match=r"differ in how many they have.*realization=slice"):
        scored(models, series, ["rank_histogram"])


def test_quantiles_are_scored_as_quantiles_by_what_reads_them_and_by_the_median_by_all_else():
    series = flow()
    quantiles, samples, one = forecasts(series, **QUANTILES), forecasts(series, **SAMPLES), forecasts(series)
    of_quantiles = ["wis", "quantile_score_0.9", "reliability_0.1", "coverage_0.8"]
    names = ["mse", "csi_0.5", "sse", *of_quantiles]
    result = scored({"quantiles": quantiles, "samples": samples, "one": one}, series, names)
    scores, median = result.scores, quantiles.sel(quantile=0.5, drop=True)
    for name in names:
        expected = direct(name, quantiles if name in of_quantiles else median, result)
        np.testing.assert_allclose(scores[name].sel(model="quantiles"), expected, rtol=1e-12)
    for name in of_quantiles[1:]:
        expected = direct(name, samples, result)
        np.testing.assert_allclose(scores[name].sel(model="samples"), expected, rtol=1e-12)
    assert scores["wis"].sel(model="samples").isnull().all()  # a mean over which levels?
    np.testing.assert_allclose(scores["wis"].sel(model="one"), direct("mae", one, result), rtol=1e-12)


def test_without_a_median_there_is_nothing_for_most_metrics_to_score():
    series = flow()
    tails = forecasts(series, quantile=[0.1, 0.9])
    with pytest.raises(GridMismatchError, match=r"levels \[0.1, 0.9\]; 0.5 is wanted"):
        scored({"tails": tails}, series, ["mse"])
    assert scored({"tails": tails}, series, ["wis"]).scores["wis"].notnull().all()


@pytest.mark.parametrize("name", [name for name in EVERY if not name.startswith("crps_fair")])
def test_cells_are_counted_one_by_one(name):
    series, metric = flow().where(flow(seed=5) > 0.1), named(name)
    own = QUANTILES if name == "wis" else SAMPLES if metric.reads else {}
    result = scored({"model": forecasts(flow(), **own)}, series, ["mse"])
    asked = (metric, result.forecasts["model"], result.observed, result.grid)
    if set(SPACE) & set(metric.whole(result.observed, SPACE)):
        with pytest.raises(ValueError, match="counts whole fields"):
            cell_statistics(*asked)
        return
    statistic = cell_statistics(*asked)
    assert statistic.weight.dims == ("lead_time", "flow", *SPACE)
    expected = metric.statistic(result.forecasts["model"], result.observed, ["init_time"])
    xr.testing.assert_allclose(statistic.value, expected.value.transpose(*statistic.value.dims), rtol=1e-12)
    whole = statistics_of([metric], result.forecasts, result.observed, result.grid)[name]
    pooled = metric.score(whole.sum(["init_time", "lead_time", "channel"])).isel(model=0, drop=True)
    np.testing.assert_allclose(metric.score(statistic.sum(["lead_time", "flow", *SPACE])), pooled, rtol=1e-12)


def test_a_cell_without_samples_has_no_score_that_wants_several():
    series = flow()
    result = scored({"one": forecasts(series)}, series, ["mse"])
    with pytest.raises(ValueError, match="1 samples came; crps_fair wants 2"):
        cell_statistics(named("crps_fair"), result.forecasts["one"], result.observed, result.grid)


def test_weights_count_in_a_backtest():
    series = flow()
    weights = latitude_weights(series.lat)
    result = scored({"one": forecasts(series)}, series, [MeanSquaredError(weights=weights)])
    error = (result.forecasts["one"] - result.observed) ** 2
    expected = error.weighted(weights).mean(["init_time", "flow", *SPACE])
    np.testing.assert_allclose(result.scores["mse"].isel(model=0), expected, rtol=1e-12)


class Reads:
    """Hands out an array's chunks, and notes which."""

    def __init__(self, array, chunks):
        self.count, chunked = {}, array.chunk(chunks)
        self.lazy = chunked.copy(
            data=chunked.data.map_blocks(self._note, dtype=array.dtype, meta=array.data[:0])
        )

    def _note(self, block, block_info=None):
        place = tuple(map(tuple, block_info[0]["array-location"]))
        self.count[place] = self.count.get(place, 0) + 1
        return block


@pytest.mark.parametrize(
    ("own", "unable"), [(SAMPLES, 1), (QUANTILES, 4), ({}, 3)], ids=["samples", "quantiles", "neither"]
)
def test_dask_equals_numpy_for_every_metric_and_each_chunk_is_read_once(own, unable):
    series = flow(dtype=np.float32)
    series, made = series.where(flow(seed=5) > 0.02), forecasts(series, **own)
    able = [name for name in EVERY if named(name).objection(made) is None]
    assert len(able) == len(EVERY) - unable
    in_memory = scored({"model": made}, series, able)
    lazy = scored({"model": made.chunk(init_time=7, lat=5)}, series.chunk(time=8), able)
    xr.testing.assert_identical(lazy.scores, in_memory.scores)

    reads, asked = Reads(in_memory.forecasts["model"], {"init_time": 7, "lat": 5}), lazy.observed
    statistics_of(in_memory.metrics, {"model": reads.lazy}, asked.chunk(init_time=14), lazy.grid)
    assert set(reads.count.values()) == {1} and len(reads.count) == 4 * 3
    for metric in in_memory.metrics:
        if not set(SPACE) & set(metric.whole(asked, SPACE)):
            one, other = (
                cell_statistics(metric, forecast, asked, lazy.grid)
                for forecast in (lazy.forecasts["model"], in_memory.forecasts["model"])
            )
            xr.testing.assert_allclose(one.value, other.value, rtol=1e-12)


@pytest.mark.parametrize("lazy", [True, False])
def test_forecasts_are_never_converted_or_read_all_at_once(lazy):
    """128 MiB of samples in float32, the truth in memory; all metrics that are made of sums of cells."""
    shape, origins = (2, 32, 32), 512
    time = pd.date_range("2024-01-01", periods=origins, freq="h")
    coords = {"init_time": time, "lead_time": pd.to_timedelta([1, 2, 3, 4], unit="h")}
    dims = ("init_time", "lead_time", "flow", *SPACE)
    truth = xr.DataArray(np.full((origins, 4, *shape), 0.5, np.float32), coords, dims)
    samples = dask.array.random.default_rng(0).random(
        (8, *truth.shape), dtype=np.float32, chunks=(8, 32, 4, 2, 32, 32)
    )
    forecast = truth.expand_dims(realization=8).copy(data=samples)
    forecast = forecast if lazy else forecast.compute()
    grid = Grid.of(truth[:, 0, :, :, :].drop_vars("lead_time").rename(init_time="time"))
    metrics = [named(name) for name in ("mse", "mae", "csi_0.5", "nrmse", "crps", "spread_skill")]
    tracemalloc.start()
    with dask.config.set(num_workers=2):  # each holds blocks of its own
        statistics_of(metrics, {"samples": forecast}, truth, grid)
        cell_statistics(metrics[0], forecast, truth, grid)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < forecast.nbytes / 4
