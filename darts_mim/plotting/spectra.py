"""How blurred are forecasts? Their power by wavelength, over that of the truth."""

import numpy as np
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.ticker import NullLocator

from darts_mim.backtesting.lead_labels import lead_labels
from darts_mim.backtesting.result import BacktestResult
from darts_mim.backtesting.scoring import statistics_of
from darts_mim.metrics.spectrum import PowerSpectrumRatio
from darts_mim.plotting.lines import as_logarithm, colours_of, line_of, name_ends
from darts_mim.plotting.style import INK, axes_of, dress
from darts_mim.plotting.thinning import thinned

MOST_CELLS = 2_000_000  # of one model that are looked at
MARKED = 12  # wavelengths, up to which each has a marker
SHARP = 0.5  # of it, above which a plain scale serves best
LEAST = 0.003  # of the truth's power, below which nothing is drawn


def power_ratios(result: BacktestResult, *, lead: int = -1) -> tuple[xr.DataArray, int]:
    """Power of each model's forecasts at one lead over that of the truth, and from how many forecasts.

    Origins are left out, evenly, where they are many. Channels are pooled, as in
    :class:`darts_mim.metrics.spectrum.PowerSpectrumRatio`.

    Returns:
        Dimensionless on ``(model, wavelength)``, in cells; NaN if no field was observed in all its cells.
    """
    forecasts, observed = thinned(result, MOST_CELLS, leads=[lead])
    metric = PowerSpectrumRatio()
    counted = statistics_of([metric], forecasts, observed, result.grid)[metric.name]
    pooled = [dim for dim in counted.value.dims if dim in ("init_time", "lead_time", "channel")]
    return metric.score(counted.sum(pooled)).transpose("model", "wavelength"), observed.sizes["init_time"]


def plot_spectra(result: BacktestResult, *, lead: int = -1, ax: Axes | None = None) -> Axes:
    """Power of each model's forecasts by wavelength, over that of the truth: below 100 % it is blurred.

    Args:
        result: What :func:`darts_mim.backtesting.backtest.backtest` returned.
        lead: Position of the lead; default: the last, where forecasts are most blurred.
        ax: Where to draw; None: a new figure of pyplot's.

    >>> from darts_mim.backtesting.backtest import backtest
    >>> from darts_mim.baselines import Persistence
    >>> from darts_mim.plotting import panel
    >>> import pandas as pd
    >>> time = pd.date_range("2024-01-01", periods=48, freq="6h")
    >>> rain = np.random.default_rng(0).normal(size=(48, 8, 9))
    >>> rain = xr.DataArray(rain, {"time": time}, ("time", "y", "x"))
    >>> result = backtest(Persistence().fit(rain), rain, start=time[4], horizon=2)
    >>> figure, axes = panel()
    >>> plot_spectra(result, ax=axes).get_title(loc="left")
    'Sharpness 12 h ahead'
    """
    ratios, n = power_ratios(result, lead=lead)
    axes = axes_of(ax)
    ahead = lead_labels(result.scores["lead_time"])[lead]
    few = f"; {n:,} of {result.n_origins:,} forecasts" if n < result.n_origins else ""
    dress(
        axes, f"Sharpness {ahead} ahead", f"Power by wavelength, over the truth's{few}", "Wavelength, cells"
    )
    axes.axhline(1, color=INK, linewidth=1)
    lengths = ratios["wavelength"].values
    for name in ratios["model"].values:
        line = line_of(name, result.models, marked=len(lengths) <= MARKED)
        axes.plot(lengths, ratios.sel(model=name).clip(LEAST), **line)
    known = ratios.values[np.isfinite(ratios.values)]
    low = max(float(known.min()), LEAST) if known.size else LEAST
    axes.set_xscale("log")
    axes.set_xlim(lengths[0] * 1.05, lengths[-1] / 1.05)  # from long waves to short ones
    ticks = [size for size in (2, 3, 4, 6, 8, 12, 16, 24, 32, 64, 128, 256) if size <= lengths[0]]
    axes.set_xticks(ticks, [str(size) for size in ticks])
    axes.xaxis.set_minor_locator(NullLocator())
    high = max(1.0, float(known.max()) if known.size else 1.0)
    if low > SHARP:
        axes.set_ylim(low - 0.05, high + 0.05)
    else:
        as_logarithm(axes)
        axes.set_ylim(0.8 * low, 1.25 * high)
    axes.yaxis.set_major_formatter(lambda share, _: f"{100 * share:.4g} %")
    ends = {str(m): (float(lengths[-1]), float(ratios.sel(model=m)[-1])) for m in ratios["model"].values}
    name_ends(axes, ends, colours_of(ratios, result.models))
    return axes
