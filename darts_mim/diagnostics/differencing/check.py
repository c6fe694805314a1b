"""Treatments of a series, held against each other by a backtest."""

from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
import xarray as xr
from sklearn.base import clone

from darts_mim.backtesting.backtest import backtest
from darts_mim.backtesting.result import BacktestResult
from darts_mim.diagnostics.differencing.treatment import Treatment
from darts_mim.errors import TooShortError
from darts_mim.grid.times import moment
from darts_mim.pipeline import GridPipeline


def backtest_treatments(
    treatments: Iterable[Treatment],
    forecaster: Any,
    series: xr.DataArray | xr.Dataset,
    *,
    start: Any,
    horizon: int,
    verbose: bool,
    dims: Mapping[str, Any],
) -> BacktestResult:
    """One forecaster fitted anew after each treatment, all scored by the squared error from ``start`` on.

    A treatment that leaves too few frames to fit on is left out, unless it is the first.

    Raises:
        TooShortError: If the first one does.
    """
    time_dim = dims["time_dim"]
    before = series[time_dim].values < np.datetime64(moment(start, "start"))
    fitted: dict[str, GridPipeline] = {}
    for treatment in treatments:
        pipeline = treatment.pipeline(clone(forecaster), **dims)
        try:
            fitted[treatment.name] = pipeline.fit(series.isel({time_dim: before}))
        except TooShortError:
            if not fitted:
                raise
    return backtest(fitted, series, start=start, horizon=horizon, metrics=["mse"], verbose=verbose, **dims)


def verdict(result: BacktestResult, chosen: Treatment) -> str:
    """Whether the chosen treatment helped, in a sentence."""
    mse = {name: float(result.scores_by()["mse"].sel(model=name)) for name in result.models}
    best = min(mse, key=mse.__getitem__)
    if chosen.name == "raw":
        other = min(mse.keys() - {"raw"}, key=mse.__getitem__)
        less = 1 - mse[other] / mse["raw"]
        return "Checked: the raw series " + ("did best." if less <= 0 else f"lost to {other}, by {less:.0%}.")
    gain = result.compare(chosen.name, "raw", "mse", by=None)
    low, high = float(gain["low"]), float(gain["high"])
    helped = "helped" if low > 0 else "hurt" if high < 0 else "made no clear difference"
    known = np.isfinite([low, high]).all()
    within = f"95 % interval {low:.0%} to {high:.0%}" if known else "too few forecasts for an interval"
    more = "" if best == chosen.name else f" Best was {best}."
    return (
        f"Checked: it {helped}, {float(gain['skill']):.0%} less squared error than on the raw series "
        f"({within}).{more}"
    )


def small_mim(input_chunk_length: int, horizon: int) -> Any:
    """A network that is trained within minutes."""
    from darts_mim.models.mim import MIMModel  # seconds of imports that tests alone need not wait for

    return MIMModel(
        input_chunk_length=input_chunk_length,
        output_chunk_length=horizon,
        hidden=16,
        layers=2,
        patch_size=2,
        lr=2e-3,
        lr_schedule="cosine",
        n_epochs=3,
        random_state=0,
        pl_trainer_kwargs={"enable_progress_bar": False, "enable_model_summary": False},
    )
