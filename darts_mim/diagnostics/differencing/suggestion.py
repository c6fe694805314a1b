"""What to do with a series before a model is fitted, and why."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import xarray as xr

from darts_mim.backtesting.result import BacktestResult
from darts_mim.diagnostics.differencing.check import backtest_treatments, small_mim, verdict
from darts_mim.diagnostics.differencing.linear_forecast import linear_errors
from darts_mim.diagnostics.differencing.summary import season_strength, share_of_variance, strongest_season
from darts_mim.diagnostics.differencing.treatment import Treatment
from darts_mim.pipeline import GridPipeline

if TYPE_CHECKING:
    from darts_mim.diagnostics.differencing.diagnose import DifferencingDiagnosis

MOST = 0.5  # share of the variance that decides for all
NEARLY = 1.05  # errors that differ by less count as equal
LONGEST_INPUT = 12  # frames


@dataclass(frozen=True, kw_only=True, repr=False)
class Suggestion:
    """What to do before fitting, with the evidence.

    Attributes:
        text: One paragraph.
        treatment: What is suggested.
        input_chunk_length: Frames that a model should read.
        horizon: Frames that it is to forecast.
        evidence: What the decision rests on, a row a treatment that came into question.
        candidates: These treatments; the suggested one first.
        dims: The dims of the grid, as ``Grid.of`` takes them.
        checked: The backtest of all candidates, after ``check``.
    """

    text: str
    treatment: Treatment
    input_chunk_length: int
    horizon: int
    evidence: pd.DataFrame
    candidates: tuple[Treatment, ...]
    dims: Mapping[str, Any] = field(default_factory=dict)
    checked: BacktestResult | None = None

    def pipeline(self, forecaster: Any) -> GridPipeline:
        """The suggested transformers, a scaler and the forecaster, all unfitted."""
        return self.treatment.pipeline(forecaster, **self.dims)

    def check(
        self, series: xr.DataArray | xr.Dataset, *, start: Any, forecaster: Any = None, verbose: bool = False
    ) -> "Suggestion":
        """The suggestion with a backtest of all candidates: fitted on what lies before ``start``.

        Args:
            series: What was diagnosed, and what came after it.
            start: Time of the first frame forecast. If the diagnosis has seen what follows, so has the
                choice.
            forecaster: Unfitted; by default a small ``MIMModel``.
            verbose: Show progress.
        """
        model = small_mim(self.input_chunk_length, self.horizon) if forecaster is None else forecaster
        result = backtest_treatments(
            self.candidates, model, series, start=start, horizon=self.horizon, verbose=verbose, dims=self.dims
        )
        mse = result.scores_by()["mse"].to_series()
        text = f"{self.text} {verdict(result, self.treatment)}"
        return replace(self, text=text, evidence=self.evidence.assign(mse=mse), checked=result)

    def __str__(self) -> str:
        return self.text

    def __repr__(self) -> str:
        return self.text


def suggest(diagnosis: "DifferencingDiagnosis", *, horizon: int) -> Suggestion:
    """The treatment that tests and linear forecasts ask for; see ``DifferencingDiagnosis.suggest``.

    Cells count by their variance, as they do in a squared error. After each way to take a season off, or
    none, differences are taken one by one. One that makes the squared error of the best linear
    autoregression over the horizon smaller is taken, one that makes it larger is not; where it hardly
    changes the tests decide: a difference is taken if ADF keeps the unit root and KPSS rejects
    stationarity for most of the variance. One too many is never taken. Of these ways the one with the
    smallest linear error wins.
    """
    data, errors = diagnosis.dataset, _linear_errors(diagnosis, horizon)
    ways = [_with_order(data, season, errors) for season in _seasons(diagnosis)]
    chosen = min(ways, key=lambda one: np.nan_to_num(errors[one], nan=np.inf))
    asked = _candidates(chosen, data)
    evidence = pd.DataFrame([_evidence(data, one) | {"linear error": errors.get(one)} for one in asked])
    length = _input_length(data, chosen, horizon)
    return Suggestion(
        text=_reason(data, chosen, errors, length, horizon),
        treatment=chosen,
        input_chunk_length=length,
        horizon=horizon,
        evidence=evidence.set_index("treatment"),
        candidates=tuple(asked),
        dims={
            "time_dim": diagnosis.grid.time_dim,
            "spatial_dims": diagnosis.grid.spatial_dims,
            "channel_dim": diagnosis.grid.channel_dim,
        },
    )


def _seasons(diagnosis: "DifferencingDiagnosis") -> dict[Treatment, float]:
    """Ways to take a season off, and by how much each one's error is larger on new data."""
    found = {Treatment(): 1.0}
    for period, steps in diagnosis.periods.items():
        cycles = float(diagnosis["n_steps"].max()) / steps
        found[Treatment(period=period, seasonal="difference")] = 1.0
        # Means of so few cycles: (1 - 1 / cycles) of the variance is left where they were taken,
        # (1 + 1 / cycles) on new data.
        found[Treatment(period=period, seasonal="anomaly")] = (cycles + 1) / (cycles - 1)
    return found


def _linear_errors(diagnosis: "DifferencingDiagnosis", horizon: int) -> dict[Treatment, float]:
    """Squared error of the best linear autoregression after every treatment; NaN where it is not known."""
    data = diagnosis.dataset
    return {
        treatment: cost * _linear_error(data, treatment, horizon)
        for season, cost in _seasons(diagnosis).items()
        for treatment in (replace(season, order=int(order)) for order in data["order"].values)
    }


