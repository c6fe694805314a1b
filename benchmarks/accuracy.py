"""MIM against every simple forecast of the package, on one data set, in one command.

    DARTS_MIM_DATA=... python benchmarks/accuracy.py --data nybike_stsan [--minutes 20] [--html out]

MIM is trained for at most that many minutes on all but the test part; every rival is fitted on the same
frames. All are scored on the same origins, four frames ahead: squared error by lead, and MIM's skill over
each rival with its 95 % interval. On city flow the error is summed over channel and cells, data over the
training maximum, as the literature has it; elsewhere it is the mean, in the data's units. Runs are kept in
the JSON file. ``--quick`` is a tiny network on few frames of the package's own sample.
"""

import argparse
import os
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import xarray as xr
from measure import RESULTS, default_device, keep, machine, markdown
from rivals import can_flow

from darts_mim import BacktestResult, GridDifferencer, GridPipeline, GridScaler, SeasonalAnomaly, backtest
from darts_mim.baselines import (
    Autoregression,
    Climatology,
    DampedAnomaly,
    Drift,
    ExponentialSmoothing,
    OpticalFlow,
    Persistence,
    SeasonalNaive,
)
from darts_mim.datasets import nyc_bike
from darts_mim.demo import CALENDAR, quieten
from darts_mim.grid.times import period_steps, step_of
from darts_mim.models.mim import MIMModel

HORIZON = 4
KEY = ("data", "forecaster", "machine")


@dataclass(frozen=True, kw_only=True)
class Setting:
    """A data set: its split, its seasons, and how MIM is trained on it."""

    test: int  # frames, at the end
    seasons: tuple[str, ...]  # MIM forecasts the anomalies of the first, unless differences are taken
    differences: GridDifferencer | None = None
    span: tuple[str | None, str | None] = (None, None)  # frames outside are left out
    patch_size: int = 2
    epochs: int = 6
    networks: int = 3  # whose forecasts are averaged
    literature: bool = True  # error summed over cells, data over the training maximum


SETTINGS = {
    "nytaxi_stsan": Setting(test=1296, seasons=("7D",)),
    "nybike_stsan": Setting(test=1296, seasons=("7D",)),
    "taxinyc_2010_2014": Setting(test=2208, seasons=("7D",), span=("2014-01-01", None), networks=2),
    # On the last day and a half the taxis stop reporting one by one: the collection ends.
    "sf08_m32x32_t30": Setting(test=240, seasons=("1D", "7D"), span=(None, "2008-06-08"), networks=2),
    "era5_uk_t2m": Setting(
        test=149,
        seasons=("1D",),
        differences=GridDifferencer(1, lags="1D"),
        patch_size=1,
        epochs=40,
        networks=1,
        literature=False,
    ),
    "knmi_20100826_256": Setting(
        test=18,
        seasons=(),
        differences=GridDifferencer(),
        patch_size=8,
        epochs=120,
        networks=1,
        literature=False,
    ),
    "quick": Setting(test=24, seasons=("1D",), epochs=1, networks=2),
}
SMALL = {"hidden": 4, "kernel_size": 3, "cell_channels": 1}  # for the quick run


def series(name: str) -> xr.DataArray:
    """The data set, in memory."""
    if name == "quick":
        return nyc_bike()[:360]
    folder = os.environ.get("DARTS_MIM_DATA")
    if not folder:
        raise SystemExit("DARTS_MIM_DATA is not set. Set it to the folder that holds the data sets' stores.")
    (grid,) = xr.open_zarr(Path(folder) / f"{name}.zarr", consolidated=False).data_vars.values()
    return grid.sel(time=slice(*SETTINGS[name].span)).astype(np.float32).load()


