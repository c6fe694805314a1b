"""One forecast, frame after frame, beside the truth and the difference: small pictures, a pixel a cell."""

from base64 import b64encode
from html import escape
from io import BytesIO
from typing import Any

import numpy as np
import xarray as xr
from matplotlib import colormaps
from matplotlib.colors import to_rgb
from PIL import Image

from darts_mim.backtesting.result import BacktestResult
from darts_mim.grid.grid import Grid
from darts_mim.plotting import MISSING, in_print
from darts_mim.plotting.maps import axis_of, field_scale, frame_labels, frames_of, reach_of
from darts_mim.report.words import number

COLOURS = 120  # of a picture; a palette is a good part of a small file
MOST_STEPS = 12  # leads that are shown, evenly spread
MOST_PIXELS = 128  # to a side; larger grids are averaged over blocks


def film(result: BacktestResult, model: str, origin: Any, channels: tuple[Any, ...]) -> str:
    """A figure a lead; the page's script shows one at a time, with a slider."""
    leads = result.observed.sizes["lead_time"]
    shown = np.unique(np.linspace(0, leads - 1, min(leads, MOST_STEPS)).round().astype(int))
    forecast, truth = (
        one.sel(init_time=origin).isel(lead_time=shown) for one in (result.forecasts[model], result.observed)
    )
    strips = [_strip(forecast, truth, result.grid, channel) for channel in channels]
    labels = frame_labels(frames_of(truth, result.grid, channels[0]))
    steps: list[str] = []
    for number_, label in enumerate(labels):
        when, _, ahead = label.partition("\n")
        inside = "".join(strip[number_] for strip in strips)
        steps.append(
            f'<figure class="step" data-label="{escape(ahead)}"><figcaption>{escape(ahead)} · {escape(when)}'
            f'</figcaption><div class="channels">{inside}</div></figure>'
        )
    return f'<div class="film">{"".join(steps)}</div>'


def _strip(forecast: Any, truth: Any, grid: Grid, channel: Any) -> list[str]:
    """Of each lead: forecast, truth, difference, with their keys."""
    guess, true = (frames_of(one, grid, channel) for one in (forecast, truth))
    units = in_print(true.attrs["units"])
    difference = guess.values - true.values
    scale, reach = field_scale(guess.values, true.values), reach_of(difference)
    apart = {"vmin": -reach, "vmax": reach, "cmap": "RdBu_r"}
    rows = zip(guess.values, true.values, difference, strict=True)
    named = f'<p class="channel">{escape(str(channel))}</p>' if grid.n_channels > 1 else ""
    keys = f'<div class="trio keys">{_key(scale, units, "both")}{_key(apart, units, "", signed=True)}</div>'
    strip: list[str] = []
    for ours, theirs, left in rows:
        three = _panel("Forecast", ours, grid, scale), _panel("Truth", theirs, grid, scale)
        panels = "".join((*three, _panel("Difference", left, grid, apart)))
        strip.append(f'<div>{named}<div class="trio">{panels}</div>{keys}</div>')
    return strip


def _panel(name: str, field: np.ndarray, grid: Grid, scale: dict[str, Any]) -> str:
    shape = float(np.clip(grid.width / grid.height, 0.6, 2.5))
    return (
        f'<div><span>{name}</span><img class="cells" alt="Map of the {name.lower()}" '
        f'style="aspect-ratio:{shape:.3f}" src="{as_png(upright(field, grid), scale)}"></div>'
    )


def _key(scale: dict[str, Any], units: str, kind: str, *, signed: bool = False) -> str:
    """A bar of colours, and what its ends mean."""
    colours = colormaps[scale["cmap"]](np.linspace(0, 1, 9))
    stops = ",".join("#" + "".join(f"{round(255 * one):02x}" for one in colour[:3]) for colour in colours)
    low, high = number(scale["vmin"]), f"{'+' if signed else ''}{number(scale['vmax'])}"
    middle = escape(units if not signed else "0")
    return (
        f'<div class="key {kind}"><i style="background:linear-gradient(to right,{stops})"></i>'
        f"<span><span>{low}</span><span>{middle}</span><span>{high}</span></span></div>"
    )


def upright(field: np.ndarray, grid: Grid) -> np.ndarray:
    """Rows from top to bottom and columns from left to right, as a map of the coordinates has them."""
    row, column = (axis_of(grid, dim) for dim in grid.spatial_dims)
    if row is not None and len(row) > 1 and row[0] < row[-1]:
        field = field[::-1]
    if column is not None and len(column) > 1 and column[0] > column[-1]:
        field = field[:, ::-1]
    return field


def as_png(field: np.ndarray, scale: dict[str, Any]) -> str:
    """A picture of one pixel a cell as a data URI; NaN is grey.

    >>> as_png(np.array([[0.0, 1.0]]), {"vmin": 0.0, "vmax": 1.0, "cmap": "viridis"})[:30]
    'data:image/png;base64,iVBORw0K'
    """
    field = _coarse(field)
    span = scale["vmax"] - scale["vmin"] or 1.0
    place = np.clip((field - scale["vmin"]) / span, 0, 1) * (COLOURS - 1)
    index = np.where(np.isfinite(field), np.nan_to_num(place).round(), COLOURS).astype(np.uint8)
    colours = [*colormaps[scale["cmap"]](np.linspace(0, 1, COLOURS))[:, :3], to_rgb(MISSING)]
    image = Image.fromarray(index, "P")
    image.putpalette((np.array(colours) * 255).round().astype(np.uint8).tobytes())
    png = BytesIO()
    image.save(png, "png", optimize=True)
    return f"data:image/png;base64,{b64encode(png.getvalue()).decode()}"


def _coarse(field: np.ndarray) -> np.ndarray:
    """Means over square blocks, where there are more cells than are worth their size."""
    block = -(-max(field.shape) // MOST_PIXELS)
    if block == 1:
        return field
    array = xr.DataArray(field, dims=("row", "column"))
    return array.coarsen(row=block, column=block, boundary="pad").mean().values
