"""The whole job once, on real data: train MIM, backtest it against the simple forecasts, report."""

import logging
import time
import warnings
from dataclasses import dataclass
from pathlib import Path

import xarray as xr
from rich.console import Console

from darts_mim.backtesting.backtest import backtest
from darts_mim.backtesting.result import BacktestResult
from darts_mim.baselines import Climatology, DampedAnomaly, Persistence, SeasonalNaive
from darts_mim.datasets import nyc_taxi
from darts_mim.grid.anomaly import SeasonalAnomaly
from darts_mim.grid.scaling import GridScaler
from darts_mim.models.encoders import CyclicPosition
from darts_mim.models.mim import MIMModel
from darts_mim.pipeline import GridPipeline

TEST_STEPS = 1296  # the literature's test part of nyc_taxi: its last 27 days
HORIZON = 4  # half hours
CALENDAR = {"custom": {"future": [CyclicPosition("1D", "7D")]}}


@dataclass(frozen=True, kw_only=True)
class Demo:
    """What the demo did."""

    model: GridPipeline
    result: BacktestResult
    report: Path
    seconds: float


def make_model(*, n_epochs: int = 4, random_state: int = 0, progress: bool = False) -> GridPipeline:
    """MIM on weekly anomalies, as ``darts-mim demo`` trains it; docs/results.md says why so.

    Args:
        n_epochs: Passes over the training windows.
        random_state: Seed of weights and shuffling.
        progress: Show a progress bar while fitting.
    """
    trainer = {"enable_model_summary": False, "enable_progress_bar": progress}
    return GridPipeline(
        [
            ("week", SeasonalAnomaly("7D")),
            ("scale", GridScaler("standard", deviations=3)),
            (
                "mim",
                MIMModel(
                    input_chunk_length=4,
                    output_chunk_length=HORIZON,
                    hidden=32,
                    layers=2,
                    patch_size=2,
                    lr=2e-3,
                    lr_schedule="cosine",
                    batch_size=16,
                    n_epochs=n_epochs,
                    add_encoders=CALENDAR,
                    random_state=random_state,
                    pl_trainer_kwargs=trainer,
                ),
            ),
        ]
    )


def rivals(train: xr.DataArray) -> dict[str, Persistence | SeasonalNaive | Climatology | DampedAnomaly]:
    """The four simple forecasts, fitted."""
    return {
        "damped anomaly": DampedAnomaly("7D").fit(train),
        "half hour of week": Climatology("7D").fit(train),
        "last week": SeasonalNaive("7D").fit(train),
        "last frame": Persistence().fit(train),
    }


def run(out: Path, *, quick: bool = False, random_state: int = 0, console: Console | None = None) -> Demo:
    """Train on New York taxi flow, backtest on its last 27 days, write ``out/report.html``.

    Args:
        out: Folder for the report; made if need be.
        quick: One short epoch and few origins: shows that everything runs, not how good it is.
        random_state: Seed of weights and shuffling.
        console: Where to say what is done.
    """
    console = console or Console()
    out.mkdir(parents=True, exist_ok=True)  # before minutes of training, if it cannot be made
    started = time.monotonic()
    quieten()
    flow = nyc_taxi()
    train, test = flow[:-TEST_STEPS], flow[-TEST_STEPS:]
    if quick:
        train, test = train[-432:], test[:24]
        flow = xr.concat([train, test], dim="time")
    console.print(
        f"[bold]1/3[/] Training MIM on {train.sizes['time']} half hours of New York taxi flow "
        f"({flow.sizes['y']} x {flow.sizes['x']} cells, inflow and outflow); this takes minutes ..."
    )
    model = make_model(n_epochs=1 if quick else 4, random_state=random_state, progress=console.is_terminal)
    model.fit(train)
    trained = time.monotonic() - started
    console.print(f"    {model.forecaster.windows_}; {trained:.0f} s.")
    console.print(
        f"[bold]2/3[/] Forecasting {HORIZON} half hours ahead, over and over, through the test part ..."
    )
    result = backtest(
        {"MIM": model, **rivals(train)},
        flow,
        start=test.time[0],
        horizon=HORIZON,
        metrics=["mse", "mae", "rmse"],
    )
    table = result.table("mse").to_string(float_format="{:.1f}".format)
    console.print(f"\nMean squared error, {result.units} squared, by lead time:\n{table}\n", soft_wrap=True)
    console.print("[bold]3/3[/] Writing the report ...")
    report = out / "report.html"
    result.to_html(report, title="Taxi flow in New York, up to two hours ahead")
    seconds = time.monotonic() - started
    console.print(f"Open [bold]{report}[/]. Done in {seconds:.0f} s.", soft_wrap=True)
    return Demo(model=model, result=result, report=report, seconds=seconds)


def quieten() -> None:
    """Keep Lightning's and darts' remarks on devices and data loading out of the demo's words."""
    for name in ("pytorch_lightning", "lightning.pytorch", "darts"):
        logging.getLogger(name).setLevel(logging.ERROR)
    warnings.filterwarnings("ignore", module="pytorch_lightning|torch")
