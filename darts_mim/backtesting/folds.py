"""Which frames a forecaster is fitted on, and which origins it then forecasts from."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from sklearn.base import clone

from darts_mim.backtesting.clock import Clock, Walk
from darts_mim.errors import GapError, TooShortError
from darts_mim.grid.times import positive


@dataclass(frozen=True, kw_only=True)
class Fold:
    """Some origins in a row, and the frames that are fitted on before the first."""

    number: int  # from 1
    of: int
    rows: np.ndarray  # of the origins, on the regular axis
    training: tuple[int, int] | None  # first and last row fitted on; None: nothing is fitted

    def __str__(self) -> str:
        return f"fold {self.number} of {self.of}"


def folds_of(clock: Clock, *, refit_every: int | None, train_length: int | None, gap: int) -> list[Fold]:
    """The origins, cut into folds of ``refit_every``.

    Args:
        clock: Which origins there are.
        refit_every: Origins of a fold; None is one fold in which nothing is fitted.
        train_length: Frames fitted on, the last before the first origin; None is all from the start on.
        gap: Frames left out between the end of training and the first frame forecast.

    Raises:
        TooShortError: If the series does not reach back that far.
        ValueError: If one of them is no number of frames.

    >>> days = pd.date_range("2024-01-01", periods=9)
    >>> clock = Clock(axis=days, rows=np.array([4, 5, 6]), horizon=2, start=days[5], stride=1)
    >>> [(fold.training, fold.rows) for fold in folds_of(clock, refit_every=2, train_length=3, gap=1)]
    [((1, 3), array([4, 5])), ((3, 5), array([6]))]
    """
    if not isinstance(gap, int | np.integer) or gap < 0:  # pyright: ignore[reportUnnecessaryIsInstance]
        raise ValueError(f"gap={gap!r} came; it wants a whole number of frames, at least 0.")
    if refit_every is None:
        if train_length is not None:
            raise ValueError(
                f"train_length={train_length} came without refit_every, so that nothing is fitted. Pass "
                f"both, e.g. refit_every=48, or fit the models on as many frames yourself."
            )
        return [Fold(number=1, of=1, rows=clock.rows, training=None)]
    each = positive(refit_every, "refit_every")
    parts = [clock.rows[first : first + each] for first in range(0, len(clock.rows), each)]
    return [
        Fold(number=number, of=len(parts), rows=rows, training=_training(clock, rows, train_length, gap))
        for number, rows in enumerate(parts, 1)
    ]


def _training(clock: Clock, rows: np.ndarray, train_length: int | None, gap: int) -> tuple[int, int]:
    last = int(rows[0]) - gap
    first = 0 if train_length is None else last + 1 - positive(train_length, "train_length")
    if last < 0 or first < 0:
        wanted = f"train_length={train_length}" if train_length else "at least one frame to fit on"
        raise TooShortError(
            f"The first frame forecast, at {clock.axis[rows[0] + 1]}, has {rows[0] + 1} frames before it; "
            f"wanted are {wanted} and gap={gap}. Start later, or ask for fewer."
        )
    return first, last


def unfitted(forecaster: Any, name: str) -> Any:
    """A copy that has learnt nothing.

    Raises:
        TypeError: If there is no way to one.
    """
    steps = [step for _, step in getattr(forecaster, "steps", [("", forecaster)])]
    for step in steps:
        if not isinstance(step, str | None) and not _can_be_cloned(step):
            raise TypeError(
                f"{name!r} cannot be fitted anew: {type(step).__name__} has neither get_params, as "
                f"scikit-learn's estimators do, nor untrained_model, as darts' models do. Derive it from "
                f"sklearn.base.BaseEstimator, or fit it yourself and leave refit_every out."
            )
    if not hasattr(forecaster, "fit"):
        raise TypeError(f"{name!r} cannot be fitted anew: it has no fit(series). Leave refit_every out.")
    return clone(forecaster)


def _can_be_cloned(step: Any) -> bool:
    return hasattr(step, "get_params") or hasattr(step, "__sklearn_clone__")


def fitted(forecaster: Any, fold: Fold, walk: Walk, name: str) -> Any:
    """The forecaster as it is used in a fold: fitted anew on its training frames, if there are any.

    Raises:
        GapError: If the training frames hold too many gaps to fit on.
        TooShortError: If they are too few.
    """
    if fold.training is None:
        return forecaster
    try:
        return unfitted(forecaster, name).fit(walk.between(*fold.training))
    except (GapError, TooShortError) as error:
        raise type(error)(f"{_cannot(name, fold, walk.clock)}: {error} {REMEDY}") from error


REMEDY = "Start later, or fit on more frames: a longer train_length, or none."


def _cannot(name: str, fold: Fold, clock: Clock) -> str:
    assert fold.training is not None
    first, last = fold.training
    return (
        f"{name!r} cannot be fitted for {fold}, on the {last - first + 1} frames from {clock.axis[first]} to "
        f"{clock.axis[last]}"
    )


def require_fits(forecasters: Mapping[str, Any], folds: Sequence[Fold], walk: Walk, gap: int) -> None:
    """Check, before anything is fitted, that all of it can be.

    Raises:
        TypeError: If a forecaster cannot be fitted anew.
        TooShortError: If a fold has fewer training frames than a forecaster says it needs.
        ValueError: If a forecaster would be fitted on frames that are to be left out.
    """
    frames = [_frames(fold, walk) for fold in folds]
    for name, forecaster in forecasters.items():
        least = _least_frames(unfitted(forecaster, name)) or 1
        for fold, n in zip(folds, frames, strict=True):
            if n < least:
                raise TooShortError(
                    f"{_cannot(name, fold, walk.clock)}: it takes at least {least}, and there are {n} from "
                    f"the first to the last observed. {REMEDY}"
                )
        if gap and getattr(last_step(forecaster), "fits_at_every_origin", False):
            raise ValueError(
                f"{name!r} is fitted anew at every origin, on the frames up to it, so that gap={gap} "
                f"cannot be left out. Use gap=0, or leave it out of this backtest."
            )


def knows_its_least(forecaster: Any) -> bool:
    """Whether the frames that it takes to fit are known, so that ``require_fits`` has checked them."""
    return _least_frames(forecaster) is not None


def _least_frames(forecaster: Any) -> int | None:
    """What darts' models say; of a pipeline's, the transformers may lose some more."""
    return getattr(last_step(forecaster), "min_train_series_length", None)


def last_step(forecaster: Any) -> Any:
    """The forecaster of a pipeline; any other is its own."""
    return getattr(forecaster, "forecaster", forecaster)


def _frames(fold: Fold, walk: Walk) -> int:
    """From the first to the last training frame that there is."""
    assert fold.training is not None
    first, last = (walk.clock.axis[row] for row in fold.training)
    begin, end = walk.times.searchsorted(first), walk.times.searchsorted(last, side="right") - 1
    return 0 if end < begin else int(np.ptp(walk.clock.axis.get_indexer(walk.times[[begin, end]]))) + 1


def table_of(folds: Sequence[Fold], clock: Clock) -> pd.DataFrame | None:
    """A row a fold: when it was fitted on, and which origins it was asked for; None if nothing was fitted."""
    rows = [
        {
            "train_start": clock.axis[fold.training[0]],
            "train_end": clock.axis[fold.training[1]],
            "first_origin": clock.axis[fold.rows[0]],
            "last_origin": clock.axis[fold.rows[-1]],
            "n_origins": len(fold.rows),
        }
        for fold in folds
        if fold.training is not None
    ]
    return pd.DataFrame(rows, index=pd.RangeIndex(1, len(rows) + 1, name="fold")) if rows else None