def _with_order(data: xr.Dataset, season: Treatment, errors: Mapping[Treatment, float]) -> Treatment:
    """With as many differences as it takes besides."""
    now = season
    while (then := replace(now, order=now.order + 1)) in errors:
        change = errors[then] / errors[now]
        pays = change < 1 / NEARLY or (not change > NEARLY and _has_unit_root(data, now))
        if not pays or _share(data, data["overdifferenced"] >= 2, then) > MOST:
            break
        now = then
    return now


def _has_unit_root(data: xr.Dataset, treatment: Treatment) -> bool:
    """Whether most of the variance has one, in the words of both tests."""
    return _share(data, ~data["adf_rejected"] & data["kpss_rejected"], treatment) > MOST


def _share(data: xr.Dataset, which: xr.DataArray, treatment: Treatment) -> float:
    """Of the variance, after a treatment."""
    return share_of_variance(data, which.sel(seasonal=treatment.label, order=treatment.order))


def _linear_error(data: xr.Dataset, treatment: Treatment, horizon: int, n_lags: int = LONGEST_INPUT) -> float:
    """Mean of ``linear_errors`` over the horizon, in units of the series squared; NaN if it is not known.

    Short series have the autocorrelation at few lags, and then fewer past values are read.
    """
    at = {"seasonal": treatment.label, "order": treatment.order}
    acf = data["mean_autocorrelation"].sel(at).dropna("step").values
    n_lags = min(n_lags, len(acf) - horizon)
    if n_lags < 1:
        return np.nan
    variance = float(data["variance"].sel(at).mean())
    return variance * float(linear_errors(acf[: horizon + n_lags], treatment.order, horizon, n_lags).mean())


def _input_length(data: xr.Dataset, treatment: Treatment, horizon: int) -> int:
    """Frames from which a linear autoregression does nearly as well as from ``LONGEST_INPUT``."""
    errors = np.array([_linear_error(data, treatment, horizon, n) for n in range(1, LONGEST_INPUT + 1)])
    enough = np.flatnonzero(errors <= NEARLY * errors[-1])
    return max(2, int(enough[0]) + 1) if enough.size else 2


def _candidates(chosen: Treatment, data: xr.Dataset) -> list[Treatment]:
    """The suggestion first, then what else a forecaster would think of."""
    strongest = strongest_season(data)
    period = chosen.period or (strongest[0] if strongest else None)
    seasonal = [Treatment(period=period, seasonal=s) for s in ("difference", "anomaly") if period]
    return list(dict.fromkeys([chosen, Treatment(), Treatment(order=1), *seasonal]))


def _evidence(data: xr.Dataset, treatment: Treatment) -> dict[str, Any]:
    row: dict[str, Any] = {"treatment": treatment.name}
    if treatment.order not in data["order"].values:
        return row
    at = {"seasonal": treatment.label, "order": treatment.order}
    return row | {
        "unit root kept": _share(data, ~data["adf_rejected"], treatment),
        "stationarity rejected": _share(data, data["kpss_rejected"], treatment),
        "over-differenced": _share(data, data["overdifferenced"] >= 2, treatment),
        "variance": float(data["variance"].sel(at).mean()),
    }


def _reason(
    data: xr.Dataset, chosen: Treatment, errors: Mapping[Treatment, float], length: int, horizon: int
) -> str:
    if not np.isfinite(data["variance"]).any():
        return (
            "No cell could be tested: the series is constant, or its runs without a gap are too short. "
            "Fit on the raw series, and let a backtest decide."
        )
    season = replace(chosen, order=0)
    kept, moving = (_share(data, which, season) for which in (~data["adf_rejected"], data["kpss_rejected"]))
    said = [
        _of_season(data, chosen, errors, horizon),
        f"{'After that' if chosen.period else 'As it is'}, a unit root cannot be rejected for {kept:.0%} of "
        f"the variance, and stationarity is rejected for {moving:.0%};",
        _of_order(chosen, errors),
    ]
    name = "the raw series" if chosen.name == "raw" else chosen.name
    return " ".join([*said, f"Suggested: {name}, and at least {length} frames as input."])


def _of_order(chosen: Treatment, errors: Mapping[Treatment, float]) -> str:
    before = replace(chosen, order=max(chosen.order - 1, 0))
    after = replace(before, order=before.order + 1)
    change = errors.get(after, np.nan) / errors[before] - 1
    said = "" if not np.isfinite(change) else f" {abs(change):.0%} {'larger' if change > 0 else 'smaller'}"
    last = "the last" if chosen.order > 1 else "a"
    if not chosen.order:
        return f"a difference is not called for{said and f': it would make the linear error{said}'}."
    return f"{last} difference is called for{said and f': it makes the linear error{said}'}."


def _of_season(data: xr.Dataset, chosen: Treatment, errors: Mapping[Treatment, float], horizon: int) -> str:
    strongest = strongest_season(data)
    if chosen.period is None:
        if strongest is None:
            return "There is no season to take off."
        return f"Taking the season of {strongest[0]} off (strength {strongest[1]:.2f}) would not help."
    way = {"difference": "seasonal differences", "anomaly": "anomalies from its means"}[str(chosen.seasonal)]
    fall = 1 - errors[chosen] / min(error for one, error in errors.items() if one.period is None)
    return (
        f"Take the season of {chosen.period} (strength {season_strength(data, chosen.period):.2f}) off by "
        f"{way}: the error of a linear autoregression over {horizon} steps falls by {fall:.0%}."
    )
