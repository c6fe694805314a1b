"""Is each cell of a grid non-stationary, and which differences would make it stationary?"""

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import xarray as xr
from rich.progress import Progress

from darts_mim.diagnostics.differencing import cell_tests
from darts_mim.diagnostics.differencing.cell_tests import Plan
from darts_mim.diagnostics.differencing.cells import blocks, follows
from darts_mim.diagnostics.differencing.regions import region_statistics
from darts_mim.diagnostics.differencing.suggestion import Suggestion, suggest
from darts_mim.diagnostics.differencing.summary import summarise
from darts_mim.diagnostics.spatial import morans_i
from darts_mim.errors import TimeAxisError
from darts_mim.grid.grid import Grid
from darts_mim.grid.times import period_steps, positive, step_of, times_of
from darts_mim.grid.variables import as_float

if TYPE_CHECKING:
    from matplotlib.figure import Figure

Series = xr.DataArray | xr.Dataset
USUAL_PERIODS = ("1D", "7D", "1YE")
CYCLES = 3  # of a period that a series must hold for its season to be told from its noise
LAGS = 48  # steps of the mean autocorrelation
TEST_SHARE = 0.2  # of the series, at its end, where a suggestion is checked


@dataclass(frozen=True, kw_only=True, repr=False, eq=False)
class DifferencingDiagnosis:
    """What ``diagnose_differencing`` found; ``diagnosis["adf_pvalue"]`` reads its Dataset.

    Attributes:
        dataset: Maps of every test, statistic and need; each variable's ``long_name`` says what it is.
        grid: The grid of the series.
        series: The series, as it came.
        periods: The seasonal periods and how many steps each has.
        alpha: The level of the tests.
    """

    dataset: xr.Dataset
    grid: Grid
    series: Series
    periods: Mapping[str, int] = field(default_factory=dict)
    alpha: float = 0.05

    def __getitem__(self, name: str) -> xr.DataArray:
        return self.dataset[name]

    def __repr__(self) -> str:
        return self.summary()

    def summary(self) -> str:
        """What was found, in a few sentences."""
        return summarise(self)

    def suggest(
        self, *, horizon: int = 4, check: bool = False, forecaster: Any = None, verbose: bool = False
    ) -> Suggestion:
        """What to do about it before fitting: nothing, differences, seasonal differences or anomalies.

        Args:
            horizon: Frames to be forecast.
            check: Fit ``forecaster`` on the first four fifths with every treatment that comes into
                question, and backtest them on the last fifth. The tests have seen that one;
                ``Suggestion.check`` takes a series that goes on after the one diagnosed.
            forecaster: Unfitted; by default a small ``MIMModel`` of the suggested input length.
            verbose: Show progress of the check.
        """
        suggestion = suggest(self, horizon=positive(horizon, "horizon"))
        if not check:
            return suggestion
        times = self.series[self.grid.time_dim]
        start = times[len(times) - int(TEST_SHARE * len(times))]
        return suggestion.check(self.series, start=start, forecaster=forecaster, verbose=verbose)

    def plot(self) -> "Figure":
        """Maps of what each cell needs, and how many cells are stationary after which differences."""
        from darts_mim.diagnostics.differencing.plot import plot_differencing

        return plot_differencing(self)

    def plot_regions(self, channel: Any = None) -> "Figure":
        """Local means, deviations and distributions by region [Wang2019, Figure 1]."""
        from darts_mim.diagnostics.differencing.plot import plot_regions

        return plot_regions(self, channel)

    def to_html(
        self, path: str | Path, *, title: str = "Differencing diagnosis", check: bool = False
    ) -> Path:
        """Write all of it as one file that needs nothing else; ``check`` as in ``suggest``."""
        from darts_mim.diagnostics.differencing.page import write_diagnosis

        return write_diagnosis(self, path, title=title, suggestion=self.suggest(check=check))


