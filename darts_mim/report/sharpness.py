"""Are the forecasts blurred, and do samples mean what they say?"""

from darts_mim.page import picture, section
from darts_mim.plotting import panel, plot_coverage, plot_ranks, plot_spectra
from darts_mim.plotting.reliability import sampled_models
from darts_mim.report.duel import Duel

SMALLEST = 8  # cells to a side, from which wavelengths can be told apart

BLURRED = (
    "A blurred forecast has too little power at short wavelengths: it is below 100 % at the right. A "
    "forecast that hedges between outcomes is blurred and may have the smaller squared error for it."
)
RELIABLE = (
    "Left: the share of cells whose truth lay within the samples' central interval; below the dashed line "
    "the samples are too sure of themselves. Right: flat is right, a bowl says too little spread, a hill too "
    "much, a slope too high or too low."
)


def sharpness(duel: Duel) -> str:
    """Power by wavelength; nothing on small grids, or where no frame was observed as a whole."""
    grid = duel.result.grid
    if min(grid.height, grid.width) < SMALLEST or grid.mask is not None:
        return ""
    last = grid.canonical(duel.result.observed.isel(lead_time=-1))
    if not last.notnull().all(list(grid.spatial_dims)).any():
        return ""
    figure, axes = panel()
    plot_spectra(duel.result, ax=axes)
    drawn = picture(figure, "Power of each model's forecasts by wavelength, over that of the truth")
    return section("Sharp or blurred", f"<div>{drawn}</div>", note=BLURRED, anchor="sharpness")


def reliability(duel: Duel) -> str:
    """Coverage and ranks of the samples; nothing where no forecast has any."""
    if not sampled_models(duel.result):
        return ""
    drawn: list[str] = []
    for plot, said in ((plot_coverage, "Coverage of the samples' intervals"), (plot_ranks, "Rank histogram")):
        figure, axes = panel()
        plot(duel.result, ax=axes)
        drawn.append(picture(figure, said))
    return section(
        "Do the samples mean what they say",
        f'<div class="pair">{"".join(drawn)}</div>',
        note=RELIABLE,
        anchor="samples",
    )
