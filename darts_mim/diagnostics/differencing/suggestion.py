"""What to do with a series before a model is fitted, and why."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import xarray as xr

from darts_mim.backtest_result import BacktestResult
from darts_mim.diagnostics.differencing.check import backtest_treatments, small_mim, verdict
from darts_mim.diagnostics.differencing.linear_forecast import linear_errors
from darts_mim.diagnostics.differencing.summary import season_strength, share_of_variance, strongest_season
from darts_mim.diagnostics.differencing.treatment import Treatment
from darts_mim.pipeline import GridPipeline

if TYPE_CHECKING:
    from darts_mim.diagnostics.differencing.diagnose import DifferencingDiagnosis

MOST = 0.5  # share of the variance that decides for all
NEARLY = 1.05  # times the error of a linear autoregression that reads LONGEST_INPUT frames
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
    """The treatment that the tests ask for; see ``DifferencingDiagnosis.suggest``.

    Cells count by their variance, as they do in a squared error. After each way to take a season off,
    or none, a difference is taken as long as ADF keeps the unit root and KPSS rejects stationarity for
    most of the variance, and the difference would not be one too many. Of these ways the one wins that
    leaves a linear autoregression the smallest squared error over the horizon; what seasonal means
    cost, that were estimated, is added.
    """
    data = diagnosis.dataset
    cost = {_with_order(data, season): factor for season, factor in _seasons(diagnosis).items()}
    left = {one: factor * _linear_error(data, one, horizon) for one, factor in cost.items()}
    known = {one: error for one, error in left.items() if np.isfinite(error)}
    chosen = min(known, key=known.__getitem__) if known else Treatment()
    asked = _candidates(chosen, data)
    evidence = pd.DataFrame([_evidence(data, one, cost.get(one, 1.0), horizon) for one in asked])
    length = _input_length(data, chosen, horizon)
    return Suggestion(
        text=_reason(data, chosen, left, length, horizon),
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


def _with_order(data: xr.Dataset, season: Treatment) -> Treatment:
    """With as many differences as it takes besides."""
    order = 0
    while order + 1 in data["order"].values and _wants_difference(data, season.label, order):
        order += 1
    return replace(season, order=order)


def _wants_difference(data: xr.Dataset, label: str, order: int) -> bool:
    """Whether most of the variance has a unit root at this order, and a difference is not one too many."""
    now, then = ({"seasonal": label, "order": d} for d in (order, order + 1))
    unit_root = ~data["adf_rejected"].sel(now) & data["kpss_rejected"].sel(now)
    too_many = data["overdifferenced"].sel(then) >= 2
    return share_of_variance(data, unit_root & ~too_many) > MOST


def _linear_error(data: xr.Dataset, treatment: Treatment, horizon: int, n_lags: int = LONGEST_INPUT) -> float:
    """Mean of ``linear_errors`` of a treatment over the horizon, in units of the series squared; or NaN."""
    at = {"seasonal": treatment.label, "order": treatment.order}
    if treatment.order not in data["order"].values:
        return np.nan
    acf = data["mean_autocorrelation"].sel(at).values[: horizon + n_lags]
    if len(acf) < horizon + n_lags or not np.isfinite(acf).all():
        return np.nan
    variance = float(data["variance"].sel(at).mean())
    return variance * float(linear_errors(acf, treatment.order, horizon, n_lags).mean())


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


def _evidence(data: xr.Dataset, treatment: Treatment, cost: float, horizon: int) -> dict[str, Any]:
    at = {"seasonal": treatment.label, "order": treatment.order}
    row: dict[str, Any] = {"treatment": treatment.name}
    if treatment.order not in data["order"].values:
        return row
    return row | {
        "unit root kept": share_of_variance(data, ~data["adf_rejected"].sel(at)),
        "stationarity rejected": share_of_variance(data, data["kpss_rejected"].sel(at)),
        "over-differenced": share_of_variance(data, data["overdifferenced"].sel(at) >= 2),
        "variance": float(data["variance"].sel(at).mean()),
        "linear error": cost * _linear_error(data, treatment, horizon),
    }


def _reason(
    data: xr.Dataset, chosen: Treatment, left: Mapping[Treatment, float], length: int, horizon: int
) -> str:
    if not np.isfinite(data["variance"]).any():
        return (
            "No cell could be tested: the series is constant, or its runs without a gap are too short. "
            "Fit on the raw series, and let a backtest decide."
        )
    said = [_of_season(data, chosen, left, horizon)]
    at = {"seasonal": chosen.label, "order": max(chosen.order - 1, 0)}
    kept = share_of_variance(data, ~data["adf_rejected"].sel(at))
    moving = share_of_variance(data, data["kpss_rejected"].sel(at))
    after = "After that" if chosen.period else "As it is"
    so = "so take a difference" if chosen.order else "no difference is called for"
    said.append(
        f"{after}, a unit root cannot be rejected for {kept:.0%} of the variance, and stationarity is "
        f"rejected for {moving:.0%}: {so}."
    )
    name = "the raw series" if chosen.name == "raw" else chosen.name
    return " ".join([*said, f"Suggested: {name}, and at least {length} frames as input."])


def _of_season(data: xr.Dataset, chosen: Treatment, left: Mapping[Treatment, float], horizon: int) -> str:
    strongest = strongest_season(data)
    if chosen.period is None:
        if strongest is None:
            return "There is no season to take off."
        return f"Taking the season of {strongest[0]} off (strength {strongest[1]:.2f}) would not help."
    way = {"difference": "seasonal differences", "anomaly": "anomalies from its means"}[str(chosen.seasonal)]
    as_it_is = next(error for one, error in left.items() if one.period is None)
    strength = season_strength(data, chosen.period)
    return (
        f"Take the season of {chosen.period} (strength {strength:.2f}) off by {way}: the error of a linear "
        f"autoregression over {horizon} steps falls by {1 - left[chosen] / as_it_is:.0%}."
    )
