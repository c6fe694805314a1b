"""Pictures of what a network does with non-stationarity; no global state holds on to their Figures."""

from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
import pandas as pd
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.collections import QuadMesh
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator, NullLocator, PercentFormatter

from darts_mim.diagnostics.gates.diagnose import GateDiagnosis
from darts_mim.grid.grid import Grid
from darts_mim.plotting import COLOURS, INK, MARKERS, MUTED, RULE, colour_bar, draw_map

Diagnoses = GateDiagnosis | Mapping[str, GateDiagnosis]
BAND = "#f3f5f7"  # behind the steps that read the network's own frames


def plot_saturation(diagnoses: Diagnoses) -> Figure:
    """Saturated forget gates by step, a column a layer: Figure 6 of the paper.

    Above the share of gates that forget, below of those that keep; shaded are the steps that read the
    network's own frames. Of one diagnosis every gate is drawn; of several, by name, the temporal one of each.

    Args:
        diagnoses: What ``diagnose_gates`` found, of one model or of several that have as many layers.

    Raises:
        ValueError: If they differ in layers or steps.
    """
    several = _several(diagnoses)
    first = next(iter(several.values())).dataset
    for name, each in several.items():
        if (each["forgotten"].shape, each["step"].size) != (first["forgotten"].shape, first["step"].size):
            raise ValueError(
                f"{name!r} has {each['layer'].size} layers and {each['step'].size} steps, the first one "
                f"{first['layer'].size} and {first['step'].size}. Draw them apart."
            )
    one = isinstance(diagnoses, GateDiagnosis)
    low = first.attrs["threshold"]
    figure, panels = _panels(
        2,
        first["layer"].size,
        "Saturated forget gates",
        "Share of units, by step; in MIM blocks T/C[t-1] stands in the temporal gate's place",
    )
    for column, layer in enumerate(first["layer"].values):
        kinds = dict.fromkeys(str(each["kind"].sel(layer=layer).item()) for each in several.values())
        panels[0, column].set_title(
            f"Layer {layer}: {' or '.join(kinds)}", fontsize=10, color=INK, loc="left"
        )
        for row, name in enumerate(("forgotten", "kept")):
            lines = {
                label: each[name].sel(layer=layer, gate=gate) for label, each, gate in _gates_of(several, one)
            }
            _by_step(panels[row, column], lines, first)
    panels[0, 0].set_ylabel(f"forget: f < {low:g}", color=INK, fontsize=10)
    panels[1, 0].set_ylabel(f"keep: f > {1 - low:g}", color=INK, fontsize=10)
    for axes in panels.flat:
        axes.set_ylim(-0.02, 1.06 * max(0.05, _highest(panels)))
        axes.yaxis.set_major_formatter(PercentFormatter(1.0, decimals=0, symbol=" %"))
    _legend(figure, panels)
    return figure


def plot_differences(diagnosis: GateDiagnosis) -> Figure:
    """The differential features D: their mean size by step, a line a layer, and where they are large.

    Raises:
        ValueError: If the network has no MIM blocks.
    """
    found = diagnosis.dataset
    maps = found["map_of_D"].dropna("layer", how="all")
    if not maps.size:
        raise ValueError("The network has no MIM blocks, so there are no differential features to draw.")
    shape = float(np.clip(maps.shape[1] / maps.shape[2], 0.4, 1.6))
    ratios = [1.9] + [1 / shape] * len(maps)
    figure = Figure(figsize=(2.1 * sum(ratios) + 0.6, 3.4), dpi=150, layout="constrained")
    panels = figure.subplots(1, 1 + len(maps), width_ratios=ratios)
    size = found["mean_absolute_D"].sel(layer=maps["layer"])
    _plain(panels[0])
    _by_step(panels[0], {f"layer {one['layer'].item()}": one for one in size}, found)
    panels[0].set_ylim(0, 1.08 * float(size.max()))
    panels[0].legend(frameon=False, fontsize=9, labelcolor=MUTED)
    panels[0].set_title("Mean |D| by step", fontsize=10, color=INK, loc="left")
    scale = {"vmin": 0.0, "vmax": float(maps.max()), "cmap": "GnBu"}
    meshes = [draw_field(axes, field, shape, **scale) for axes, field in zip(panels[1:], maps, strict=True)]
    for axes, field in zip(panels[1:], maps, strict=True):
        axes.set_title(f"Layer {field['layer'].item()}", fontsize=10, color=INK, loc="left")
    colour_bar(figure, meshes[0], panels[1:], "mean |D|")
    figure.suptitle(
        "Differential features: what changed since the step before",
        fontsize=12,
        fontweight="bold",
        color=INK,
        x=0.01,
        ha="left",
    )
    return figure


