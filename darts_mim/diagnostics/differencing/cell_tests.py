"""Everything that is measured of one cell alone, for many cells at once."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import xarray as xr
from scipy import fft, stats

from darts_mim.diagnostics.differencing.cells import runs_of
from darts_mim.diagnostics.differencing.seasonality import (
    STRONG,
    anomaly,
    decompose,
    seasonal_difference,
    strength,
)
from darts_mim.diagnostics.unit_roots.adf import adf
from darts_mim.diagnostics.unit_roots.kpss import kpss, legacy_lags
from darts_mim.diagnostics.unit_roots.long_run_variance import long_run_variance
from darts_mim.diagnostics.unit_roots.phillips_perron import phillips_perron
from darts_mim.grid.grid import Grid

SHORTEST = 30  # steps, below which the tests say nothing
NO_LONG_RUN = 0.1  # a long-run variance this small beside the variance is a unit root in the moving average
TESTED, MASKED, CONSTANT, SHORT = range(4)
STATUS = {"flag_values": [0, 1, 2, 3], "flag_meanings": "tested masked constant short"}
NEAR_LAGS = (1, 2, 3, 4)  # of the autocorrelation maps, besides the periods
OF_A_TEST = ("statistic", "pvalue", "lags")
OF_TESTS = tuple(f"{test}_{what}" for test in ("adf", "kpss", "pp") for what in OF_A_TEST)
OF_TREATMENT = (*OF_TESTS, "variance", "lag1_autocorrelation", "long_run_ratio")
SAID = {
    "adf_statistic": "Augmented Dickey-Fuller statistic; far below 0: no unit root",
    "adf_pvalue": "Augmented Dickey-Fuller p-value of a unit root",
    "adf_lags": "Lags of the augmented Dickey-Fuller regression",
    "adf_rejected": "A unit root is rejected, false discoveries controlled over the cells",
    "kpss_statistic": "KPSS statistic; large: not stationary",
    "kpss_pvalue": "KPSS p-value of stationarity, within its table's 0.01 to 0.1",
    "kpss_lags": "Lags of the KPSS long-run variance",
    "kpss_rejected": "Stationarity is rejected, false discoveries controlled over the cells",
    "pp_statistic": "Phillips-Perron Z-tau statistic; far below 0: no unit root",
    "pp_pvalue": "Phillips-Perron p-value of a unit root",
    "pp_lags": "Lags of the Phillips-Perron long-run variance",
    "variance": "Variance",
    "lag1_autocorrelation": "Autocorrelation at one step",
    "long_run_ratio": "Long-run variance over variance; 1 for white noise",
    "overdifferenced": "Signs of over-differencing: variance rises, autocorrelation below -0.5, no long run",
    "ndiffs": "Differences needed until KPSS no longer rejects stationarity",
    "nsdiffs": "Seasonal differences needed: 1 where the seasonal strength is above 0.64",
    "trend_strength": "Strength of the trend",
    "seasonal_strength": "Strength of the season",
    "autocorrelation": "Autocorrelation of the series as it is",
    "mean_autocorrelation": "Autocorrelation, mean over the tested cells, weighted by their variance",
    "n_steps": "Steps of the longest run without a gap",
    "status": "Whether the cell was tested, and why not",
}


@dataclass(frozen=True, kw_only=True)
class Plan:
    """What is to be measured."""

    max_order: int
    periods: Mapping[str, int]  # steps
    regression: str
    maxlag: int | None
    autolag: str | None
    alpha: float
    n_lags: int
    device: str | None
    n_jobs: int

    @property
    def treatments(self) -> dict[str, Callable[[np.ndarray], np.ndarray]]:
        """What takes the season off, by name."""
        found: dict[str, Callable[[np.ndarray], np.ndarray]] = {"none": lambda series: series}
        found |= {name: partial(seasonal_difference, period=n) for name, n in self.periods.items()}
        return found | {f"{name} anomaly": partial(anomaly, period=n) for name, n in self.periods.items()}

    @property
    def orders(self) -> range:
        """Of differences."""
        return range(self.max_order + 1)

    @property
    def lags(self) -> list[int]:
        """Of the autocorrelation maps."""
        return sorted({*NEAR_LAGS, *self.periods.values()})


def empty(plan: Plan, shape: tuple[int, ...]) -> dict[str, np.ndarray]:
    """NaN where nothing was measured yet; the grid's ``shape`` last."""
    treated = (len(plan.treatments), len(plan.orders))
    front: dict[str, tuple[int, ...]] = dict.fromkeys(OF_TREATMENT, treated)
    front["acf"] = (*treated, plan.n_lags + 1)
    front |= {"ndiffs": treated[:1], "autocorrelation": (len(plan.lags),), "n_steps": ()}
    front |= dict.fromkeys(("nsdiffs", "trend_strength", "seasonal_strength"), (len(plan.periods),))
    held = {name: np.full((*dims, *shape), np.nan) for name, dims in front.items()}
    return held | {"status": np.full(shape, MASKED, dtype=np.int8)}


