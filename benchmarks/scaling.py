"""What grows with a store: reading a part, looking for absent chunks; and a wide grid at a model's door.

    python benchmarks/scaling.py [--chunks 1000 10000 100000]

Stores of that many chunks of one frame each are made, small in space, and opened both ways. Then a grid of
721 x 1440 cells, ERA5's at a quarter of a degree, enters a model's door without being read.
"""

import argparse
import tempfile
from collections.abc import Sequence
from pathlib import Path
from statistics import median
from typing import Any

import dask.array as da
import numpy as np
import pandas as pd
import xarray as xr
from measure import RESULTS, keep, machine, markdown, seconds

from darts_mim.models.timeseries import to_timeseries
from darts_mim.stores.absent_chunks import absent_times
from darts_mim.stores.stored import Watch, read_frames

KEY = ("what", "chunks", "machine")
FRAMES = 30


def store_of(path: Path, chunks: int) -> None:
    """A store of so many frames of 4 x 4 cells, one a chunk."""
    times = pd.date_range("1980-01-01", periods=chunks, freq="h")
    values = da.ones((chunks, 4, 4), dtype="float32", chunks=(10_000, 4, 4))
    series = xr.DataArray(values, {"time": times}, ("time", "lat", "lon"), name="field")
    encoding = {"field": {"chunks": (1, 4, 4), "fill_value": 0.0}}
    series.to_dataset().to_zarr(path, encoding=encoding, consolidated=False)


def by_chunks(path: Path, chunks: int, repeats: int) -> list[dict[str, Any]]:
    """Milliseconds of reading some frames, and seconds of looking for what is absent, both ways."""
    ways = {"dask": {}, "chunks=None": {"chunks": None}}
    return [run for way, options in ways.items() for run in one_way(path, chunks, repeats, way, options)]


def one_way(path: Path, chunks: int, repeats: int, way: str, options: dict[str, Any]) -> list[dict[str, Any]]:
    series = xr.open_zarr(path, consolidated=False, **options)["field"]
    watch = Watch(series)
    part = slice(chunks // 2, chunks // 2 + FRAMES)

    def read() -> object:
        return read_frames(series, "time", part, watch=watch, scheduler="synchronous")

    reading = median(seconds(read, "cpu") for _ in range(repeats))
    looking = median(seconds(lambda: absent_times(series, "time"), "cpu") for _ in range(3))
    return [
        {"what": f"read {FRAMES} frames, {way}, ms", "chunks": chunks, "value": 1000 * reading},
        {"what": f"look for absent chunks, {way}, s", "chunks": chunks, "value": looking},
    ]


def door(rows: int, columns: int) -> float:
    """Seconds until a model has taken a series of that grid, of which nothing is read."""
    times = pd.date_range("1980-01-01", periods=1000, freq="h")
    values = da.zeros((len(times), rows, columns), dtype="float32", chunks=(10, rows, columns))
    dims = ("time", "lat", "lon")
    coords = {"time": times, "lat": np.linspace(90, -90, rows), "lon": np.linspace(0, 359.75, columns)}
    series = xr.DataArray(values, coords, dims)
    return seconds(lambda: to_timeseries(series), "cpu")


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    add = parser.add_argument
    add("--chunks", type=int, nargs="+", default=[1_000, 10_000, 100_000])
    add("--grid", type=int, nargs=2, default=[721, 1440])
    add("--repeats", type=int, default=5)
    add("--out", type=Path, default=RESULTS / "scaling.json")
    given = parser.parse_args(arguments)
    runs: list[dict[str, Any]] = []
    for chunks in given.chunks:
        with tempfile.TemporaryDirectory() as folder:
            store_of(Path(folder) / "store.zarr", chunks)
            runs += by_chunks(Path(folder) / "store.zarr", chunks, given.repeats)
    kinds = list(dict.fromkeys(run["what"] for run in runs))
    lines = [[what, *(f"{run['value']:.3g}" for run in runs if run["what"] == what)] for what in kinds]
    print(markdown(["chunks", *(f"{chunks:,}" for chunks in given.chunks)], lines))
    rows, columns = given.grid
    first, again = door(rows, columns), door(rows, columns)
    print(f"\na grid of {rows} x {columns} enters in {first:.2f} s, another time in {again:.2f} s")
    runs.append({"what": f"enter {rows} x {columns}, s", "chunks": 0, "value": first, "again": again})
    keep(given.out, [run | {"machine": machine("cpu")} for run in runs], KEY)


if __name__ == "__main__":
    main()
