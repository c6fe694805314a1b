"""What each ingredient adds on New York taxi flow: anomalies, the calendar, the variant; over seeds.

    python benchmarks/ingredients.py [--seeds 3] [--out benchmarks/results/ingredients.json]

Every row trains the demo's network as the demo does and is scored on the test part: squared error summed over
channel and cells, data over the training maximum, by lead, as the literature's tables have it. Runs that the
JSON file holds already are not done again, so that a broken run goes on where it stopped.
"""

import argparse
import json
import platform
import time
from pathlib import Path

import numpy as np
import pandas as pd
import torch

from darts_mim import BacktestResult, GridPipeline, GridScaler, backtest
from darts_mim.datasets import nyc_taxi
from darts_mim.demo import HORIZON, TEST_STEPS, make_model, quieten, rivals


def raw(model: GridPipeline) -> GridPipeline:
    """Without the weekly anomalies: the flow itself, scaled by its training minimum and maximum."""
    return GridPipeline([("scale", GridScaler()), *model.steps[2:]])


def without_calendar(model: GridPipeline) -> GridPipeline:
    return model.set_params(mim__add_encoders=None)


def released(model: GridPipeline) -> GridPipeline:
    return model.set_params(mim__variant="released")


INGREDIENTS = {
    "raw flow": lambda model: raw(without_calendar(model)),
    "raw flow, calendar": raw,
    "anomalies": without_calendar,
    "anomalies, calendar: the demo": lambda model: model,
    "anomalies, calendar, released variant": released,
}


def literature_scores(result: BacktestResult, train_maximum: float) -> dict[str, list[float]]:
    """Squared error by lead, summed over channel and cells, data over the training maximum."""
    cells = int(np.prod([result.observed.sizes[dim] for dim in ("channel", "y", "x")]))
    mse = result.scores["mse"] * cells / train_maximum**2
    return {str(model): mse.sel(model=model).values.round(6).tolist() for model in mse["model"].values}


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    arguments.add_argument("--seeds", type=int, default=3)
    arguments.add_argument("--out", type=Path, default=Path("benchmarks/results/ingredients.json"))
    given = arguments.parse_args()
    quieten()
    flow = nyc_taxi()
    train, test = flow[:-TEST_STEPS], flow[-TEST_STEPS:]
    kept = json.loads(given.out.read_text()) if given.out.exists() else {"runs": []}
    kept["machine"] = f"{platform.processor() or platform.machine()}, torch {torch.__version__}"
    done = {(run["ingredients"], run["seed"]) for run in kept["runs"]}

    def score(models: dict) -> dict[str, list[float]]:
        result = backtest(models, flow, start=test.time[0], horizon=HORIZON, metrics=["mse"])
        return literature_scores(result, float(train.max()))

    kept["rivals"] = score(rivals(train))
    for seed in range(given.seeds):
        for name, change in INGREDIENTS.items():
            if (name, seed) in done:
                continue
            started = time.monotonic()
            model = change(make_model(random_state=seed)).fit(train)
            seconds = round(time.monotonic() - started)
            scores = score({"MIM": model})["MIM"]
            kept["runs"].append({"ingredients": name, "seed": seed, "mse": scores, "fit_seconds": seconds})
            print(f"{name}, seed {seed}: {scores} ({seconds} s)", flush=True)
            given.out.parent.mkdir(parents=True, exist_ok=True)
            given.out.write_text(json.dumps(kept, indent=1) + "\n")
    print(table(kept))


def table(kept: dict) -> str:
    """The runs as a Markdown table: mean over seeds, and half the range between them."""
    leads = [f"lead {k}" for k in range(1, HORIZON + 1)]
    rows = [[name, *(f"{value:.4f}" for value in mse)] for name, mse in kept["rivals"].items()]
    runs = pd.DataFrame(kept["runs"])
    for name in [name for name in INGREDIENTS if name in set(runs["ingredients"])]:
        mse = np.array(runs[runs["ingredients"] == name]["mse"].tolist())
        pairs = zip(mse.mean(axis=0), np.ptp(mse, axis=0) / 2, strict=True)
        rows.append([f"MIM, {name}", *(f"{mean:.4f} ± {spread:.4f}" for mean, spread in pairs)])
    lines = [["", *leads], ["---"] * (HORIZON + 1), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


if __name__ == "__main__":
    main()