def plot_memory(diagnosis: GateDiagnosis) -> Figure:
    """How much of a change in a memory is left some steps later; a panel a memory, a line a layer.

    Raises:
        ValueError: If gradients were left out.
    """
    found = _with(diagnosis, "memory_reach", "gradient_windows=8").dataset
    reach = found["memory_reach"].dropna("memory", how="all")
    figure, panels = _panels(
        1,
        reach["memory"].size,
        "How far back the memories reach",
        "Gain from a memory to itself, by steps between; dashed: a tenth",
    )
    for axes, one in zip(panels[0], reach, strict=True):
        axes.set_title(f"{one['memory'].item()}", fontsize=11, color=INK, loc="left")
        for n, layer in enumerate(one["layer"].values):
            line = one.sel(layer=layer).dropna("lag")
            if line.size:
                axes.plot(
                    line["lag"],
                    line,
                    color=COLOURS[n % len(COLOURS)],
                    marker=MARKERS[n % len(MARKERS)],
                    markersize=5,
                    linewidth=1.8,
                    label=f"layer {layer}",
                )
        axes.axhline(0.1, color=MUTED, linewidth=1, linestyle=(0, (4, 3)))
        axes.set_yscale("log")
        axes.set_xlabel("steps back", fontsize=9.5, color=MUTED, loc="left")
        axes.xaxis.set_major_locator(MaxNLocator(5, integer=True))
        axes.yaxis.set_minor_locator(NullLocator())
        axes.yaxis.set_major_formatter("{x:g}")
    _legend(figure, panels)
    return figure


def plot_stationarity(diagnoses: Diagnoses) -> Figure:
    """Unit-root tests of the states by layer, with standard errors over segments; layer 0 is the input.

    Left the median statistic: the lower, the more stationary. Right the share of units whose unit root is
    rejected. Of one diagnosis every state is drawn; of several, by name, the H of each.

    Args:
        diagnoses: What ``diagnose_gates`` found, of one model or of several.

    Raises:
        ValueError: If the states were not tested.
    """
    several = _several(diagnoses)
    for each in several.values():
        _with(each, "adf_statistic", "states=True")
    one = isinstance(diagnoses, GateDiagnosis)
    figure, panels = _panels(
        1,
        2,
        "Are the states more stationary than the input?",
        "Unit-root tests of each unit over the origins; mean over segments and its standard error",
    )
    titles = {"adf_statistic": "Median ADF statistic", "unit_root_rejected": "Unit root rejected at 5 %"}
    for axes, (name, title) in zip(panels[0], titles.items(), strict=True):
        axes.set_title(title, fontsize=10, color=INK, loc="left")
        lines = [
            (state if one else label, each[name].sel(state=state), each[f"frame_{name}"])
            for label, each in several.items()
            for state in (each["state"].values if one else ["H"])
        ]
        drawn = [line for line in lines if line[1].notnull().any()]
        for n, (label, by_layer, frames) in enumerate(drawn):
            _by_layer(axes, label, by_layer, frames, n, shift=0.06 * (n - (len(drawn) - 1) / 2))
        layers = max(each["layer"].size for each in several.values())
        axes.set_xticks(range(layers + 1), ["input", *(f"layer {k}" for k in range(1, layers + 1))])
    panels[0, 1].yaxis.set_major_formatter(PercentFormatter(1.0, decimals=0, symbol=" %"))
    _legend(figure, panels)
    return figure


def _several(diagnoses: Diagnoses) -> dict[str, GateDiagnosis]:
    if isinstance(diagnoses, GateDiagnosis):
        return {"": diagnoses}
    if not diagnoses:
        raise ValueError("No diagnosis came. Pass one, or several by name: {'MIM': ..., 'PredRNN': ...}.")
    return dict(diagnoses)


def _with(diagnosis: GateDiagnosis, name: str, argument: str) -> GateDiagnosis:
    if name not in diagnosis.dataset:
        raise ValueError(f"The diagnosis has no {name}. Diagnose with {argument}.")
    return diagnosis


def _gates_of(several: Mapping[str, GateDiagnosis], one: bool) -> Iterable[tuple[str, GateDiagnosis, str]]:
    for label, each in several.items():
        for gate in each["gate"].values if one else ["temporal"]:
            yield gate if one else label, each, gate


