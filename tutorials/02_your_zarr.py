# ---
# jupyter:
#   jupytext:
#     text_representation:
#       extension: .py
#       format_name: percent
#   kernelspec:
#     display_name: Python 3
#     language: python
#     name: python3
# ---

# %% [markdown]
# # Your own zarr store
#
# A grid of a few years does not fit into memory, and need not: what `fit`, `predict` and `backtest` take in memory, they take
# from a zarr store too, with the same calls and the same numbers. On this page a store is looked at, cut anew so that
# windows are quick to read, trained on in parts of the grid, and its forecasts go to a store as well.

# %%
import logging
import os
import warnings
from pathlib import Path

import numpy as np
import xarray as xr

from darts_mim import (
    GridPipeline,
    GridScaler,
    MIMModel,
    Persistence,
    backtest,
    datasets,
    rechunk_for_training,
)

# Lightning remarks on devices and data loading at every fit and forecast; this page leaves that out.
logging.getLogger("pytorch_lightning").setLevel(logging.ERROR)
warnings.filterwarnings("ignore", module="pytorch_lightning")

quick = bool(os.environ.get("DARTS_MIM_QUICK"))  # set where this page is only checked to run

# %% [markdown]
# ## A store as one finds it
#
# Archives are often cut for those who want the whole past of one place: here in long chunks of 4 x 4 cells. Whoever wants one
# window of all cells then decodes everything. (The sample stands in for a store of yours; it is small.)

# %%
flow = datasets.nyc_taxi()[: 24 * 48 if quick else None]
encoding = {"flow": {"chunks": (flow.sizes["time"], 2, 4, 4)}}
flow.drop_encoding().to_dataset(name="flow").to_zarr(
    "archive.zarr", mode="w", encoding=encoding, zarr_format=2
)

archive = xr.open_zarr("archive.zarr")["flow"]
archive

# %% [markdown]
# Nothing was read but coordinates. `rechunk_for_training` copies the store once, a part at a time, into chunks of whole
# frames that follow one another (of 4 MiB; less here, where all is small). The copy has checksums, so that a damaged chunk is an error and never a number, and it
# appears under its name only when it is complete.

# %%
rechunk_for_training("archive.zarr", "training.zarr", chunk_bytes=2**17)
flow = xr.open_zarr("training.zarr", consolidated=False)["flow"]
flow.chunksizes

# %% [markdown]
# ## Train from the disk
#
# The calls are those for arrays in memory. The scaler goes through the store once, chunk by chunk, on whatever dask
# scheduler is active. Training draws windows in an order in which each chunk is decoded once an epoch and kept only while
# it is used; the next ones are read while the network computes.
#
# `crop_size` trains on parts of the grid, drawn anew for each window: on radar composites and global grids that is what
# fits a device, and more varied than always the same frames. The forecast is for the whole grid.

# %%
train, test = flow[: -7 * 48], flow[-7 * 48 :]
model = GridPipeline(
    [
        ("scale", GridScaler()),
        (
            "mim",
            MIMModel(
                4,
                4,
                hidden=8 if quick else 32,
                layers=2,
                crop_size=(8, 8),
                n_epochs=1 if quick else 5,
                random_state=1,
                pl_trainer_kwargs={"enable_progress_bar": False, "accelerator": "cpu"},
            ),
        ),
    ]
)
model.fit(train)
model["mim"].windows_

# %% [markdown]
# ## Forecast into a store
#
# With `to=` forecasts are written as they are made, a block of origins at a time. The store has its name only when it is
# complete; a run that was stopped goes on where it was when it is asked again.

# %%
forecasts = model.historical_forecasts(
    flow, forecast_horizon=4, start=test.time[0], stride=4, to="forecasts.zarr"
)
forecasts

# %%
error = np.sqrt(
    ((forecasts - flow.sel(time=forecasts.valid_time)) ** 2).mean(("init_time", "channel", "y", "x"))
)
error.compute()

# %% [markdown]
# A backtest keeps its forecasts in a folder likewise, and scores them block by block.

# %%
last = Persistence().fit(train)
result = backtest(
    {"MIM": model, "last frame": last}, flow, start=test.time[0], horizon=4, stride=4, store="kept"
)
result.table("rmse")

# %% [markdown]
# ## When a chunk is not there
#
# zarr reads a chunk whose file was lost as fill values: NaN in this copy, zeros in many an archive, where it looks like a
# quiet night. Here those frames are missing ones either way. Windows that touch them are left out and counted; what reads
# as numbers gets a warning besides, which names the times and the file.

# %%
Path("training.zarr/flow/c/3/0/0/0").unlink()
model.fit(train)
print(model["mim"].windows_)
