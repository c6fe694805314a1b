"""How fast windows come from a store that is larger than memory: ours, memory's, one's own loop, xbatcher.

    python benchmarks/zarr_windows.py [--gib 6] [--folder DIR] [--chunk 64] [--side 128]

A store of float32 frames is written, compressed, in chunks along time. Then, by turns, an epoch of windows is
drawn in batches by this package from the store and from memory, and a sample of windows by
``isel(...).load()`` for each, as one would write it oneself, and by xbatcher; and the store is read from end
to end. Windows lie side by side, where decoding is the limit, or begin at every frame, where copying is.
Last, a small network is trained for an epoch in a process of its own, whose memory is watched.
"""

import argparse
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
import pandas as pd
import torch
import xarray as xr
import zarr
from darts.utils.data.torch_datasets.utils import _batch_collate_fn_train as collate
from measure import RESULTS, in_fresh_process, keep, machine, markdown
from torch.utils.data import DataLoader

from darts_mim.demo import quieten
from darts_mim.models.batches import WindowBatches
from darts_mim.models.datasets import GridTrainingDataset
from darts_mim.models.mim import MIMModel
from darts_mim.models.timeseries import to_timeseries

OBSERVED, FORECAST = 10, 10
LENGTH = OBSERVED + FORECAST
BATCH = 8
SAMPLE = 160  # windows that a slow way is timed on
KEY = ("setting", "way", "machine")
MIB = 2**20


def write_store(path: Path, gib: float, side: int, chunk: int) -> None:
    """Waves with noise, rounded as measurements are, so that they shrink to about half."""
    chunks = max(4, round(gib * 2**30 / (4 * side * side * chunk)))
    rng = np.random.default_rng(0)
    noise = rng.normal(scale=0.02, size=(2 * chunk, side, side)).astype(np.float32)
    phase = np.add.outer(np.linspace(0, 6, side), np.linspace(0, 4, side)).astype(np.float32)
    for number in range(chunks):
        times = pd.date_range("2020-01-01", periods=chunk, freq="min") + pd.Timedelta(minutes=number * chunk)
        wave = np.sin(phase + np.arange(chunk, dtype=np.float32)[:, None, None] / 9 + number)
        shift = number % chunk
        field = np.round((wave + noise[shift : shift + chunk]) * 256) / 256
        piece = xr.Dataset({"field": (("time", "y", "x"), field)}, {"time": times})
        if not number:
            encoding = {"field": {"chunks": (chunk, side, side)}, "time": {"chunks": (4096,)}}
            piece.to_zarr(path, mode="w", encoding=encoding, consolidated=False)
        else:
            piece.to_zarr(path, append_dim="time", consolidated=False)


def opened(path: Path, **options: Any) -> xr.DataArray:
    return xr.open_zarr(path, consolidated=False, **options)["field"]


def batches(series: xr.DataArray, stride: int) -> Iterator[Any]:
    """An epoch of this package's, as training draws it."""
    dataset = GridTrainingDataset(
        [to_timeseries(series)],
        None,
        None,
        input_chunk_length=OBSERVED,
        output_chunk_length=FORECAST,
        stride=stride,
    )
    loader = DataLoader(
        dataset, batch_sampler=WindowBatches(dataset, BATCH, shuffle=True), collate_fn=collate
    )
    yield None  # what is counted once, before the first epoch, is timed by itself
    yield from loader


def own_loop(series: xr.DataArray, starts: np.ndarray) -> Iterator[Any]:
    for first in range(0, len(starts), BATCH):
        yield torch.from_numpy(
            np.stack(
                [
                    series.isel(time=slice(start, start + LENGTH)).load().values
                    for start in starts[first : first + BATCH]
                ]
            )
        )


def xbatchers(series: xr.DataArray, stride: int, shuffled: bool) -> Iterator[Any]:
    from xbatcher import BatchGenerator

    generator = BatchGenerator(series, {"time": LENGTH}, input_overlap={"time": LENGTH - stride})
    numbers = np.arange(len(generator))
    if shuffled:
        np.random.default_rng(0).shuffle(numbers)
    numbers = numbers[:SAMPLE]
    for first in range(0, len(numbers), BATCH):
        yield torch.from_numpy(
            np.stack([generator[int(k)].load().values for k in numbers[first : first + BATCH]])
        )


def end_to_end(path: Path, frames: int, chunk: int) -> Iterator[Any]:
    array = zarr.open_array(path / "field")
    for start in range(0, frames, chunk):
        yield array[start : start + chunk]


def timed(draw: Iterator[Any]) -> tuple[float, float]:
    """Seconds before the first batch can be asked for, and from there to the last."""
    started = time.perf_counter()
    begun = started
    for one in draw:
        if one is None:
            begun = time.perf_counter()
    return begun - started, time.perf_counter() - begun


