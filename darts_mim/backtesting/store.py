"""A folder that keeps what was forecast, so that a backtest that was stopped goes on where it was."""

import inspect
import os
import shutil
import tempfile
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any, Self

import numpy as np
import xarray as xr
from dask.base import tokenize

from darts_mim.backtesting.clock import Walk
from darts_mim.backtesting.folds import Fold
from darts_mim.backtesting.forecasts import Made
from darts_mim.baselines.base import Baseline

VERSIONS = tuple(version(package) for package in ("darts-mim", "darts", "torch"))  # which forecast otherwise


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
        path.mkdir(parents=True, exist_ok=True)
        clock = walk.clock
        what = (
            walk.series.drop_attrs(),
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


def kept(place: Path) -> Made | None:
    """What is kept there; None if nothing is."""
    if not place.exists():
        return None
    with xr.open_zarr(place, consolidated=False) as found:
        values, rows = found["forecast"].values, found["row"].values
        return Made(rows=rows, values=values, why_not=found.attrs["why_not"])


def keep(made: Made, place: Path) -> None:
    """Write beside the place, then move there: whoever looks finds all of it or nothing."""
    dims = ("row", "lead", "component", "sample")[: made.values.ndim]
    dataset = xr.Dataset(
        {"forecast": (dims, made.values)} if len(made.rows) else {"forecast": ("row", made.values)},
        {"row": made.rows},
        {"why_not": made.why_not, "origins": f"{len(made.rows)}, rows of the time axis of the series"},
    )
    beside = Path(tempfile.mkdtemp(prefix=f".{place.stem}-", dir=place.parent))
    try:
        dataset.to_zarr(beside, mode="w", consolidated=False)
        os.replace(beside, place)
    except OSError:
        if not place.exists():  # another run may have been faster with the same forecasts
            raise
    finally:
        for left in place.parent.glob(f".{place.stem}-*"):  # by runs that were killed, too
            shutil.rmtree(left, ignore_errors=True)


def state_of(forecaster: Any) -> Any:
    """All that a forecaster's forecasts hang on, to be hashed.

    Of a pipeline it is that of its steps; of a model with a network, its arguments and weights; of a simple
    forecast, its arguments and training series; of any other, all that a pickle of it holds. The code of its
    class counts too, not that of what the class calls.
    """
    kind = type(forecaster)
    code = f"{kind.__module__}.{kind.__qualname__}"
    with suppress(OSError, TypeError):
        code += inspect.getsource(kind)
    if hasattr(forecaster, "steps"):
        return code, [(name, state_of(step)) for name, step in forecaster.steps]
    if isinstance(forecaster, Baseline):
        return code, forecaster.get_params(), getattr(forecaster, "training_", None)
    if hasattr(forecaster, "load_weights"):  # darts' models with a network, named by when they were made
        return code, dict(forecaster.model_params), _weights(forecaster.model)
    if hasattr(forecaster, "in_use"):  # a darts model that is lent to grids
        seen = getattr(forecaster, "observed_", None)
        return code, forecaster.get_params() | {"model": None}, seen, state_of(forecaster.in_use)
    if hasattr(forecaster, "untrained_model"):  # the generator of darts' other models starts anywhere
        return code, {name: value for name, value in vars(forecaster).items() if name != "_random_instance"}
    return code, forecaster


def _weights(network: Any) -> dict[str, np.ndarray]:
    """A torch module's, as numbers; none before it is made."""
    weights: Mapping[str, Any] = {} if network is None else network.state_dict()
    return {name: np.asarray(one.detach().cpu().double()) for name, one in weights.items()}
