"""The report: its sections, in order."""

from html import escape
from pathlib import Path
from typing import Any

import xarray as xr

from darts_mim.backtesting.result import BacktestResult
from darts_mim.page import write_page
from darts_mim.report.cases import cases
from darts_mim.report.duel import Duel
from darts_mim.report.making import making
from darts_mim.report.rivals import rivals
from darts_mim.report.scores import scores
from darts_mim.report.sharpness import reliability, sharpness
from darts_mim.report.verdict import opening
from darts_mim.report.when import when
from darts_mim.report.where import where


def write_report(
    result: BacktestResult,
    path: str | Path,
    *,
    title: str = "Backtest",
    reference: str | None = None,
    metric: str | None = None,
    times: Any = None,
    regime: xr.DataArray | None = None,
) -> Path:
    """Write the report of a backtest, whole or not at all. It is about the first model.

    Args:
        result: What :func:`darts_mim.backtesting.backtest.backtest` returned.
        path: The HTML file; one that is there is replaced, folders that are not are made.
        title: Heading of the page.
        reference: The model it is held against; default: the best of the others.
        metric: What decides; default: the first that was scored and can.
        times: Times of origins (``init_time``), one or several, to show maps of; default: the ones with
            the median error, the worst and the best.
        regime: Labels of origins or of times, such as weather types, to score apart; see
            :meth:`~darts_mim.backtesting.result.BacktestResult.scores_by`.

    Returns:
        The path.

    Raises:
        ValueError: If there is no such model, or no forecast was made at one of the times, or the metric
            cannot decide: it has no table, or no score of it is perfect.

    >>> from tempfile import mkdtemp
    >>> from darts_mim.backtesting.backtest import backtest
    >>> from darts_mim.baselines import Persistence
    >>> import numpy as np, pandas as pd
    >>> time = pd.date_range("2024-01-01", periods=8, freq="h")
    >>> rain = xr.DataArray(np.arange(48.0).reshape(8, 2, 3), {"time": time}, ("time", "y", "x"))
    >>> result = backtest(Persistence().fit(rain), rain, start=time[4], horizon=2)
    >>> write_report(result, Path(mkdtemp(), "report.html"), title="Rain").name
    'report.html'
    """
    duel = Duel.of(result, reference, metric)
    parts = {
        "rivals": rivals(duel) if duel.rivals else "",
        "scores": scores(duel),
        "when": when(duel, regime),
        "where": where(duel),
        "cases": cases(duel, times),
        "sharpness": sharpness(duel),
        "samples": reliability(duel),
        "making": making(result),
    }
    body = [opening(duel, title), _contents([name for name, part in parts.items() if part]), *parts.values()]
    return write_page(path, title, "\n".join(filter(None, body)))


LINKS = {
    "rivals": "Against each rival",
    "scores": "Scores by lead time",
    "when": "When it fails",
    "where": "Where it fails",
    "cases": "Single forecasts",
    "sharpness": "Sharp or blurred",
    "samples": "Samples",
    "making": "How this was made",
}


def _contents(names: list[str]) -> str:
    links = (f'<a href="#{name}">{escape(LINKS[name])}</a>' for name in names)
    return f'<nav aria-label="Contents">{"".join(links)}</nav>'
