"""Score forecasters on the same origins, by lead time, whoever they are."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import pandas as pd
import xarray as xr
from rich.progress import Progress

from darts_mim.backtest_result import BacktestResult, Series, lead_labels
from darts_mim.errors import GapError, GridDimsError, GridMismatchError, TooShortError
from darts_mim.grid.grid import Grid
from darts_mim.grid.times import lead_times, moment, origin_rows, regular_axis, step_of, times_of
from darts_mim.metrics.names import named
from darts_mim.metrics.pointwise import Metric, Statistic

BLOCK = 2**20  # cells


class Forecaster(Protocol):
    """What :func:`backtest` asks of a fitted model. It may have ``historical_forecasts`` too."""

    def predict(self, n: int, series: Any = None) -> Any:
        """The ``n`` frames after ``series``."""
        ...


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
    clock = _Clock.of(series, grid, start=start, horizon=horizon, stride=stride)
    with Progress(disable=not verbose) as progress:
        offered = {
            name: _forecasts(forecasters[name], series, grid, clock, name, progress)
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
        statistics=_statistics(chosen, forecasts, observed, grid),
        origins_offered={name: one.sizes["init_time"] for name, one in offered.items()},
        settings={
            "first frame forecast": str(clock.axis[clock.rows[0] + 1]),
            "horizon": f"{horizon} frames",
            "stride": f"{stride} frame{'s' if stride > 1 else ''}",
            **{name: _in_words(forecaster) for name, forecaster in forecasters.items()},
        },
    )


@dataclass(frozen=True, kw_only=True)
class _Clock:
    """The regular time axis of the series, and the rows on it to forecast from."""

    axis: pd.DatetimeIndex
    rows: np.ndarray
    horizon: int
    start: pd.Timestamp
    stride: int

    @property
    def lead_times(self) -> np.ndarray:
        return lead_times(step_of(self.axis), self.horizon)

    @classmethod
    def of(cls, series: Series, grid: Grid, *, start: Any, horizon: int, stride: int) -> "_Clock":
        axis, start = regular_axis(times_of(series, grid.time_dim)), moment(start, "start")
        rows = origin_rows(axis, start=start, horizon=horizon, stride=stride)
        return cls(axis=axis, rows=rows, horizon=horizon, start=start, stride=stride)

    def valid_times(self, rows: np.ndarray) -> np.ndarray:
        """(origin, lead): the times of the frames forecast from ``rows``."""
        return self.axis.values[rows[:, None] + np.arange(1, self.horizon + 1)]


def _require_forecasters(forecasters: Mapping[str, Any]) -> None:
    given = (xr.DataArray, xr.Dataset)
    strange = [k for k, one in forecasters.items() if not (isinstance(one, given) or hasattr(one, "predict"))]
    if strange or not forecasters:
        came = f"{strange[0]!r} has no predict(n, series)" if strange else "No forecaster came"
        raise TypeError(f"{came}. Pass a fitted model, or several by name, e.g. {{'MIM': model}}.")


def _forecasts(
    forecaster: Any, series: Series, grid: Grid, clock: _Clock, name: str, progress: Progress
) -> Series:
    if isinstance(forecaster, xr.DataArray | xr.Dataset):
        return _given(forecaster, clock, name)
    if hasattr(forecaster, "historical_forecasts"):
        return forecaster.historical_forecasts(
            series, forecast_horizon=clock.horizon, start=clock.start, stride=clock.stride
        )
    return _predict_each(forecaster, series, grid, clock, name, progress)


def _given(forecasts: Series, clock: _Clock, name: str) -> Series:
    """Forecasts made elsewhere, checked: they say from when and for when they are."""
    for dim in ("init_time", "lead_time"):
        if dim not in forecasts.dims or dim not in forecasts.indexes:
            raise GridDimsError(
                f"Forecasts of {name!r} have the dims {tuple(forecasts.dims)}; wanted are init_time and "
                f"lead_time with their labels, besides those of the series. Add them, e.g. "
                f".assign_coords({dim}=...) or .expand_dims({dim}=[...])."
            )
    if not forecasts.indexes["init_time"].is_unique:
        raise GridMismatchError(
            f"Several forecasts of {name!r} were made at one init_time. Keep one of each, e.g. "
            f".drop_duplicates('init_time'), or put them along a dim realization."
        )
    came = forecasts["lead_time"]
    if not np.array_equal(came.values, clock.lead_times):
        wanted = lead_labels(xr.DataArray(clock.lead_times))
        raise GridMismatchError(
            f"Forecasts of {name!r} have the lead_time {lead_labels(came)}; horizon={clock.horizon} wants "
            f"{wanted}. Select these, e.g. .sel(lead_time=...), or label them so."
        )
    return forecasts


def _predict_each(
    forecaster: Forecaster, series: Series, grid: Grid, clock: _Clock, name: str, progress: Progress
) -> Series:
    times = times_of(series, grid.time_dim)
    rows = clock.rows[np.isin(clock.axis[clock.rows], times)]
    made: dict[int, Any] = {}
    for row in progress.track(rows, description=name):
        past = series.isel({grid.time_dim: slice(0, int(times.searchsorted(clock.axis[row])) + 1)})
        try:
            made[row] = forecaster.predict(clock.horizon, past)
        except (GapError, TooShortError):
            continue
    if not made:
        raise GapError(
            f"{name!r} could forecast from none of {len(rows)} origins: what it reads before each "
            f"is too short or touches a gap. Start later."
        )
    rows = np.array(list(made))
    for one, valid in zip(made.values(), clock.valid_times(rows), strict=True):
        if not np.array_equal(one[grid.time_dim].values, valid):
            raise GridMismatchError(
                f"{name!r} forecast the times {one[grid.time_dim].values}, where {valid} were "
                f"wanted: the {clock.horizon} frames after the series it was given."
            )
    frames = [
        one.rename({grid.time_dim: "lead_time"}).assign_coords(lead_time=clock.lead_times)
        for one in made.values()
    ]
    joined = xr.concat(frames, pd.Index(clock.axis[rows], name="init_time"), join="exact")
    valid_time = (("init_time", "lead_time"), clock.valid_times(rows))
    return joined.assign_coords(valid_time=valid_time).transpose("init_time", "lead_time", ...)


def _common_origins(offered: Mapping[str, Series], clock: _Clock) -> pd.DatetimeIndex:
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


def _observed(series: Series, grid: Grid, clock: _Clock, origins: pd.DatetimeIndex) -> Series:
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


def _statistics(
    metrics: Sequence[Metric], forecasts: Mapping[str, Series], observed: Series, grid: Grid
) -> dict[str, Statistic]:
    """By metric, on (model, init_time, lead_time, channel)."""
    truth = _canonical(observed, grid)
    fields = [_canonical(forecast, grid) for forecast in forecasts.values()]
    # Some origins at a time: what scoring makes along the way then fits in the processor's cache.
    step = max(1, BLOCK // truth[0].size)
    blocks = [slice(first, first + step) for first in range(0, len(truth), step)]
    models = pd.Index(list(forecasts), name="model")

    def of_one(metric: Metric, field: xr.DataArray) -> Statistic:
        parts = [metric.statistic(field[block], truth[block], grid.spatial_dims) for block in blocks]
        return _joined(parts, "init_time")

    return {metric.name: _joined([of_one(metric, field) for field in fields], models) for metric in metrics}


def _joined(parts: Sequence[Statistic], dim: Any) -> Statistic:
    values, weights = (
        xr.concat([array.reset_coords(drop=True) for array in arrays], dim, join="exact")
        for arrays in ([part.value for part in parts], [part.weight for part in parts])
    )
    return Statistic(value=values, weight=weights)


def _canonical(forecast: Series, grid: Grid) -> xr.DataArray:
    array = grid.canonical(forecast)
    array = array.mean("realization") if "realization" in array.dims else array
    dim = grid.canonical_dims[0]  # a coordinate named "channel" would be in its way
    return array if dim == "channel" else array.drop_vars("channel", errors="ignore").rename({dim: "channel"})


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
