"""A differencing diagnosis as one HTML file."""

from html import escape
from pathlib import Path
from typing import TYPE_CHECKING

import pandas as pd

from darts_mim.diagnostics.differencing.cell_tests import TESTED
from darts_mim.diagnostics.differencing.suggestion import Suggestion
from darts_mim.diagnostics.differencing.summary import strongest_season
from darts_mim.page import cards, footer, headline, listed, picture, write_page
from darts_mim.plotting import panel, plot_scores

if TYPE_CHECKING:
    from darts_mim.diagnostics.differencing.diagnose import DifferencingDiagnosis

AS_SHARES = ("unit root kept", "stationarity rejected", "over-differenced")


def write_diagnosis(
    diagnosis: "DifferencingDiagnosis", path: str | Path, *, title: str, suggestion: Suggestion
) -> Path:
    """Write what was found, what is suggested and why; whole or not at all.

    Args:
        diagnosis: What ``diagnose_differencing`` found.
        path: The HTML file; one that is there is replaced, folders that are not are made.
        title: Heading of the page.
        suggestion: What ``diagnosis.suggest`` gave.

    Returns:
        The path.
    """
    name = suggestion.treatment.name
    verdict = "No differences are called for" if name == "raw" else f"Suggested: {name}"
    body = [
        headline(title, verdict, suggestion.text),
        cards(_facts(diagnosis, suggestion)),
        _section("Cell by cell", picture(diagnosis.plot(), "Verdicts of the tests, cell by cell")),
        _section("The treatments side by side", _table(suggestion)),
        _section("Regions", picture(diagnosis.plot_regions(), "Local means, deviations and distributions")),
    ]
    if suggestion.checked is not None:
        figure, axes = panel()
        plot_scores(suggestion.checked, ax=axes)
        scores = picture(figure, "Error of each treatment by lead time")
        body.insert(3, _section("The suggestion, checked by a backtest", scores))
    said = "".join(f"<li>{escape(line)}</li>" for line in diagnosis.summary().splitlines())
    body.append(_section("In words", f"<ul>{said}</ul>"))
    body += [_section("How this was made", _making(diagnosis)), footer()]
    return write_page(path, title, "\n".join(body))


def _section(heading: str, inside: str) -> str:
    return f"<section><h2>{escape(heading)}</h2>{inside}</section>"


def _facts(diagnosis: "DifferencingDiagnosis", suggestion: Suggestion) -> list[tuple[str, str]]:
    data = diagnosis.dataset
    tested = data["status"].values == TESTED
    facts = [
        (f"{tested.sum():,} of {tested.size:,}", "cells tested"),
        (f"{float(data['n_steps'].max()):,.0f}", "steps without a gap"),
        (f"{suggestion.input_chunk_length}", "frames of input suggested"),
    ]
    if (strongest := strongest_season(data)) is not None:
        facts.append((f"{strongest[1]:.2f}", f"strength of the {strongest[0]} season, of 1"))
    return facts


def _table(suggestion: Suggestion) -> str:
    evidence = suggestion.evidence
    heads = "".join(f"<th scope=col>{escape(str(name))}</th>" for name in evidence.columns)
    rows: list[str] = []
    for name, row in evidence.iterrows():
        own = " class=own" if name == suggestion.treatment.name else ""
        cells = "".join(f"<td>{_cell(str(column), value)}</td>" for column, value in row.items())
        rows.append(f"<tr{own}><th scope=row>{escape(str(name))}</th>{cells}</tr>")
    return (
        '<div class="scroll"><table><caption>Shares of the variance; variance and squared error of the best '
        "linear forecast in the series' units squared. The errors can be compared</caption>"
        f"<thead><tr><th></th>{heads}</tr></thead><tbody>{''.join(rows)}</tbody></table></div>"
    )


def _cell(column: str, value: float) -> str:
    if pd.isna(value):
        return "–"
    return f"{value:.0%}" if column in AS_SHARES else f"{value:,.4g}"


def _making(diagnosis: "DifferencingDiagnosis") -> str:
    grid, times = diagnosis.grid, diagnosis.series.indexes[diagnosis.grid.time_dim]
    return listed(
        {
            "grid": repr(grid).removeprefix("Grid: "),
            "times": f"{times[0]} to {times[-1]}, {len(times):,} frames",
            "periods": ", ".join(f"{name} ({n} steps)" for name, n in diagnosis.periods.items()) or "none",
            "level": f"{diagnosis.alpha:g}, with false-discovery control over the cells",
        }
    )
