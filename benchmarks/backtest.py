"""What scoring forecasts of TaxiBJ's size costs, and what the same scores cost with darts.

    python benchmarks/backtest.py [--quick] [--rounds 5] [--out benchmarks/results/backtest.json]

Forecasts of 4 frames of 2 x 32 x 32 cells from 1344 origins, made up, in float32, go through ``backtest`` as
a user has them. Every metric of forecasts without samples is scored by lead, and by lead and cell where it
counts cell by cell: seconds, seconds of processor time, which a busy machine stretches less, and the peak
memory of the process, a fresh one. Then each metric alone. The squared error stands beside a copy of the
forecasts: bytes a second, read and written. Last, four scores by lead and by cell as darts' own ``backtest``
gives them, of forecasts that are TimeSeries of 2048 components already; making these is timed apart. Runs
take turns; times are medians.
"""

import argparse
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import xarray as xr
from darts import TimeSeries
from darts import metrics as darts_metrics
from darts.models import NaiveSeasonal
from measure import RESULTS, PeakMemory, in_fresh_process, keep, machine, markdown

from darts_mim import BacktestResult, backtest
from darts_mim.backtesting.scoring import statistics_of
from darts_mim.metrics import Metric, named
from darts_mim.metrics.names import NUMBERED, PLAIN


@dataclass(frozen=True, kw_only=True)
class Setting:
    """Forecasts made up."""

    origins: int = 1344
    horizon: int = 4
    grid: tuple[int, int, int] = (2, 32, 32)


SETTINGS = {"TaxiBJ": Setting(), "quick": Setting(origins=12, grid=(2, 12, 13))}
NUMBERS = {"fss": "0.5_9", "power_ratio": "4", "ssim": "1", "psnr": "1", "sharpness_difference": "1"}
NAMES = [*PLAIN, *(f"{stem}_{NUMBERS.get(stem, '0.5')}" for stem in NUMBERED)]
BOTH = {"mse": darts_metrics.se, "mae": darts_metrics.ae, "bias": darts_metrics.err}  # and rmse of mse
SIGNS = [1, 1, -1]  # darts' error is the truth less the forecast
SPACE = ("y", "x")
KEY = ("what", "metric", "setting", "machine")


def fields(setting: Setting) -> tuple[xr.DataArray, xr.DataArray]:
    """A series in [0, 1], and forecasts of it from every origin."""
    rng = np.random.default_rng(0)
    times = pd.date_range("2015-01-01", periods=setting.origins + setting.horizon, freq="30min")
    values = rng.random((len(times), *setting.grid), dtype=np.float32)
    series = xr.DataArray(values, {"time": times}, ("time", "channel", *SPACE))
    leads = np.arange(1, setting.horizon + 1)
    made = values[np.arange(setting.origins)[:, None] + leads]
    made += 0.1 * rng.standard_normal(made.shape, dtype=np.float32)
    coords = {"init_time": times[: setting.origins], "lead_time": leads * pd.Timedelta("30min")}
    dims = ("init_time", "lead_time", "channel", *SPACE)
    return series, xr.DataArray(made.clip(0, 1, out=made), coords, dims)


def scored(series: xr.DataArray, forecasts: xr.DataArray, names: Sequence[str]) -> BacktestResult:
    return backtest(
        {"model": forecasts},
        series,
        start=series["time"][1],
        horizon=forecasts.sizes["lead_time"],
        metrics=list(names),
    )


def by_cell(result: BacktestResult, names: Sequence[str]) -> dict[str, xr.DataArray]:
    return {name: result.cell_scores(name, by="lead_time") for name in names}


def of_values() -> list[Metric]:
    """The metrics of forecasts without samples or quantiles."""
    return [metric for metric in map(named, NAMES) if not metric.reads]


def counts_cells(metric: Metric, forecasts: xr.DataArray) -> bool:
    return not set(SPACE) & set(metric.whole(forecasts, SPACE))


def by_turns(runs: Mapping[Any, Callable[[], object]], rounds: int) -> dict[Any, tuple[float, float]]:
    """Seconds of each run and its processor time: medians of turns after one that warms up."""
    found: dict[Any, list[tuple[float, float]]] = {name: [] for name in runs}
    for _ in range(1 + rounds):
        for name, run in runs.items():
            processor, started = time.process_time(), time.perf_counter()
            run()
            found[name].append((time.perf_counter() - started, time.process_time() - processor))
    return {name: tuple(np.median(turns[1:], axis=0).tolist()) for name, turns in found.items()}


def everything(setting: Setting) -> dict[str, float]:
    """Seconds and bytes of all metrics, in the process that calls."""
    memory = PeakMemory("cpu")
    series, forecasts = fields(setting)
    names = [metric.name for metric in of_values()]
    cells = [metric.name for metric in of_values() if counts_cells(metric, forecasts)]
    processor, started = time.process_time(), time.perf_counter()
    result = scored(series, forecasts, names)
    assert len(result.scores) == len(names)
    leads = time.perf_counter()
    by_cell(result, cells)
    ended = time.perf_counter()
    return {
        "by_lead_s": leads - started,
        "by_cell_s": ended - leads,
        "seconds": ended - started,
        "processor_s": time.process_time() - processor,
        "process_mib": (memory.start + memory.bytes()) / 2**20,
    }


