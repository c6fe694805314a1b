"""Unit-root tests of many series at once, against loops over statsmodels and arch, and against reading them.

    python benchmarks/unit_roots.py [--quick] [--steps 2000 20000] [--device cpu] [--rounds 9]
                                    [--out benchmarks/results/unit_roots.json]

Half of the series are random walks, half autoregressions. The loops over the libraries run on a few of the
series; their seconds are given per cell, as ours are. Reading is what the sum of squares of all values takes.
All are medians of runs that take turns in one process. On a CPU the largest map follows: its seconds and the
memory that it takes besides the series, in a process of its own.
"""

import argparse
import statistics
import time
import warnings
from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np
import torch
from arch.unitroot import ADF, PhillipsPerron
from measure import (
    RESULTS,
    PeakMemory,
    default_device,
    in_fresh_process,
    keep,
    machine,
    markdown,
    round_robin,
)
from statsmodels.tsa.stattools import adfuller
from statsmodels.tsa.stattools import kpss as statsmodels_kpss

from darts_mim.diagnostics.unit_roots.adf import adf
from darts_mim.diagnostics.unit_roots.kpss import kpss
from darts_mim.diagnostics.unit_roots.phillips_perron import phillips_perron

TESTS = {"adf": adf, "kpss": kpss, "phillips_perron": phillips_perron}
LOOPS = {
    ("adf", "statsmodels"): lambda row: adfuller(row, autolag="AIC", result_object=False),
    ("adf", "arch"): lambda row: ADF(row, method="aic", low_memory=True).stat,
    ("kpss", "statsmodels"): lambda row: statsmodels_kpss(row, result_object=False),
    ("phillips_perron", "arch"): lambda row: PhillipsPerron(row).stat,
}
VALUES = 2**22  # of the series that are compared
MAP = (2048, 20_000)  # cells, steps: the largest map


def walks(cells: int, steps: int) -> np.ndarray:
    """Every other row a random walk, the others first-order autoregressions, 0.9."""
    series = np.random.default_rng(0).normal(size=(cells, steps))
    for row in series[1::2]:
        np.cumsum(row, out=row)
    after = series[::2]
    for step in range(1, steps):
        after[:, step] += 0.9 * after[:, step - 1]
    return series


def over(rows: np.ndarray, test: Callable[[np.ndarray], object]) -> None:
    for row in rows:
        test(row)


def ours(test: str, series: object, n_jobs: int) -> Callable[[], object]:
    return partial(TESTS[test], series, n_jobs=n_jobs)


def compare(cells: int, steps: int, few: int, given: argparse.Namespace) -> list[dict]:
    """Microseconds a cell of every test, by us on one thread and two, by the libraries, and to read it."""
    series = walks(cells, steps)
    held = series if given.device == "cpu" else torch.as_tensor(series, device=given.device)
    jobs = (1, 2) if given.device == "cpu" else (1,)
    runs = {("read", "numpy", 1): lambda: np.vecdot(series, series)}
    runs |= {(test, "ours", n): ours(test, held, n) for test in TESTS for n in jobs}
    runs |= {(*loop, 1): partial(over, series[:few], test) for loop, test in LOOPS.items()}
    times = round_robin(runs, given.device, given.rounds, given.turn)
    tested = {"numpy": cells, "ours": cells}
    each = {run: 1e6 * statistics.median(turns) / tested.get(run[1], few) for run, turns in times.items()}
    said = {"machine": machine(given.device), "device": given.device, "steps": steps, "cells": cells}
    return [
        {
            **said,
            "test": test,
            "by": by,
            "threads": n,
            "us_per_cell": us,
            "times_ours": us / each[test, "ours", 1] if test in TESTS else None,
            "times_reading": us / each["read", "numpy", 1],
        }
        for (test, by, n), us in each.items()
    ]


def largest_map(cells: int, steps: int, n_jobs: int) -> dict[str, float]:
    """Seconds of one ADF test of a whole map, and bytes besides the map's own."""
    series = walks(cells, steps)
    adf(series[:2])
    memory = PeakMemory("cpu")
    started = time.perf_counter()
    adf(series, n_jobs=n_jobs)
    return {"seconds": time.perf_counter() - started, "besides": memory.bytes(), "series": series.nbytes}


def table(runs: list[dict]) -> list[list[str]]:
    return [
        [
            f"{run['steps']}",
            run["test"].replace("_", "-"),
            run["by"],
            f"{run['threads']}",
            f"{run['us_per_cell']:.1f} µs",
            f"{run['times_ours']:.3g}" if run["times_ours"] else "",
            f"{run['times_reading']:.1f}",
        ]
        for run in runs
    ]


def parsed(arguments: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="small sizes, to see that it runs")
    parser.add_argument("--steps", type=int, nargs="+", default=[2000, 20_000])
    parser.add_argument("--device", default=default_device())
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--turn", type=float, default=0.1, help="seconds that a turn lasts at least")
    parser.add_argument("--out", type=Path, default=RESULTS / "unit_roots.json")
    given = parser.parse_args(arguments)
    if given.quick:
        given.steps, given.rounds, given.turn = [100], 1, 0.0
    return given


def main(arguments: list[str] | None = None) -> None:
    given = parsed(arguments)
    warnings.simplefilter("ignore")  # KPSS's p-values at the ends of its table
    torch.set_num_threads(1)
    values, few = (2**12, 2) if given.quick else (VALUES, 4)
    runs = [run for steps in given.steps for run in compare(values // steps, steps, few, given)]
    print(machine(given.device))
    print(
        markdown(
            ("steps", "test", "by", "threads", "a cell", "times ours, one thread", "times reading"),
            table(runs),
        )
    )
    if given.device == "cpu":
        cells, steps = (values // 100, 100) if given.quick else MAP
        for n_jobs in (1, 2):
            found = in_fresh_process(largest_map, cells, steps, n_jobs)
            said = {name: runs[0][name] for name in ("machine", "device")}
            size = {"steps": steps, "cells": cells, "test": "adf", "by": "ours, map", "threads": n_jobs}
            runs.append({**said, **size, **found})
            print(
                f"{cells} cells of {steps} steps, threads: {n_jobs}: {found['seconds']:.2f} s, "
                f"{found['besides'] / 2**20:.0f} MiB besides the series' {found['series'] / 2**20:.0f} MiB"
            )
    keep(given.out, runs, key=("machine", "steps", "cells", "test", "by", "threads"))


if __name__ == "__main__":
    main()