def rivals(setting: Setting) -> dict[str, Any]:
    """Every simple forecast that makes sense for the data."""
    found: dict[str, Any] = {
        "last frame": Persistence(),
        "drift": Drift(5),
        "simple smoothing": ExponentialSmoothing(),
        "damped trend": ExponentialSmoothing(trend="damped"),
        "autoregression": Autoregression(4),
    }
    for season in setting.seasons:
        smooth = 6 if season == "1D" else 42
        found |= {
            f"{season} before": SeasonalNaive(season),
            f"{season} mean": Climatology(season),
            f"{season} mean, smooth": Climatology(season, harmonics=smooth),
            f"{season} damped anomaly, smooth": DampedAnomaly(season, harmonics=smooth),
            f"{season} anomalies, smooth, autoregression": on_anomalies(
                season, Autoregression(4, seasonal_lags=("1D",)), smooth
            ),
            f"{season} damped anomaly": DampedAnomaly(season),
            f"{season} smoothing": ExponentialSmoothing(season),
            f"{season} autoregression": Autoregression(4, seasonal_lags=tuple(dict.fromkeys(("1D", season)))),
            f"{season} anomalies, autoregression": on_anomalies(season, Autoregression(4)),
            f"{season} anomalies, daily autoregression": on_anomalies(
                season, Autoregression(4, seasonal_lags=("1D",))
            ),
        }
    if not setting.seasons and can_flow():
        found["optical flow"] = OpticalFlow()
    return found


def on_anomalies(season: str, model: Any, harmonics: int | None = None) -> GridPipeline:
    return GridPipeline([("season", SeasonalAnomaly(season, harmonics=harmonics)), ("model", model)])


def mim(setting: Setting, epochs: int, seed: int, device: str, **options: Any) -> GridPipeline:
    """The network on anomalies from the season, or on differences."""
    network = MIMModel(
        4,
        HORIZON,
        **{"hidden": 32, "kernel_size": 5, "cell_channels": 8} | options,
        layers=2,
        patch_size=setting.patch_size,
        seasonal_lags=("1D",) if setting.seasons else (),
        lr=2e-3,
        lr_schedule="cosine",
        batch_size=16,
        add_encoders=CALENDAR if setting.seasons else None,
        n_epochs=epochs,
        random_state=seed,
        pl_trainer_kwargs={
            "enable_model_summary": False,
            "enable_progress_bar": False,
            "accelerator": device,
        },
    )
    first = setting.differences or SeasonalAnomaly(setting.seasons[0])
    return GridPipeline(
        [("stationary", first), ("scale", GridScaler("standard", deviations=3)), ("mim", network)]
    )


def epochs_within(setting: Setting, train: xr.DataArray, minutes: float, device: str, **options: Any) -> int:
    """So many that all networks are trained in that time, but no more than the setting's."""
    model, frames, taken = mim(setting, 1, 0, device, **options), train, []
    for transformer in model.transformers:
        frames = transformer.fit_transform(frames)
    window = 4 + HORIZON + period_steps("1D", step_of(train.indexes["time"])) * bool(setting.seasons)
    for batches in (1, 4):  # what a call takes besides is in both
        started = time.monotonic()
        model.forecaster.fit(frames[-(16 * batches + window - 1) :])
        taken.append(time.monotonic() - started)
    epoch = (taken[1] - taken[0]) / 3 * len(train) / 16
    return max(1, min(setting.epochs, int(60 * minutes / (setting.networks * epoch))))


def networks(
    setting: Setting, flow: xr.DataArray, epochs: int, device: str, **options: Any
) -> tuple[dict[str, xr.DataArray], float]:
    """Forecasts of the networks' mean and of the first one alone; seconds that training took."""
    train, start = flow[: -setting.test], flow.time[-setting.test]
    forecasts, spent = [], 0.0
    for seed in range(setting.networks):
        started = time.monotonic()
        model = mim(setting, epochs, seed, device, **options).fit(train)
        spent += time.monotonic() - started
        print(f"network {seed}: {epochs} epochs, {model.forecaster.windows_}", flush=True)
        forecasts.append(model.historical_forecasts(flow, forecast_horizon=HORIZON, start=start))
    alone = {"MIM, one network": forecasts[0]} if len(forecasts) > 1 else {}
    return {"MIM": sum(forecasts) / len(forecasts)} | alone, spent


