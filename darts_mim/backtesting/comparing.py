"""One model against another: losses of the origins, and whether they tell more than luck."""

from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
import xarray as xr

from darts_mim.backtesting.clock import Series
from darts_mim.backtesting.slices import By, Slices, kept_by, pool
from darts_mim.grid.times import step_of, steps_between
from darts_mim.metrics.comparison import compare_losses
from darts_mim.metrics.metric import Metric
from darts_mim.metrics.statistic import Statistic

if TYPE_CHECKING:
    from darts_mim.backtesting.result import BacktestResult


def compare(
    result: "BacktestResult",
    model: str,
    reference: str,
    metric: str | None,
    by: By | None,
    *,
    n_resamples: int,
    random_state: int | None,
) -> xr.Dataset:
    """See :meth:`darts_mim.backtesting.result.BacktestResult.compare`."""
    chosen, both = mean_loss(result, metric), [result.model(model), result.model(reference)]
    if isinstance(by, str) and by == "init_time":
        raise ValueError(
            "by='init_time' came. One origin is nothing to compare: pass by=None, or labels of origins."
        )
    kept = kept_by(result, "init_time", *([] if by is None else [by]))
    counted = result.statistics[chosen.name]
    duel = Statistic(value=counted.value.sel(model=both), weight=counted.weight.sel(model=both))
    total = pool(duel, kept)
    loss = total.value.where(total.weight > 0).assign_coords(init_time=origin_steps(result.observed))
    compared = compare_slices(
        loss.isel(model=0, drop=True),
        loss.isel(model=1, drop=True),
        slice_dim=next((one.name for one in kept[1:] if isinstance(one, Slices)), None),
        horizon=result.observed.sizes["lead_time"],
        n_resamples=n_resamples,
        random_state=random_state,
    )
    return compared.assign_attrs(model=model, reference=reference, metric=chosen.name)


def compare_slices(
    loss: xr.DataArray,
    reference: xr.DataArray,
    *,
    slice_dim: str | None,
    horizon: int,
    n_resamples: int,
    random_state: int | None,
) -> xr.Dataset:
    """As :func:`compare_losses`, but each slice from the origins that have something in it.

    An hour of the day is seen from a few origins a day, with a gap until the next. Told of these alone, and
    where they stand, the test takes its variance from as many cosines as so few origins allow. Of all origins
    it would take more, some as fast as the gaps are long. Of two equally good forecasts over four weeks of
    half hours, with an autocorrelation of up to 0.8 from frame to frame, tests at 5 % then reject 3 to 8 % of
    the time, within any slice; told of all origins, up to 12 % on one weekday, and 16 to 21 % on two and a
    half days in a row.

    What differs from day to day can be told from many days alone: of errors that are alike all day, four
    Mondays reject 13 to 16 %.

    Args:
        loss: Of each origin along ``init_time``, which counts steps; NaN where it has none in a slice.
        reference: The same, of what it is held against.
        slice_dim: The dim of slices; None, if there is none.
        horizon: Steps forecast from each origin.
        n_resamples: As in :func:`compare_losses`.
        random_state: As in :func:`compare_losses`.
    """
    parts = [(loss, reference)]
    if slice_dim is not None:
        parts = [
            _with_something(loss.isel({slice_dim: i}), reference.isel({slice_dim: i}))
            for i in range(loss.sizes[slice_dim])
        ]
    compared = [
        compare_losses(
            *both, dim="init_time", horizon=horizon, n_resamples=n_resamples, random_state=random_state
        )
        for both in parts
    ]
    return compared[0] if slice_dim is None else xr.concat(compared, loss[slice_dim])


def _with_something(loss: xr.DataArray, reference: xr.DataArray) -> tuple[xr.DataArray, xr.DataArray]:
    """The origins at which both are somewhere not NaN; all of them, if there is none."""
    seen = loss.notnull() & reference.notnull()
    there = seen.any([dim for dim in seen.dims if dim != "init_time"]).values
    there = there if there.any() else ~there
    return loss.isel(init_time=there), reference.isel(init_time=there)


def origin_steps(observed: Series) -> np.ndarray:
    """How many steps of the series each origin is after the first."""
    origins, frames = (observed[name].values for name in ("init_time", "valid_time"))
    times = pd.DatetimeIndex(np.union1d(origins, frames))
    return steps_between(origins[0], pd.DatetimeIndex(origins), step_of(times))


def mean_loss(result: "BacktestResult", name: str | None) -> Metric:
    """The metric of that name, if it can be compared."""
    chosen = result.metric(name)
    if not chosen.is_mean_loss:
        raise ValueError(
            f"{chosen} is not a mean over origins, so its interval is unknown. Compare one of "
            f"{[m.name for m in result.metrics if m.is_mean_loss]}."
        )
    return chosen
