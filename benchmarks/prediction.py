"""What a forecast costs besides the network: one call, a backtest of 1000 origins, long roll-outs.

    python benchmarks/prediction.py [--threads 1] [--rounds 9] [--out benchmarks/results/prediction.json]

One call: ``predict(n=4)`` from a warm model on a 32 x 32 x 2 grid, less the forward pass of its network. A
backtest: ``historical_forecasts`` from 1000 origins of a 16 x 12 x 2 grid, by its network's forward passes
over the same windows in batches of the same size. Roll-outs: what each further frame of ``predict(n)`` costs.
All are medians of runs that take turns.
"""

import argparse
import logging
import statistics
import warnings
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path

import numpy as np
import pandas as pd
import torch
import xarray as xr
from measure import RESULTS, keep, machine, markdown, round_robin

from darts_mim import MIMModel

OBSERVED, HORIZON = 4, 4  # frames
ORIGINS, BATCH = 1000, 64
LONG = (4, 40, 400)  # frames
TRAINER = {
    "accelerator": "cpu",
    "enable_progress_bar": False,
    "enable_model_summary": False,
    "logger": False,
}


def noise(frames: int, height: int, width: int) -> xr.DataArray:
    values = np.random.default_rng(0).normal(size=(frames, 2, height, width)).astype(np.float32)
    return xr.DataArray(
        values,
        dims=("time", "channel", "y", "x"),
        coords={
            "time": pd.date_range("2024", periods=frames, freq="h"),
            "channel": ["in", "out"],
            "y": np.arange(height),
            "x": np.arange(width),
        },
    )


def fitted(series: xr.DataArray, **kwargs) -> MIMModel:
    model = MIMModel(OBSERVED, HORIZON, n_epochs=0, pl_trainer_kwargs=TRAINER, random_state=0, **kwargs)
    return model.fit(series[: OBSERVED + HORIZON])


def forward(model: MIMModel, windows: torch.Tensor, batch: int) -> Callable[[], None]:
    """The network's own work for the forecasts from some windows."""
    network = model.model.network.eval()

    @torch.inference_mode()
    def run() -> None:
        for several in windows.split(batch):
            network(several, HORIZON)

    return run


def one_call() -> dict[str, Callable[[], object]]:
    series = noise(OBSERVED + HORIZON, 32, 32)
    model = fitted(series, hidden=4, layers=2, kernel_size=3)
    window = torch.from_numpy(series.values[None, -OBSERVED:])
    return {
        "predict": lambda: model.predict(n=HORIZON, series=series),
        "predict: network": forward(model, window, 1),
    }


def backtest() -> dict[str, Callable[[], object]]:
    series = noise(ORIGINS + OBSERVED + HORIZON - 1, 16, 12)
    model = fitted(series, hidden=32, layers=2, kernel_size=5, patch_size=2, batch_size=BATCH)
    windows = torch.from_numpy(series.values).unfold(0, OBSERVED, 1)[:ORIGINS].movedim(-1, 1).contiguous()
    return {
        "backtest": lambda: model.historical_forecasts(series, forecast_horizon=HORIZON),
        "backtest: network": forward(model, windows, BATCH),
    }


def roll_outs() -> dict[str, Callable[[], object]]:
    series = noise(OBSERVED + HORIZON, 16, 12)
    model = fitted(series, hidden=32, layers=2, kernel_size=5, patch_size=2)
    return {f"roll-out {n}": lambda n=n: model.predict(n=n, series=series) for n in LONG}


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    arguments.add_argument("--threads", type=int, default=1)
    arguments.add_argument("--rounds", type=int, default=9)
    arguments.add_argument("--out", type=Path, default=RESULTS / "prediction.json")
    given = arguments.parse_args()
    torch.set_num_threads(given.threads)
    logging.getLogger("pytorch_lightning").setLevel(logging.ERROR)
    warnings.simplefilter("ignore")
    seconds: dict[str, float] = {}
    for runs in (one_call(), backtest(), roll_outs()):
        times = round_robin(runs, "cpu", given.rounds, turn=0.1)
        seconds |= {name: statistics.median(turns) for name, turns in times.items()}
    steps = {
        f"{few}-{many}": 1e3 * (seconds[f"roll-out {many}"] - seconds[f"roll-out {few}"]) / (many - few)
        for few, many in pairwise(LONG)
    }
    run = {
        "machine": machine("cpu"),
        "threads": given.threads,
        "predict_ms": 1e3 * seconds["predict"],
        "network_ms": 1e3 * seconds["predict: network"],
        "overhead_ms": 1e3 * (seconds["predict"] - seconds["predict: network"]),
        "backtest_s": seconds["backtest"],
        "backtest_network_s": seconds["backtest: network"],
        "backtest_ratio": seconds["backtest"] / seconds["backtest: network"],
        **{f"ms_each_further_frame_{frames}": ms for frames, ms in steps.items()},
    }
    keep(given.out, [run], key=("machine", "threads"))
    print(run["machine"])
    print(markdown(("", "whole", "network", "besides"), table(run)))
    print("each further frame:", ", ".join(f"{ms:.2f} ms ({frames})" for frames, ms in steps.items()))


def table(run: dict) -> list[list[str]]:
    whole, network, over = (run[name] for name in ("predict_ms", "network_ms", "overhead_ms"))
    long, alone, ratio = (run[name] for name in ("backtest_s", "backtest_network_s", "backtest_ratio"))
    return [
        ["predict(n=4), 32 x 32 x 2", f"{whole:.1f} ms", f"{network:.1f} ms", f"{over:.1f} ms"],
        [f"{ORIGINS} origins, 16 x 12 x 2", f"{long:.2f} s", f"{alone:.2f} s", f"{ratio:.2f} times"],
    ]


if __name__ == "__main__":
    main()
