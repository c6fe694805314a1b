"""What the simple forecasts cost on a grid of TaxiBJ's size, and how well they forecast New York.

    python benchmarks/rivals.py [--quick] [--rivals ...] [--out benchmarks/results/rivals.json]

Cost: seconds to fit on 6000 half hours of 2 x 32 x 32 cells, made up, and to forecast 4 frames from 1344
origins; seconds of processor time of both, which a busy machine stretches less; peak memory above that of the
series. Each in a process of its own. Scores: squared error by lead on the test part of New York's taxis and
bikes, summed over channel and cells, data over the training maximum. Optical flow is timed on one channel in
a hundred of the origins, where pysteps is installed. ``--quick`` is a small grid, without scores.
"""

import argparse
import importlib.util
import time
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd
import xarray as xr
from ingredients import literature_scores
from measure import RESULTS, PeakMemory, in_fresh_process, keep, machine, markdown
from scipy.signal import lfilter

from darts_mim import GridPipeline, SeasonalAnomaly, datasets
from darts_mim.baselines import (
    Autoregression,
    Climatology,
    DampedAnomaly,
    Drift,
    ExponentialSmoothing,
    OpticalFlow,
    Persistence,
    SeasonalNaive,
)
from darts_mim.demo import HORIZON, TEST_STEPS


@dataclass(frozen=True, kw_only=True)
class Setting:
    """A series made up."""

    training: int = 6000  # frames
    origins: int = 1344
    grid: tuple[int, int, int] = (2, 32, 32)


SETTINGS = {"TaxiBJ": Setting(), "quick": Setting(training=700, origins=50, grid=(2, 4, 3))}


def on_anomalies(model):
    return GridPipeline([("week", SeasonalAnomaly("7D")), ("model", model)])


RIVALS = {
    "last frame": Persistence,
    "drift of training": Drift,
    "drift of 5 frames": partial(Drift, 5),
    "last week": partial(SeasonalNaive, "7D"),
    "mean of week": partial(Climatology, "7D"),
    "smooth mean of week": partial(Climatology, "7D", harmonics=42),
    "damped anomaly": partial(DampedAnomaly, "7D"),
    "damped anomaly, smooth mean": partial(DampedAnomaly, "7D", harmonics=42),
    "simple smoothing": ExponentialSmoothing,
    "damped trend": partial(ExponentialSmoothing, trend="damped"),
    "seasonal smoothing": partial(ExponentialSmoothing, "7D"),
    "seasonal smoothing, damped trend": partial(ExponentialSmoothing, "7D", trend="damped"),
    "autoregression": partial(Autoregression, 4),
    "seasonal autoregression": partial(Autoregression, 4, seasonal_lags=("1D", "7D")),
    "autoregression of anomalies": lambda: on_anomalies(Autoregression(4)),
    "daily autoregression of anomalies": lambda: on_anomalies(Autoregression(4, seasonal_lags=("1D",))),
    "smoothing of anomalies": lambda: on_anomalies(ExponentialSmoothing()),
}
KEY = ("rival", "data", "machine")
FLOW = "optical flow, 1 channel, 13 origins"


def flows(setting: Setting) -> xr.DataArray:
    """A daily cycle, weekends, and anomalies that last for hours."""
    frames = setting.training + setting.origins + HORIZON - 1
    times = pd.date_range("2013-07-01", periods=frames, freq="30min")
    hour = np.asarray(times.hour + times.minute / 60)
    day = 100 + 60 * np.sin(2 * np.pi * (hour - 8) / 24) - 20 * (np.asarray(times.day_of_week) >= 5)
    values = np.empty((frames, *setting.grid), dtype=np.float32)
    rng = np.random.default_rng(0)
    for cell in np.ndindex(setting.grid):  # one by one: the peak of memory is to be the rival's
        anomaly = lfilter([1], [1, -0.8], rng.normal(scale=8, size=frames))
        values[:, *cell] = np.maximum(day * rng.uniform(0, 2) + anomaly, 0)
    return xr.DataArray(values, {"time": times}, ("time", "channel", "y", "x"))


def cost(name: str, setting: Setting) -> dict[str, float]:
    """Seconds and bytes of one rival, in the process that calls."""
    series = flows(setting)
    stride, model = 1, OpticalFlow() if name == FLOW else RIVALS[name]()
    if name == FLOW:
        series, stride = series[:, :1], -(-setting.origins // 13)
    memory, processor, started = PeakMemory("cpu"), time.process_time(), time.perf_counter()
    model.fit(series[: setting.training])
    fitted = time.perf_counter()
    model.historical_forecasts(
        series, forecast_horizon=HORIZON, start=series["time"][setting.training], stride=stride
    )
    return {
        "fit_s": fitted - started,
        "forecasts_s": time.perf_counter() - fitted,
        "processor_s": time.process_time() - processor,
        "memory_mib": memory.bytes() / 2**20,
    }


def scores(names: list[str]) -> list[dict]:
    """By lead, on both cities' flows."""
    runs = []
    for load in (datasets.nyc_taxi, datasets.nyc_bike):
        flow = load()
        fitted = {name: RIVALS[name]().fit(flow[:-TEST_STEPS]) for name in names}
        mse = literature_scores(fitted, flow)
        runs += [{"rival": name, "data": load.__name__, "mse": by_lead} for name, by_lead in mse.items()]
    return runs


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--rivals", nargs="+", choices=[*RIVALS, FLOW], default=[*RIVALS, FLOW])
    parser.add_argument("--out", type=Path, default=RESULTS / "rivals.json")
    given = parser.parse_args(arguments)
    names = given.rivals
    if not can_flow():
        names = [name for name in names if name != FLOW]
    setting, runs = "quick" if given.quick else "TaxiBJ", []
    for name in names:
        found = in_fresh_process(cost, name, SETTINGS[setting])
        runs.append({"rival": name, "data": setting, "machine": machine("cpu"), **found})
        keep(given.out, runs[-1:], key=KEY)
        print(f"{name}: {found['fit_s']:.1f} s, {found['forecasts_s']:.1f} s", flush=True)
    print(machine("cpu"))
    print(markdown(("", "fit", "forecasts", "processor", "peak memory"), cost_rows(runs)))
    total = sum(run["fit_s"] + run["forecasts_s"] for run in runs if run["rival"] != FLOW)
    print(f"all but optical flow: {total:.0f} s")
    if not given.quick:
        scored = scores([name for name in names if name in RIVALS])
        print(markdown(("", "data", *(f"lead {k}" for k in range(1, HORIZON + 1))), score_rows(scored)))
        keep(given.out, scored, key=KEY)


def can_flow() -> bool:
    """Whether what optical flow needs is installed."""
    return all(importlib.util.find_spec(needed) for needed in ("pysteps", "cv2"))


def cost_rows(runs: list[dict]) -> list[list[str]]:
    seconds = ("fit_s", "forecasts_s", "processor_s")
    return [
        [run["rival"], *(f"{run[name]:.2f} s" for name in seconds), f"{run['memory_mib']:.0f} MiB"]
        for run in runs
    ]


def score_rows(runs: list[dict]) -> list[list[str]]:
    return [[run["rival"], run["data"], *(f"{value:.4f}" for value in run["mse"])] for run in runs]


if __name__ == "__main__":
    main()
