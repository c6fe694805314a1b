"""The model against each of the others."""

import numpy as np

from darts_mim.page import Cell, picture, section, table
from darts_mim.plotting import panel, plot_rivals
from darts_mim.report.duel import Duel
from darts_mim.report.words import column, p_value, percent

MOST_DRAWN = 6  # rivals, the best ones; all are in the table
WIDE = (220, 22)  # of an interval's picture
FARTHEST = -1.0  # skill that is drawn

INTERVAL = (
    "<b>The interval</b> would hold the true skill 19 times in 20; the grey line is 0. Neighbouring "
    "forecasts err alike, which it allows for."
)
P_VALUE = (
    "<b>p</b> is how often chance alone would make a difference this large between two equally good models "
    "(Diebold-Mariano). Each rival is tested by itself."
)


def rivals(duel: Duel) -> str:
    """A row a rival: skill, interval, test; and the same by lead as a picture."""
    heads = ["Rival", f"Skill of {duel.model}"]
    heads += ["95 % interval", "", "p"] if duel.against else []
    heads += [f"{duel.metric.name} of the rival"]
    reach = _reach(duel)
    scores = duel.pooled.sel(model=duel.rivals).values
    rows: list[tuple[str, list[Cell]]] = []
    for name, score, said in zip(duel.rivals, scores.tolist(), column(scores), strict=True):
        skill = float(duel.skill(name))
        cells = [Cell(text=percent(skill), value=skill), *_tested(duel, name, skill, reach)]
        rows.append((name, [*cells, Cell(text=said, value=score)]))
    figure, axes = panel()
    plot_rivals(duel.result, duel.metric.name, rivals=duel.rivals[:MOST_DRAWN], ax=axes)
    drawn = picture(figure, f"Skill of {duel.model} over each rival by lead time")
    pictures = f'<div class="pair">{drawn}{_reading(duel)}</div>'
    note = "All leads pooled, below by lead."
    return section("Against each rival", table("", heads, rows), pictures, note=note, anchor="rivals")


def _tested(duel: Duel, rival: str, skill: float, reach: tuple[float, float]) -> list[Cell]:
    """Interval in words and drawn, and p."""
    if not duel.against:
        return []
    interval, p = duel.interval(rival), float(duel.against[rival]["p_value"])
    low, high = interval or (float("nan"), float("nan"))
    return [
        Cell(text=f"{percent(low)} to {percent(high)}" if interval else "unknown", value=low),
        Cell(text="", value=skill, html=_drawn(skill, low, high, reach)),
        Cell(text=p_value(p).removeprefix("p ").removeprefix("= "), value=p),
    ]


def _reach(duel: Duel) -> tuple[float, float]:
    """The skill at both ends of the intervals' pictures."""
    ends = [end for name in duel.rivals for end in (*(duel.interval(name) or ()), float(duel.skill(name)))]
    known = np.array([0.0, *(end for end in ends if np.isfinite(end))])
    low, high = max(float(known.min()), FARTHEST), float(known.max())
    margin = 0.08 * (high - low) or 0.1
    return low - margin, high + margin


def _drawn(skill: float, low: float, high: float, reach: tuple[float, float]) -> str:
    """An interval around a point, and where 0 is."""
    if not np.isfinite(skill):
        return ""

    def x(value: float) -> float:
        return float(np.clip((value - reach[0]) / (reach[1] - reach[0]), 0, 1) * WIDE[0])

    middle = WIDE[1] / 2
    line = (
        f'<line class="range" x1="{x(low):.1f}" x2="{x(high):.1f}" y1="{middle}" y2="{middle}"/>'
        if np.isfinite([low, high]).all()
        else ""
    )
    return (
        f'<svg class="interval" viewBox="0 0 {WIDE[0]} {WIDE[1]}" aria-hidden="true">'
        f'<line class="zero" x1="{x(0):.1f}" x2="{x(0):.1f}" y1="0" y2="{WIDE[1]}"/>{line}'
        f'<circle class="point" cx="{x(skill):.1f}" cy="{middle}" r="4.5"/></svg>'
    )


def _reading(duel: Duel) -> str:
    """How to read all this."""
    what = "error that is taken away" if duel.metric.perfect == 0 else "way to a perfect score that is gone"
    said = [f"<b>Skill</b> is the share of the rival's {what}: 0 is as good, 100 % perfect, below 0 worse."]
    said += [INTERVAL, P_VALUE] if duel.against else []
    if len(duel.rivals) > MOST_DRAWN:
        said.append(f"Drawn are the {MOST_DRAWN} best of {len(duel.rivals)} rivals.")
    return f"<div>{''.join(f'<p>{line}</p>' for line in said)}</div>"
