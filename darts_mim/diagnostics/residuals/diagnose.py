"""What a model's errors still hold: memory in time, likeness in space, bias, and a trend."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import xarray as xr
from scipy import stats

from darts_mim.backtesting.result import BacktestResult
from darts_mim.diagnostics.residuals.forecast_errors import (
    ForecastErrors,
    errors_of_backtest,
    errors_of_forecasts,
)
from darts_mim.diagnostics.residuals.ljung_box import ljung_box
from darts_mim.diagnostics.residuals.trend import hac_mean, hac_trend
from darts_mim.diagnostics.spatial import morans_i
from darts_mim.grid.grid import Grid
from darts_mim.grid.times import lead_times, positive
from darts_mim.metrics.pointwise import mse

if TYPE_CHECKING:
    from matplotlib.figure import Figure

Series = xr.DataArray | xr.Dataset
Found = dict[str, tuple[tuple[str, ...], np.ndarray]]  # by variable: its dims and values

LEVEL = 0.05  # of every test, and the false discovery rate among cells
DAY = np.timedelta64(1, "D")
BLOCK = 2**17  # values of cells' series worked on together: they stay in the processor's cache
# What each variable is, and in which units: of what is forecast, squared, or per day.
MEANING = {
    "ljung_box_statistic": ("Ljung-Box statistic of the lags that the lead does not explain", "1"),
    "ljung_box_freedom": ("Degrees of freedom of the Ljung-Box statistic", "1"),
    "ljung_box_pvalue": ("p-value of the Ljung-Box test", "1"),
    "whiteness_rejected": ("Errors are autocorrelated, false discovery rate 5 %", "1"),
    "share_rejected": ("Share of cells whose errors are autocorrelated", "1"),
    "lag1_autocorrelation": ("Autocorrelation at the first lag that the lead does not explain", "1"),
    "mean_autocorrelation": ("Autocorrelation, mean over cells", "1"),
    "morans_i": ("Moran's I of the standardised errors, mean over time", "1"),
    "morans_i_expected": ("Moran's I if neighbours were not alike", "1"),
    "morans_i_share_positive": ("Share of times at which Moran's I is significantly positive", "1"),
    "bias": ("Mean of forecast minus observed", "{u}"),
    "bias_t": ("t statistic of the bias, robust to autocorrelation", "1"),
    "bias_pvalue": ("p-value of the bias", "1"),
    "bias_rejected": ("Forecasts are biased, false discovery rate 5 %", "1"),
    "mean_error": ("Forecast minus observed, mean over cells", "{u}"),
    "mean_squared_error": ("Squared error, mean over cells", "{u2}"),
    "error_trend": ("Trend of the mean error", "{u} per day"),
    "error_trend_t": ("t statistic of the trend of the mean error, robust to autocorrelation", "1"),
    "error_trend_pvalue": ("p-value of the trend of the mean error", "1"),
    "squared_error_trend": ("Trend of the mean squared error", "{u2} per day"),
    "squared_error_trend_t": ("t statistic of that trend, robust to autocorrelation", "1"),
    "squared_error_trend_pvalue": ("p-value of the trend of the mean squared error", "1"),
}


@dataclass(frozen=True, kw_only=True, repr=False, eq=False)
class ResidualDiagnosis:
    """What :func:`diagnose_residuals` found; ``diagnosis["morans_i"]`` is one variable of it."""

    dataset: xr.Dataset  # each variable says what it is in its attribute long_name
    grid: Grid
    model: str  # whose errors these are

    def __getitem__(self, name: str) -> xr.DataArray:
        """One variable of the dataset."""
        if name not in self.dataset:
            raise KeyError(f"{name!r} was not diagnosed. Choose from {list(self.dataset.data_vars)}.")
        return self.dataset[name]

    def summary(self) -> str:
        """What it means, in sentences."""
        from darts_mim.diagnostics.residuals.summary import in_words

        return in_words(self)

    __repr__ = summary

    def plot(self, *, channel: Any = None) -> "Figure":
        """See :func:`darts_mim.diagnostics.residuals.plot.plot_residuals`."""
        from darts_mim.diagnostics.residuals import plot as plot_residuals

        return plot_residuals.plot_residuals(self, channel=channel)


def diagnose_residuals(
    forecasts: BacktestResult | Series,
    observed: Series | None = None,
    *,
    model: str | None = None,
    grid: Grid | None = None,
    lags: int | None = None,
    neighbours: str = "rook",
) -> ResidualDiagnosis:
    """Look for what a model left in its errors, forecast minus observed, lead by lead.

    In time: errors of a perfect forecast h steps ahead are autocorrelated up to lag h - 1 and no
    further. Each cell is tested on the lags from h on (:func:`.ljung_box.ljung_box`), and the cells
    of one lead share a false discovery rate of 5 %. In space: Moran's I of each field of errors,
    each cell's divided by its root mean squared error, so that the busiest cells do not speak for
    all. Bias: the mean error of each cell. Trend: the slope of the mean error and of the mean squared
    error of all cells. Their t statistics take 1.3 sqrt(origins) neighbours for correlated.

    Times without a forecast are gaps, and nothing is said of cells that were never observed: NaN.

    Args:
        forecasts: A backtest, or forecasts on ``(init_time, lead_time, ...)`` with ``valid_time``.
            Samples are judged by their mean.
        observed: The series, with those times; None with a backtest, which has it.
        model: Which model of the backtest; default: the first. A name for other forecasts.
        grid: Of the series; told from ``observed``.
        lags: How many lags are tested together; default: 10, and at most a fifth of the origins.
        neighbours: ``"rook"`` or ``"queen"``, see :func:`darts_mim.diagnostics.spatial.morans_i`.

    Returns:
        On ``lead_time``, the channel if there is one, and the grid's rows and columns: the
        variables that its ``dataset`` lists. The coordinate ``first_lag`` is the first lag tested, in
        steps from one origin to the next.

    Raises:
        GapError: If no forecast was for a time that was observed.
        GridDimsError: If forecasts lack ``init_time``, ``lead_time`` or ``valid_time``.
        GridMismatchError: If forecasts and series are on different grids.
        TimeAxisError: If the init times are not on a regular step.
        TooShortError: If there are fewer than two origins.
        ValueError: If there is no such model, or the series is given with a backtest or not without.

    Source:
        False discovery rate: Benjamini and Hochberg (1995), J. R. Stat. Soc. B 57, 289-300; on
        grids: Wilks (2016), Bull. Am. Meteorol. Soc. 97, 2263-2273. Others: see the functions named.

    >>> import pandas as pd
    >>> time = pd.date_range("2024-01-01", periods=201, freq="h")
    >>> rain = np.random.default_rng(0).normal(size=(201, 4, 3))
    >>> rain = xr.DataArray(rain, {"time": time}, ("time", "y", "x"))
    >>> last = rain[:-1].rename(time="init_time").expand_dims(lead_time=time[1:2] - time[0], axis=1)
    >>> last = last.assign_coords(valid_time=last.init_time + last.lead_time)
    >>> diagnosis = diagnose_residuals(last, rain)
    >>> diagnosis["share_rejected"].item()
    1.0
    >>> diagnosis["lag1_autocorrelation"].mean().round(1).item()
    -0.5
    """
    errors = (
        errors_of_backtest(forecasts, observed, model=model)
        if isinstance(forecasts, BacktestResult)
        else errors_of_forecasts(forecasts, observed, model=model, grid=grid)
    )
    n = len(errors.axis)
    lags = max(1, min(10, n // 5)) if lags is None else positive(lags, "lags")
    parts = [
        _of_lead(errors, lead, first_lag, lags, neighbours)
        for lead, first_lag in enumerate(errors.first_lags)
    ]
    return ResidualDiagnosis(dataset=_labelled(parts, errors), grid=errors.grid, model=errors.model)


def _of_lead(errors: ForecastErrors, lead: int, first_lag: int, lags: int, neighbours: str) -> Found:
    """Every variable of one lead, with its dims."""
    channel, *cell = errors.grid.canonical_dims
    field, cells = (channel,), (channel, *cell)
    e = errors.values[:, lead].astype(float)
    shape, n = e.shape[1:], len(e)
    series = np.moveaxis(e, 0, -1).reshape(-1, n)
    max_lag = max(first_lag, round(1.3 * n**0.5))
    size = max(1, BLOCK // n)
    blocks = [series[start : start + size] for start in range(0, len(series), size)]
    parts = [_of_cells(block, first_lag, lags, max_lag) for block in blocks]
    by_cell = {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}
    r = by_cell.pop("autocorrelation").reshape(shape[0], -1, first_lag + lags - 1)
    found = {name: (cells, values.reshape(shape)) for name, values in by_cell.items()}
    rejected = _rejected(found["ljung_box_pvalue"][1])
    found["whiteness_rejected"] = cells, rejected
    found["bias_rejected"] = cells, _rejected(found["bias_pvalue"][1])
    found["share_rejected"] = field, _mean(rejected, (1, 2))
    found["mean_autocorrelation"] = (channel, "lag"), _mean(r, (1,))
    found |= {name: (field, values) for name, values in _in_space(e, neighbours).items()}
    squared = e * e
    of_time = {"mean_error": _mean(e, (2, 3)), "mean_squared_error": _mean(squared, (2, 3))}
    found |= {name: (("init_time", channel), values) for name, values in of_time.items()}
    days = np.asarray((errors.axis - errors.axis[0]) / DAY)
    for name, values in zip(("error", "squared_error"), of_time.values(), strict=True):
        trend = hac_trend(values.T, days, max_lag=max_lag)
        found[f"{name}_trend"] = field, trend.value
        found[f"{name}_trend_t"] = field, trend.t
        found[f"{name}_trend_pvalue"] = field, trend.p_value
    return found


def _of_cells(series: np.ndarray, first_lag: int, lags: int, max_lag: int) -> dict[str, np.ndarray]:
    """What is told of each cell alone, from (cell, origin)."""
    bias = hac_mean(series, max_lag=max_lag)
    found = {"bias": bias.value, "bias_t": bias.t, "bias_pvalue": bias.p_value}
    last = first_lag + lags - 1
    if last >= series.shape[1]:  # too few origins to tell
        nothing = np.full(len(series), np.nan)
        names = ("ljung_box_statistic", "ljung_box_freedom", "ljung_box_pvalue", "lag1_autocorrelation")
        return {
            **found,
            **dict.fromkeys(names, nothing),
            "autocorrelation": np.full((len(series), last), np.nan),
        }
    white = ljung_box(series, lags=lags, first_lag=first_lag)
    return {
        **found,
        "ljung_box_statistic": white.statistic,
        "ljung_box_freedom": white.freedom,
        "ljung_box_pvalue": white.p_value,
        "lag1_autocorrelation": white.autocorrelation[:, first_lag - 1],
        "autocorrelation": white.autocorrelation,
    }


def _in_space(e: np.ndarray, neighbours: str) -> dict[str, np.ndarray]:
    """Moran's I of (origin, channel, row, column), over the origins."""
    size = np.sqrt(_mean(e * e, (0,)))
    i = morans_i(e / np.where(size > 0, size, np.nan), neighbours=neighbours)
    positive = np.where(np.isfinite(i.value), i.z > stats.norm.isf(LEVEL), np.nan)
    return {
        "morans_i": _mean(i.value, (0,)),
        "morans_i_expected": _mean(i.expected, (0,)),
        "morans_i_share_positive": _mean(positive, (0,)),
    }


