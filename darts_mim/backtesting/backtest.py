"""Score forecasters on the same origins, by lead time, whoever they are."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import xarray as xr

from darts_mim.backtesting.clock import Clock, Walk
from darts_mim.backtesting.folds import folds_of, require_fits, table_of
from darts_mim.backtesting.forecasts import Forecaster, can_sample, require_forecasts
from darts_mim.backtesting.jobs import jobs_of, run_all
from darts_mim.backtesting.leaks import require_trained_before, warn_if_known
from darts_mim.backtesting.result import BacktestResult, Series
from darts_mim.backtesting.scoring import statistics_of
from darts_mim.backtesting.settings import settings_in_words
from darts_mim.backtesting.store import Store
from darts_mim.errors import GapError
from darts_mim.grid.grid import Grid
from darts_mim.grid.lazy import as_dask, is_lazy
from darts_mim.grid.times import positive
from darts_mim.metrics.names import named
from darts_mim.metrics.pointwise import Metric
from darts_mim.stores.forecast_store import origins_at_once


def backtest(
    forecasters: Mapping[str, Forecaster | Series] | Forecaster,
    series: Series,
    *,
    start: Any,
    horizon: int,
    stride: int = 1,
    metrics: str | Metric | Sequence[str | Metric] = ("mse", "mae", "rmse"),
    refit_every: int | None = None,
    train_length: int | None = None,
    gap: int = 0,
    num_samples: int = 1,
    store: str | Path | None = None,
    parallel: bool = False,
    time_dim: str | None = None,
    spatial_dims: tuple[str, str] | None = None,
    channel_dim: str | None = None,
    verbose: bool = False,
) -> BacktestResult:
    """Forecast again and again through ``series`` and score every model on the same origins.

    Each forecaster sees, at every origin, the series up to it and no more. An origin that one of them cannot
    forecast from (a gap in what it reads) is scored for none. Frames that were not observed count for nobody.
    Metrics of samples or quantiles score them as they are, all others their mean or median.

    **Fixed models or refits.** By default nothing is fitted: fitted models are scored as they are. With
    ``refit_every`` the origins are cut into folds of that many. For each fold a copy of every forecaster that
    has learnt nothing, scalers and all, is fitted on the frames before its first origin, and forecasts from
    its origins. No frame that is scored in a fold was fitted on for it. Forecasts that came as arrays stay.

    **Leaks are errors.** A fixed model that was fitted on frames that it is scored on, and a model whose
    ``historical_forecasts`` change when the frames after an origin do, raise ``LeakError``. The latter is
    looked at from three origins; what was only ever shown the past is not. Forecasts that came as
    arrays cannot be asked again: those that hit the truth in all cells give a ``LeakWarning``. Nothing can be
    seen of a model that does not say until when it was fitted, such as one that was loaded from a file, nor
    of one that learnt from another source of the same truth.

    **Long backtests.** With ``store``, a folder, the forecasts of each forecaster and fold are kept there
    as they are made, a block of origins at a time, and read again by the next run that asks for the same:
    the same values and coordinates, models, folds, horizon, versions. So a run that was stopped goes on, and
    a run with one forecaster or metric more makes that one alone. What was made of anything else is never
    read.
    With ``parallel`` forecasters and folds are dask tasks, and the same comes out.

    **More than fits in memory.** A series that is not in memory is never loaded whole: a forecaster is shown
    it as it is, the truth in the result is lazy, and the metrics read it block by block. With ``store``
    forecasts stay there, too, and the result reads them when they are asked for, so that the folder is needed
    as long as the result is. Without it all forecasts are in memory: give one where they do not fit. A lazy
    series is told from others by where it is stored, its sizes and its coordinates: where its values have
    changed on the disk, take another folder.

    Args:
        forecasters: Models by name, or one; fitted, unless ``refit_every`` says to fit them. A model has
            ``historical_forecasts(series, forecast_horizon=, start=, stride=)``, or only
            ``predict(n, series)``, which is then called at every origin, and for refits ``fit(series)`` and a
            way to be cloned. darts' own models may be passed as they are, see ``DartsForecaster``. Forecasts
            that exist already, on ``(init_time, lead_time, ...)``, may stand in for a model.
        series: Training part and test part in one, so that the first test frames have a past.
            The variables of a Dataset are stacked as channels and scored together.
        start: Time of the first frame to be forecast; the first origin is one step before it.
        horizon: Frames forecast from each origin.
        stride: Steps from one origin to the next.
        metrics: Names, such as mse, nrmse or csi_30 (all of them: docs/metrics.md), or metrics of
            your own; the first decides.
        refit_every: Origins from one fit to the next; 1 fits anew at each. None: nothing is fitted.
        train_length: Frames fitted on, a window that slides along; None: all from the start of the series.
        gap: Frames left out between the end of training and the first frame forecast, in every fold; of fixed
            models it is checked.
        num_samples: Samples of each forecast, of the forecasters that can sample. The seed is of the
            origin, so that each run draws the same.
        store: Folder to keep forecasts in, and to go on from. A forecaster's class may not change
            between runs in what it calls; take another folder then.
        parallel: Compute on dask's active scheduler: threads by default, or those of
            ``dask.config.set(scheduler="processes")`` or of a ``distributed.Client``. In threads darts'
            models take turns.
        time_dim: Name of the time dim, if it cannot be told.
        spatial_dims: Names of rows and columns, if they cannot be told.
        channel_dim: Name of the channel dim, if it cannot be told.
        verbose: Show a progress bar over origins.

    Raises:
        GapError: If no origin is left that all of them can forecast from.
        GridDimsError: If forecasts lack ``init_time`` or ``lead_time``.
        GridMismatchError: If forecasts are on another grid or for other times than the series.
        LeakError: If a forecaster knows what it is scored on.
        TooShortError: If a fold has too few frames to fit on.
        TypeError: If one has no ``predict``, cannot be fitted anew, or there is none.

    >>> from darts_mim.baselines import Climatology, Persistence
    >>> time = pd.date_range("2024-01-01", periods=8, freq="h")
    >>> rain = xr.DataArray(np.arange(48.0).reshape(8, 2, 3), {"time": time}, ("time", "y", "x"))
    >>> model = Persistence().fit(rain[:4])
    >>> result = backtest({"last frame": model}, rain, start=rain.time[4], horizon=2)
    >>> result.table("mae")
    lead_time   1 h   2 h  all leads
    model
    last frame  6.0  12.0        9.0
    >>> result = backtest(Climatology("1h"), rain, start=rain.time[4], horizon=2, refit_every=2)
    >>> result.folds[["train_end", "first_origin", "last_origin"]].map(lambda time: f"{time:%H:%M}")
         train_end first_origin last_origin
    fold
    1        03:00        03:00       04:00
    2        05:00        05:00       05:00
    """
    grid = Grid.of(series, time_dim=time_dim, spatial_dims=spatial_dims, channel_dim=channel_dim)
    if not isinstance(forecasters, Mapping):
        forecasters = {type(forecasters).__name__: forecasters}
    chosen = _metrics(metrics)
    _require_forecasters(forecasters)
    dims: dict[str, Any] = {"time_dim": time_dim, "spatial_dims": spatial_dims, "channel_dim": channel_dim}
    models = {
        name: _on_grids(one, train_length=train_length, **dims)
        for name, one in forecasters.items()
        if not isinstance(one, xr.DataArray | xr.Dataset)
    }
    clock = Clock.of(series, grid, start=start, horizon=horizon, stride=stride)
    walk = Walk(
        series=as_dask(series), grid=grid, clock=clock, num_samples=positive(num_samples, "num_samples")
    )
    _require_samplers(models, num_samples)
    folds = folds_of(clock, refit_every=refit_every, train_length=train_length, gap=gap)
    if refit_every is None:
        require_trained_before(models, clock, gap)
    else:
        require_fits(models, folds, walk, gap)
    given = {name: one for name, one in forecasters.items() if isinstance(one, xr.DataArray | xr.Dataset)}
    for name, one in given.items():
        require_forecasts(one, clock, name)
    kept = None if store is None else Store.at(store, walk)
    offered = given | run_all(jobs_of(models, folds), walk, store=kept, parallel=parallel, verbose=verbose)
    origins = _common_origins({name: offered[name] for name in forecasters}, clock)
    rows = clock.axis.get_indexer(origins)
    forecasts, observed = _alike(
        {name: _at(offered[name], origins) for name in forecasters}, _truth(walk, rows)
    )
    for name in given:
        warn_if_known(name, forecasts[name], observed, walk.last_seen(rows), grid)
    return BacktestResult(
        grid=grid,
        metrics=chosen,
        forecasts=forecasts,
        observed=observed,
        statistics=statistics_of(chosen, forecasts, observed, grid),
        origins_wanted=len(clock.rows),
        origins_offered={name: offered[name].sizes["init_time"] for name in forecasters},
        folds=table_of(folds, clock),
        settings=settings_in_words(
            forecasters,
            clock,
            refit_every=refit_every,
            train_length=train_length,
            gap=gap,
            samples=num_samples,
        ),
    )


def _require_forecasters(forecasters: Mapping[str, Any]) -> None:
    given = (xr.DataArray, xr.Dataset)
    asked = ("predict", "historical_forecasts")
    strange = [
        name
        for name, one in forecasters.items()
        if not isinstance(one, given) and not any(hasattr(one, method) for method in asked)
    ]
    if strange or not forecasters:
        came = f"{strange[0]!r} has no predict(n, series)" if strange else "No forecaster came"
        raise TypeError(f"{came}. Pass a fitted model, or several by name, e.g. {{'MIM': model}}.")


def _require_samplers(models: Mapping[str, Any], num_samples: int) -> None:
    if num_samples > 1 and not any(can_sample(model) for model in models.values()):
        raise ValueError(
            f"num_samples={num_samples} came, and none of {list(models)} can sample. Give one a likelihood, "
            f"e.g. MIMModel(..., likelihood=...), or leave num_samples out."
        )


def _on_grids(forecaster: Any, **options: Any) -> Any:
    if not hasattr(forecaster, "untrained_model"):
        return forecaster
    # Who made the model has imported darts, which takes seconds; all others need not.
    from darts_mim.models.darts_forecaster import as_forecaster

    return as_forecaster(forecaster, **options)


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


def _at(forecasts: Series, origins: pd.DatetimeIndex) -> Series:
    """The forecasts from these origins; not copied if they are all."""
    return forecasts if forecasts.indexes["init_time"].equals(origins) else forecasts.sel(init_time=origins)


def _truth(walk: Walk, rows: np.ndarray) -> Series:
    """What happened at the times that were forecast, in the forecasts' layout."""
    frames = walk.clock.valid_rows(rows)
    if not walk.clock.axis[frames.ravel()].isin(walk.times).any():
        raise GapError(f"No frame from {walk.clock.start} on was observed, so nothing can be scored.")
    return walk.truth(rows)


def _alike(forecasts: Mapping[str, Series], observed: Series) -> tuple[dict[str, Series], Series]:
    """With lazy ones cut into the same blocks of origins, so that they are read side by side."""
    size = max(
        sum(each.size for each in one.values()) if isinstance(one, xr.Dataset) else one.size
        for one in (*forecasts.values(), observed)
    )
    block = origins_at_once(size // observed.sizes["init_time"])

    def cut(series: Series) -> Series:
        return as_dask(series).chunk(init_time=block) if is_lazy(series) else series

    return {name: cut(one) for name, one in forecasts.items()}, cut(observed)


def _metrics(metrics: str | Metric | Sequence[str | Metric]) -> tuple[Metric, ...]:
    if isinstance(metrics, str | Metric):
        metrics = [metrics]
    if not metrics:
        raise ValueError("No metric came. Pass at least one, e.g. metrics=['mse'].")
    return tuple(metric if isinstance(metric, Metric) else named(metric) for metric in metrics)