def measure(values: np.ndarray, follows: np.ndarray, plan: Plan) -> dict[str, np.ndarray]:
    """All statistics of some cells, the cells last.

    Args:
        values: (cell, time) float64; a gap is NaN.
        follows: (time), whether a frame is one step after the one before.
        plan: What to measure.
    """
    held = empty(plan, (len(values),))
    for cells, run in runs_of(values, follows):
        held["n_steps"][cells] = run.shape[1]
        status = _status(run)
        held["status"][cells] = status
        tested = np.flatnonzero(status == TESTED)
        if tested.size:
            for name, found in _measure_run(run[tested], plan).items():
                held[name][..., cells[tested]] = found
    return held


def _status(run: np.ndarray) -> np.ndarray:
    if run.shape[1] == 0:
        return np.full(len(run), MASKED)
    constant = (run == run[:, :1]).all(axis=1)
    return np.where(constant, CONSTANT, SHORT if run.shape[1] < SHORTEST else TESTED)


def _measure_run(run: np.ndarray, plan: Plan) -> dict[str, np.ndarray]:
    """Of cells that all have a value at every step."""
    held = empty(plan, (len(run),))
    del held["status"], held["n_steps"]
    for t, treat in enumerate(plan.treatments.values()):
        treated = treat(run)
        held["ndiffs"][t] = ndiffs(treated, plan.alpha, plan.max_order)
        for d in plan.orders:
            differences = np.ascontiguousarray(np.diff(treated, d))
            if differences.shape[1] >= SHORTEST:
                for name, found in _measure_treated(differences, plan).items():
                    held[name][t, d] = found
    acf = autocorrelation(run, min(max(plan.lags), run.shape[1] - 1))
    for number, lag in enumerate(plan.lags):
        if lag < len(acf):
            held["autocorrelation"][number] = acf[lag]
    for number, period in enumerate(plan.periods.values()):
        if run.shape[1] >= 2 * period:
            found = strength(decompose(run, period))
            held["trend_strength"][number], held["seasonal_strength"][number] = found
            held["nsdiffs"][number] = found.seasonal > STRONG
    return held


def _measure_treated(series: np.ndarray, plan: Plan) -> dict[str, np.ndarray]:
    trend = "ct" if plan.regression in ("ct", "ctt") else "c"
    with_intercept = "ct" if plan.regression == "ctt" else plan.regression
    given: Any = series if plan.device is None else _on_device(series, plan.device)
    tests = {
        "adf": adf(
            given,
            regression=plan.regression,
            maxlag=plan.maxlag,
            autolag=plan.autolag,
            n_jobs=plan.n_jobs,
        ),
        "kpss": kpss(given, regression=trend, n_jobs=plan.n_jobs),
        "pp": phillips_perron(given, regression=with_intercept, n_jobs=plan.n_jobs),
    }
    found = {
        f"{name}_{what}": np.asarray(getattr(test, what), dtype=float)
        for name, test in tests.items()
        for what in OF_A_TEST
    }
    centred = series - series.mean(axis=1, keepdims=True)
    variance = np.vecdot(centred, centred) / series.shape[1]
    acf = autocorrelation(series, min(plan.n_lags, series.shape[1] - 1))
    padded = np.full((plan.n_lags + 1, len(series)), np.nan)
    padded[: len(acf)] = acf
    long_run = long_run_variance(centred, legacy_lags(series.shape[1]))
    ratio = np.divide(long_run, variance, out=np.full(len(series), np.nan), where=variance > 0)
    return found | {
        "variance": variance,
        "lag1_autocorrelation": padded[1],
        "long_run_ratio": ratio,
        "acf": padded,
    }


def _on_device(series: np.ndarray, device: str) -> Any:
    import torch

    return torch.as_tensor(series, device=device)


def ndiffs(series: np.ndarray, alpha: float = 0.05, max_order: int = 2) -> np.ndarray:
    """How often each series must be differenced until KPSS no longer rejects stationarity.

    Args:
        series: (cell, time), whole.
        alpha: Level of the tests, 0.01 to 0.1.
        max_order: Most differences.

    Source:
        Hyndman and Khandakar (2008), J. Stat. Softw. 27(3); lags as in R's ``forecast::ndiffs``,
        3 sqrt(n) / 13.

    >>> noise = np.random.default_rng(0).normal(size=(1, 300))
    >>> ndiffs(np.concatenate([noise, noise.cumsum(axis=1)]))
    array([0., 1.])
    """
    found = np.full(len(series), float(max_order))
    pending = np.ones(len(series), dtype=bool)
    for order in range(max_order):
        differences = np.ascontiguousarray(np.diff(series[pending], order))
        n = differences.shape[1]
        if n < SHORTEST:
            found[pending] = np.nan if order == 0 else order
            break
        rejected = kpss(differences, nlags=int(3 * np.sqrt(n) / 13)).pvalue < alpha  # NaN: constant by now
        done = np.flatnonzero(pending)[~rejected]
        found[done], pending[done] = order, False
    return found


