"""How the backtest was made: forecasters, origins, folds, versions."""

import pandas as pd

from darts_mim.backtesting.result import BacktestResult
from darts_mim.page import Cell, footer, listed, section, table
from darts_mim.plotting import said_time

MOST_FOLDS = 8  # that are shown unasked


def making(result: BacktestResult) -> str:
    """Everything that another needs to make it again, and which forecasts were left out."""
    how = {
        "grid": repr(result.grid).removeprefix("Grid: "),
        "origins": origins(result),
        **({"fitted": "before the backtest; nothing was fitted within it"} if result.folds is None else {}),
        **result.settings,
    }
    folds = "" if result.folds is None else _folds(result.folds)
    return section("How this was made", listed(how), folds, anchor="making") + footer()


def origins(result: BacktestResult) -> str:
    """How many were scored, how many left out, and for whose sake."""
    scored, wanted = result.n_origins, result.origins_wanted
    if scored == wanted:
        return f"all {wanted:,} were scored"
    short = (f"{name} none from {wanted - n:,}" for name, n in result.origins_offered.items() if n < wanted)
    why = f"; {', '.join(said)}" if (said := list(short)) else ""
    return (
        f"{scored:,} of {wanted:,} were scored. The others are left out for all: from there not every model "
        f"has a forecast, since what it reads is too short or touches a gap, or since none was given{why}"
    )


def _folds(folds: pd.DataFrame) -> str:
    """A row a fit; folded away where they are many."""
    rows = [(str(row[0]), [_cell(value) for value in row[1:]]) for row in folds.itertuples()]
    heads = ["Fit", *(str(name).replace("_", " ") for name in folds.columns)]
    made = table("What each fit was trained on, and from where it forecast", heads, rows)
    if len(folds) <= MOST_FOLDS:
        return f"<h3>Fits</h3>{made}"
    return f"<details><summary>All {len(folds):,} fits</summary>{made}</details>"


def _cell(value: object) -> Cell:
    if isinstance(value, pd.Timestamp):
        return Cell(text=said_time(value), value=float(value.timestamp()))
    if isinstance(value, int | float):
        return Cell(text=f"{value:,}", value=float(value))
    return Cell(text=str(value))
