"""A folder that keeps what was forecast, so that a backtest that was stopped goes on where it was."""

import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self
from uuid import uuid4

import numpy as np
from dask.base import tokenize

from darts_mim.backtesting.clock import Series, Walk
from darts_mim.backtesting.folds import Fold
from darts_mim.backtesting.forecasts import Advance, Made
from darts_mim.errors import GapError
from darts_mim.stores.fingerprint import VERSIONS, state_of, unread
from darts_mim.stores.forecast_store import open_forecasts, stored_forecasts


@dataclass(frozen=True, kw_only=True)
class Store:
    """A folder with one zarr store a forecaster and fold, each complete or absent.

    Its name holds a fingerprint of all that its forecasts hang on. So one folder serves any number of
    backtests, and what was made of another series, or by a model fitted otherwise, is never found.
    """

    folder: Path
    asked: str  # fingerprint of what is asked of every forecaster

    @classmethod
    def at(cls, folder: str | Path, walk: Walk) -> Self:
        """Open the folder, or make it, for one walk through one series."""
        path = Path(folder)
        _made(path)
        clock = walk.clock
        what = (
            unread(walk.series.drop_attrs()),
            walk.grid.dims,
            walk.grid.spatial_dims,
            clock.horizon,
            clock.stride,
            walk.num_samples,
        )
        return cls(folder=path, asked=tokenize(VERSIONS, *what, ensure_deterministic=True))

    def place(self, forecaster: Any, fold: Fold, name: str) -> Path:
        """Where the forecasts of a fold are, or will be.

        Args:
            forecaster: As it came, before it is fitted for the fold.
            fold: Its origins and training frames.
            name: For people who look into the folder, and for errors.

        Raises:
            TypeError: If what the forecaster forecasts by cannot be told from another's.
        """
        try:
            state = tokenize(state_of(forecaster), ensure_deterministic=True)
        except Exception as error:
            raise TypeError(
                f"store={str(self.folder)!r} cannot be used with {name!r}: what it has learnt cannot be "
                f"pickled, so that its forecasts cannot be told from those of another ({error}). Leave store "
                f"out."
            ) from error
        key = tokenize(self.asked, state, fold.rows, fold.training, ensure_deterministic=True)
        words = "".join(letter if letter.isalnum() else "-" for letter in name)[:40]
        return self.folder / f"{words}-{fold.number}-{key}.zarr"


def kept(place: Path) -> Made | Series | None:
    """What is kept there, lazy; None if nothing is."""
    if place.exists():
        return open_forecasts(place)
    none = _none(place)
    return Made.none(none.read_text()) if none.exists() else None


def keep(
    place: Path,
    forecaster: Any,
    rows: np.ndarray,
    walk: Walk,
    samples: int,
    forecast: Callable[[np.ndarray], Series],
    check: Callable[[Series], None],
    advance: Advance,
) -> Made | Series:
    """Forecast block by block into the store; what was begun is gone on with.

    Args:
        place: Where to.
        forecaster: As it is fitted: one that was stopped, and that learns other weights when it is fitted
            anew, starts anew.
        rows: Of the origins.
        walk: What is asked.
        samples: Of each forecast.
        forecast: From some rows to their forecasts; GapError if there is none.
        check: Is shown all of them before they are kept.
        advance: Is told of how many origins are done.
    """
    try:
        return stored_forecasts(
            place,
            forecast,
            axis=walk.clock.axis,
            rows=rows,
            horizon=walk.clock.horizon,
            origin_size=walk.clock.horizon * walk.grid.n_components * samples,
            asked=(place.name, _learnt(forecaster)),
            check=check,
            advance=advance,
        )
    except GapError as error:
        beside = place.with_suffix(f".{uuid4().hex}.new")
        beside.write_text(str(error))
        os.replace(beside, _none(place))
        return Made.none(str(error))


def _none(place: Path) -> Path:
    """Says why there is no forecast."""
    return place.with_suffix(".none.txt")


def _learnt(forecaster: Any) -> str:
    try:
        return tokenize(state_of(forecaster), ensure_deterministic=True)
    except Exception:  # it can be pickled only before it is fitted
        return uuid4().hex


def _made(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise type(error)(
            error.errno,
            f"store={str(folder)!r} cannot be used: {error.strerror}. Choose a folder that can be written.",
        ) from error
