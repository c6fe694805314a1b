"""What there is to do in a backtest, one forecaster and fold at a time, and who does it."""

import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from typing import Any

import dask
import numpy as np
import xarray as xr
from dask.callbacks import Callback
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)

from darts_mim.backtesting.clock import Series, Walk
from darts_mim.backtesting.folds import Fold, fitted, knows_its_least, unfitted
from darts_mim.backtesting.forecasts import (
    Advance,
    Made,
    forecasts_from,
    is_of_darts,
    samples_of,
    values_of,
)
from darts_mim.backtesting.leaks import require_no_peeking
from darts_mim.backtesting.store import Store, keep, kept
from darts_mim.errors import GapError

CHECKED = 3  # forecasts of a forecaster that are looked at for a leak

# darts' models draw from generators that all threads of a process share: one at a time, so that a seed
# gives the same weights and samples as alone.
DRAWING = threading.Lock()


@dataclass(frozen=True, kw_only=True)
class Job:
    """One forecaster in one fold."""

    name: str
    forecaster: Any
    fold: Fold
    n_checked: int

    def __str__(self) -> str:
        return self.name if self.fold.of == 1 else f"{self.name}, {self.fold}"

    def run(self, walk: Walk, store: Store | None, advance: Advance) -> Made | Series:
        """Fit if it is to be fitted, forecast, check; or open what an earlier run has kept."""
        try:
            return self._made(walk, advance) if store is None else self._kept(walk, store, advance)
        except Exception as error:
            error.add_note(f"This came of {self.name!r}, {self.fold}, in a backtest.")
            raise

    def _made(self, walk: Walk, advance: Advance) -> Made:
        forecaster = fitted(self.forecaster, self.fold, walk, self.name)
        made = forecasts_from(self.fold.rows, forecaster, walk, self.name, advance)
        require_no_peeking(forecaster, walk, made, self.n_checked, self.name)
        return made

    def _kept(self, walk: Walk, store: Store, advance: Advance) -> Made | Series:
        """In the store, lazy; none of them if it can forecast from no origin of the fold."""
        anew = self.fold.training is not None
        came = unfitted(self.forecaster, self.name) if anew else self.forecaster
        place = store.place(came, self.fold, self.name)
        found = kept(place)
        if found is not None:
            advance(len(self.fold.rows))
            return found
        forecaster = fitted(self.forecaster, self.fold, walk, self.name)

        def forecast(rows: np.ndarray) -> Series:
            made = forecasts_from(rows, forecaster, walk, self.name, lambda _: None)
            if not len(made.rows):
                raise GapError(made.why_not)
            return walk.forecasts(made.values, made.rows)

        def check(forecasts: Series) -> None:
            made = _some_of(forecasts, walk, self.n_checked)
            require_no_peeking(forecaster, walk, made, len(made.rows), self.name)

        samples = samples_of(forecaster, walk)
        return keep(place, forecaster, self.fold.rows, walk, samples, forecast, check, advance)


def _some_of(forecasts: Series, walk: Walk, n: int) -> Made:
    """The first, the last and others in between, read from the store."""
    last = forecasts.sizes["init_time"] - 1
    some = forecasts.isel(init_time=np.unique(np.linspace(0, last, n).round().astype(int)))
    rows = walk.clock.axis.get_indexer(some.indexes["init_time"])
    return Made(rows=rows, values=values_of(walk.grid, some, "init_time", "lead_time"))


def jobs_of(forecasters: Mapping[str, Any], folds: Sequence[Fold]) -> list[Job]:
    """Fold by fold; first those that may turn out to have too few frames, so that this is known early."""
    looked_at = {0, len(folds) // 2, len(folds) - 1}
    return [
        Job(
            name=name,
            forecaster=forecasters[name],
            fold=fold,
            n_checked=(CHECKED if len(folds) == 1 else 1) if index in looked_at else 0,
        )
        for index, fold in enumerate(folds)
        for name in sorted(forecasters, key=lambda name: knows_its_least(forecasters[name]))
    ]


def run_all(
    jobs: Sequence[Job], walk: Walk, *, store: Store | None, parallel: bool, verbose: bool
) -> dict[str, Series]:
    """The forecasts of each forecaster; those of a store are lazy.

    Raises:
        GapError: If one could forecast from no origin.
    """
    with _progress(verbose) as progress:
        bar = progress.add_task("Backtest", total=sum(len(job.fold.rows) for job in jobs))
        run = _in_parallel if parallel else _one_by_one
        parts: dict[str, list[Made | Series]] = {}
        for job, made in zip(jobs, run(jobs, walk, store, progress, bar), strict=True):
            parts.setdefault(job.name, []).append(made)
    return {name: _joined(of_folds, walk, name) for name, of_folds in parts.items()}


def _joined(parts: Sequence[Made | Series], walk: Walk, name: str) -> Series:
    """Of all folds, one after the other."""
    made = Made.joined([part for part in parts if isinstance(part, Made)] or [Made.none("")])
    stored: list[Any] = [part for part in parts if not isinstance(part, Made)]
    if stored:
        options: Any = {"coords": "minimal", "compat": "override", "join": "override"}
        return stored[0] if len(stored) == 1 else xr.concat(stored, "init_time", **options)
    if not len(made.rows):
        raise GapError(
            f"{name!r} could forecast from none of {len(walk.clock.rows)} origins: what it reads before "
            f"each is too short or touches a gap. Start later. Of one it said: {made.why_not}"
        )
    return walk.forecasts(made.values, made.rows)


def _one_by_one(
    jobs: Sequence[Job], walk: Walk, store: Store | None, progress: Progress, bar: Any
) -> Iterator[Made | Series]:
    for job in jobs:
        progress.update(bar, description=str(job))
        yield job.run(walk, store, lambda n: progress.advance(bar, n))
    progress.update(bar, description="Backtest")


def _in_parallel(
    jobs: Sequence[Job], walk: Walk, store: Store | None, progress: Progress, bar: Any
) -> Sequence[Made | Series]:
    shared = dask.delayed(walk, traverse=False)  # sent to each worker once
    tasks = [dask.delayed(_run_in_turn)(job, shared, store) for job in jobs]
    origins = {task.key: len(job.fold.rows) for task, job in zip(tasks, jobs, strict=True)}

    def done(key: Any, *_: Any) -> None:
        progress.advance(bar, origins.get(key, 0))

    with Callback(posttask=done):
        return dask.compute(*tasks)


def _run_in_turn(job: Job, walk: Walk, store: Store | None) -> Made | Series:
    with DRAWING if is_of_darts(job.forecaster) else nullcontext():
        return job.run(walk, store, lambda _: None)


def _progress(verbose: bool) -> Progress:
    columns = (BarColumn(), MofNCompleteColumn(), TimeElapsedColumn(), TimeRemainingColumn())
    return Progress(TextColumn("{task.description}"), *columns, disable=not verbose)
