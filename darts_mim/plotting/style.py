"""What all pictures share: colours, a plain panel, and how times, units and scales are said."""

from collections.abc import Sequence
from typing import Any, cast

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from darts_mim.metrics.metric import Metric

# Okabe and Ito's colours, which the colour-blind can tell apart; the model of interest comes first.
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#4d4d4d")
MARKERS = "osD^vPX"
INK, MUTED, RULE, MISSING = "#1f2933", "#616e7c", "#e4e7eb", "#cbd2d9"
MOST_TICKS = 8
PANEL = (5.6, 3.5)  # inches
DAYS = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")
MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")


def panel(width: float = PANEL[0], height: float = PANEL[1]) -> tuple[Figure, Axes]:
    """A figure of one panel, in inches, that no global state holds on to."""
    figure = Figure(figsize=(width, height), dpi=170, layout="constrained")
    return figure, figure.subplots()


def axes_of(ax: Axes | None, *, width: float = PANEL[0], height: float = PANEL[1]) -> Axes:
    """Where to draw: what was passed, else a new figure of pyplot's, which a notebook shows."""
    if ax is not None:
        return ax
    from matplotlib import pyplot  # chooses a backend, which who passes ``ax`` has no need of

    _, made = pyplot.subplots(figsize=(width, height), layout="constrained")
    return made


def dress(axes: Axes, title: str, subtitle: str, below: str) -> None:
    """Title and subtitle at the left, no frame, faint lines at the ticks, what x is below."""
    axes.set_title(title, loc="left", fontsize=12.5, fontweight="bold", color=INK, pad=26)
    axes.annotate(subtitle, (0, 1), (0, 9), "axes fraction", "offset points", fontsize=9.5, color=MUTED)
    axes.spines[["top", "right", "left"]].set_visible(False)
    axes.spines["bottom"].set_color(MUTED)
    axes.grid(axis="y", color=RULE, linewidth=0.8)
    axes.set_axisbelow(True)
    axes.tick_params(colors=MUTED, labelsize=9.5, length=0, pad=6)
    axes.set_xlabel(below, fontsize=10, color=MUTED, loc="left")


def colour_of(name: str, models: Sequence[str]) -> str:
    """A model's colour, the same in all pictures."""
    return COLOURS[list(models).index(name) % len(COLOURS)]


def score_scale(values: np.ndarray, metric: Metric, *, outside: float = 0.01) -> dict[str, Any]:
    """Limits and colours for a map of scores: pale is good, and 0 unless all scores are far from it.

    A share ``outside`` of the scores may lie beyond the limits.

    >>> from darts_mim.metrics.pointwise import bias, mae
    >>> score_scale(np.array([0.1, 2.0]), mae)["vmin"], score_scale(np.array([-1.0, 2.0]), bias)["vmin"]
    (0.0, -1.99)
    """
    known = values[np.isfinite(values)]
    if not known.size:
        return {"vmin": 0.0, "vmax": 1.0, "cmap": "YlOrBr"}
    low, high = (float(end) for end in np.quantile(known, [outside, 1 - outside]))
    if metric.perfect == 0 and known.min() >= 0:
        start = 0.0 if low < high / 2 or low == high else low
        return {"vmin": start, "vmax": high or 1.0, "cmap": "YlOrBr"}
    if metric.perfect == 0:
        reach = float(np.quantile(np.abs(known), 1 - outside)) or 1.0
        return {"vmin": -reach, "vmax": reach, "cmap": "RdBu_r"}
    good_is_high = metric.perfect >= known.max()
    high = high if high > low else low + 1.0
    return {"vmin": low, "vmax": high, "cmap": "YlOrBr_r" if good_is_high else "YlOrBr"}


def beyond(values: np.ndarray, scale: dict[str, Any]) -> str:
    """On which sides values lie beyond a scale, as a colour bar shows it."""
    known = values[np.isfinite(values)]
    below, above = bool((known < scale["vmin"]).any()), bool((known > scale["vmax"]).any())
    return "both" if below and above else "min" if below else "max" if above else "neither"


def in_print(units: str) -> str:
    """Units with raised digits: ``mm^2`` as mm²."""
    return units.replace("^2", "²").replace("degC", "°C")


def said_time(when: Any) -> str:
    """A time as a reader says it.

    >>> said_time("2016-01-23 14:30"), said_time(np.datetime64("2016-01-23"))
    ('Sat 23 Jan 2016, 14:30', 'Sat 23 Jan 2016')
    """
    time = cast(pd.Timestamp, pd.Timestamp(when))
    clock = "" if time == time.normalize() else f", {time:%H:%M}"
    return f"{time:%a} {time.day} {time:%b %Y}{clock}"


def said_hour(hour: float) -> str:
    """An hour of the day as a clock shows it.

    >>> said_hour(8.5), said_hour(24.0)
    ('08:30', '24:00')
    """
    minutes = round(60 * float(hour))
    return f"{minutes // 60:02d}:{minutes % 60:02d}"
