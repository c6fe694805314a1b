"""A backtest as one HTML file: what won and by how much, the tables, the pictures, how it was made.

The file needs nothing else. Text goes through ``html.escape``.
"""

from dataclasses import dataclass
from html import escape
from pathlib import Path
from typing import Any, cast

import numpy as np
import pandas as pd

from darts_mim import plotting
from darts_mim.backtesting.lead_labels import lead_labels
from darts_mim.backtesting.result import BacktestResult
from darts_mim.metrics.pointwise import Metric
from darts_mim.page import cards, footer, headline, listed, picture, write_page
from darts_mim.plotting import in_print, said_time

MOST_CHANNELS = 2  # whose maps are shown


def write_report(
    result: BacktestResult,
    path: str | Path,
    *,
    title: str = "Backtest",
    reference: str | None = None,
    metric: str | None = None,
    times: Any = None,
) -> Path:
    """Write the report of a backtest, whole or not at all. It is about the first model.

    Args:
        result: What :func:`darts_mim.backtesting.backtest.backtest` returned.
        path: The HTML file; one that is there is replaced, folders that are not are made.
        title: Heading of the page.
        reference: The model it is held against; default: the best of the others.
        metric: What decides; default: the first that was scored.
        times: Times of origins (``init_time``), one or several, to show maps of; default: the one with
            the median error and the worst.

    Returns:
        The path.

    >>> from tempfile import mkdtemp
    >>> from darts_mim.backtesting.backtest import backtest
    >>> from darts_mim.baselines import Persistence
    >>> import xarray as xr
    >>> time = pd.date_range("2024-01-01", periods=8, freq="h")
    >>> rain = xr.DataArray(np.arange(48.0).reshape(8, 2, 3), {"time": time}, ("time", "y", "x"))
    >>> result = backtest(Persistence().fit(rain), rain, start=time[4], horizon=2)
    >>> write_report(result, Path(mkdtemp(), "report.html"), title="Rain").name
    'report.html'
    """
    duel = _Duel.of(result, reference, metric)
    cases = _cases(duel) if times is None else dict.fromkeys(result.origins(times), "Forecast")
    body = "\n".join(
        [
            headline(title, _verdict(duel), _evidence(duel)),
            _facts(duel),
            _tables(duel),
            _curves(duel),
            *(_maps(duel, time, what) for time, what in cases.items()),
            _making(result),
        ]
    )
    return write_page(path, title, body)


@dataclass(frozen=True, kw_only=True)
class _Duel:
    """Which model the report is about, and what it has to beat."""

    result: BacktestResult
    metric: Metric
    model: str
    reference: str | None  # None if there is no other model
    rank: str  # what the reference is, in words

    @classmethod
    def of(cls, result: BacktestResult, reference: str | None, metric: str | None) -> "_Duel":
        if reference is not None and reference not in result.models[1:]:
            raise ValueError(
                f"reference={reference!r} came; the report of {result.models[0]!r} can be held "
                f"against {result.models[1:]}."
            )
        chosen = result.metric(metric)
        others = [name for name in _ranked(result, chosen) if name != result.models[0]]
        best = others[0] if others else None
        is_best = len(others) > 1 and reference in (None, best)
        return cls(
            result=result,
            metric=chosen,
            model=result.models[0],
            reference=reference or best,
            rank=f", the best of {len(others)} others" if is_best else "",
        )

    @property
    def units(self) -> str:
        return in_print(self.metric.units(self.result.units))

    def score(self, model: str) -> float:
        """All leads pooled."""
        return float(self.result.scores_by()[self.metric.name].sel(model=model))

    def said(self, model: str) -> str:
        return f"{_number(self.score(model))} {self.units}".strip()

    def skill(self, by: str | None = None) -> np.ndarray:
        skill = self.result.skill(str(self.reference), self.metric.name, by=by)
        return skill.sel(model=self.model).values

    def interval(self) -> tuple[float, float] | None:
        """Of the skill, 95 %; None where it is not known."""
        if not self.metric.is_mean_loss:
            return None
        compared = self.result.compare(self.model, str(self.reference), self.metric.name, by=None)
        low, high = float(compared["low"]), float(compared["high"])
        return (low, high) if np.isfinite([low, high]).all() else None


def _ranked(result: BacktestResult, metric: Metric) -> list[str]:
    """Models, best first."""
    miss = metric.miss(result.scores_by()[metric.name].to_series())
    return [str(name) for name in miss.sort_values(kind="stable").index]


def _verdict(duel: _Duel) -> str:
    """Who wins, in one sentence that claims no more than the numbers hold."""
    if duel.reference is None:
        return f"{duel.model}: {duel.metric.title.lower()} {duel.said(duel.model)}"
    skill, (low, high) = float(duel.skill()), duel.interval() or (-np.inf, np.inf)
    if not duel.metric.is_mean_loss:  # of which no interval is known, so that nobody is said to win
        side = "ahead of" if skill > 0 else "behind"
        return f"{duel.model} is {_percent(abs(skill))} {side} {duel.reference}"
    if low > 0:
        return f"{duel.model} beats {duel.reference} by {_percent(skill)}"
    if high < 0:
        return f"{duel.model} falls short of {duel.reference} by {_percent(-skill)}"
    return f"{duel.model} and {duel.reference} are too close to call"


