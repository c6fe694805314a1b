"""Where on the grid the model is good, and where not."""

from html import escape

import numpy as np

from darts_mim.page import picture, section
from darts_mim.plotting import plot_cells
from darts_mim.plotting.cells import one_channel
from darts_mim.report.duel import Duel
from darts_mim.report.words import percent

MOST_CHANNELS = 2  # whose maps are shown


def where(duel: Duel) -> str:
    """Maps of error and of skill, a pair a channel; nothing where a cell has no score."""
    if not duel.counts_cells:
        return ""
    grid = duel.result.grid
    shown = grid.channels[:MOST_CHANNELS]
    reference = duel.reference if duel.cells is not None else None
    pictures: list[str] = []
    for channel in shown:
        figure = plot_cells(duel.result, reference, duel.metric.name, channel=channel, compared=duel.cells)
        drawn = picture(figure, f"Maps of {duel.called} and of skill, {channel or ''}")
        said = f"<p>{escape(_said(duel, channel))}</p>"
        named = f"<h3>{escape(str(channel))}</h3>"
        pictures.append(
            f"<div>{named}{drawn}{said}</div>" if grid.n_channels > 1 else f"{drawn}<div>{said}</div>"
        )
    left = len(grid.channels) - len(shown)
    note = (
        f"All leads pooled. Shown are the first {len(shown)} of {len(grid.channels)} channels."
        if left
        else ""
    )
    return section(
        "Where it is good, and where not",
        f'<div class="pair">{"".join(pictures)}</div>',
        note=note,
        anchor="where",
    )


def _said(duel: Duel, channel: object) -> str:
    """Shares of the grid."""
    if duel.cells is None:
        return ""
    found = one_channel(duel.cells, duel.result.grid, channel)
    skill, told = found["skill"].values, np.isfinite(found["p_value"].values)
    if not told.any():
        return "There are too few forecasts to tell skill from luck in a cell."
    sure = found["significant"].values & told
    better, worse = (float((sure & side).sum() / told.sum()) for side in (skill > 0, skill < 0))
    return (
        f"Better than {duel.reference} by more than luck in {percent(better)} of the cells, worse in "
        f"{percent(worse)}, too close to call in the hatched rest (false "
        f"discovery rate 5\u00a0%); grey: nothing to tell."
    )
