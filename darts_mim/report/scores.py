"""Scores by lead time: curves, and tables of every metric."""

import numpy as np

from darts_mim.metrics.metric import Metric
from darts_mim.page import Cell, picture, section, table
from darts_mim.plotting import in_print, panel, plot_scores
from darts_mim.report.duel import Duel
from darts_mim.report.words import column


def scores(duel: Duel) -> str:
    """The metric that decides as a table and a picture, the others folded away."""
    figure, axes = panel()
    plot_scores(duel.result, duel.metric.name, ax=axes)
    drawn = picture(figure, f"{duel.metric.title} by lead time")
    others = [one for one in duel.tabled if one is not duel.metric]
    rest = "".join(table_of(duel, metric) for metric in others)
    names = ", ".join(one.name for one in others)
    folded = f"<details><summary>Other scores: {names}</summary>{rest}</details>" if others else ""
    note = "Best first; bold: the best of the column. A click on a column's head sorts by it."
    parts = table_of(duel, duel.metric), f'<div class="pair">{drawn}</div>', folded
    return section("Scores by lead time", *parts, note=note, anchor="scores")


def table_of(duel: Duel, metric: Metric) -> str:
    """All leads first, where a phone shows them."""
    frame = duel.result.table(metric.name)
    frame = frame.loc[metric.miss(frame["all leads"]).sort_values(kind="stable").index]
    frame = frame[[*frame.columns[-1:], *frame.columns[:-1]]]
    best = metric.miss(frame).round(12).pipe(lambda miss: miss == miss.min())
    texts = np.reshape(column(frame.to_numpy().ravel()), frame.shape)
    rows = [
        (
            str(name),
            [
                Cell(text=str(text), value=float(value), best=bool(is_best))
                for text, value, is_best in zip(line, frame.loc[name], best.loc[name], strict=True)
            ],
        )
        for name, line in zip(frame.index, texts, strict=True)
    ]
    units = in_print(metric.units(duel.result.units))
    caption = metric.title + (f", {units}" if units else "")
    return table(caption, ["Model", *map(str, frame.columns)], rows, own=duel.model, kind="scores")
