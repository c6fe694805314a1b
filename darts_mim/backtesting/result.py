"""What a backtest gave: forecasts, truth and scores, and the questions one asks of them."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import xarray as xr

from darts_mim.backtesting.lead_labels import lead_labels
from darts_mim.grid.grid import Grid
from darts_mim.grid.times import step_of, steps_between
from darts_mim.metrics.cell_comparison import compare_cells
from darts_mim.metrics.comparison import compare_losses
from darts_mim.metrics.origins import Origins
from darts_mim.metrics.pointwise import Metric, Statistic

if TYPE_CHECKING:
    from matplotlib.figure import Figure

Series = xr.DataArray | xr.Dataset

BLOCK = 2**20  # cells whose losses are held at once


@dataclass(frozen=True, kw_only=True, repr=False, eq=False)
class BacktestResult:
    """Forecasts of every model from the same origins, the truth, and what scoring them gave.

    The first model is the one of interest, the first metric the one that decides.
    """

    grid: Grid
    metrics: tuple[Metric, ...]
    forecasts: Mapping[str, Series]  # by model: (init_time, lead_time, the series' own dims)
    observed: Series  # the same layout; NaN where the truth is missing
    statistics: Mapping[str, Statistic]  # by metric: (model, init_time, lead_time, channel)
    origins_offered: Mapping[str, int]  # by model; only those common to all are scored
    settings: Mapping[str, str]  # how this was made, in words, for the report

    @property
    def models(self) -> list[str]:
        """Names, in the order given."""
        return list(self.forecasts)

    @property
    def n_origins(self) -> int:
        """How many forecasts of each model were scored."""
        return self.observed.sizes["init_time"]

    @property
    def units(self) -> str:
        """Units of the series; empty if it does not say, or its variables differ."""
        held = self.observed.data_vars.values() if isinstance(self.observed, xr.Dataset) else [self.observed]
        said = {str(array.attrs.get("units", "")) for array in held}
        return said.pop() if len(said) == 1 else ""

    @property
    def scores(self) -> xr.Dataset:
        """One variable a metric, on ``(model, lead_time)``; origins and cells are pooled."""
        return self.scores_by("lead_time")

    def scores_by(self, *dims: str) -> xr.Dataset:
        """Scores that keep ``dims``: any of ``init_time``, ``lead_time``, ``channel``; or none."""
        pooled = _pooled(*dims)
        scores = {m.name: m.score(self.statistics[m.name].sum(pooled)) for m in self.metrics}
        for metric in self.metrics:
            scores[metric.name].attrs["units"] = metric.units(self.units)
        return xr.Dataset(scores)

    def origins(self, times: Any) -> pd.DatetimeIndex:
        """These ``init_time``, one or several, checked.

        Raises:
            ValueError: If no forecast was made at one of them.
        """
        wanted = pd.DatetimeIndex(np.atleast_1d(np.asarray(times, "M8[ns]")))
        made = self.observed.indexes["init_time"]
        strange = wanted[~wanted.isin(made)]
        if len(strange):
            raise ValueError(
                f"No forecast was made at {strange[0]}. Choose times from {made[0]} to {made[-1]}, as in "
                f"result.observed['init_time']."
            )
        return wanted

    def metric(self, name: str | None = None) -> Metric:
        """The metric of that name; by default the first, which decides.

        Raises:
            ValueError: If the backtest was run without it.
        """
        for metric in self.metrics:
            if name in (None, metric.name):
                return metric
        raise ValueError(
            f"Scored were {[m.name for m in self.metrics]}, not {name!r}. "
            f"Run backtest(..., metrics=[{name!r}])."
        )

    def skill(self, reference: str, metric: str | None = None, *, by: str | None = "lead_time") -> Any:
        """How much of the way from ``reference`` to a perfect score each model goes.

        1 - |score - perfect| / |score of the reference - perfect|.

        Returns:
            DataArray on ``(model, lead_time)``: 1 is perfect, 0 no better than ``reference``,
            negative is worse. ``by=None`` pools the leads as well.
        """
        chosen = self.metric(metric)
        if not np.isfinite(chosen.perfect):
            raise ValueError(
                f"{chosen} has no perfect score to measure skill by. Ask for the skill of another metric, "
                f"e.g. skill({reference!r}, 'mse')."
            )
        miss = chosen.miss(self.scores_by(*([by] if by else []))[chosen.name])
        skill = 1 - miss / miss.sel(model=self._model(reference), drop=True)
        return skill.rename("skill").assign_attrs(long_name=f"Skill over {reference}", units="1")

    def compare(
        self,
        model: str,
        reference: str,
        metric: str | None = None,
        *,
        by: str | None = "lead_time",
        n_resamples: int = 1000,
        random_state: int | None = 0,
    ) -> xr.Dataset:
        """Is ``model`` better than ``reference``, and by more than chance?

        Args:
            model: Name of the model that may be better.
            reference: Name of the model it is held against.
            metric: A mean loss, such as ``"mse"`` or ``"mae"``; default: the first that was scored.
            by: ``"lead_time"`` or ``"channel"``; None pools everything.
            n_resamples: How many times the origins are drawn anew for the interval.
            random_state: Seed of these draws. The same seed draws the same origins, whatever ``by`` is.

        Returns:
            As :func:`darts_mim.metrics.comparison.compare_losses`: ``skill``, its 95 % interval
            ``low`` and ``high``, ``diebold_mariano`` and its ``p_value``.

        Raises:
            ValueError: If there is no such model, or the metric is not a mean loss.
        """
        chosen = self._mean_loss(metric)
        pooled = _pooled("init_time", *([by] if by else []))
        total = self.statistics[chosen.name].sum(pooled)
        loss = total.value.where(total.weight > 0).assign_coords(init_time=self._origin_steps)
        ours, theirs = (loss.sel(model=self._model(m), drop=True) for m in (model, reference))
        return compare_losses(
            ours,
            theirs,
            dim="init_time",
            horizon=self.observed.sizes["lead_time"],
            n_resamples=n_resamples,
            random_state=random_state,
        ).assign_attrs(model=model, reference=reference, metric=chosen.name)

    def compare_cells(
        self, model: str, reference: str, metric: str | None = None, *, by: str | None = None
    ) -> xr.Dataset:
        """Where is ``model`` better than ``reference``, and by more than chance?

        Args:
            model: Name of the model that may be better.
            reference: Name of the model it is held against.
            metric: A mean loss, such as ``"mse"`` or ``"mae"``; default: the first that was scored.
            by: ``"lead_time"`` for maps of each lead; None pools the leads.

        Returns:
            As :func:`darts_mim.metrics.cell_comparison.compare_cells`, on the dims of the grid:
            ``skill``, ``p_value``, and ``significant``, of which 5 % are luck over all that is returned.

        Raises:
            ValueError: If there is no such model, the metric is not a mean loss, or ``by`` is another.
        """
        if by not in ("lead_time", None):
            raise ValueError(f"by={by!r} came. Maps are by='lead_time', or pool the leads with by=None.")
        chosen = self._mean_loss(metric)
        rows = xr.DataArray(self._origin_steps, {"init_time": self._origin_steps}, "init_time")
        compared = compare_cells(
            self._cell_losses(self._model(model), self._model(reference), chosen, by),
            dim="init_time",
            origins=Origins.of(rows, "init_time", horizon=self.observed.sizes["lead_time"]),
        )
        if self.grid.channel_dim is None and self.grid.variables is None:
            compared = compared.isel({self.grid.canonical_dims[0]: 0}, drop=True)
        return compared.assign_attrs(model=model, reference=reference, metric=chosen.name)

    def _cell_losses(
        self, model: str, reference: str, metric: Metric, by: str | None
    ) -> Iterator[tuple[xr.DataArray, xr.DataArray]]:
        """Of some origins at a time, so that memory is bounded; NaN where nothing was observed."""
        truth, ours, theirs = (
            _of_cells(self.grid, series)
            for series in (self.observed, self.forecasts[model], self.forecasts[reference])
        )
        step = max(1, BLOCK // truth[0].size)
        for first in range(0, len(truth), step):
            several, pooled = slice(first, first + step), [] if by else ["lead_time"]
            seen = truth[several].notnull().any(pooled)
            a, b = (
                metric.statistic(forecast[several], truth[several], dims=[]).value.sum(pooled).where(seen)
                for forecast in (ours, theirs)
            )
            yield a, b

    @property
    def _origin_steps(self) -> np.ndarray:
        """How many steps of the series each origin is after the first."""
        origins, frames = (self.observed[name].values for name in ("init_time", "valid_time"))
        times = pd.DatetimeIndex(np.union1d(origins, frames))
        return steps_between(origins[0], pd.DatetimeIndex(origins), step_of(times))

    def _mean_loss(self, name: str | None) -> Metric:
        """The metric of that name, if it can be compared."""
        chosen = self.metric(name)
        if not chosen.is_mean_loss:
            raise ValueError(
                f"{chosen} is not a mean over origins, so its interval is unknown. Compare one of "
                f"{[m.name for m in self.metrics if m.is_mean_loss]}."
            )
        return chosen

    def table(self, metric: str | None = None) -> pd.DataFrame:
        """Scores as a table: a row a model, a column a lead, and all leads pooled at the end.

        Raises:
            ValueError: If the metric has a dim of its own, such as the wavelength.
        """
        name = self.metric(metric).name
        if not self.has_table(name):
            raise ValueError(
                f"{name} has the dims {self.scores[name].dims}, which is no table. Select from "
                f"result.scores[{name!r}]."
            )
        frame = self.scores[name].transpose("model", "lead_time").to_pandas()
        frame.columns = pd.Index(lead_labels(self.scores["lead_time"]), name="lead_time")
        return frame.assign(**{"all leads": self.scores_by()[name].to_series()})

    def summary(self) -> str:
        """The tables of every metric as text, best first by the first metric."""
        offered = ", ".join(f"{name} {n}" for name, n in self.origins_offered.items())
        parts = [f"{self.n_origins} origins common to all (offered: {offered})"]
        for metric in filter(lambda one: self.has_table(one.name), self.metrics):
            units = metric.units(self.units)
            order = metric.miss(self.table(metric.name)["all leads"]).sort_values().index
            parts += [f"{metric.title}{f' ({units})' if units else ''}"]
            parts += [self.table(metric.name).loc[order].to_string(float_format="{:.4g}".format)]
        return "\n\n".join(parts)

    __repr__ = summary

    def has_table(self, name: str) -> bool:
        """Whether the metric has one score a model and lead; a spectrum has one a wavelength too."""
        return set(self.scores[name].dims) == {"model", "lead_time"}

    def plot_scores(self, metric: str | None = None) -> "Figure":
        """See :func:`darts_mim.plotting.plot_scores`."""
        from darts_mim import plotting

        return plotting.plot_scores(self, metric)

    def plot_skill(self, reference: str, metric: str | None = None) -> "Figure":
        """See :func:`darts_mim.plotting.plot_skill`."""
        from darts_mim import plotting

        return plotting.plot_skill(self, reference, metric)

    def plot_maps(self, init_time: Any, *, model: str | None = None, **options: Any) -> "Figure":
        """Maps of one forecast; ``options`` are those of :func:`darts_mim.plotting.plot_maps`."""
        from darts_mim import plotting

        name = self._model(model or self.models[0])
        (origin,) = self.origins(init_time)
        return plotting.plot_maps(
            self.forecasts[name].sel(init_time=origin),
            self.observed.sel(init_time=origin),
            grid=self.grid,
            model=name,
            **options,
        )

    def to_html(self, path: str | Path, **options: Any) -> Path:
        """Write the report; ``options`` are those of :func:`darts_mim.report.write_report`."""
        from darts_mim import report

        return report.write_report(self, path, **options)

    def _model(self, name: str) -> str:
        if name not in self.forecasts:
            raise ValueError(f"There is no model {name!r} here. Choose from {self.models}.")
        return name


def _of_cells(grid: Grid, series: Series) -> xr.DataArray:
    """(init_time, lead_time, channel, row, column), under the grid's names; samples by their mean."""
    array = grid.canonical(series)
    array = array.mean("realization") if "realization" in array.dims else array
    return array.drop_vars([name for name in array.coords if name not in array.dims])


def _pooled(*kept: str) -> list[str]:
    """The dims of a statistic, besides the model, but for those kept."""
    dims = ["init_time", "lead_time", "channel"]
    if strange := set(kept) - set(dims):
        raise ValueError(f"Scores have no dim {strange.pop()!r}. Choose from {dims}.")
    return [dim for dim in dims if dim not in kept]
