"""What a training step of twenty frames keeps in memory, and how long it takes, by segments and by size.

    python benchmarks/memory.py [--segments 0 2 4 8] [--batches 1 2 4] [--sides 16 32 48] [--horizons 5 10 20]

One thing varies at a time around ten frames in and ten out of 32 x 32 cells, two windows a batch, no
checkpoint segments. Each row is a process of its own: the peak of memory above what the network, its
gradients and Adam's state take. A field is one number a cell, channel and step of one layer; the table says
how many of them a layer keeps.
"""

import argparse
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import median

from measure import (
    RESULTS,
    PeakMemory,
    default_device,
    engine,
    in_fresh_process,
    keep,
    machine,
    markdown,
    round_robin,
    training_step,
)
from network import DTYPES, GATES, SETTINGS, Contender, Setting, adam, batch_of, build, options

KEY = ("machine", "contender", "hidden", "batch", "grid", "horizon", "segments")


@dataclass(frozen=True, kw_only=True)
class Case:
    """One row."""

    setting: Setting
    contender: Contender
    segments: int

    @property
    def fields(self) -> int:
        """Numbers in one field of every layer and step of a batch."""
        return self.setting.cells * self.setting.hidden * self.setting.layers * self.setting.steps

    @property
    def chosen(self) -> Contender:
        """The contender with its segments."""
        if not self.segments:
            return self.contender
        return replace(
            self.contender, options=(*self.contender.options, ("checkpoint_segments", self.segments))
        )


def cases(base: Case, given: argparse.Namespace) -> list[Case]:
    """Around the base, which comes first."""
    setting = base.setting
    around = [
        *(replace(base, segments=segments) for segments in given.segments),
        *(replace(base, setting=replace(setting, batch=batch)) for batch in given.batches),
        *(replace(base, setting=replace(setting, grid=(side, side))) for side in given.sides),
        *(replace(base, setting=replace(setting, horizon=horizon)) for horizon in given.horizons),
    ]
    return list(dict.fromkeys([base, *around]))


def measure(case: Case, device: str, rounds: int) -> tuple[int, float]:
    """Peak bytes and median seconds of a training step; in a fresh process."""
    engine(ours=True)
    setting, precision = case.setting, case.contender.precision
    network = build(case.chosen, setting, device)
    optimiser = adam(network)

    def train(part: Setting) -> None:
        training_step(network, optimiser, batch_of(part, device), part.observed, precision)

    train(
        replace(setting, batch=1, observed=2, horizon=1)
    )  # gradients and Adam's state are there from now on
    memory = PeakMemory(device)
    train(setting)
    peak = memory.bytes()
    return peak, median(round_robin({"": lambda: train(setting)}, device, rounds, turn=0)[""])


def row_of(case: Case, device: str, rounds: int) -> dict:
    setting = case.setting
    peak, seconds = in_fresh_process(measure, case, device, rounds)
    row = {
        "machine": machine(device),
        "contender": str(case.contender),
        "hidden": setting.hidden,
        "batch": setting.batch,
        "grid": " x ".join(map(str, setting.grid)),
        "horizon": setting.horizon,
        "segments": case.segments,
        "peak_bytes": peak,
        "seconds": seconds,
    }
    row["fields"] = peak / case.fields / DTYPES[case.contender.precision].itemsize
    return row


def table(rows: Sequence[dict]) -> str:
    columns = [
        "segments",
        "batch",
        "grid",
        "frames out",
        "peak MiB",
        "fields a layer",
        "s",
        "x the first's s",
    ]
    lines = [
        [
            str(row["segments"]),
            str(row["batch"]),
            row["grid"],
            str(row["horizon"]),
            f"{row['peak_bytes'] / 2**20:.0f}",
            f"{row['fields']:.1f}",
            f"{row['seconds']:.3g}",
            f"{row['seconds'] / rows[0]['seconds']:.2f}",
        ]
        for row in rows
    ]
    return markdown(columns, lines)


def parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    add = parser.add_argument
    add("--segments", type=int, nargs="*", default=[0, 2, 4, 8])
    add("--batches", type=int, nargs="*", default=[1, 2, 4])
    add("--sides", type=int, nargs="*", default=[16, 32, 48], help="of a square grid")
    add("--horizons", type=int, nargs="*", default=[5, 10, 20])
    add("--network", choices=list(GATES), default="paper")
    add("--precision", choices=list(DTYPES), default="float32")
    add("--ours", type=options, default=(), help="MIMNetwork's options, e.g. convolution=direct")
    add("--quick", action="store_true", help="a tiny network: shows that everything runs")
    add("--device", default=default_device())
    add("--rounds", type=int, default=1)
    add("--out", type=Path, default=RESULTS / "memory.json")
    return parser.parse_args(arguments)


def main(arguments: Sequence[str] | None = None) -> None:
    given = parse(arguments)
    setting = (
        SETTINGS["quick"] if given.quick else replace(SETTINGS["taxibj"], observed=10, horizon=10, batch=2)
    )
    contender = Contender(network=given.network, precision=given.precision, options=given.ours)
    base = Case(setting=setting, contender=contender, segments=0)
    rows = []
    for case in cases(base, given):
        rows.append(row_of(case, given.device, given.rounds))
        keep(given.out, rows[-1:], KEY)
    print(f"\n{contender}, {machine(given.device)}\n\n{table(rows)}")


if __name__ == "__main__":
    main()
