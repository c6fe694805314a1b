"""The command ``darts-mim``."""

from pathlib import Path
from typing import Annotated

import typer

app = typer.Typer(
    help="Forecast gridded time series with Memory In Memory networks.",
    no_args_is_help=True,
    add_completion=False,
)


@app.callback()
def main() -> None:
    """Forecast gridded time series with Memory In Memory networks."""


@app.command()
def demo(
    out: Annotated[Path, typer.Option(help="Folder for the report.", file_okay=False, writable=True)] = Path(
        "out/demo"
    ),
    quick: Annotated[
        bool, typer.Option("--quick", help="One short epoch, few origins: a smoke test.")
    ] = False,
    seed: Annotated[int, typer.Option(help="Seed of weights and shuffling.")] = 0,
) -> None:
    """Train MIM on New York taxi flow, backtest it, and write a report with pictures."""
    from darts_mim.demo import run  # seconds of imports that --help need not wait for

    run(out, quick=quick, random_state=seed)


@app.command()
def diagnose(
    store: Annotated[Path, typer.Argument(help="A zarr store or a netCDF file.", exists=True)],
    variable: Annotated[str | None, typer.Option(help="Which variable, if there are several.")] = None,
    period: Annotated[
        list[str] | None, typer.Option(help="Seasonal period, e.g. 7D; may be given several times.")
    ] = None,
    max_order: Annotated[int, typer.Option(help="Highest order of differences.", min=0)] = 2,
    check: Annotated[
        bool, typer.Option("--check", help="Backtest the suggestion with a small MIM (minutes).")
    ] = False,
    out: Annotated[Path, typer.Option(help="The HTML file to write.", dir_okay=False, writable=True)] = Path(
        "diagnosis.html"
    ),
) -> None:
    """Test every cell of a grid for unit roots, and say which differences it needs."""
    from darts_mim.diagnostics.differencing.command import run

    run(store, variable=variable, periods=period, max_order=max_order, check=check, out=out)