def autocorrelation(series: np.ndarray, n_lags: int) -> np.ndarray:
    """Autocorrelation at 0 to ``n_lags`` steps, (lag, cell); NaN where a series is constant.

    >>> autocorrelation(np.array([[1.0, -1.0, 1.0, -1.0]]), 2).ravel()
    array([ 1.  , -0.75,  0.5 ])
    """
    centred = series - series.mean(axis=1, keepdims=True)
    length = fft.next_fast_len(series.shape[1] + n_lags, real=True)
    spectrum = np.asarray(fft.rfft(centred, length, axis=1))
    products = np.asarray(fft.irfft(np.abs(spectrum) ** 2, length, axis=1)).T[: n_lags + 1]
    return np.divide(products, products[:1], out=np.full(products.shape, np.nan), where=products[:1] > 0)


def label(held: dict[str, np.ndarray], plan: Plan, grid: Grid) -> xr.Dataset:
    """What was measured, on the user's dims, and what follows from it over all cells."""
    dims = dict(_dims(grid))
    units = str(grid.attrs.get("units", ""))
    arrays = {name: (dims[name], held[name], {"long_name": SAID[name]}) for name in dims}
    coords = {
        "seasonal": list(plan.treatments),
        "order": list(plan.orders),
        "period": np.array(list(plan.periods), dtype=str),
        "lag": plan.lags,
        grid.canonical_dims[0]: list(grid.channels),
    }
    dataset = xr.Dataset(arrays, coords).assign_coords(grid.coords.coords)
    dataset["status"].attrs |= STATUS
    dataset["variance"].attrs["units"] = f"({units})^2" if units else ""
    dataset["mean_autocorrelation"] = _mean_autocorrelation(held, plan)
    for test in ("adf", "kpss"):
        dataset[f"{test}_rejected"] = _discoveries(dataset[f"{test}_pvalue"], plan.alpha)
    dataset["overdifferenced"] = _signs(dataset)
    for name in ("adf_rejected", "kpss_rejected", "overdifferenced", "mean_autocorrelation"):
        dataset[name].attrs = {"long_name": SAID[name]}
    return without_channel(dataset, grid)


def without_channel(dataset: xr.Dataset, grid: Grid) -> xr.Dataset:
    """Without the channel dim, if the user's series has none."""
    own = grid.channel_dim is not None or grid.variables is not None
    return dataset if own else dataset.squeeze(grid.canonical_dims[0], drop=True)


def _dims(grid: Grid) -> Iterator[tuple[str, tuple[str, ...]]]:
    cells = grid.canonical_dims
    yield from ((name, ("seasonal", "order", *cells)) for name in OF_TREATMENT)
    yield from ((name, ("period", *cells)) for name in ("nsdiffs", "trend_strength", "seasonal_strength"))
    yield from {"ndiffs": ("seasonal", *cells), "autocorrelation": ("lag", *cells)}.items()
    yield from ((name, tuple(cells)) for name in ("n_steps", "status"))


def _mean_autocorrelation(held: dict[str, np.ndarray], plan: Plan) -> xr.DataArray:
    """Autocovariances added over the cells, as autocorrelation: what one regression for all of them sees."""
    acf = held["acf"].reshape(*held["acf"].shape[:3], -1)
    variance = held["variance"].reshape(*acf.shape[:2], 1, -1)
    seen = np.isfinite(acf)
    total = np.where(seen, acf * variance, 0.0).sum(axis=-1)
    whole = np.where(seen, variance, 0.0).sum(axis=-1)
    mean = np.divide(total, whole, out=np.full(total.shape, np.nan), where=whole > 0)
    coords = {"step": np.arange(plan.n_lags + 1)}
    return xr.DataArray(mean, coords, ("seasonal", "order", "step"))


def _discoveries(pvalue: xr.DataArray, alpha: float) -> xr.DataArray:
    """Which cells are rejected with false-discovery control, for each treatment and order."""
    flat = pvalue.values.reshape(*pvalue.shape[:2], -1)
    rejected = np.zeros(flat.shape, dtype=bool)
    for at in np.ndindex(*flat.shape[:2]):
        tested = np.isfinite(flat[at])
        if tested.any():
            rejected[at][tested] = stats.false_discovery_control(flat[at][tested]) < alpha
    return pvalue.copy(data=rejected.reshape(pvalue.shape))


def _signs(dataset: xr.Dataset) -> xr.DataArray:
    """How many signs of over-differencing; none at order 0."""
    variance = dataset["variance"]
    rises = variance > variance.shift(order=1)
    below = dataset["lag1_autocorrelation"] < -0.5
    no_long_run = dataset["long_run_ratio"] < NO_LONG_RUN
    signs = rises.astype(np.int8) + below + no_long_run
    return signs.where(dataset["order"] > 0, 0).astype(np.int8)