def drawing(path: Path, frames: int, stride: int, rounds: int) -> list[dict[str, Any]]:
    """Each way to the windows of the first frames of the store, the ways by turns."""
    series = opened(path)[:frames]
    frame = series[0].nbytes
    in_memory = series[: min(frames, 2**29 // frame)].load()
    chunk = series.chunksizes["time"][0]
    n = (frames - LENGTH) // stride + 1
    some = np.random.default_rng(0).permutation(n)[:SAMPLE] * stride
    n_memory = (len(in_memory) - LENGTH) // stride + 1
    ways: dict[str, tuple[Callable[[], Iterator[Any]], int, int]] = {  # windows, frames read once
        "end to end": (lambda: end_to_end(path, frames, chunk), 0, frames),
        "ours": (lambda: batches(opened(path)[:frames], stride), n, frames),
        "ours, chunks=None": (lambda: batches(opened(path, chunks=None)[:frames], stride), n, frames),
        "ours, in memory": (lambda: batches(in_memory, stride), n_memory, len(in_memory)),
        "isel(...).load()": (lambda: own_loop(opened(path), some), len(some), 0),
        "xbatcher, shuffled": (lambda: xbatchers(opened(path)[:frames], stride, True), min(n, SAMPLE), 0),
        "xbatcher, in order": (lambda: xbatchers(opened(path)[:frames], stride, False), min(n, SAMPLE), 0),
    }
    spent: dict[str, list[tuple[float, float]]] = {way: [] for way in ways}
    for _ in range(rounds):
        for way, (draw, _, _) in ways.items():
            spent[way].append(timed(draw()))
    rows: list[dict[str, Any]] = []
    for way, (_, windows, distinct) in ways.items():
        before, epoch = (median(part) for part in zip(*spent[way], strict=True))
        rows.append(
            {
                "way": way,
                "windows_per_s": windows / epoch,
                "mib_per_s": distinct * frame / MIB / epoch,
                "before_s": before,
            }
        )
    return rows


def training(path: Path) -> dict[str, Any]:
    """An epoch of a small network over the store, and the memory of the process by quarters of it."""
    quieten()
    resident: list[tuple[float, float]] = []
    done = threading.Event()

    def watch() -> None:
        while not done.wait(0.2):
            pages = int(Path("/proc/self/statm").read_text().split()[1])
            resident.append((time.perf_counter(), pages * 4096 / MIB))

    watcher = threading.Thread(target=watch)
    watcher.start()
    quiet = {
        "enable_progress_bar": False,
        "enable_model_summary": False,
        "accelerator": "cpu",
        "logger": False,
    }
    model = MIMModel(
        OBSERVED, FORECAST, hidden=2, layers=2, kernel_size=3, patch_size=16, batch_size=BATCH, n_epochs=1,
        pl_trainer_kwargs=quiet,
    )  # fmt: skip
    started = time.perf_counter()
    model.fit(opened(path), stride=LENGTH)
    ended = time.perf_counter()
    done.set()
    watcher.join()
    quarters = [
        max(mib for when, mib in resident if when <= started + (ended - started) * part / 4)
        for part in range(1, 5)
    ]
    return {"way": "training", "epoch_s": ended - started, "resident_mib": quarters}


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    add = parser.add_argument
    add("--gib", type=float, default=6, help="of the store, as numbers in memory")
    add("--folder", type=Path, help="where the store is written, and kept; default: a folder that is removed")
    add("--chunk", type=int, default=64, help="frames of a chunk")
    add("--side", type=int, default=128, help="rows and columns")
    add("--rounds", type=int, default=3)
    add("--quick", action="store_true", help="a small store")
    add("--out", type=Path, default=RESULTS / "zarr_windows.json")
    given = parser.parse_args(arguments)
    if given.quick:
        given.gib, given.chunk, given.side, given.rounds = 0.01, 16, 32, 1
    with tempfile.TemporaryDirectory(dir=given.folder) as folder:
        path = Path(folder) / "windows.zarr"
        write_store(path, given.gib, given.side, given.chunk)
        frames = opened(path).sizes["time"]
        stored = sum(file.stat().st_size for file in path.rglob("*") if file.is_file())
        print(f"{frames} frames of {given.side} x {given.side}: {stored / 2**30:.2f} GiB on the disk")
        runs: list[dict[str, Any]] = []
        for setting, n, stride in (("side by side", frames, LENGTH), ("at every frame", frames // 8, 1)):
            found = drawing(path, n, stride, given.rounds)
            runs += [{"setting": setting} | row for row in found]
            print(f"\nwindows {setting}\n\n{table(found)}", flush=True)
        trained = in_fresh_process(training, path)
    runs.append({"setting": f"{given.gib:g} GiB"} | trained)
    quarters = ", ".join(f"{mib:.0f}" for mib in trained["resident_mib"])
    print(f"\ntraining for an epoch: {trained['epoch_s']:.0f} s; peak memory by quarters {quarters} MiB")
    keep(given.out, [run | {"machine": machine("cpu"), "gib": given.gib} for run in runs], KEY)


def table(rows: Sequence[dict[str, Any]]) -> str:
    lines = [
        [
            row["way"],
            f"{row['windows_per_s']:,.0f}" if row["windows_per_s"] else "",
            f"{row['mib_per_s']:,.0f}" if row["mib_per_s"] else "",
            f"{row['before_s']:.1f}" if row["before_s"] > 0.05 else "",
        ]
        for row in rows
    ]
    return markdown(["", "windows/s", "MiB/s, each frame counted once", "s before the first epoch"], lines)


if __name__ == "__main__":
    main()
