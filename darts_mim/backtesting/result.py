"""What a backtest gave: forecasts, truth and scores, and the questions one asks of them."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import xarray as xr

from darts_mim.backtesting import comparing, maps, saving, tables
from darts_mim.backtesting.clock import Series as Series
from darts_mim.backtesting.slices import By, Slices, kept_by, pool
from darts_mim.grid.grid import Grid
from darts_mim.metrics.metric import Metric
from darts_mim.metrics.statistic import Statistic

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure


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
    origins_wanted: int  # from start to the end of the series
    origins_offered: Mapping[str, int]  # by model; only those common to all are scored
    settings: Mapping[str, str]  # how this was made, in words, for the report
    folds: pd.DataFrame | None = None  # a row a fold: what was trained on; None: nothing was fitted

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
    def valid_time(self) -> xr.DataArray:
        """(init_time, lead_time): what the frames that were forecast are for."""
        return self.observed["valid_time"]

    @property
    def scores(self) -> xr.Dataset:
        """One variable a metric, on ``(model, lead_time)``; origins and cells are pooled."""
        return self.scores_by("lead_time")

    def scores_by(self, *dims: By) -> xr.Dataset:
        """Scores that keep ``dims``, in any combination, or none; all else is pooled exactly.

        Args:
            *dims: ``"init_time"``, ``"lead_time"`` or ``"channel"``; a slice of the times that were
                forecast, on the series' own clock: ``"hour"`` (of day: 8.5 is half past 8), ``"weekday"``
                (0 is Monday), ``"weekend"``, ``"month"``, ``"season"`` or ``"rush_hour"`` (Monday to Friday,
                from 7 to before 10 and from 16 to before 19 h); or labels of your own, whose name is the
                dim: a DataArray on ``init_time``, or on the series' time for labels of the times that
                were forecast. What has no label is left out.

        Returns:
            One variable a metric, on ``model`` and ``dims``; NaN where nothing was counted.

        Raises:
            ValueError: If there is no such dim or slice, or labels do not fit.

        >>> from darts_mim import Persistence, backtest
        >>> time = pd.date_range("2024-01-05", periods=96, freq="h")
        >>> rise = np.where(time.day_of_week < 5, 1.0, 3.0)  # an hour, and more on Saturday and Sunday
        >>> rain = rise.cumsum()[:, None, None] * np.ones((2, 3))
        >>> rain = xr.DataArray(rain, {"time": time}, ("time", "y", "x"))
        >>> result = backtest(Persistence().fit(rain[:24]), rain, start=time[24], horizon=1)
        >>> result.scores_by("weekend")["mae"].values
        array([[1., 3.]])
        """
        kept = kept_by(self, *dims)
        scores = {m.name: m.score(pool(self.statistics[m.name], kept)) for m in self.metrics}
        for metric in self.metrics:
            scores[metric.name].attrs["units"] = metric.units(self.units)
        found = xr.Dataset(scores)
        sliced = [one.name for one in kept if isinstance(one, Slices)]
        return found.transpose("model", *sliced, ...) if sliced else found

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

    def model(self, name: str) -> str:
        """The model of that name, checked.

        Raises:
            ValueError: If the backtest was run without it.
        """
        if name not in self.forecasts:
            raise ValueError(f"There is no model {name!r} here. Choose from {self.models}.")
        return name

    def skill(
        self, reference: str, metric: str | None = None, *, by: By | None = "lead_time"
    ) -> xr.DataArray:
        """How much of the way from ``reference`` to a perfect score each model goes.

        1 - |score - perfect| / |score of the reference - perfect|.

        Args:
            reference: Name of the model that has no skill, by definition.
            metric: Default: the first that was scored.
            by: A dim, a slice or labels, as in :meth:`scores_by`; None pools all.

        Returns:
            DataArray on ``(model, lead_time)``, or what ``by`` says: 1 is perfect, 0 no better than
            ``reference``, negative is worse.

        Raises:
            ValueError: If the metric has no perfect score, or there is no such model, metric or slice.
        """
        chosen = self.metric(metric)
        if not np.isfinite(chosen.perfect):
            raise ValueError(
                f"{chosen} has no perfect score to measure skill by. Ask for the skill of another metric, "
                f"e.g. skill({reference!r}, 'mse')."
            )
        miss = chosen.miss(self.scores_by(*([] if by is None else [by]))[chosen.name])
        skill = 1 - miss / miss.sel(model=self.model(reference), drop=True)
        return skill.rename("skill").assign_attrs(long_name=f"Skill over {reference}", units="1")

    def compare(
        self,
        model: str,
        reference: str,
        metric: str | None = None,
        *,
        by: By | None = "lead_time",
        n_resamples: int = 1000,
        random_state: int | None = 0,
    ) -> xr.Dataset:
        """Is ``model`` better than ``reference``, and by more than chance?

        Args:
            model: Name of the model that may be better.
            reference: Name of the model it is held against.
            metric: A mean loss, such as ``"mse"`` or ``"mae"``; default: the first that was scored.
            by: ``"lead_time"`` or ``"channel"``; a slice or labels, as in :meth:`scores_by`; None pools
                everything. Within a slice the loss of an origin is that of its frames in the slice; an origin
                without one is left out. Slices are few origins: expect wide intervals, and NaN where there
                are too few to tell.
            n_resamples: How many times the origins are drawn anew for the interval.
            random_state: Seed of these draws. The same seed draws the same origins, whatever ``by`` is,
                but for slices, which have origins of their own.

        Returns:
            As :func:`darts_mim.metrics.comparison.compare_losses`: ``skill``, its 95 % interval
            ``low`` and ``high``, ``diebold_mariano`` and its ``p_value``.

        Raises:
            ValueError: If there is no such model, slice or metric, or the metric is not a mean loss.
        """
        return comparing.compare(
            self, model, reference, metric, by, n_resamples=n_resamples, random_state=random_state
        )

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
        return maps.compare_cells(self, model, reference, metric, by)

    def cell_scores(self, metric: str | None = None, *, by: str | None = None) -> xr.DataArray:
        """The score of each cell, all origins pooled: where is a model good?

        Args:
            metric: One that counts cell by cell, as mse, mae, bias or csi; default: the first that was
                scored.
            by: ``"lead_time"`` for maps of each lead; None pools the leads.

        Returns:
            On ``model`` and the dims of the grid, with its coordinates; NaN where nothing was observed.

        Raises:
            ValueError: If the metric was not scored or counts whole fields, or ``by`` is another.
        """
        return maps.cell_scores(self, metric, by)

    def table(self, metric: str | None = None) -> pd.DataFrame:
        """Scores as a table: a row a model, a column a lead, and all leads pooled at the end.

        Raises:
            ValueError: If the metric has a dim of its own, such as the wavelength.
        """
        return tables.table(self, metric)

    def summary(self) -> str:
        """The tables of every metric as text, best first by the first metric."""
        return tables.summary(self)

    __repr__ = summary

    def has_table(self, name: str) -> bool:
        """Whether the metric has one score a model and lead; a spectrum has one a wavelength too."""
        return set(self.scores[name].dims) == {"model", "lead_time"}

    def to_dataframe(self, *dims: By) -> pd.DataFrame:
        """Scores as one long table: a row for each model, metric and place along ``dims``.

        Args:
            *dims: As in :meth:`scores_by`; without any, everything is pooled.

        Returns:
            Columns ``model``, ``metric``, one for each of ``dims`` (and of a metric's own dims, such as the
            wavelength, empty for others), and ``score``, NaN where nothing was counted.
        """
        return tables.tidy(self, *dims)

    def to_dataset(self) -> xr.Dataset:
        """Forecasts, truth and scores as one Dataset.

        Returns:
            ``forecast`` on (model, init_time, lead_time, and the series' own dims); or ``forecast_0``,
            ``forecast_1``, ... in the order of ``model``, where some are sampled and others are not;
            ``observed``; one variable a metric, on (model, lead_time); of ``folds``, a variable a column.
            Of a Dataset, each variable has its own, such as ``forecast_t2m`` and ``observed_t2m``.
            Attributes say how it was made.
        """
        return saving.dataset_of(self)

    def to_zarr(self, path: str | Path) -> Path:
        """Write :meth:`to_dataset` to a Zarr store, whole or not at all; one that is there is replaced.

        Forecasts are read back by :func:`darts_mim.backtesting.saving.read_forecasts`.

        Raises:
            FileExistsError: If there is something else than a Zarr store.
        """
        return saving.write_zarr(self.to_dataset(), path)

    def to_netcdf(self, path: str | Path) -> Path:
        """Write :meth:`to_dataset` to a netCDF file, whole or not at all; one that is there is replaced.

        Raises:
            ImportError: If h5netcdf is not installed.
        """
        return saving.write_netcdf(self.to_dataset(), path)

    def plot_scores(self, metric: str | None = None, *, ax: "Axes | None" = None) -> "Axes":
        """See :func:`darts_mim.plotting.plot_scores`."""
        from darts_mim import plotting

        return plotting.plot_scores(self, metric, ax=ax)

    def plot_skill(self, reference: str, metric: str | None = None, *, ax: "Axes | None" = None) -> "Axes":
        """See :func:`darts_mim.plotting.plot_skill`."""
        from darts_mim import plotting

        return plotting.plot_skill(self, reference, metric, ax=ax)

    def plot_slices(self, by: str, metric: str | None = None, *, ax: "Axes | None" = None) -> "Axes":
        """See :func:`darts_mim.plotting.plot_slices`."""
        from darts_mim import plotting

        return plotting.plot_slices(self, by, metric, ax=ax)

    def plot_cells(self, reference: str | None = None, metric: str | None = None, **options: Any) -> "Figure":
        """See :func:`darts_mim.plotting.plot_cells`, whose ``options`` these are."""
        from darts_mim import plotting

        return plotting.plot_cells(self, reference, metric, **options)

    def plot_maps(self, init_time: Any, *, model: str | None = None, **options: Any) -> "Figure":
        """Maps of one forecast; ``options`` are those of :func:`darts_mim.plotting.plot_maps`."""
        from darts_mim import plotting

        name = self.model(model or self.models[0])
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
