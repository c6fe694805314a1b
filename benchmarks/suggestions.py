"""Does the differencing that the tests suggest help a forecast? Set by set, with a small MIM.

    python benchmarks/suggestions.py [--data nyc_taxi nyc_bike ...] [--steps 400] [--html out/suggestions]

The first four fifths of every set are diagnosed with ``diagnose_differencing``; what is suggested, the raw
series, first differences, seasonal differences and anomalies are each fitted on them and backtested on the
last fifth, with the same network, from scratch. Sets other than the package's own two are Zarr stores in the
folder that DARTS_MIM_DATA names. Runs that the JSON file holds already are not done again.
"""

import argparse
import os
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import xarray as xr
from measure import RESULTS, keep, machine, markdown, read

from darts_mim import MIMModel, datasets, diagnose_differencing
from darts_mim.demo import quieten
from darts_mim.diagnostics.differencing.cell_tests import TESTED
from darts_mim.diagnostics.differencing.diagnose import TEST_SHARE

KEY = ("data", "steps", "machine")
TREATMENTS = ("raw", "differenced", "seasonal difference", "anomaly")
BATCH = 16
MOST_PATCHES = 128


Change = Callable[[xr.DataArray], xr.DataArray]


def stored(name: str, variable: str, change: Change = lambda array: array) -> Callable[[], xr.DataArray]:
    def read_store() -> xr.DataArray:
        path = Path(os.environ.get("DARTS_MIM_DATA", "")) / f"{name}.zarr"
        array = xr.open_zarr(path, consolidated=False)[variable]
        return change(array.astype(np.float32)).load()

    return read_store


def coarse(cells: int, missing: float | None = None) -> Change:
    """Means of cells x cells; values of ``missing`` are left out."""

    def change(array: xr.DataArray) -> xr.DataArray:
        if missing is not None:
            array = array.where(array != missing)
        y, x = array.dims[-2:]
        return array.coarsen({y: cells, x: cells}, boundary="trim").mean()

    return change


SETS: dict[str, Callable[[], xr.DataArray]] = {
    "nyc_taxi": datasets.nyc_taxi,
    "nyc_bike": datasets.nyc_bike,
    "taxinyc_2010_2014": stored("taxinyc_2010_2014", "flow", lambda array: array[-8760:]),
    "sf08_m32x32_t30": stored("sf08_m32x32_t30", "flow"),
    "sf08_m32x32_t10": stored("sf08_m32x32_t10", "flow"),
    "knmi_20100826_256": stored("knmi_20100826_256", "rain", coarse(8)),
    "knmi_20100826_full": stored("knmi_20100826_full", "rain", coarse(8, missing=255)),
    "fmi_20160928_256": stored("fmi_20160928_256", "rain", coarse(8)),
    "meteonet_nw": stored("meteonet_nw", "rain", coarse(16, missing=-1)),
    "era5_uk_t2m": stored("era5_uk_t2m", "t2m"),
    "ncep_air_temperature": stored("ncep_air_temperature", "air"),
    "ersstv5": stored("ersstv5", "sst", coarse(4)),
}


