"""The forecasts of one forecaster from many origins, however it gives them."""

import inspect
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import xarray as xr

from darts_mim.backtesting.clock import Clock, Walk
from darts_mim.backtesting.folds import last_step
from darts_mim.backtesting.lead_labels import lead_labels
from darts_mim.errors import GapError, GridDimsError, GridMismatchError, TooShortError
from darts_mim.grid.grid import Grid

Series = xr.DataArray | xr.Dataset
Advance = Callable[[int], None]  # is told of how many origins are done

BLOCK = 256  # origins asked for at once, at most: whole batches, and progress can be shown


class Forecaster(Protocol):
    """What :func:`backtest` asks of a fitted model. It may have ``historical_forecasts`` too."""

    def predict(self, n: int, series: Any = None) -> Any:
        """The ``n`` frames after ``series``."""
        ...


@dataclass(frozen=True, kw_only=True)
class Made:
    """What one forecaster made of some origins."""

    rows: np.ndarray  # of the origins that it could forecast from, on the regular axis
    values: np.ndarray  # (origin, lead, component), samples behind if there are any
    why_not: str = ""  # of the last that it could not

    @classmethod
    def joined(cls, parts: "Sequence[Made]") -> "Made":
        """Those of several blocks or folds, one after the other."""
        some = [part for part in parts if len(part.rows)] or parts[:1]
        return cls(
            rows=np.concatenate([part.rows for part in some]),
            values=np.concatenate([part.values for part in some]) if len(some) > 1 else some[0].values,
            why_not=next((part.why_not for part in parts if part.why_not), ""),
        )

    @classmethod
    def none(cls, why_not: str) -> "Made":
        """Not one."""
        return cls(rows=np.empty(0, dtype=int), values=np.empty(0), why_not=why_not)


def forecasts_from(rows: np.ndarray, forecaster: Any, walk: Walk, name: str, advance: Advance) -> Made:
    """What it forecasts from rows of the axis; those that it cannot forecast from are left out."""
    at_once = hasattr(forecaster, "historical_forecasts")
    in_blocks = is_of_darts(forecaster) or walk.is_lazy
    block = min(BLOCK, walk.origins_at_once(samples_of(forecaster, walk)))
    step = 1 if not at_once else block if in_blocks else max(1, len(rows))
    parts: list[Made] = []
    for block in (rows[first : first + step] for first in range(0, len(rows), step)):
        try:
            ask = forecast_many if at_once else forecast_one
            parts.append(ask(forecaster, walk, block, name))
        except (GapError, TooShortError) as error:
            parts.append(Made.none(str(error)))
        advance(len(block))
    return Made.joined(parts)


def forecast_many(
    forecaster: Any, walk: Walk, rows: np.ndarray, name: str, *, series: Series | None = None
) -> Made:
    """By ``historical_forecasts`` on what is in view of the last of the rows, or on ``series``."""
    clock = walk.clock
    forecasts = forecaster.historical_forecasts(
        walk.in_view_of(int(rows[-1]) + clock.horizon) if series is None else series,
        forecast_horizon=clock.horizon,
        start=clock.axis[rows[0] + 1],
        stride=clock.stride if len(rows) > 1 else len(clock.axis),
        **sampling(forecaster, walk.num_samples, int(rows[0])),
    )
    require_forecasts(forecasts, clock, name)
    at = clock.axis.get_indexer(forecasts.indexes["init_time"])
    wanted = np.isin(at, rows)
    forecasts, at = forecasts.isel(init_time=wanted), at[wanted]
    if "valid_time" in forecasts.coords:
        require_times(forecasts["valid_time"].values, clock.valid_times(at), name)
    return Made(rows=at, values=values_of(walk.grid, forecasts, "init_time", "lead_time"))


def forecast_one(forecaster: Any, walk: Walk, rows: np.ndarray, name: str) -> Made:
    """By ``predict``, from the series up to one row, and no more."""
    (row,) = (int(one) for one in rows)
    if walk.clock.axis[row] not in walk.times:
        raise GapError(f"There is no frame at {walk.clock.axis[row]}.")
    options = sampling(forecaster, walk.num_samples, row)
    forecast = forecaster.predict(walk.clock.horizon, walk.between(0, row), **options)
    time_dim = walk.grid.time_dim
    require_times(forecast[time_dim].values, walk.clock.valid_times(rows)[0], name)
    return Made(rows=rows, values=values_of(walk.grid, forecast, time_dim)[None])


def is_of_darts(forecaster: Any) -> bool:
    """Whether a darts model forecasts, alone or as the last step of a pipeline."""
    return hasattr(last_step(forecaster), "supports_probabilistic_prediction")


def can_sample(forecaster: Any) -> bool:
    """Whether its forecasts may be samples: darts' models say so, others take ``num_samples``."""
    last = last_step(forecaster)
    if is_of_darts(forecaster):
        return bool(last.supports_probabilistic_prediction)
    return any("num_samples" in _parameters(last, method) for method in ("predict", "historical_forecasts"))


def samples_of(forecaster: Any, walk: Walk) -> int:
    """Samples of each of its forecasts."""
    return walk.num_samples if can_sample(forecaster) else 1


def sampling(forecaster: Any, num_samples: int, seed: int) -> dict[str, int]:
    """Arguments for one that can sample. The seed is of the origin, so that every run draws the same."""
    if not can_sample(forecaster):
        return {}
    seeded = "random_state" in _parameters(last_step(forecaster), "predict")
    return {"num_samples": num_samples} | ({"random_state": seed} if seeded else {})


def _parameters(forecaster: Any, method: str) -> Sequence[str]:
    bound = getattr(forecaster, method, None)
    return () if bound is None else tuple(inspect.signature(bound).parameters)


def values_of(grid: Grid, forecasts: Series, *front: str) -> np.ndarray:
    """(*front, component), and the samples behind if there are any."""
    array = grid.canonical(forecasts)
    samples = ["realization"] if "realization" in array.dims else []
    values = array.transpose(*front, *grid.canonical_dims, *samples).values
    return values.reshape(*values.shape[: len(front)], grid.n_components, *values.shape[len(front) + 3 :])


def require_times(came: np.ndarray, wanted: np.ndarray, name: str) -> None:
    """Check the times that frames are for.

    Raises:
        GridMismatchError: If they are others.
    """
    if not np.array_equal(came, wanted):
        raise GridMismatchError(
            f"{name!r} forecast the times {came}, where {wanted} were wanted: the {wanted.shape[-1]} frames "
            f"after the series it was given."
        )


def require_forecasts(forecasts: Series, clock: Clock, name: str) -> None:
    """Check forecasts that were made by others: they say from when and for when they are.

    Raises:
        GridDimsError: If they do not.
        GridMismatchError: If they are for other leads, or there are several from one origin.
    """
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
