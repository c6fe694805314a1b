"""What a report says first: who wins, which model to use, how sure that is, and when it fails."""

from html import escape

import numpy as np

from darts_mim.backtesting.lead_labels import lead_labels
from darts_mim.page import cards, headline
from darts_mim.report.duel import DAY, Duel
from darts_mim.report.failing import failures
from darts_mim.report.words import counted, day, in_a_row, p_value, percent


def opening(duel: Duel, title: str) -> str:
    """Headline, three answers and four numbers."""
    answers = {
        "Which model?": [which(duel)],
        "How sure?": [how_sure(duel)],
        "When does it fail?": failures(duel),
    }
    each = (
        f"<li><h2>{escape(question)}</h2>{''.join(f'<p>{escape(line)}</p>' for line in lines)}</li>"
        for question, lines in answers.items()
    )
    short = f'<ul class="answers">{"".join(each)}</ul>'
    return headline(title, verdict(duel), evidence(duel)) + short + _facts(duel)


def verdict(duel: Duel) -> str:
    """Who wins, in one sentence that claims no more than the numbers hold."""
    if duel.reference is None:
        return f"{duel.model}: {duel.called} {duel.said(duel.model)}"
    skill, interval = float(duel.skill(duel.reference)), duel.interval(duel.reference)
    if not np.isfinite(skill):
        return f"{duel.model} and {duel.reference} cannot be compared"
    if not duel.metric.is_mean_loss:  # of which no interval is known, so that nobody is said to win
        side = "ahead of" if skill > 0 else "behind"
        return f"{duel.model} is {percent(abs(skill))} {side} {duel.reference}"
    low, high = interval or (-np.inf, np.inf)
    if low > 0:
        return f"{duel.model} beats {duel.reference} by {percent(skill)}"
    if high < 0:
        return f"{duel.model} falls short of {duel.reference} by {percent(-skill)}"
    return f"{duel.model} and {duel.reference} are too close to call"


def evidence(duel: Duel) -> str:
    """The numbers behind the verdict."""
    first, last = duel.times[[0, -1]]
    made = f"{counted(duel.result.n_origins, 'forecast')}, {day(first)} to {day(last)}"
    if duel.reference is None:
        return f"Scored over all leads of {made}."
    interval = duel.interval(duel.reference)
    within = f" (95 % interval {percent(interval[0])} to {percent(interval[1])})" if interval else ""
    ahead = (duel.skill(duel.reference, "lead_time") > 0).values
    leads = {len(ahead): "every lead", 0: "no lead"}.get(
        int(ahead.sum()), f"{ahead.sum()} of {len(ahead)} leads"
    )
    is_best = len(duel.rivals) > 1 and duel.reference == duel.rivals[0]
    rank = f", the best of {len(duel.rivals)} others" if is_best else ""
    return (
        f"{duel.metric.title} {duel.said(duel.model)}, against {duel.said(duel.reference)} for "
        f"{duel.reference}{rank}: a skill of {percent(duel.skill(duel.reference))}{within}. "
        f"Ahead at {leads}. Scored over {made}."
    )


def which(duel: Duel) -> str:
    """The model to use, as far as the numbers say."""
    if not duel.rivals:
        return (
            f"Only {duel.model} was scored. Whether it beats a simple forecast is not known: "
            f"add one, such as Persistence() or SeasonalNaive(...)."
        )
    best, aim = duel.ranking[0], "smallest" if duel.metric.perfect == 0 else "best"
    place = f"the {aim} {duel.called} of {len(duel.ranking)} models"
    if best != duel.model:
        interval = duel.interval(best)
        if interval is None or interval[1] >= 0:
            return f"{best} has {place}; {duel.model} may be as good."
        return f"{best}: it has {place}. {duel.model} is number {duel.ranking.index(duel.model) + 1}."
    if not duel.metric.is_mean_loss:
        return f"{duel.model} has {place}."
    open_ones = [name for name in duel.rivals if (duel.interval(name) or (-1.0, 1.0))[0] <= 0]
    if open_ones:
        return f"{duel.model} has {place}; {in_a_row(open_ones)} may be as good."
    each = "and beats each of the others" if len(duel.rivals) > 1 else "and beats the other"
    return f"{duel.model}: it has {place}, {each} by more than chance explains."


def how_sure(duel: Duel) -> str:
    """Interval and test, or why there is none."""
    if duel.reference is None:
        return "There is nothing to compare with."
    if not duel.metric.is_mean_loss:
        return (
            f"{duel.metric.title} is no mean over forecasts, so its interval is not known. "
            f"A metric such as mse or mae has one."
        )
    found, interval = duel.against[duel.reference], duel.interval(duel.reference)
    if interval is None:
        return (
            f"Not at all: {counted(duel.result.n_origins, 'forecast')} are too few, or too much alike, to "
            f"tell a difference from chance."
        )
    p = p_value(float(found["p_value"]))
    return (
        f"The skill over {duel.reference} is {percent(found['skill'])}, with a 95 % interval from "
        f"{percent(interval[0])} to {percent(interval[1])}. Were the two equally good, a difference "
        f"this large would be this rare: {p} (Diebold-Mariano test)."
    )


def _facts(duel: Duel) -> str:
    grid, leads = duel.result.grid, lead_labels(duel.result.scores["lead_time"])
    channels = f"{grid.n_channels} × " if grid.n_channels > 1 else ""
    first, last = duel.times[[0, -1]]
    dates = duel.times.normalize().values
    days = round(float(np.ptp(dates) / DAY)) + 1
    return cards(
        [
            (f"{duel.result.n_origins:,}", "forecasts of each model"),
            (
                counted(days, "day") if days < 1000 else f"{days / 365.25:.1f} years",
                f"{day(first)} to {day(last)}",
            ),
            (leads[-1], f"ahead, in {counted(len(leads), 'frame')}"),
            (f"{channels}{grid.height} × {grid.width}", f"{'channels × ' if channels else ''}cells"),
        ]
    )
