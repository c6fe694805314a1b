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