def _mean(values: np.ndarray, axis: tuple[int, ...]) -> np.ndarray:
    """Mean of what is not NaN; NaN where there is nothing."""
    known = np.isfinite(values)
    total, n = np.where(known, values, 0.0).sum(axis=axis), known.sum(axis=axis)
    return np.divide(total, n, out=np.full(n.shape, np.nan), where=n > 0)


def _rejected(p_values: np.ndarray) -> np.ndarray:
    """1 where rejected with a false discovery rate of 5 % a channel, 0 where not, NaN where not tested."""
    rejected = np.full(p_values.shape, np.nan)
    for p, out in zip(p_values, rejected, strict=True):
        known = np.isfinite(p)
        out[known] = stats.false_discovery_control(p[known]) <= LEVEL if known.any() else np.nan
    return rejected


def _labelled(parts: list[Found], errors: ForecastErrors) -> xr.Dataset:
    grid, channel = errors.grid, errors.grid.canonical_dims[0]
    n_lags = max(part["mean_autocorrelation"][1].shape[-1] for part in parts)
    units = {"u": errors.units, "u2": mse.units(errors.units)}
    variables = {}
    for name, (meaning, unit) in MEANING.items():
        dims, leads = parts[0][name][0], [part[name][1] for part in parts]
        if "lag" in dims:  # later leads are followed further
            short = [((0, 0), (0, n_lags - one.shape[-1])) for one in leads]
            leads = [
                np.pad(one, more, constant_values=np.nan) for one, more in zip(leads, short, strict=True)
            ]
        attrs = {"long_name": meaning, "units": unit.format(**units).strip()}
        variables[name] = xr.Variable(("lead_time", *dims), np.stack(leads), attrs)
    dataset = xr.Dataset(variables)
    if grid.channel_dim is None and grid.variables is None:
        dataset = dataset.isel({channel: 0})
    elif grid.channel_dim is None or channel not in grid.coords:
        dataset = dataset.assign_coords({channel: list(grid.channels)})
    own = {name: coord for name, coord in grid.coords.coords.items() if name not in dataset.coords}
    dataset = dataset.assign_coords(own).assign_coords(
        lead_time=errors.lead_time.variable,
        init_time=errors.axis,
        lag=lead_times(errors.step, n_lags),
        first_lag=("lead_time", list(errors.first_lags)),
    )
    return dataset.transpose("init_time", "lead_time", ...)
