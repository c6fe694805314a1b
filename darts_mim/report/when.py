"""When is the model good, and when bad: a calendar, hours and weekdays, kinds of time, a user's regimes."""

from typing import Any

import numpy as np
import pandas as pd
import xarray as xr

from darts_mim.page import Cell, picture, section, table
from darts_mim.plotting import panel, plot_calendar, plot_slices, plot_week
from darts_mim.plotting.calendar import calendar_height
from darts_mim.plotting.slices import labels_of
from darts_mim.report.duel import DAY, Duel
from darts_mim.report.failing import has_hours
from darts_mim.report.words import column, p_value, percent

LONG = pd.Timedelta("300D")  # from which months and seasons are told apart
RUSH_STEP = pd.Timedelta("3h")  # above which there is no rush hour
TELLING = 1.1  # by what factor scores differ where a kind of time is worth a row
FEWEST_FORECASTS = 8  # from which a calendar shows more than a list would
KINDS = {
    "rush_hour": {True: "Rush hours, Mon to Fri 7 to 10 and 16 to 19", False: "All other times"},
    "weekend": {False: "Monday to Friday", True: "Saturday and Sunday"},
    "season": {
        "DJF": "December to February",
        "MAM": "March to May",
        "JJA": "June to August",
        "SON": "September to November",
    },
}


def when(duel: Duel, regime: xr.DataArray | None) -> str:
    """Calendar, curves and table, as far as the series has hours, weekdays and months to tell apart."""
    parts: list[str] = []
    if duel.result.n_origins >= FEWEST_FORECASTS:
        figure, axes = panel(10.4, calendar_height(duel.result))
        plot_calendar(duel.result, duel.metric.name, ax=axes)
        parts.append(
            f'<div class="wide">{picture(figure, "Score of every forecast, by when it was made")}</div>'
        )
    drawn = _curves(duel)
    parts += [f'<div class="pair">{"".join(drawn)}</div>'] if drawn else []
    rows = [row for by in _kinds(duel) for row in _rows(duel, by)]
    rows += _rows(duel, regime) if regime is not None else []
    parts += [_table(duel, rows)] if rows else []
    return section("When it is good, and when not", *parts, anchor="when") if parts else ""


def _curves(duel: Duel) -> list[str]:
    """By hour of the day, over the week, by month: what the series has."""
    name, made = duel.metric.name, list[str]()
    whole_week = len(np.unique(duel.times.day_of_week)) == 7
    if has_hours(duel):
        figure, axes = panel()
        plot_slices(duel.result, "hour", name, ax=axes)
        made.append(picture(figure, f"{duel.metric.title} by hour of the day"))
        if whole_week:
            figure, axes = panel()
            plot_week(duel.result, name, ax=axes)
            made.append(picture(figure, f"{duel.metric.title} by weekday and hour of the day"))
    elif whole_week and duel.step <= DAY:
        made.append(_sliced(duel, "weekday"))
    if duel.span >= LONG:
        made.append(_sliced(duel, "month"))
    return made


def _sliced(duel: Duel, by: str) -> str:
    figure, axes = panel()
    plot_slices(duel.result, by, duel.metric.name, ax=axes)
    return picture(figure, f"{duel.metric.title} by {by}")


def _kinds(duel: Duel) -> list[str]:
    """Kinds of time that the series has, and by which the scores differ."""
    there = [
        *(["rush_hour"] if duel.step <= RUSH_STEP else []),
        *(["weekend"] if duel.step <= DAY else []),
        *(["season"] if duel.span >= LONG else []),
    ]
    return [by for by in there if _tells(duel, by)]


def _tells(duel: Duel, by: str) -> bool:
    """Whether the model's scores differ by it, so that it is worth the room."""
    miss = duel.metric.miss(duel.result.scores_by(by)[duel.metric.name].sel(model=duel.model)).values
    miss = np.abs(miss[np.isfinite(miss)])
    return len(miss) > 1 and bool(miss.max() > TELLING * miss.min())


def _rows(duel: Duel, by: Any) -> list[tuple[str, list[Cell]]]:
    """A row a kind: the model's score, the reference's, skill, interval and p."""
    name, metric = by if isinstance(by, str) else str(by.name), duel.metric
    both = duel.result.scores_by(by)[metric.name]
    known: dict[Any, str] = KINDS.get(name, {})
    heads = [
        known.get(value, label)
        for value, label in zip(both[name].values.tolist(), labels_of(both[name], name), strict=True)
    ]
    if not isinstance(by, str):
        heads = [f"{name}: {head}" for head in heads]
    columns = [_scored(both.sel(model=one).values) for one in (duel.model, duel.reference) if one is not None]
    if duel.reference is not None:
        columns += _skills(duel, by)
    rows = {head: list(cells) for head, *cells in zip(heads, *columns, strict=True)}
    in_order = dict.fromkeys([*known.values(), *rows])
    return [(head, rows[head]) for head in in_order if head in rows]


def _scored(values: np.ndarray) -> list[Cell]:
    return [Cell(text=text, value=one) for text, one in zip(column(values), values.tolist(), strict=True)]


def _skills(duel: Duel, by: Any) -> list[list[Cell]]:
    skill = duel.skill(str(duel.reference), by).values
    columns = [[Cell(text=percent(one), value=float(one)) for one in skill]]
    if not duel.metric.is_mean_loss:
        return columns
    found = duel.result.compare(duel.model, str(duel.reference), duel.metric.name, by=by)
    low, high, p = (found[one].values for one in ("low", "high", "p_value"))
    said = [
        f"{percent(a)} to {percent(b)}" if np.isfinite([a, b]).all() else "unknown"
        for a, b in zip(low, high, strict=True)
    ]
    columns.append([Cell(text=text, value=float(a)) for text, a in zip(said, low, strict=True)])
    columns.append(
        [Cell(text=p_value(one).removeprefix("p ").removeprefix("= "), value=float(one)) for one in p]
    )
    return columns


def _table(duel: Duel, rows: list[tuple[str, list[Cell]]]) -> str:
    heads = ["Times forecast", duel.model, *([duel.reference, "Skill"] if duel.reference else [])]
    heads += ["95 % interval", "p"] if duel.reference and duel.metric.is_mean_loss else []
    units = f", {duel.units}" if duel.units else ""
    return table(f"{duel.metric.title}{units}, by kind of time; all leads", heads, rows)