def each_metric(setting: Setting, rounds: int) -> list[dict]:
    """Seconds of each by lead, and by cell; of the squared error, as a share of the copying rate."""
    series, forecasts = fields(setting)
    result, copy = scored(series, forecasts, ["mse"]), np.empty_like(forecasts.values)
    grid, models, truth = result.grid, result.forecasts, result.observed
    runs: dict[Any, Callable[[], object]] = {"copy": partial(np.copyto, copy, forecasts.values)}
    for metric in of_values():
        runs[metric.name, "lead"] = partial(statistics_of, [metric], models, truth, grid)
    with_all = scored(series, forecasts, [metric.name for metric in of_values()])
    for metric in of_values():
        if counts_cells(metric, forecasts):
            runs[metric.name, "cell"] = partial(with_all.cell_scores, metric.name, by="lead_time")
    times = {name: wall for name, (wall, _) in by_turns(runs, rounds).items()}
    rate = 2 * copy.nbytes / times["copy"]  # read and written
    rows = []
    for metric in of_values():
        row = {"metric": metric.name, "by_lead_s": times[metric.name, "lead"]}
        if (metric.name, "cell") in times:
            row["by_cell_s"] = times[metric.name, "cell"]
        if metric.name == "mse":
            read = forecasts.nbytes + truth.nbytes
            row |= {"copy_gb_s": rate / 1e9, "read_gb_s": read / row["by_lead_s"] / 1e9}
            row["share_of_copy"] = read / row["by_lead_s"] / rate
        rows.append(row)
    return rows


def beside_darts(setting: Setting, rounds: int) -> dict[str, float]:
    """Squared and absolute error and bias, by lead, and by lead and cell; the root is taken by ours alone."""
    series, forecasts = fields(setting)
    started = time.perf_counter()
    truth = TimeSeries(series["time"].to_index(), series.values.reshape(len(series), -1, 1))
    axis = truth.time_index
    lists = [
        TimeSeries(axis[i + 1 : i + 1 + setting.horizon], one.reshape(setting.horizon, -1, 1))
        for i, one in enumerate(forecasts.values)
    ]
    making = time.perf_counter() - started

    def ours() -> tuple[np.ndarray, np.ndarray]:
        result = scored(series, forecasts, [*BOTH, "rmse"])
        cells = by_cell(result, [*BOTH, "rmse"])
        leads = np.stack([result.scores[name].values[0] for name in BOTH], -1)
        return leads, np.stack([cells[name].values[0].reshape(setting.horizon, -1) for name in BOTH], -1)

    def darts() -> tuple[np.ndarray, np.ndarray]:
        leads, cells = (
            NaiveSeasonal(1).backtest(
                truth,
                historical_forecasts=lists,
                last_points_only=False,
                metric=list(BOTH.values()),
                metric_kwargs=[{"component_reduction": reduction}] * len(BOTH),
                reduction=np.mean,
            )
            for reduction in (np.nanmean, None)
        )
        return np.asarray(leads) * SIGNS, np.asarray(cells) * SIGNS

    ((our_leads, our_cells), (their_leads, their_cells)) = ours(), darts()
    difference = max(abs(our_leads - their_leads).max(), abs(our_cells - their_cells).max())
    times = by_turns({"ours": ours, "darts": darts}, rounds)
    (ours_s, ours_processor_s), (darts_s, darts_processor_s) = times["ours"], times["darts"]
    return {
        "ours_s": ours_s,
        "ours_processor_s": ours_processor_s,
        "darts_s": darts_s,
        "darts_processor_s": darts_processor_s,
        "making_timeseries_s": making,
        "times_faster": darts_s / ours_s,
        "times_faster_with_making": (darts_s + making) / ours_s,
        "largest_difference": float(difference),
    }


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="12 origins of 2 x 12 x 13 cells")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--out", type=Path, default=RESULTS / "backtest.json")
    given = parser.parse_args(arguments)
    name = "quick" if given.quick else "TaxiBJ"
    setting, of = SETTINGS[name], {"setting": name, "machine": machine("cpu")}
    whole = in_fresh_process(everything, setting)
    alone = in_fresh_process(each_metric, setting, given.rounds)
    against = in_fresh_process(beside_darts, setting, given.rounds)
    runs = [
        {"what": "all metrics", "metric": "all", **of, **whole},
        *({"what": "one metric", **of, **row} for row in alone),
        {"what": "beside darts", "metric": "mse, rmse, mae, bias", **of, **against},
    ]
    keep(given.out, runs, key=KEY)
    print(machine("cpu"))
    print(markdown(("metric", "by lead", "by lead and cell"), [metric_row(row) for row in alone]))
    print(
        f"all {len(alone)} metrics: {whole['by_lead_s']:.2f} s by lead, {whole['by_cell_s']:.2f} s by cell, "
        f"{whole['processor_s']:.2f} s of processor time; peak {whole['process_mib']:.0f} MiB"
    )
    (mse,) = (row for row in alone if row["metric"] == "mse")
    print(
        f"mse: {mse['read_gb_s']:.1f} GB/s are read, {100 * mse['share_of_copy']:.0f} % of the "
        f"{mse['copy_gb_s']:.1f} GB/s that a copy reads and writes"
    )
    print(
        f"four scores by lead and by cell: {against['ours_s']:.3f} s, darts {against['darts_s']:.3f} s and "
        f"{against['making_timeseries_s']:.3f} s to make its TimeSeries: {against['times_faster']:.1f} times "
        f"faster, {against['times_faster_with_making']:.1f} with these; of processor time "
        f"{against['ours_processor_s']:.3f} s and {against['darts_processor_s']:.3f} s; largest difference "
        f"{against['largest_difference']:.1e}"
    )


def metric_row(row: dict) -> tuple[str, ...]:
    cell = f"{row['by_cell_s']:.3f} s" if "by_cell_s" in row else ""
    return row["metric"], f"{row['by_lead_s']:.3f} s", cell


if __name__ == "__main__":
    main()