def rows(result: BacktestResult, flow: xr.DataArray, setting: Setting) -> list[dict[str, Any]]:
    """Of each forecaster: its error by lead, and MIM's skill over it."""
    cells = int(np.prod([flow.sizes[dim] for dim in flow.dims[1:]]))
    scale = cells / float(flow[: -setting.test].max()) ** 2 if setting.literature else 1.0
    found = []
    for name in result.models:
        row: dict[str, Any] = {
            "forecaster": name,
            "mse": (scale * result.scores["mse"].sel(model=name)).values.tolist(),
        }
        if name != "MIM":
            compared = result.compare("MIM", name)
            row |= {part: compared[part].values.tolist() for part in ("skill", "low", "high", "p_value")}
        found.append(row)
    return found


def table(runs: Sequence[dict[str, Any]]) -> str:
    """Error by lead and MIM's skill over each rival, the strongest rivals first."""
    ordered = sorted(runs, key=lambda run: sum(run["mse"]))
    lines = []
    for run in ordered:
        cells = [
            f"{mse:.4g}" + (f" ({skill:.0%}: {low:.0%} to {high:.0%})" if "skill" in run else "")
            for mse, skill, low, high in zip(
                run["mse"], *(run.get(part, run["mse"]) for part in ("skill", "low", "high")), strict=True
            )
        ]
        lines.append([run["forecaster"], *cells])
    return markdown(["", *(f"lead {lead}" for lead in range(1, HORIZON + 1))], lines)


def verdict(runs: Sequence[dict[str, Any]]) -> str:
    """Whom MIM is not ahead of with its interval off zero; leads at which it is behind are in brackets."""
    short = []
    for run in runs:
        if "skill" not in run or run["forecaster"].startswith("MIM"):
            continue
        pairs = enumerate(zip(run["skill"], run["low"], strict=True), 1)
        leads = [f"{lead}" if skill > 0 else f"({lead})" for lead, (skill, low) in pairs if not low > 0]
        short += [f"{run['forecaster']}, lead {' '.join(leads)}"] if leads else []
    if not short:
        return "MIM is ahead of every rival at every lead, each time with its interval off zero."
    return f"The interval is not off zero against {'; '.join(short)}. Elsewhere it is, and MIM ahead."


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    add = parser.add_argument
    add("--data", choices=list(SETTINGS), default="nytaxi_stsan")
    add("--minutes", type=float, default=20, help="of training, at most")
    add("--html", type=Path, help="folder for the report")
    add("--quick", action="store_const", const="quick", dest="data")
    add("--device", default="gpu" if default_device() == "cuda" else "cpu")
    add("--out", type=Path, default=RESULTS / "accuracy.json")
    given = parser.parse_args(arguments)
    quieten()
    setting, flow = SETTINGS[given.data], series(given.data)
    train, start = flow[: -setting.test], flow.time[-setting.test]
    fitted = {name: model.fit(train) for name, model in rivals(setting).items()}
    options = SMALL if given.data == "quick" else {}
    epochs = epochs_within(setting, train, given.minutes, given.device, **options)
    forecasts, spent = networks(setting, flow, epochs, given.device, **options)
    result = backtest({**forecasts, **fitted}, flow, start=start, horizon=HORIZON, metrics=["mse", "mae"])
    where = {
        "data": given.data,
        "machine": machine("cuda" if given.device == "gpu" else "cpu"),
        "date": f"{pd.Timestamp.now():%Y-%m-%d}",
        "command": f"python benchmarks/accuracy.py --data {given.data} --minutes {given.minutes:g}",
        "minutes": spent / 60,
        "epochs": epochs,
        "origins": result.n_origins,
    }
    runs = [where | row for row in rows(result, flow, setting)]
    keep(given.out, runs, KEY)
    print(f"\n{where['command']}, {where['machine']}, {where['date']}\n\n{table(runs)}\n\n{verdict(runs)}")
    if given.html:
        print(
            result.to_html(given.html / f"{given.data}.html", title=f"{given.data}, {HORIZON} frames ahead")
        )


if __name__ == "__main__":
    main()
