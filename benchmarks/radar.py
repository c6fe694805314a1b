"""Radar rain of a whole country: trained on crops from the disk, forecast on the whole grid.

    DARTS_MIM_DATA=... python benchmarks/radar.py [--epochs 8] [--image radar.png]

The composite of the Netherlands: 765 x 700 cells, 92 frames of 5 minutes, what no radar sees is masked. The
last 20 frames are the test: 12 frames ahead from every origin whose frames lie in them, against the last
frame. Prints squared error and critical success index by lead, how far a forecast in tiles is from one made
at once, and the most memory that the process held.
"""

import argparse
import os
import time
from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import pandas as pd
import xarray as xr
from matplotlib.colors import LogNorm
from matplotlib.figure import Figure
from measure import RESULTS, PeakMemory, keep, machine, markdown

from darts_mim import GridPipeline, GridScaler, MIMModel, Persistence, ShareAbove, backtest
from darts_mim.demo import quieten

HORIZON, TEST = 12, 20
KEY = ("data", "machine")
NO_DATA = 255
MM_PER_HOUR = 0.01 * 12  # of what is stored: hundredths of a millimetre in five minutes


def opened(quick: bool) -> xr.DataArray:
    """Hundredths of a millimetre in five minutes; cells that no radar sees are NaN."""
    folder = os.environ.get("DARTS_MIM_DATA")
    if not folder:
        raise SystemExit("DARTS_MIM_DATA is not set. Set it to the folder that holds the data sets' stores.")
    stored = xr.open_zarr(Path(folder) / "knmi_20100826_full.zarr", consolidated=False)["rain"]
    rain = stored.where(stored < NO_DATA)
    return rain[-44:, 300:396, 300:420] if quick else rain


def pipeline(epochs: int, quick: bool) -> GridPipeline:
    """Trained on crops, drawn more often where it rains; the forecast is of the whole grid."""
    network = MIMModel(
        4,
        6,
        hidden=4 if quick else 32,
        layers=2,
        kernel_size=5,
        patch_size=8,
        crop_size=(64, 64) if quick else (192, 192),
        crops_per_window=1 if quick else 4,
        crop_weight=ShareAbove(0.0),
        batch_size=8,
        lr=2e-3,
        lr_schedule="cosine",
        n_epochs=epochs,
        random_state=1,
        pl_trainer_kwargs={"enable_progress_bar": False, "enable_model_summary": False, "accelerator": "cpu"},
    )
    return GridPipeline([("scale", GridScaler("standard", deviations=3)), ("mim", network)])


def in_tiles(model: GridPipeline, side: int) -> GridPipeline:
    """The same network, whose forecasts are made in tiles of that many cells a side."""
    network = model["mim"]
    with TemporaryDirectory() as folder:
        network.save(f"{folder}/network")
        tiled = MIMModel(**(network.model_params | {"tile_size": (side, side)}))
        tiled.load_weights(f"{folder}/network")
    return GridPipeline([("scale", model["scale"]), ("mim", tiled)])


def largest_difference(one: xr.DataArray, other: xr.DataArray) -> np.ndarray:
    """By lead, over all cells and origins, in millimetres an hour."""
    apart = np.abs(one - other).max([dim for dim in one.dims if dim != "lead_time"])
    return MM_PER_HOUR * apart.values


def draw(path: Path, observed: xr.DataArray, forecasts: dict[str, xr.DataArray]) -> None:
    """What happened and what was forecast from one origin, in millimetres an hour."""
    seen = observed[0].notnull()
    within = {
        dim: slice(*np.flatnonzero(seen.any(other))[[0, -1]]) for dim, other in (("y", "x"), ("x", "y"))
    }
    rows = {name: field.isel(within) for name, field in ({"observed": observed} | forecasts).items()}
    leads = [0, 3, 7, 11]
    figure = Figure(figsize=(3.2 * len(leads), 3.2 * len(rows)), layout="constrained")
    axes = figure.subplots(len(rows), len(leads), squeeze=False)
    norm = LogNorm(0.1, 50)
    for (name, field), line in zip(rows.items(), axes, strict=True):
        for lead, ax in zip(leads, line, strict=True):
            shown = ax.imshow((MM_PER_HOUR * field[lead]).clip(min=0.1), norm=norm, cmap="turbo")
            minutes = field["lead_time"][lead].values / np.timedelta64(1, "m")
            ax.set(title=f"{name}, +{minutes:.0f} min", xticks=[], yticks=[])
    figure.colorbar(shown, ax=axes, label="mm/h", shrink=0.6)
    figure.savefig(path, dpi=80)


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    add = parser.add_argument
    add("--epochs", type=int, default=8)
    add("--image", type=Path, help="where a picture of one forecast is drawn")
    add("--quick", action="store_true", help="a part of the grid, a tiny network")
    add("--out", type=Path, default=RESULTS / "radar.json")
    given = parser.parse_args(arguments)
    quieten()
    memory = PeakMemory("cpu")
    rain = opened(given.quick)
    train, start = rain[:-TEST], rain.time[-TEST]
    model = pipeline(1 if given.quick else given.epochs, given.quick)
    started = time.monotonic()
    model.fit(train)
    minutes = (time.monotonic() - started) / 60
    tiled = in_tiles(model, 64 if given.quick else 384)
    rivals = {"MIM": model, "MIM, in tiles": tiled, "last frame": Persistence().fit(train)}
    result = backtest(rivals, rain, start=start, horizon=HORIZON, metrics=["mse", "csi_8"])
    apart = largest_difference(result.forecasts["MIM"], result.forecasts["MIM, in tiles"])
    run = {
        "data": "quick" if given.quick else "knmi_20100826_full",
        "machine": machine("cpu"),
        "date": f"{pd.Timestamp.now():%Y-%m-%d}",
        "epochs": model["mim"].epochs_trained,
        "minutes": minutes,
        "origins": result.n_origins,
        "peak_gib": memory.bytes() / 2**30,
        "tiles_apart": apart.tolist(),
        **{
            metric: {name: result.scores[metric].sel(model=name).values.tolist() for name in result.models}
            for metric in ("mse", "csi_8")
        },
    }
    keep(given.out, [run], KEY)
    print(report(run))
    if given.image:
        shown = {name: result.forecasts[name].isel(init_time=0) for name in ("MIM", "MIM, in tiles")}
        draw(given.image, result.observed.isel(init_time=0).compute(), shown)


def report(run: dict[str, Any]) -> str:
    leads = [0, 1, 2, 3, 5, 7, 9, 11]
    lines = [
        [f"{title}: {name}", *(f"{scores[lead]:.3g}" for lead in leads)]
        for title, metric in (("squared error", "mse"), ("critical success, 1 mm/h", "csi_8"))
        for name, scores in run[metric].items()
    ]
    lines.append(["tiles apart, mm/h", *(f"{run['tiles_apart'][lead]:.2g}" for lead in leads)])
    return (
        f"{run['epochs']} epochs in {run['minutes']:.1f} minutes, {run['origins']} origins, "
        f"peak memory {run['peak_gib']:.2f} GiB, {run['machine']}, {run['date']}\n\n"
        + markdown(["", *(f"{5 * (lead + 1)} min" for lead in leads)], lines)
    )


if __name__ == "__main__":
    main()