def _evidence(duel: _Duel) -> str:
    """The numbers behind the verdict."""
    span = pd.DatetimeIndex(duel.result.observed["valid_time"].values.ravel())
    made = f"{duel.result.n_origins:,} forecasts, {_day(span.min())} to {_day(span.max())}"
    if duel.reference is None:
        return f"Scored over all leads of {made}."
    interval = duel.interval()
    within = f" (95 % interval {_percent(interval[0])} to {_percent(interval[1])})" if interval else ""
    ahead = duel.skill(by="lead_time") > 0
    leads = {len(ahead): "every lead", 0: "no lead"}.get(
        int(ahead.sum()), f"{ahead.sum()} of {len(ahead)} leads"
    )
    return (
        f"{duel.metric.title} {duel.said(duel.model)}, against {duel.said(duel.reference)} for "
        f"{duel.reference}{duel.rank}: a skill of {_percent(duel.skill())}{within}. "
        f"Ahead at {leads}. Scored over {made}."
    )


def _facts(duel: _Duel) -> str:
    grid, leads = duel.result.grid, lead_labels(duel.result.scores["lead_time"])
    channels = f"{grid.n_channels} × " if grid.n_channels > 1 else ""
    facts = [
        (duel.said(duel.model), f"{duel.metric.title.lower()}, all leads"),
        (f"{duel.result.n_origins:,}", "forecasts scored of each model"),
        (leads[-1], f"ahead, in {len(leads)} frames"),
        (f"{channels}{grid.height} × {grid.width}", f"{'channels × ' if channels else ''}cells"),
    ]
    if duel.reference is not None:
        facts[0] = (_percent(duel.skill()), f"skill over {duel.reference}")
    return cards(facts)


def _tables(duel: _Duel) -> str:
    metrics = [duel.metric, *(one for one in duel.result.metrics if one is not duel.metric)]
    tabled = [metric for metric in metrics if duel.result.has_table(metric.name)]
    first, *more = (_table(duel, metric) for metric in tabled)
    rest = f"<details><summary>Other scores</summary>{''.join(more)}</details>" if more else ""
    return f"<section><h2>Scores by lead time</h2>{first}{rest}</section>"


def _table(duel: _Duel, metric: Metric) -> str:
    """Best first, the best of each column in bold; all leads first, where a phone shows them."""
    frame = duel.result.table(metric.name).loc[_ranked(duel.result, metric)]
    frame = frame[[*frame.columns[-1:], *frame.columns[:-1]]]
    best = metric.miss(frame).round(12).pipe(lambda miss: miss == miss.min())
    digits = _decimals(frame.to_numpy())
    rows: list[str] = []
    for name, row in frame.iterrows():
        cells = (
            f"<td{' class=best' if best.loc[name, lead] else ''}>{value:,.{digits}f}</td>"
            for lead, value in row.items()
        )
        own = " class=own" if name == duel.model else ""
        rows.append(f"<tr{own}><th scope=row>{escape(str(name))}</th>{''.join(cells)}</tr>")
    units = in_print(metric.units(duel.result.units))
    caption = escape(metric.title + (f", {units}" if units else ""))
    heads = "".join(f"<th scope=col>{escape(str(lead))}</th>" for lead in frame.columns)
    return (
        f'<div class="scroll"><table><caption>{caption}</caption>'
        f"<thead><tr><th></th>{heads}</tr></thead><tbody>{''.join(rows)}</tbody></table></div>"
    )


def _curves(duel: _Duel) -> str:
    name = duel.metric.name
    pictures = [picture(plotting.plot_scores(duel.result, name), f"{duel.metric.title} by lead")]
    if duel.reference is not None:
        skill = plotting.plot_skill(duel.result, duel.reference, name)
        pictures.insert(0, picture(skill, f"Skill over {duel.reference} by lead"))
    return f'<section class="pair">{"".join(pictures)}</section>'


def _cases(duel: _Duel) -> dict[Any, str]:
    """The origins with the median error and with the worst, and what they are."""
    scores = duel.result.scores_by("init_time")[duel.metric.name].sel(model=duel.model)
    miss = duel.metric.miss(scores).to_series().dropna().sort_values(kind="stable")
    return {
        miss.index[len(miss) // 2]: "A typical forecast, of median error",
        miss.index[-1]: "The worst forecast",
    }


def _maps(duel: _Duel, time: Any, what: str) -> str:
    result = duel.result
    score = result.scores_by("init_time")[duel.metric.name].sel(init_time=time, model=duel.model)
    note = f"By {duel.model}, {duel.metric.title.lower()} {_number(float(score))} {duel.units}".strip()
    shown = result.grid.channels[:MOST_CHANNELS]
    if len(result.grid.channels) > len(shown):
        note += f"; shown are the first {len(shown)} of {len(result.grid.channels)} channels"
    pictures = (
        picture(
            result.plot_maps(time, channel=channel, title=str(channel or "")),
            f"Forecast, truth and difference, {channel}",
        )
        for channel in shown
    )
    return (
        f"<section><h2>{escape(what)}: {said_time(time)}</h2>"
        f'<p class="note">{escape(note)}.</p>'
        f'<div class="pair">{"".join(pictures)}</div></section>'
    )


def _making(result: BacktestResult) -> str:
    offered = ", ".join(f"{name} {n:,}" for name, n in result.origins_offered.items())
    how = {
        "grid": repr(result.grid).removeprefix("Grid: "),
        "origins": f"{result.n_origins:,} common to all (offered: {offered})",
        **result.settings,
    }
    return f"<section><h2>How this was made</h2>{listed(how)}</section>{footer()}"


def _decimals(values: np.ndarray) -> int:
    """So many that the smallest value shows three digits."""
    sizes = np.abs(values[np.isfinite(values) & (values != 0)])
    return max(0, 2 - int(np.floor(np.log10(sizes.min())))) if sizes.size else 0


def _number(value: float) -> str:
    return f"{value:,.{_decimals(np.array([value]))}f}"


def _percent(share: Any) -> str:
    return f"{100 * float(share):.0f} %".replace("-", "−")


def _day(when: Any) -> str:
    time = cast(pd.Timestamp, pd.Timestamp(when))
    return f"{time.day} {time:%b %Y}"
