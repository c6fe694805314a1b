"""When a model fails, in sentences: leads, hours, cells, and its worst forecast."""

import numpy as np
import pandas as pd

from darts_mim.backtesting.lead_labels import lead_labels
from darts_mim.plotting import said_time
from darts_mim.plotting.style import said_hour
from darts_mim.report.duel import Duel
from darts_mim.report.words import counted, in_a_row, percent

MOST_LEADS, MOST_RIVALS = 4, 3  # that are named
FEWEST_HOURS, FEWEST_DAYS = 3, 7  # from which one hour of the day may stand out, and not one event
STANDS_OUT = 1.2  # times the error of all hours


def failures(duel: Duel) -> list[str]:
    """What goes wrong, the most useful first."""
    said = [_leads(duel), _hours(duel), _cells(duel), _worst(duel)]
    return [line for line in said if line] or ["Nothing stands out in what was scored."]


def has_hours(duel: Duel) -> bool:
    """Whether the day has enough times that were forecast to compare them."""
    days = duel.times.normalize()
    return len((duel.times - days).unique()) >= FEWEST_HOURS and len(days.unique()) >= FEWEST_DAYS


def typical_and_worst(duel: Duel) -> pd.Series:
    """How far from perfect each forecast of the model was, best first."""
    scores = duel.result.scores_by("init_time")[duel.metric.name].sel(model=duel.model)
    return duel.metric.miss(scores.to_series()).dropna().sort_values(kind="stable")


def _leads(duel: Duel) -> str:
    """The leads at which a rival has the better score; else those at which the reference may have."""
    if duel.reference is None:
        return ""
    labels = np.array(lead_labels(duel.result.scores["lead_time"]))
    behind: dict[str, np.ndarray] = {}
    for rival in dict.fromkeys([duel.reference, *duel.rivals]):
        worse = labels[duel.skill(rival, "lead_time").values < 0]
        behind |= {rival: worse} if len(worse) else {}
    if behind:
        said = [f"{name} {_at(worse, labels)}" for name, worse in [*behind.items()][:MOST_RIVALS]]
        more = [f"{len(behind) - len(said)} others at some leads"] if len(behind) > len(said) else []
        return f"{duel.model} is behind {in_a_row([*said, *more])}."
    if not duel.metric.is_mean_loss:
        return ""
    compared = duel.result.compare(duel.model, duel.reference, duel.metric.name)
    unclear = labels[~(compared["low"].values > 0)]
    if not len(unclear):
        return ""
    return f"{duel.model} is not clearly ahead of {duel.reference} {_at(unclear, labels)}."


def _at(leads: np.ndarray, of: np.ndarray) -> str:
    if len(leads) == len(of):
        return "at every lead"
    if len(leads) > MOST_LEADS:
        return f"at {len(leads)} of {len(of)} leads"
    return f"at {in_a_row(leads.tolist())}"


def _hours(duel: Duel) -> str:
    """The hour with the largest error, and those where the reference is better."""
    if not has_hours(duel):
        return ""
    name = duel.metric.name
    by_hour = duel.result.scores_by("hour")[name].sel(model=duel.model)
    miss = duel.metric.miss(by_hour).dropna("hour")
    overall = float(duel.metric.miss(duel.pooled.sel(model=duel.model)))
    said = ""
    if miss.size and overall > 0 and duel.metric.perfect == 0:
        worst = float(miss["hour"][int(np.argmax(miss.values))])
        times = float(miss.max()) / overall
        if times >= STANDS_OUT:
            said = (
                f"{duel.model} errs most for {said_hour(worst)}: {times:.2g} times its error over all hours."
            )
    if duel.reference is None:
        return said
    skill = duel.skill(duel.reference, "hour").values
    behind = int((skill < 0).sum())
    if 0 < behind < len(skill):
        said += f" At {behind} of {counted(len(skill), 'time')} of day {duel.reference} has the better score."
    return said.strip()


def _cells(duel: Duel) -> str:
    """How much of the grid the reference wins by more than luck."""
    if duel.cells is None:
        return ""
    known = np.isfinite(duel.cells["p_value"].values)
    worse = duel.cells["significant"].values & (duel.cells["skill"].values < 0)
    if not known.any() or not worse.any():
        return ""
    many = " of all channels" if duel.result.grid.n_channels > 1 else ""
    share = percent(worse.sum() / known.sum())
    return f"In {share} of the cells{many} {duel.reference} is better by more than luck."


def _worst(duel: Duel) -> str:
    miss = typical_and_worst(duel)
    if len(miss) < 2 or duel.metric.perfect != 0 or not miss.iloc[len(miss) // 2] > 0:
        return ""
    times = float(miss.iloc[-1] / miss.iloc[len(miss) // 2])
    made = said_time(miss.index[-1])
    return f"Its worst forecast, made {made}, has {times:.3g} times the error of its median one."
