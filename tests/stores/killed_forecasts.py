"""Forecasts into a store by processes that are killed at random moments, until one is left to end.

Run as a script: seed, number of kills, folder. It prints, as JSON lines, what happened in which order: each
block that a process began to forecast, and at each kill the blocks that were kept.
"""

import json
import os
import random
import shutil
import signal
import sys
import time
from pathlib import Path

import numpy as np
import pandas as pd
import xarray as xr

from darts_mim.stores import forecast_store

BLOCK = 4
AXIS = pd.date_range("2024-01-01", periods=104, freq="6h")
ROWS = np.arange(1, 101)
GAP = (17, 18, 19, 20, 21, 60)  # rows that cannot be forecast from; a whole block among them


def fields(rows):
    """(init_time, lead_time, y, x), and the same in another unit."""
    rows = rows[~np.isin(rows, GAP)]
    if not len(rows):
        raise forecast_store.GapError("There is a gap.")
    leads = np.arange(1, 4)
    values = np.sin(rows[:, None, None, None] * leads[:, None, None] + np.arange(35.0).reshape(5, 7))
    coords = {
        "init_time": AXIS[rows].values,
        "lead_time": leads * np.timedelta64(6, "h").astype("m8[ns]"),
        "valid_time": (("init_time", "lead_time"), AXIS.values[rows[:, None] + leads]),
        "lat": ("y", np.linspace(50, 52, 5)),
        "height": 2.0,
    }
    dims = ("init_time", "lead_time", "y", "x")
    warm = xr.DataArray(
        values.astype("f4"), coords, dims, name="t", attrs={"units": "degC", "levels": [1, 2]}
    )
    return xr.Dataset({"t": warm, "k": warm.astype("f8") + 273.15}, attrs={"title": "both"})


def store(path, tell=lambda first: None):
    """Into the store; ``tell`` hears of each block that is begun."""

    def forecast(rows):
        tell(int(rows[0]))
        return fields(rows)

    size = 2 * 3 * 5 * 7
    return forecast_store.stored_forecasts(
        path, forecast, axis=AXIS, rows=ROWS, horizon=3, origin_size=size, asked="both"
    )


def main(seed, kills, folder):
    """Kill as often, then let one end."""
    forecast_store.BLOCK = BLOCK
    draw, place = random.Random(seed), Path(folder, "run.zarr")
    log = os.open(Path(folder, "log"), os.O_CREAT | os.O_WRONLY | os.O_APPEND)

    def tell(what):
        os.write(log, (json.dumps(what) + "\n").encode())

    def slowly(first):
        tell({"begun": first})
        time.sleep(0.02)

    while True:
        child = os.fork()
        if not child:
            store(place, slowly)
            os._exit(0)
        if kills:
            time.sleep(draw.uniform(0.0, 0.5))
            os.kill(child, signal.SIGKILL)
        _, status = os.waitpid(child, 0)
        if os.WIFSIGNALED(status):
            kills -= 1
            notes = Path(folder).glob(".run.zarr.partial/block-*.json")
            kept = [int(ROWS[int(note.stem.split("-")[1]) * BLOCK]) for note in notes]
            tell({"killed": kept, "whole": place.exists()})
        elif kills:  # it was faster: once more from the start
            shutil.rmtree(place)
            tell({"anew": True})
        else:
            sys.exit(status)


if __name__ == "__main__":
    main(int(sys.argv[1]), int(sys.argv[2]), sys.argv[3])