def _panels(rows: int, columns: int, title: str, subtitle: str) -> tuple[Figure, np.ndarray]:
    """Plain panels that share their axes, under a heading."""
    figure = Figure(figsize=(1.1 + 2.5 * columns, 1.3 + 2.0 * rows), dpi=150, layout="constrained")
    panels = figure.subplots(rows, columns, squeeze=False, sharex=True, sharey=columns > 2)
    for axes in panels.flat:
        _plain(axes)
    height = figure.get_figheight()
    figure.suptitle(
        f"{title}\n", fontsize=12.5, fontweight="bold", color=INK, x=0.01, ha="left", linespacing=1.7
    )
    figure.text(0.01, 0.98 - 0.25 / height, subtitle, fontsize=9.5, color=MUTED, ha="left", va="top")
    return figure, panels


def _plain(axes: Axes) -> None:
    axes.spines[["top", "right", "left"]].set_visible(False)
    axes.spines["bottom"].set_color(MUTED)
    axes.grid(axis="y", color=RULE, linewidth=0.8)
    axes.set_axisbelow(True)
    axes.tick_params(colors=MUTED, labelsize=9, length=0, pad=5)


def _by_step(axes: Axes, lines: Mapping[str, xr.DataArray], found: xr.Dataset) -> None:
    """A line each over the steps, with those that read the network's own frames shaded."""
    for n, (label, line) in enumerate(lines.items()):
        known = line.dropna("step")
        if known.size:
            axes.plot(
                known["step"],
                known,
                color=COLOURS[n % len(COLOURS)],
                marker=MARKERS[n % len(MARKERS)],
                markersize=5,
                linewidth=1.8,
                label=label,
            )
    own = found["step"].values[found["reads"].values == "forecast"]
    if own.size:
        axes.axvspan(own[0] - 0.5, own[-1] + 0.5, color=BAND, zorder=0)
    axes.set_xlim(0.5, found["step"].size + 0.5)
    axes.xaxis.set_major_locator(MaxNLocator(8, integer=True))
    place = axes.get_subplotspec()
    if place is not None and place.is_last_row():
        axes.set_xlabel("step (shaded: reads its own forecast)", fontsize=9, color=MUTED, loc="left")


def _by_layer(
    axes: Axes, label: str, by_layer: xr.DataArray, frames: xr.DataArray, n: int, shift: float
) -> None:
    """Means over segments with their standard errors, from the input on."""
    values = np.concatenate([frames.values[None], by_layer.values])
    x = np.arange(len(values))
    told = np.atleast_1d(np.isfinite(values).all(axis=1))
    # the input is not joined to a state that layer 1 has not
    known = told & ((x > 0) | told[1])
    mean = values.mean(axis=1)
    error = values.std(axis=1, ddof=1) / np.sqrt(values.shape[1])
    axes.errorbar(
        x[known] + shift,
        mean[known],
        error[known],
        color=COLOURS[n % len(COLOURS)],
        marker=MARKERS[n % len(MARKERS)],
        markersize=5,
        linewidth=1.6,
        capsize=2,
        label=label,
    )


def draw_field(axes: Axes, field: xr.DataArray, shape: float, **scale: Any) -> QuadMesh:
    """A field (row, column) on its coordinates."""
    times = pd.date_range("2000", periods=1)
    frame = field.reset_coords(drop=True).expand_dims(frame_time=times)
    grid = Grid.of(
        frame, time_dim="frame_time", spatial_dims=[str(dim) for dim in field.dims], with_mask=False
    )
    axes.set_box_aspect(shape)
    return draw_map(axes, field.values, grid, scale)


def _legend(figure: Figure, panels: np.ndarray) -> None:
    """One legend for all panels, below them."""
    found: dict[str, Any] = {}
    for axes in panels.flat:
        handles, labels = axes.get_legend_handles_labels()
        found |= dict(zip(labels, handles, strict=True))
    figure.legend(
        list(found.values()),
        list(found),
        loc="outside lower left",
        ncols=6,
        frameon=False,
        fontsize=9.5,
        labelcolor=INK,
    )


def _highest(panels: np.ndarray) -> float:
    """The largest number drawn in any panel."""
    drawn = [np.nanmax(np.asarray(line.get_ydata(), float)) for axes in panels.flat for line in axes.lines]
    return max(drawn, default=1.0)
