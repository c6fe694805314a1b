"""A picture of which input frame and cell a forecast depends on."""

import numpy as np
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.collections import QuadMesh
from matplotlib.colors import LogNorm
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from darts_mim.diagnostics.gates.plot import draw_field
from darts_mim.plotting import INK, MUTED


def plot_input_gradient(gradient: xr.DataArray) -> Figure:
    """Maps of an input gradient, a column an input frame, a row a channel, on one logarithmic colour scale.

    Framed is the cell whose forecast it is, where it is of one.

    Args:
        gradient: From ``input_gradient``.
    """
    frames, channels, height, width = gradient.shape
    shape = float(np.clip(height / width, 0.4, 1.6))
    figure = Figure(
        figsize=(1.3 + 1.7 * frames, 0.8 + 1.65 * shape * channels), dpi=150, layout="constrained"
    )
    panels = figure.subplots(channels, frames, squeeze=False, sharex=True, sharey=True)
    top = float(gradient.max())
    least = top / 1000  # three decades say what matters
    meshes: list[QuadMesh] = []
    for axes, (column, row) in zip(panels.T.flat, np.ndindex(frames, channels), strict=True):
        field = gradient[column, row]
        drawn = field.clip(min=least)
        meshes.append(draw_field(axes, drawn, shape, norm=LogNorm(least, top), cmap="viridis"))
        if column == 0 and channels > 1:
            axes.set_ylabel(str(field[gradient.dims[1]].item()), fontsize=10, color=INK)
        if row == 0:
            step = int(field["input_step"])
            said = f"{-step} before" if step else "last frame read"
            axes.set_title(said, fontsize=9.5, color=INK, loc="left")
        if "cell_row" in gradient.attrs:
            _frame_cell(axes, meshes[-1], gradient.attrs["cell_row"], gradient.attrs["cell_column"])
    bar = figure.colorbar(meshes[0], ax=panels, shrink=0.92, aspect=18 * channels, pad=0.02, extend="min")
    bar.set_label("mean |gradient|", fontsize=9, color=MUTED)
    bar.ax.tick_params(colors=MUTED, labelsize=8)
    ahead = gradient.attrs["lead"]
    figure.suptitle(
        f"What the forecast of {gradient.attrs['of']}, {ahead} frame{'s' * (ahead > 1)} ahead, depends on",
        fontsize=11.5,
        fontweight="bold",
        color=INK,
        x=0.01,
        ha="left",
    )
    return figure


def _frame_cell(axes: Axes, mesh: QuadMesh, row: int, column: int) -> None:
    """A white frame around one cell of a map."""
    corners = np.asarray(mesh.get_coordinates())
    (left, low), (right, high) = corners[row, column], corners[row + 1, column + 1]
    axes.add_patch(
        Rectangle((left, low), right - left, high - low, fill=False, edgecolor="white", linewidth=1.8)
    )
