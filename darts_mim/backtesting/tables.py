"""The scores of a backtest as tables: to print, and tidy."""

from typing import TYPE_CHECKING

import pandas as pd

from darts_mim.backtesting.lead_labels import lead_labels
from darts_mim.backtesting.slices import By

if TYPE_CHECKING:
    from darts_mim.backtesting.result import BacktestResult


def table(result: "BacktestResult", metric: str | None) -> pd.DataFrame:
    """See :meth:`darts_mim.backtesting.result.BacktestResult.table`."""
    name = result.metric(metric).name
    if not result.has_table(name):
        raise ValueError(
            f"{name} has the dims {result.scores[name].dims}, which is no table. Select from "
            f"result.scores[{name!r}]."
        )
    frame = result.scores[name].transpose("model", "lead_time").to_pandas()
    frame.columns = pd.Index(lead_labels(result.scores["lead_time"]), name="lead_time")
    return frame.assign(**{"all leads": result.scores_by()[name].to_series()})


def summary(result: "BacktestResult") -> str:
    """See :meth:`darts_mim.backtesting.result.BacktestResult.summary`."""
    offered = ", ".join(f"{name} {n}" for name, n in result.origins_offered.items())
    parts = [f"{result.n_origins} origins common to all (offered: {offered})"]
    for metric in filter(lambda one: result.has_table(one.name), result.metrics):
        units = metric.units(result.units)
        order = metric.miss(result.table(metric.name)["all leads"]).sort_values().index
        parts += [f"{metric.title}{f' ({units})' if units else ''}"]
        parts += [result.table(metric.name).loc[order].to_string(float_format="{:.4g}".format)]
    return "\n\n".join(parts)


def tidy(result: "BacktestResult", *dims: By) -> pd.DataFrame:
    """See :meth:`darts_mim.backtesting.result.BacktestResult.to_dataframe`."""
    kept = ["model", *(by if isinstance(by, str) else str(by.name) for by in dims)]
    scores = result.scores_by(*dims)
    frames: list[pd.DataFrame] = []
    for name, score in scores.data_vars.items():
        own = [str(dim) for dim in score.dims if dim not in kept]
        rows = score.reset_coords(drop=True).rename("score").to_dataframe(dim_order=[*kept, *own])
        frames.append(rows.reset_index().assign(metric=str(name)))
    joined = pd.concat(frames, ignore_index=True)
    front = ["model", "metric", *kept[1:]]
    own = [column for column in joined.columns if column not in (*front, "score")]
    return pd.DataFrame(joined, columns=[*front, *own, "score"])
