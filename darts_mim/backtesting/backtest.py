"""Score forecasters on the same origins, by lead time, whoever they are."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
import xarray as xr
from rich.progress import Progress

from darts_mim.backtesting.clock import Clock
from darts_mim.backtesting.forecasts import Forecaster, forecasts_of
from darts_mim.backtesting.result import BacktestResult, Series
from darts_mim.backtesting.scoring import statistics_of
from darts_mim.errors import GapError
from darts_mim.grid.grid import Grid
from darts_mim.grid.times import times_of
from darts_mim.metrics.names import named
from darts_mim.metrics.pointwise import Metric


def backtest(
    forecasters: Mapping[str, Forecaster | Series] | Forecaster,
    series: Series,
    *,
    start: Any,
    horizon: int,
    stride: int = 1,
    metrics: str | Metric | Sequence[str | Metric] = ("mse", "mae", "rmse"),
    time_dim: str | None = None,
    spatial_dims: tuple[str, str] | None = None,
    channel_dim: str | None = None,
    verbose: bool = False,
) -> BacktestResult:
    """Forecast again and again through ``series`` and score every model on the same origins.

    Nothing is fitted here: each forecaster sees, at every origin, the series up to it and no more.
    An origin that one of them cannot forecast from (a gap in what it reads) is scored for none.
    Frames that were not observed count for nobody. Sampled forecasts are scored by their mean.

    Args:
        forecasters: Fitted models by name, or one. A model has
            ``historical_forecasts(series, forecast_horizon=, start=, stride=)``, or only
            ``predict(n, series)``, which is then called at every origin. Forecasts that exist
            already, on ``(init_time, lead_time, ...)``, may stand in for a model.
        series: Training part and test part in one, so that the first test frames have a past.
            The variables of a Dataset are stacked as channels and scored together.
        start: Time of the first frame to be forecast; the first origin is one step before it.
        horizon: Frames forecast from each origin.
        stride: Steps from one origin to the next.
        metrics: Names, such as mse, nrmse or csi_30 (all of them: docs/metrics.md), or metrics of
            your own; the first decides.
        time_dim: Name of the time dim, if it cannot be told.
        spatial_dims: Names of rows and columns, if they cannot be told.
        channel_dim: Name of the channel dim, if it cannot be told.
        verbose: Show progress.

    Raises:
        GapError: If no origin is left that all of them can forecast from.
        GridDimsError: If forecasts lack ``init_time`` or ``lead_time``.
        TypeError: If one has no ``predict``, or there is none.
        GridMismatchError: If forecasts are on another grid or for other times than the series.

    >>> from darts_mim.baselines import Persistence
    >>> time = pd.date_range("2024-01-01", periods=8, freq="h")
    >>> rain = xr.DataArray(np.arange(48.0).reshape(8, 2, 3), {"time": time}, ("time", "y", "x"))
    >>> model = Persistence().fit(rain[:4])
    >>> result = backtest({"last frame": model}, rain, start=rain.time[4], horizon=2)
    >>> result.table("mae")
    lead_time   1 h   2 h  all leads
    model
    last frame  6.0  12.0        9.0
    """
    grid = Grid.of(series, time_dim=time_dim, spatial_dims=spatial_dims, channel_dim=channel_dim)
    if not isinstance(forecasters, Mapping):
        forecasters = {type(forecasters).__name__: forecasters}
    chosen = _metrics(metrics)
    _require_forecasters(forecasters)
    clock = Clock.of(series, grid, start=start, horizon=horizon, stride=stride)
    with Progress(disable=not verbose) as progress:
        offered = {
            name: forecasts_of(forecasters[name], series, grid, clock, name, progress)
            for name in progress.track(list(forecasters), description="Backtest")
        }
    origins = _common_origins(offered, clock)
    forecasts = {name: one.sel(init_time=origins) for name, one in offered.items()}
    observed = _observed(series, grid, clock, origins)
    return BacktestResult(
        grid=grid,
        metrics=chosen,
        forecasts=forecasts,
        observed=observed,
        statistics=statistics_of(chosen, forecasts, observed, grid),
        origins_offered={name: one.sizes["init_time"] for name, one in offered.items()},
        settings={
            "first frame forecast": str(clock.axis[clock.rows[0] + 1]),
            "horizon": f"{horizon} frames",
            "stride": f"{stride} frame{'s' if stride > 1 else ''}",
            **{name: _in_words(forecaster) for name, forecaster in forecasters.items()},
        },
    )


def _require_forecasters(forecasters: Mapping[str, Any]) -> None:
    given = (xr.DataArray, xr.Dataset)
    strange = [k for k, one in forecasters.items() if not (isinstance(one, given) or hasattr(one, "predict"))]
    if strange or not forecasters:
        came = f"{strange[0]!r} has no predict(n, series)" if strange else "No forecaster came"
        raise TypeError(f"{came}. Pass a fitted model, or several by name, e.g. {{'MIM': model}}.")


def _common_origins(offered: Mapping[str, Series], clock: Clock) -> pd.DatetimeIndex:
    common = clock.axis[clock.rows]
    for forecasts in offered.values():
        common = common[common.isin(forecasts.indexes["init_time"])]
    if not len(common):
        counts = {name: one.sizes["init_time"] for name, one in offered.items()}
        raise GapError(
            f"No origin from {clock.start} on is common to all; they forecast from this many: "
            f"{counts}. Start later, or leave out the one with too few."
        )
    return common


def _observed(series: Series, grid: Grid, clock: Clock, origins: pd.DatetimeIndex) -> Series:
    """What happened at the times that were forecast, in the forecasts' layout."""
    valid = clock.valid_times(clock.axis.get_indexer(origins))
    at = times_of(series, grid.time_dim).get_indexer(valid.ravel())
    missing = at < 0
    if missing.all():
        raise GapError(f"No frame from {clock.start} on was observed, so nothing can be scored.")
    first = at[~missing].min()
    values = grid.components(series.isel({grid.time_dim: slice(first, at.max() + 1)}))
    values = values[np.where(missing, 0, at - first)]
    if missing.any():
        values = np.where(missing[:, None], np.float32(np.nan), values)
    return grid.forecasts(values.reshape(*valid.shape, -1), origins.values, clock.lead_times, valid)


def _metrics(metrics: str | Metric | Sequence[str | Metric]) -> tuple[Metric, ...]:
    if isinstance(metrics, str | Metric):
        metrics = [metrics]
    if not metrics:
        raise ValueError("No metric came. Pass at least one, e.g. metrics=['mse'].")
    return tuple(_metric(metric) for metric in metrics)


def _metric(metric: str | Metric) -> Metric:
    chosen = metric if isinstance(metric, Metric) else named(metric)
    if chosen.sampled:
        raise ValueError(
            f"metric={chosen.name!r} is not known to a backtest, which scores the mean of samples. Score "
            f"the samples themselves: {chosen.name}(forecast, truth, dims=...), as in darts_mim.metrics."
        )
    return chosen


def _in_words(forecaster: Any) -> str:
    if isinstance(forecaster, xr.DataArray | xr.Dataset):
        return "forecasts given"
    return " ".join(repr(forecaster).split())