def network(length: int, series: xr.DataArray, given: argparse.Namespace) -> MIMModel:
    """About as many optimiser steps, and as many patches, on every set."""
    epochs = max(1, round(given.steps * BATCH / len(series)))
    height, width = series.shape[-2:]
    patch_size = next(p for p in (1, 2, 4, 8, 16) if -(-height // p) * -(-width // p) <= MOST_PATCHES)
    return MIMModel(
        input_chunk_length=length,
        output_chunk_length=4,
        hidden=4 if given.quick else 16,
        layers=2,
        kernel_size=3 if given.quick else 5,
        patch_size=patch_size,
        lr=2e-3,
        lr_schedule="cosine",
        n_epochs=epochs,
        batch_size=BATCH,
        random_state=0,
        pl_trainer_kwargs={"enable_progress_bar": False, "enable_model_summary": False},
    )


def run(name: str, given: argparse.Namespace) -> dict:
    """The diagnosis of one set, and the backtest of what it suggests."""
    series = SETS[name]()
    if given.quick:
        series = series[-400:]
    started = time.monotonic()
    first = len(series) - int(TEST_SHARE * len(series))
    diagnosis = diagnose_differencing(series[:first])
    diagnosed = time.monotonic() - started
    suggestion = diagnosis.suggest()
    done = {
        "frames": first,
        "cells": int((diagnosis["status"] == TESTED).sum()),
        "suggested": suggestion.treatment.name,
        "input": suggestion.input_chunk_length,
        "diagnosis_seconds": round(diagnosed, 1),
    }
    try:
        model = network(suggestion.input_chunk_length, series[:first], given)
        suggestion = suggestion.check(series, start=series[series.dims[0]][first], forecaster=model)
    except ValueError as error:  # too few frames for a backtest
        done["text"] = f"{suggestion.text} Not checked: {error}"
    else:
        done |= {"text": suggestion.text, "mse": by_kind(suggestion.evidence["mse"].dropna().to_dict())}
        if suggestion.treatment.name != "raw":
            against = suggestion.checked.compare(suggestion.treatment.name, "raw", "mse", by=None)
            done |= {key: float(against[key]) for key in ("skill", "low", "high")}
    if given.html:
        diagnosis.plot().savefig(folder(given.html) / f"{name}.png")
        diagnosis.plot_regions().savefig(given.html / f"{name}_regions.png")
    return done | {"seconds": round(time.monotonic() - started)}


def folder(path: Path) -> Path:
    path.mkdir(parents=True, exist_ok=True)
    return path


def by_kind(mse: dict[str, float]) -> dict[str, float]:
    """Errors by kind of treatment, whatever its period; what is suggested besides keeps its name."""
    kinds: dict[str, float] = {}
    for name, error in mse.items():
        last = name.rsplit(" ", 1)[-1]
        kind = {"difference": "seasonal difference", "anomaly": "anomaly"}.get(last, name)
        kinds[kind] = float(error)
    return kinds


def table(runs: Sequence[dict]) -> str:
    """Squared error of each treatment over that of the raw series, and what the suggestion gained."""
    rows = []
    for done in runs:
        mse = done.get("mse", {})
        ratios = [f"{mse[kind] / mse['raw']:.2f}" if kind in mse else "" for kind in TREATMENTS[1:]]
        own = mse.get(done["suggested"])
        gain = f"{done['skill']:.0%}" if "skill" in done else ""
        if np.isfinite(done.get("low", np.nan)):
            gain += f" ({done['low']:.0%} to {done['high']:.0%})"
        other = own is not None and by_kind({done["suggested"]: 0.0}).keys().isdisjoint(TREATMENTS)
        suggested = f"{own / mse['raw']:.2f}" if other else ""
        rows.append([done["data"], f"{done['frames']:,}", done["suggested"], *ratios, suggested, gain])
    return markdown(
        [
            "",
            "frames",
            "suggested",
            *(f"{kind} / raw" for kind in TREATMENTS[1:]),
            "other / raw",
            "gain over raw",
        ],
        rows,
    )


def parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    add = parser.add_argument
    add("--data", nargs="+", choices=list(SETS), default=list(SETS))
    add("--steps", type=int, default=400, help="of the optimiser, about")
    add("--quick", action="store_true", help="a tiny network, few frames: shows that everything runs")
    add("--html", type=Path, help="folder for the pictures")
    add("--out", type=Path, default=RESULTS / "suggestions.json")
    return parser.parse_args(arguments)


def main(arguments: Sequence[str] | None = None) -> None:
    given = parse(arguments)
    quieten()
    where = {"steps": given.steps, "machine": machine("cpu")}
    for name in given.data:
        if any((where | {"data": name}).items() <= kept.items() for kept in read(given.out)):
            continue
        if name not in ("nyc_taxi", "nyc_bike") and not os.environ.get("DARTS_MIM_DATA"):
            print(f"{name} is left out: DARTS_MIM_DATA is not set.", flush=True)
            continue
        done = run(name, given)
        print(f"\n{name}, {done['seconds']} s: {done['text']}", flush=True)
        keep(given.out, [where | {"data": name} | done], KEY)
    runs = [kept for kept in read(given.out) if where.items() <= kept.items()]
    print(f"\n{where['machine']}\n\n{table(runs)}")


if __name__ == "__main__":
    main()
