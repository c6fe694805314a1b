"""Figure 6 of the paper on New York taxi flow: the gates of MIM and of PredRNN, and what looking costs.

    python benchmarks/gates.py [--series "scaled flow" "weekly anomalies"] [--epochs 2] [--quick] [--out ...]

MIM and its PredRNN twin (``ablation="without_mim"``, of the same size, trained alike) are trained as the demo
trains, with three layers, on the flow itself, scaled, and, if asked for, on its weekly anomalies.
``diagnose_gates`` then watches both forecast through the test part. Forecasts with and without the hooks are
compared bit by bit, and their time and peak memory measured. The picture is of the first series; the flow
itself is what the paper's networks see.
"""

import argparse
import time
import warnings
from collections.abc import Callable, Generator
from contextlib import contextmanager, nullcontext
from functools import partial
from pathlib import Path

import numpy as np
import torch
import xarray as xr
from ingredients import raw
from measure import RESULTS, PeakMemory, in_fresh_process, keep, machine, markdown, round_robin

from darts_mim import GridPipeline
from darts_mim.datasets import nyc_taxi
from darts_mim.demo import HORIZON, TEST_STEPS, make_model, quieten
from darts_mim.diagnostics.gates.counts import Differences, Saturation
from darts_mim.diagnostics.gates.diagnose import GateDiagnosis, diagnose_gates
from darts_mim.diagnostics.gates.plot import plot_saturation
from darts_mim.diagnostics.gates.recording import watching
from darts_mim.diagnostics.gates.subject import Subject

NETWORKS = {"MIM": None, "PredRNN": "without_mim"}
SERIES = {"scaled flow": raw, "weekly anomalies": lambda model: model}
OBSERVED = 4  # frames
IMAGE = Path(__file__).parents[1] / "docs" / "images" / "saturation.png"
KEY = ("machine", "series", "network", "quick")


def build(series: str, network: str, *, epochs: int, quick: bool) -> GridPipeline:
    size = {"mim__hidden": 4, "mim__kernel_size": 3} if quick else {}
    model = make_model(n_epochs=epochs).set_params(mim__layers=3, mim__ablation=NETWORKS[network], **size)
    return SERIES[series](model)


@contextmanager
def counting(model: GridPipeline, flow: xr.DataArray) -> Generator[None]:
    """The hooks that count gates and differences, as in ``diagnose_gates``."""
    subject = Subject.of(model, flow)
    steps = OBSERVED - 1 + HORIZON
    watchers = [Saturation(subject.layers, steps, 0.1), Differences(subject, steps)]
    with watching(subject.network, watchers, cells=subject.cells):
        yield


def forecasts(model: GridPipeline, flow: xr.DataArray, *, watched: bool) -> xr.DataArray:
    with counting(model, flow) if watched else nullcontext():
        return model.historical_forecasts(flow, forecast_horizon=HORIZON)


def peak_memory(series: str, network: str, steps: int, quick: bool, watched: bool) -> int:
    """Bytes that forecasts take beyond what stands in memory before, in a process of its own."""
    quieten()
    warnings.simplefilter("ignore")
    flow = nyc_taxi()[-steps:]
    model = build(series, network, epochs=0, quick=quick).fit(flow)
    memory = PeakMemory("cpu")
    forecasts(model, flow, watched=watched)
    return memory.bytes()


def cost(
    model: GridPipeline, flow: xr.DataArray, series: str, network: str, quick: bool, rounds: int
) -> dict:
    """Time and memory with the hooks and without, and whether the forecasts are the same."""
    runs: dict[bool, Callable[[], object]] = {
        watched: partial(forecasts, model, flow, watched=watched) for watched in (False, True)
    }
    same = bool((runs[False]().values == runs[True]().values).all())
    seconds = {
        watched: float(np.median(times)) for watched, times in round_robin(runs, "cpu", rounds, 0).items()
    }
    memory = {
        watched: in_fresh_process(peak_memory, series, network, len(flow), quick, watched) / 2**20
        for watched in (False, True)
    }
    return {
        "bits_equal": same,
        "forecast_seconds": seconds[False],
        "forecast_seconds_watched": seconds[True],
        "forecast_mib": memory[False],
        "forecast_mib_watched": memory[True],
    }


def numbers(diagnosis: GateDiagnosis) -> dict:
    """What the table and the JSON file have of a diagnosis; layers from below."""
    found = diagnosis.dataset
    shares = found[["forgotten", "kept"]].mean("step").sel(gate=["temporal", "spatiotemporal"])
    kept = {
        f"{name}_{gate}": shares[name].sel(gate=gate).values.tolist()
        for name in ("forgotten", "kept")
        for gate in ("temporal", "spatiotemporal")
    }
    for name in ("adf_statistic", "unit_root_rejected"):
        for prefix, tested in (("frame_", found[f"frame_{name}"]), ("H_", found[name].sel(state="H"))):
            kept[f"{prefix}{name}"] = np.atleast_1d(tested.mean("segment")).tolist()
            error = tested.std("segment", ddof=1) / np.sqrt(tested.sizes["segment"])
            kept[f"{prefix}{name}_error"] = np.atleast_1d(error).tolist()
        kept[f"H_change_of_{name}"] = found[f"H_change_of_{name}"].values.tolist()  # mean, low, high
    kept["memory_horizon_C"] = [
        None if np.isnan(lag) else lag for lag in found["memory_horizon"].sel(memory="C").values.tolist()
    ]
    kept["left_of_C_at_the_longest_lag"] = found["memory_reach"].sel(memory="C").isel(lag=-1).values.tolist()
    return kept


