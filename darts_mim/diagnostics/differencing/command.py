"""``darts-mim diagnose``: a store in, a page and a paragraph out."""

from collections.abc import Sequence
from pathlib import Path

import typer
import xarray as xr

from darts_mim.demo import quieten
from darts_mim.diagnostics.differencing.diagnose import diagnose_differencing
from darts_mim.diagnostics.differencing.page import write_diagnosis


def run(
    store: Path,
    *,
    variable: str | None,
    periods: Sequence[str] | None,
    max_order: int,
    check: bool,
    out: Path,
) -> None:
    """Diagnose one variable of a store, print the summary and write the page."""
    quieten()
    try:
        series = open_variable(store, variable)
        diagnosis = diagnose_differencing(
            series, max_order=max_order, seasonal_periods=periods or None, verbose=True
        )
        suggestion = diagnosis.suggest(check=check, verbose=True)
    except ValueError as error:  # bad input, with its remedy; no traceback
        raise typer.BadParameter(str(error)) from error
    typer.echo(diagnosis.summary())
    typer.echo(f"\n{suggestion}\n")
    page = write_diagnosis(diagnosis, out, title=str(series.name or store.name), suggestion=suggestion)
    typer.echo(f"Written to {page}")


def open_variable(store: Path, variable: str | None = None) -> xr.DataArray:
    """One variable of a zarr store or netCDF file, not read yet.

    Raises:
        ValueError: If the store cannot be opened, or has no or several variables and none was named.
    """
    try:
        zarr = store.is_dir() or store.suffix == ".zip"
        dataset = xr.open_zarr(store, consolidated=False) if zarr else xr.open_dataset(store, chunks={})
    except Exception as error:
        raise ValueError(f"{store} is no zarr store or netCDF file that can be opened: {error}") from error
    names = [str(name) for name in dataset.data_vars]
    if variable is None and len(names) == 1:
        variable = names[0]
    if variable not in names:
        came = "No variable was named" if variable is None else f"variable={variable!r} came"
        raise ValueError(f"{came}, and {store} holds {names}. Pass one of them, e.g. --variable {names[:1]}.")
    return dataset[variable]
