"""Single forecasts: the best, a typical one, the worst, or those that were asked for."""

from html import escape
from typing import Any

from darts_mim.page import section, tabs
from darts_mim.plotting import said_time
from darts_mim.report.duel import Duel
from darts_mim.report.failing import typical_and_worst
from darts_mim.report.film import MOST_PIXELS, MOST_STEPS, film
from darts_mim.report.where import MOST_CHANNELS
from darts_mim.report.words import number


def cases(duel: Duel, times: Any) -> str:
    """Films of some forecasts, one at a time."""
    chosen = _chosen(duel) if times is None else dict.fromkeys(duel.result.origins(times), "Forecast")
    channels = duel.result.grid.channels
    shown = tuple(channels[:MOST_CHANNELS])
    scores = duel.result.scores_by("init_time")[duel.metric.name].sel(model=duel.model)
    parts: dict[str, str] = {}
    for time, what in chosen.items():
        score = f"{number(float(scores.sel(init_time=time)))} {duel.units}".strip()
        heading = f"<h3>{escape(what)}: made {escape(said_time(time))}</h3>"
        note = f'<p class="note">By {escape(duel.model)}, {escape(duel.called)} {escape(score)}.</p>'
        name = what if what != "Forecast" else said_time(time)
        parts[name] = heading + note + film(duel.result, duel.model, time, shown)
    return section(
        "Single forecasts", tabs(parts, "Which forecast"), note=_note(duel, len(shown)), anchor="cases"
    )


def _chosen(duel: Duel) -> dict[Any, str]:
    """The origins with the median error, the worst and the best, and what they are."""
    miss = typical_and_worst(duel)
    picked = {"Typical": miss.index[len(miss) // 2], "Worst": miss.index[-1], "Best": miss.index[0]}
    names: dict[Any, str] = {}
    for name, time in picked.items():
        names.setdefault(time, name)
    return names


def _note(duel: Duel, shown: int) -> str:
    grid, leads = duel.result.grid, duel.result.observed.sizes["lead_time"]
    said = [
        "Forecast and truth share one scale; the difference is forecast − truth, red where it was too high."
    ]
    if grid.n_channels > shown:
        said.append(f"Shown are the first {shown} of {grid.n_channels} channels.")
    if leads > MOST_STEPS:
        said.append(f"Shown are {MOST_STEPS} of {leads} leads.")
    if (block := -(-max(grid.height, grid.width) // MOST_PIXELS)) > 1:
        said.append(f"A pixel is the mean of {block} × {block} cells.")
    return " ".join(said)
