"""What each ingredient adds on New York taxi flow: anomalies, the calendar, the variant.

    python benchmarks/ingredients.py [--seeds 0 1 2] [--rows ...] [--out benchmarks/results/ingredients.json]

Every row trains the demo's network as the demo does and is scored on the test part: squared error summed over
channel and cells, data over the training maximum, by lead, as the literature's tables have it. Runs that the
JSON file holds already are not done again: a broken benchmark goes on where it stopped, and several processes
may share the file.
"""

import argparse
import json
import os
import platform
import time
from pathlib import Path

import numpy as np
import pandas as pd
import torch
import xarray as xr

from darts_mim import BacktestResult, GridPipeline, GridScaler, backtest
from darts_mim.datasets import nyc_taxi
from darts_mim.demo import HORIZON, TEST_STEPS, make_model, quieten, rivals


def raw(model: GridPipeline) -> GridPipeline:
    """Without the weekly anomalies: the flow itself, scaled by its training minimum and maximum."""
    return GridPipeline([("scale", GridScaler()), *model.steps[2:]])


def without_calendar(model: GridPipeline) -> GridPipeline:
    return model.set_params(mim__add_encoders=None)


INGREDIENTS = {
    "anomalies, calendar: the demo": lambda model: model,
    "anomalies": without_calendar,
    "raw flow, calendar": raw,
    "raw flow": lambda model: raw(without_calendar(model)),
    "the demo, released variant, layer norm": lambda model: model.set_params(
        mim__variant="released", mim__layer_norm=True
    ),
    "the demo, released variant": lambda model: model.set_params(mim__variant="released"),
}


def literature_scores(
    models: dict, flow: xr.DataArray, test_steps: int = TEST_STEPS
) -> dict[str, list[float]]:
    """Squared error by lead, summed over channel and cells, data over the training maximum."""
    train, test = flow[:-test_steps], flow[-test_steps:]
    result: BacktestResult = backtest(models, flow, start=test.time[0], horizon=HORIZON, metrics=["mse"])
    cells = int(np.prod([flow.sizes[dim] for dim in ("channel", "y", "x")]))
    mse = result.scores["mse"] * cells / float(train.max()) ** 2
    return {str(name): mse.sel(model=name).values.round(6).tolist() for name in mse["model"].values}


def read(path: Path) -> dict:
    return json.loads(path.read_text()) if path.exists() else {"runs": []}


def write(path: Path, kept: dict) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    beside = path.with_suffix(f".{os.getpid()}")
    beside.write_text(json.dumps(kept, indent=1) + "\n")
    beside.replace(path)


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    arguments.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    arguments.add_argument("--rows", nargs="+", choices=list(INGREDIENTS), default=list(INGREDIENTS))
    arguments.add_argument("--out", type=Path, default=Path("benchmarks/results/ingredients.json"))
    given = arguments.parse_args()
    quieten()
    flow = nyc_taxi()
    train = flow[:-TEST_STEPS]
    for seed in given.seeds:
        for name in given.rows:
            if any((run["ingredients"], run["seed"]) == (name, seed) for run in read(given.out)["runs"]):
                continue
            started = time.monotonic()
            model = INGREDIENTS[name](make_model(random_state=seed)).fit(train)
            seconds = round(time.monotonic() - started)
            mse = literature_scores({"MIM": model}, flow)["MIM"]
            print(f"{name}, seed {seed}: {mse} ({seconds} s)", flush=True)
            kept = read(given.out)
            kept["machine"] = (
                f"{platform.machine()}, {torch.get_num_threads()} threads, torch {torch.__version__}"
            )
            kept["runs"].append({"ingredients": name, "seed": seed, "mse": mse, "fit_seconds": seconds})
            write(given.out, kept)
    write(given.out, read(given.out) | {"rivals": literature_scores(rivals(train), flow)})
    print(table(read(given.out)))


def table(kept: dict) -> str:
    """The runs as a Markdown table: the mean over seeds, and half the range between them."""
    rows = [[name, *(f"{value:.4f}" for value in mse)] for name, mse in kept["rivals"].items()]
    runs = pd.DataFrame(kept["runs"])
    for name in [name for name in INGREDIENTS if name in set(runs["ingredients"])]:
        mse = np.array(runs[runs["ingredients"] == name]["mse"].tolist())
        pairs = zip(mse.mean(axis=0), np.ptp(mse, axis=0) / 2, strict=True)
        rows.append([f"MIM, {name}", *(f"{mean:.4f} ± {spread:.4f}" for mean, spread in pairs)])
    leads = [f"lead {k}" for k in range(1, HORIZON + 1)]
    lines = [["", *leads], ["---"] * (HORIZON + 1), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


if __name__ == "__main__":
    main()
