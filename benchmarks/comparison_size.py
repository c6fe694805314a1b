"""How often comparisons find a difference between two equally good forecasts: 5 % is what they promise.

    python benchmarks/comparison_size.py [--runs 4000] [--quick]
                                         [--out benchmarks/results/comparison_size.json]

Losses of two forecasts at leads 1 and 4, a horizon of 4, from 200 to 1300 origins. Squared errors that are
the best possible (a sum of as many shocks as the lead), and losses with an autocorrelation, which go on
beyond the horizon. Ours are the interval of the skill and the p-value of ``compare_losses``; beside them a
t test that takes losses for independent, Diebold and Mariano's with the h - 1 autocovariances and the
correction of Harvey, Leybourne and Newbold (1997), and the percentile interval of the same bootstrap. Gaps
leave out every seventh of 500 origins, and a tenth of them in one piece. Ten runs share their resamples.
"""

import argparse
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import xarray as xr
from measure import RESULTS, cpu_name, keep, markdown
from scipy import signal, stats

from darts_mim.metrics.bootstrap import optimal_block_length, stationary_resamples
from darts_mim.metrics.comparison import compare_losses

LEADS, HORIZON = (1, 4), 4
BURN_IN = 100
RESAMPLES = 299  # of which the 285th of 300 places is 95 %
AT_ONCE = 10  # runs
Generator = np.random.Generator


def best_possible(rng: Generator, n: int) -> np.ndarray:
    """(forecast, origin, lead, run) squared errors, the sum of the shocks since the origin."""
    past = np.cumsum(rng.normal(size=(2, n + HORIZON, AT_ONCE)), axis=1)
    return np.stack([(past[:, h : h + n] - past[:, :n]) ** 2 for h in LEADS], axis=2)


def autocorrelated(correlation: float) -> Callable[[Generator, int], np.ndarray]:
    """(forecast, origin, lead, run) losses, skewed, of which the two forecasts share half."""

    def losses(rng: Generator, n: int) -> np.ndarray:
        noise = rng.gamma(2.0, size=(3, n + BURN_IN, len(LEADS), AT_ONCE))
        both, *own = signal.lfilter([1], [1, -correlation], noise, axis=1)[:, BURN_IN:]
        return both + np.stack(own)

    return losses


PROCESSES = {
    "best possible": best_possible,
    **{f"autocorrelation {rho}": autocorrelated(rho) for rho in (0.0, 0.5, 0.8, 0.9)},
}


def observed(n: int, *, gaps: bool) -> np.ndarray:
    places = np.arange(n)
    missing = (places % 7 == 3) | (abs(places - n // 3) < n // 20)
    return places[~missing] if gaps else places


def rejections(losses: np.ndarray, places: np.ndarray, seed: int) -> dict[str, np.ndarray]:
    """By method, whether the truth (no difference) is rejected at 5 %, (lead, run)."""
    ours, theirs = losses[:, places]
    named = (
        xr.DataArray(one, {"init_time": places}, ("init_time", "lead_time", "run")) for one in (ours, theirs)
    )
    compared = compare_losses(
        *named, dim="init_time", horizon=HORIZON, n_resamples=RESAMPLES, random_state=seed
    )
    return {
        "interval": ((compared["low"] > 0) | (compared["high"] < 0)).values,
        "p_value": (compared["p_value"] < 0.05).values,
        "independent": stats.ttest_1samp(ours - theirs, 0).pvalue < 0.05,
        "harvey": harvey_leybourne_newbold(ours - theirs) < 0.05,
        "percentile": percentile_excludes(ours, theirs, seed),
    }


def harvey_leybourne_newbold(differences: np.ndarray) -> np.ndarray:
    """(lead, run) p-values; the lead's h - 1 autocovariances, or none where their sum is not positive."""
    n, errors = len(differences), []
    centred = differences - differences.mean(0)
    for i, lead in enumerate(LEADS):
        covariances = [(centred[lag:, i] * centred[: n - lag, i]).sum(0) / n for lag in range(lead)]
        variance = covariances[0] + 2 * sum(covariances[1:])
        variance = np.where(variance > 0, variance, covariances[0])
        errors.append((variance / n) ** 0.5 / ((n + 1 - 2 * lead + lead * (lead - 1) / n) / n) ** 0.5)
    return 2 * stats.t.sf(abs(differences.mean(0)) / np.stack(errors), n - 1)


def percentile_excludes(ours: np.ndarray, theirs: np.ndarray, seed: int) -> np.ndarray:
    n, sums = len(ours), [losses.reshape(len(losses), -1).sum(1) for losses in (ours, theirs)]
    length = max(HORIZON, float(optimal_block_length(sums[0] * sums[1].sum() - sums[1] * sums[0].sum())))
    draws = stationary_resamples(n, length, n_resamples=RESAMPLES, random_state=seed)
    counts = np.stack([np.bincount(row, minlength=n) for rows in draws for row in rows]).astype(float)
    drawn = np.einsum("ro,olk->rlk", counts, ours, optimize=True)
    drawn = drawn / np.einsum("ro,olk->rlk", counts, theirs, optimize=True)
    low, high = np.quantile(drawn, [0.025, 0.975], axis=0)
    return (low > 1) | (high < 1)


def sizes(process: str, n: int, *, gaps: bool, runs: int) -> list[dict]:
    """Per cent rejected, a row a lead."""
    places = observed(n, gaps=gaps)
    seeds = [(run, n, list(PROCESSES).index(process), int(gaps)) for run in range(runs // AT_ONCE)]
    found = [
        rejections(PROCESSES[process](np.random.default_rng(seed), n), places, seed[0]) for seed in seeds
    ]
    what = {"process": process, "origins": n, "gaps": gaps, "runs": runs}
    return [
        {**what, "lead": lead, **{m: 100 * float(np.mean([one[m][i] for one in found])) for m in found[0]}}
        for i, lead in enumerate(LEADS)
    ]


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--runs", type=int, default=4000)
    parser.add_argument("--quick", action="store_true", help="100 runs of 200 origins")
    parser.add_argument("--out", type=Path, default=RESULTS / "comparison_size.json")
    given = parser.parse_args(arguments)
    settings = [(200, False)] if given.quick else [(200, False), (500, False), (500, True), (1300, False)]
    measured = [
        row
        for process in PROCESSES
        for n, gaps in settings
        for row in sizes(process, n, gaps=gaps, runs=100 if given.quick else given.runs)
    ]
    keep(given.out, measured, key=("process", "origins", "gaps", "lead"))
    print(cpu_name())
    methods = ("interval", "p_value", "independent", "harvey", "percentile")
    rows = (
        [f"{run['process']}{', gaps' * run['gaps']}", f"{run['origins']}", f"{run['lead']}"]
        + [f"{run[method]:.1f} %" for method in methods]
        for run in measured
    )
    print(markdown(("losses", "origins", "lead", *methods), rows))


if __name__ == "__main__":
    main()