def diagnose_differencing(
    series: Series,
    *,
    max_order: int = 2,
    seasonal_periods: Sequence[str] | None = None,
    regression: str = "c",
    maxlag: int | None = None,
    autolag: str | None = "AIC",
    alpha: float = 0.05,
    regions: tuple[int, int] = (2, 2),
    device: str | None = None,
    n_jobs: int = -1,
    time_dim: str | None = None,
    spatial_dims: tuple[str, str] | None = None,
    channel_dim: str | None = None,
    verbose: bool = False,
) -> DifferencingDiagnosis:
    """Unit-root and stationarity tests on every cell, before and after differencing.

    Every cell is tested on its longest run without a gap: as it is, after seasonal differences and after its
    seasonal means are taken off, each at the orders 0 to ``max_order``. A series larger than memory is read
    block by block. Cells that cannot be tested are labelled in ``status`` and NaN elsewhere.

    Args:
        series: A gridded series; one from zarr stays there.
        max_order: Highest order of differences.
        seasonal_periods: Such as ``("1D", "7D")``; by default those of a day, a week and a year that the step
            divides and the series holds three times.
        regression: Deterministic terms of ADF and Phillips-Perron: ``"n"``, ``"c"``, ``"ct"`` or ``"ctt"``.
            KPSS has ``"ct"`` where they have a trend, else ``"c"``.
        maxlag: Most lags of ADF; by default 12 (n / 100)^(1/4).
        autolag: How ADF chooses its lags: ``"AIC"``, ``"BIC"``, ``"t-stat"``, or None for ``maxlag``.
        alpha: Level of the tests, and of the false-discovery control over the cells.
        regions: Into how many (rows, columns) of regions the grid is cut for local means and deviations.
        device: A torch device for the tests, such as ``"cuda"``; by default NumPy.
        n_jobs: Threads; -1 takes all cores.
        time_dim: Name of the time dim, if it cannot be told.
        spatial_dims: Names of rows and columns, if they cannot be told.
        channel_dim: Name of the channel dim, if it cannot be told.
        verbose: Show progress.

    Returns:
        Maps on the series' channel and spatial dims, and on ``seasonal`` (``"none"``, a period whose
        seasonal difference was taken, ``"... anomaly"``) and ``order``:
        ``adf_``, ``kpss_``, ``pp_`` ``statistic``, ``pvalue``, ``lags``; ``adf_rejected`` and
        ``kpss_rejected`` with false-discovery control; ``variance``, ``lag1_autocorrelation`` and
        ``long_run_ratio``; ``overdifferenced``, how many of three signs there are. On ``seasonal``
        alone: ``ndiffs``. On ``period``: ``nsdiffs``, ``trend_strength``, ``seasonal_strength``. Also
        ``status``, ``n_steps``, ``autocorrelation``, ``mean_autocorrelation``, ``morans_i`` of the ADF
        statistic, and ``region_mean``, ``region_std``, ``region_density``.

    Raises:
        GridDimsError: If the dims cannot be told apart.
        TimeAxisError: If the times are irregular, or a period is no whole number of steps.
        ValueError: If an argument is out of its range.

    Source:
        Said and Dickey (1984), Biometrika 71, 599-607; Kwiatkowski et al. (1992), J. Econometrics 54,
        159-178; Phillips and Perron (1988), Biometrika 75, 335-346; Benjamini and Hochberg (1995), J. R.
        Stat. Soc. B 57, 289-300.

    >>> import pandas as pd
    >>> noise = np.random.default_rng(0).normal(size=(400, 2, 3))
    >>> time = pd.date_range("2024", periods=400, freq="h")
    >>> walks = xr.DataArray(noise.cumsum(0), {"time": time}, ("time", "y", "x"))
    >>> diagnosis = diagnose_differencing(walks, seasonal_periods=())
    >>> diagnosis["ndiffs"].sel(seasonal="none").values
    array([[1., 1., 1.], [1., 1., 1.]])
    """
    _require(max_order, alpha, n_jobs)
    grid = Grid.of(
        series, time_dim=time_dim, spatial_dims=spatial_dims, channel_dim=channel_dim, with_mask=False
    )
    times = times_of(series, grid.time_dim)
    periods = _periods(seasonal_periods, step_of(times), len(times))
    plan = Plan(
        max_order=max_order,
        periods=periods,
        regression=regression,
        maxlag=maxlag,
        autolag=autolag,
        alpha=alpha,
        n_lags=min(LAGS, len(times) // 2),
        device=device,
        n_jobs=(os.cpu_count() or 1) if n_jobs == -1 else n_jobs,
    )
    array = as_float(grid.canonical(series))
    follow = follows(times)
    held = cell_tests.empty(plan, grid.shape)
    with Progress(disable=not verbose) as progress:
        for where in progress.track(blocks(array), description="Unit-root tests"):
            part = array[(slice(None), *where)].values.astype(np.float64, copy=False)
            measured = cell_tests.measure(part.reshape(len(part), -1).T, follow, plan)
            for name, values in measured.items():
                held[name][(..., *where)] = values.reshape(*values.shape[:-1], *part.shape[1:])
    dataset = cell_tests.label(held, plan, grid)
    dataset["morans_i"] = _coherence(dataset, grid)
    dataset = dataset.merge(region_statistics(array, grid, regions))
    return DifferencingDiagnosis(dataset=dataset, grid=grid, series=series, periods=periods, alpha=alpha)


def _require(max_order: int, alpha: float, n_jobs: int) -> None:
    if max_order != 0:
        positive(max_order, "max_order")
    if not 0 < alpha < 1:
        raise ValueError(f"alpha={alpha!r} came; a level lies between 0 and 1, e.g. 0.05.")
    if n_jobs != -1:
        positive(n_jobs, "n_jobs")


def _periods(asked: Sequence[str] | None, step: Any, n_times: int) -> dict[str, int]:
    """Periods and their steps; of the usual ones, those that suit."""
    if isinstance(asked, str):
        asked = (asked,)
    if asked is not None:
        steps = {period: period_steps(period, step) for period in asked}
        for period, n in steps.items():
            if not 1 < n <= n_times // 2:
                raise TimeAxisError(
                    f"The period {period!r} has {n} steps, and the series {n_times}. A season takes at least "
                    f"2 steps and 2 whole periods: leave it out of seasonal_periods."
                )
        return steps
    found: dict[str, int] = {}
    for period in USUAL_PERIODS:
        try:
            n = period_steps(period, step)
        except TimeAxisError:  # no whole number of steps
            continue
        if 1 < n <= n_times // CYCLES:
            found[period] = n
    return found


def _coherence(dataset: xr.Dataset, grid: Grid) -> xr.DataArray:
    """Moran's I of the map of ADF statistics: is the need for differences a matter of place?"""
    statistic = dataset["adf_statistic"].isel(seasonal=0, order=0)
    found = morans_i(statistic.transpose(..., *grid.spatial_dims).values)
    dims = tuple(dim for dim in statistic.dims if dim not in grid.spatial_dims)
    said = "Moran's I of the ADF statistic: 1, neighbours agree; 0, they do not"
    return xr.DataArray(found.value, dims=dims, attrs={"long_name": said, "units": "1"})