def examined(
    series: str, network: str, flow: xr.DataArray, given: argparse.Namespace
) -> tuple[dict, GateDiagnosis]:
    """One network, trained, timed and diagnosed."""
    train, test = flow[:-TEST_STEPS], flow[-TEST_STEPS:]
    if given.quick:
        train, test = train[-700:], test[:120]
    started = time.perf_counter()
    model = build(series, network, epochs=given.epochs, quick=given.quick).fit(train)
    fitted = time.perf_counter() - started
    started = time.perf_counter()
    diagnosis = diagnose_gates(
        model, test, segments=3 if given.quick else 5, max_units=20 if given.quick else given.max_units
    )
    diagnosed = time.perf_counter() - started
    print(f"\n{network} on {series}\n{diagnosis.summary()}", flush=True)
    run = {
        "machine": machine("cpu"),
        "series": series,
        "network": network,
        "quick": given.quick,
        "epochs": given.epochs,
        "fit_seconds": fitted,
        "diagnosis_seconds": diagnosed,
        **numbers(diagnosis),
        **cost(model, test, series, network, given.quick, given.rounds),
    }
    return run, diagnosis


def table(runs: list[dict]) -> str:
    columns = (
        "series",
        "network",
        "layer",
        "temporal gate < 0.1",
        "> 0.9",
        "ADF statistic of H",
        "unit root rejected",
    )
    rows: list[list[str]] = []
    for run in runs:
        tests = ("frame_adf_statistic", "frame_unit_root_rejected")
        if run["network"] == "MIM":
            rows.append([run["series"], "", "input", "", "", *_tested(run, *tests, 0)])
        for n, (forgotten, kept) in enumerate(
            zip(run["forgotten_temporal"], run["kept_temporal"], strict=True)
        ):
            tested = _tested(run, "H_adf_statistic", "H_unit_root_rejected", n)
            rows.append(
                [run["series"], run["network"], str(n + 1), f"{forgotten:.1%}", f"{kept:.1%}", *tested]
            )
    return markdown(columns, rows)


def _tested(run: dict, statistic: str, rejected: str, n: int) -> list[str]:
    return [
        f"{run[statistic][n]:.2f} ± {run[f'{statistic}_error'][n]:.2f}",
        f"{run[rejected][n]:.1%} ± {run[f'{rejected}_error'][n]:.1%}",
    ]


def costs(runs: list[dict]) -> str:
    columns = (
        "series",
        "network",
        "fit",
        "diagnosis",
        "forecasts",
        "watched",
        "memory",
        "watched",
        "same bits",
    )
    rows = [
        [
            run["series"],
            run["network"],
            f"{run['fit_seconds']:.0f} s",
            f"{run['diagnosis_seconds']:.1f} s",
            f"{run['forecast_seconds']:.2f} s",
            f"{run['forecast_seconds_watched']:.2f} s",
            f"{run['forecast_mib']:.0f} MiB",
            f"{run['forecast_mib_watched']:.0f} MiB",
            "yes" if run["bits_equal"] else "NO",
        ]
        for run in runs
    ]
    return markdown(columns, rows)


def verdicts(runs: list[dict]) -> list[str]:
    """Whether the paper's findings hold: its Figure 6, and stationarity by layer."""
    said: list[str] = []
    for series in dict.fromkeys(run["series"] for run in runs):
        by_name = {run["network"]: run for run in runs if run["series"] == series}
        share = {name: float(np.mean(run["forgotten_temporal"][1:])) for name, run in by_name.items()}
        if share["PredRNN"] > 0.5 and share["MIM"] < share["PredRNN"]:
            verdict = "the paper's finding holds"
        elif share["MIM"] < share["PredRNN"]:
            verdict = "MIM forgets less, but PredRNN's gates are not mostly saturated"
        else:
            verdict = "the paper's finding does not hold"
        said.append(
            f"{series}: above layer 1, f < 0.1 in {share['PredRNN']:.1%} of PredRNN's gates, and "
            f"|T/C[t-1]| < 0.1 in {share['MIM']:.1%} of MIM's: {verdict}."
        )
        for name, run in by_name.items():
            changes = (
                f"{mean:+.2f} [{low:+.2f}, {high:+.2f}]"
                for mean, low, high in run["H_change_of_adf_statistic"]
            )
            said.append(
                f"{series}, {name}: ADF statistic of H from layer to layer {', then '.join(changes)}."
            )
    return said


def main(argv: list[str] | None = None) -> None:
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    arguments.add_argument(
        "--quick", action="store_true", help="shows that everything runs, and nothing else"
    )
    arguments.add_argument("--epochs", type=int, default=2)
    arguments.add_argument("--series", nargs="+", choices=list(SERIES), default=list(SERIES)[:1])
    arguments.add_argument("--max-units", type=int, default=1024)
    arguments.add_argument("--threads", type=int, default=1)
    arguments.add_argument("--rounds", type=int, default=3)
    arguments.add_argument("--out", type=Path, default=RESULTS / "gates.json")
    arguments.add_argument("--image", type=Path, default=IMAGE)
    given = arguments.parse_args(argv)
    torch.set_num_threads(given.threads)
    quieten()
    warnings.simplefilter("ignore")
    flow, runs = nyc_taxi(), list[dict]()
    for series in given.series:
        diagnoses: dict[str, GateDiagnosis] = {}
        for network in NETWORKS:
            run, diagnoses[network] = examined(series, network, flow, given)
            runs.append(run)
            keep(given.out, [run], key=KEY)
        if series == given.series[0]:
            given.image.parent.mkdir(parents=True, exist_ok=True)
            plot_saturation(diagnoses).savefig(given.image)
    print(f"\n{machine('cpu')}\n{table(runs)}\n\n{costs(runs)}\n")
    print("\n".join(verdicts(runs)))


if __name__ == "__main__":
    main()
