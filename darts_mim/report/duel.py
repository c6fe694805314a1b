"""Which model a report is about, and what it has to beat."""

from dataclasses import dataclass
from functools import cached_property
from typing import Any, cast

import numpy as np
import pandas as pd
import xarray as xr

from darts_mim.backtesting.result import BacktestResult
from darts_mim.backtesting.scoring import counts_cells
from darts_mim.metrics.metric import Metric
from darts_mim.plotting import in_print
from darts_mim.report.words import number

DAY = cast(pd.Timedelta, pd.Timedelta("1D"))


@dataclass(frozen=True, kw_only=True, eq=False)
class Duel:
    """The first model against the others, by one metric. What is asked twice is computed once."""

    result: BacktestResult
    metric: Metric
    model: str
    reference: str | None  # None if there is no other model

    @classmethod
    def of(cls, result: BacktestResult, reference: str | None, metric: str | None) -> "Duel":
        """Check what was asked; by default the first metric that can decide, and the best of the others.

        Raises:
            ValueError: If there is no such model, or the metric can rank none.
        """
        model, *others = result.models
        if reference is not None and reference not in others:
            raise ValueError(
                f"reference={reference!r} came; the report of {model!r} can be held against {others}."
            )
        chosen = _deciding(result, metric)
        duel = cls(result=result, metric=chosen, model=model, reference=reference)
        best = next((name for name in duel.ranking if name != model), None)
        return (
            duel if reference is not None else cls(result=result, metric=chosen, model=model, reference=best)
        )

    @cached_property
    def times(self) -> pd.DatetimeIndex:
        """That were forecast, each once, in order."""
        return pd.DatetimeIndex(np.unique(self.result.observed["valid_time"].values))

    @property
    def span(self) -> pd.Timedelta:
        """From the first of them to the last."""
        return cast(pd.Timedelta, pd.Timedelta(np.ptp(self.times.values)))

    @property
    def step(self) -> pd.Timedelta:
        """The shortest time between two of them; a day if there is one alone."""
        if len(self.times) < 2:
            return DAY
        return cast(pd.Timedelta, pd.Timedelta(np.diff(self.times.values).min()))

    @cached_property
    def tabled(self) -> list[Metric]:
        """Those with one score a model and lead; a spectrum has one a wavelength too."""
        return _tabled(self.result)

    @cached_property
    def ranking(self) -> list[str]:
        """Models, best first."""
        miss = self.metric.miss(self.pooled.to_series())
        return [str(name) for name in miss.sort_values(kind="stable").index]

    @property
    def rivals(self) -> list[str]:
        """The others, best first."""
        return [name for name in self.ranking if name != self.model]

    @cached_property
    def pooled(self) -> xr.DataArray:
        """Score of each model, all leads pooled."""
        return self.result.scores_by()[self.metric.name].transpose("model")

    @property
    def units(self) -> str:
        """Of the score."""
        return in_print(self.metric.units(self.result.units))

    @property
    def called(self) -> str:
        """The metric, within a sentence."""
        return self.metric.title[0].lower() + self.metric.title[1:]

    def said(self, model: str) -> str:
        """Its score with units."""
        return f"{number(float(self.pooled.sel(model=model)))} {self.units}".strip()

    def skill(self, rival: str, by: Any = None) -> xr.DataArray:
        """Of the model over a rival."""
        return self.result.skill(rival, self.metric.name, by=by).sel(model=self.model, drop=True)

    @cached_property
    def against(self) -> dict[str, xr.Dataset]:
        """By rival: skill, interval and test, all leads pooled; none if the metric has no interval."""
        if not self.metric.is_mean_loss:
            return {}
        return {
            name: self.result.compare(self.model, name, self.metric.name, by=None) for name in self.rivals
        }

    def interval(self, rival: str) -> tuple[float, float] | None:
        """95 %, of the skill over a rival; None where it is not known."""
        if rival not in self.against:
            return None
        low, high = (float(self.against[rival][end]) for end in ("low", "high"))
        return (low, high) if np.isfinite([low, high]).all() else None

    @cached_property
    def cells(self) -> xr.Dataset | None:
        """Skill over the reference in each cell, and where it is more than luck; None if that is unknown."""
        if self.reference is None or not self.counts_cells or not self.metric.is_mean_loss:
            return None
        return self.result.compare_cells(self.model, self.reference, self.metric.name)

    @property
    def counts_cells(self) -> bool:
        """Whether a cell has a score of its own."""
        grid = self.result.grid
        return counts_cells(self.metric, grid.canonical(self.result.observed), grid)


def _tabled(result: BacktestResult) -> list[Metric]:
    dims = {name: set(scores.dims) for name, scores in result.scores.items()}
    return [one for one in result.metrics if dims[one.name] == {"model", "lead_time"}]


def _deciding(result: BacktestResult, metric: str | None) -> Metric:
    able = [one for one in _tabled(result) if np.isfinite(one.perfect)]
    chosen = result.metric(metric) if metric is not None else (able or result.metrics)[0]
    if chosen not in able:
        raise ValueError(
            f"A report is decided by a metric with one score a model and lead, of which one is perfect; "
            f"{chosen} is none. Pass metric=, one of {[one.name for one in able]}, or run "
            f"backtest(..., metrics=['mse', {chosen.name!r}])."
        )
    return chosen
