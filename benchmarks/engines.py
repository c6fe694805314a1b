"""Whether the ways to compute MIM score alike: float32 in tiles, float32 as torch convolves, bf16.

    python benchmarks/engines.py [--seeds 5] [--epochs 4] [--rows ...]

Every row trains the demo's network as the demo does and is scored as ``benchmarks/ingredients.py`` scores.
The series is ``nytaxi_stsan.zarr`` in the folder that DARTS_MIM_DATA names, or else the package's sample of
the same city. Runs that the JSON file holds already are not done again.
"""

import argparse
import os
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import xarray as xr
from ingredients import literature_scores
from measure import RESULTS, default_device, keep, machine, markdown, read

from darts_mim import GridPipeline
from darts_mim.datasets import nyc_taxi
from darts_mim.demo import HORIZON, TEST_STEPS, make_model, quieten

STORE = "nytaxi_stsan.zarr"
KEY = ("engine", "seed", "data", "epochs", "machine")

PLAIN = "float32, direct"
ENGINES = {
    PLAIN: {"convolution": "direct"},
    "float32, winograd": {"convolution": "winograd"},
    "bf16": {"pl_trainer_kwargs": {"precision": "bf16-mixed"}},
}


def series() -> tuple[xr.DataArray, str]:
    """The flow, and what it is called."""
    folder = os.environ.get("DARTS_MIM_DATA")
    if folder and (path := Path(folder) / STORE).exists():
        return xr.open_zarr(path, consolidated=False)["flow"].astype(np.float32).load(), STORE
    where = f"{folder} has no {STORE}" if folder else "DARTS_MIM_DATA is not set"
    print(f"{where}: the package's own sample is used, datasets.nyc_taxi().", flush=True)
    return nyc_taxi(), "nyc_taxi"


def model_of(engine: Mapping, seed: int, given: argparse.Namespace) -> GridPipeline:
    """The demo's model, computed by one engine."""
    model = make_model(random_state=seed, n_epochs=given.epochs)
    trainer = model["mim"].get_params()["pl_trainer_kwargs"] | engine.get("pl_trainer_kwargs", {})
    trainer["accelerator"] = "gpu" if given.device == "cuda" else given.device
    chosen = dict(engine) | {"pl_trainer_kwargs": trainer}
    if given.quick:
        chosen |= {"hidden": 4, "kernel_size": 3}
    return model.set_params(**{f"mim__{name}": value for name, value in chosen.items()})


def run(name: str, seed: int, flow: xr.DataArray, test_steps: int, given: argparse.Namespace) -> dict:
    """One training and its scores."""
    started = time.monotonic()
    model = model_of(ENGINES[name], seed, given).fit(flow[:-test_steps])
    fitted = time.monotonic() - started
    mse = literature_scores({"MIM": model}, flow, test_steps)["MIM"]
    return {"engine": name, "seed": seed, "mse": mse, "fit_seconds": fitted}


def table(runs: Sequence[dict]) -> str:
    """Means over seeds and half the range between them, by lead, and how far they are from the plain one."""
    scores = {name: np.array([run["mse"] for run in runs if run["engine"] == name]) for name in ENGINES}
    means = {name: mse.mean(axis=0) for name, mse in scores.items() if len(mse)}
    spreads = {name: np.ptp(scores[name], axis=0) / 2 for name in means}
    rows = []
    for name, mean in means.items():
        cells = [f"{m:.4f} ± {s:.4f}" for m, s in zip(mean, spreads[name], strict=True)]
        fit = np.median([run["fit_seconds"] for run in runs if run["engine"] == name])
        rows.append([name, *cells, distance(mean, means.get(PLAIN), spreads.get(PLAIN)), f"{fit:.0f}"])
    return markdown(
        ["", *(f"lead {k}" for k in range(1, HORIZON + 1)), "furthest from plain", "s to fit"], rows
    )


def distance(mean: np.ndarray, plain: np.ndarray | None, spread: np.ndarray | None) -> str:
    """The largest difference of two means over the leads, in the plain one's ±."""
    if plain is None or spread is None or not spread.all():
        return ""
    return f"{(np.abs(mean - plain) / spread).max():.2f} ±"


def parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    add = parser.add_argument
    add("--seeds", type=int, default=5, help="how many")
    add("--rows", nargs="+", choices=list(ENGINES), default=list(ENGINES))
    add("--epochs", type=int, default=4)
    add("--quick", action="store_true", help="a tiny network, few windows: shows that everything runs")
    add("--device", default=default_device())
    add("--out", type=Path, default=RESULTS / "engines.json")
    return parser.parse_args(arguments)


def main(arguments: Sequence[str] | None = None) -> None:
    given = parse(arguments)
    quieten()
    flow, data = series()
    test_steps = TEST_STEPS
    if given.quick:
        flow, test_steps, data = flow[-TEST_STEPS - 432 : 24 - TEST_STEPS], 24, f"{data}, quick"
    where = {"data": data, "epochs": given.epochs, "machine": machine(given.device)}
    for seed in range(given.seeds):
        for name in given.rows:
            wanted = where | {"engine": name, "seed": seed}
            if any(wanted.items() <= kept.items() for kept in read(given.out)):
                continue
            done = run(name, seed, flow, test_steps, given)
            print(f"{name}, seed {seed}: {done['mse']} ({done['fit_seconds']:.0f} s)", flush=True)
            keep(given.out, [where | done], KEY)
    runs = [kept for kept in read(given.out) if where.items() <= kept.items()]
    print(f"\n{data}, {given.epochs} epochs, {where['machine']}\n\n{table(runs)}")


if __name__ == "__main__":
    main()
