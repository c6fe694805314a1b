"""What the tables say is what the result says."""

import re
from html import unescape

import numpy as np
import pandas as pd
import pytest
import xarray as xr
from report.backtests import flow, scored, truth_of

from darts_mim.backtesting.backtest import backtest
from darts_mim.baselines import Climatology, Persistence, SeasonalNaive
from darts_mim.plotting import said_time
from darts_mim.report.cases import cases
from darts_mim.report.duel import Duel
from darts_mim.report.failing import failures
from darts_mim.report.making import making
from darts_mim.report.rivals import rivals
from darts_mim.report.scores import scores
from darts_mim.report.when import when
from darts_mim.report.where import where

THREE = {"MIM": 1.0, "last": 2.0, "normal": 3.0}


def rows_of(html):
    """By name, the text and the sort key of each cell; of all tables."""
    found = re.findall(r'<th scope="row">(.*?)</th>(.*?)</tr>', html)
    cells = r'<td(?: data-value="([^"]*)")?(?: class="(\w+)")?>([^<]*)'
    return [(unescape(name), re.findall(cells, row)) for name, row in found]


def test_rivals_are_told_with_skill_interval_and_p():
    duel = Duel.of(scored({"MIM": 1.0, "normal": 3.0, "last": 2.0}), None, None)
    rows = rows_of(rivals(duel))
    assert [name for name, _ in rows] == ["last", "normal"]  # best first
    for name, cells in rows:
        found = duel.result.compare("MIM", name, "mse", by=None)
        skill, low, drawn, p, score = (float(value) for value, _, _ in cells)
        assert skill == drawn == pytest.approx(float(found["skill"]), rel=1e-12)
        assert low == float(found["low"]) and p == float(found["p_value"])
        assert score == float(duel.result.scores_by()["mse"].sel(model=name))
        said = cells[1][2].replace("\u00a0", " ")
        assert said == f"{100 * found['low']:.0f} % to {100 * found['high']:.0f} %"


def test_without_a_mean_loss_there_is_no_interval():
    duel = Duel.of(scored(THREE), None, "rmse")
    assert [len(cells) for _, cells in rows_of(rivals(duel))] == [2, 2]


def test_every_metric_with_a_table_has_one_and_the_best_is_bold():
    result = scored({"MIM": 1.0, "last": 2.0}, metrics=["mse", "bias", "power_spectrum_ratio"])
    html = scores(Duel.of(result, None, None))
    tables = re.findall("<table.*?</table>", html)
    assert len(tables) == 2 and "<summary>Other scores: bias<" in html
    for table, metric in zip(tables, ("mse", "bias"), strict=True):
        rows = rows_of(table)
        frame = result.table(metric).loc[[name for name, _ in rows]]
        expected = np.roll(frame.to_numpy(), 1, axis=1)  # all leads first
        np.testing.assert_array_equal([[float(v) for v, _, _ in cells] for _, cells in rows], expected)
        bold = [[best == "best" for _, best, _ in cells] for _, cells in rows]
        np.testing.assert_array_equal(bold, abs(expected) == abs(expected).min(axis=0))
        shown = [[float(text.replace("−", "-").replace(",", "")) for *_, text in cells] for _, cells in rows]
        np.testing.assert_allclose(shown, expected, rtol=6e-3)


def test_regimes_are_scored_apart():
    result = scored(THREE)
    labels = np.where(np.arange(result.n_origins) % 3 == 0, "wet", "dry")
    regime = xr.DataArray(labels, {"init_time": result.observed["init_time"].values}, "init_time", name="sky")
    rows = dict(rows_of(when(Duel.of(result, None, None), regime)))
    apart = result.scores_by(regime)["mse"]
    for label in ("wet", "dry"):
        ours, theirs, skill, *_ = (float(value) for value, _, _ in rows[f"sky: {label}"])
        assert ours == float(apart.sel(model="MIM", sky=label))
        assert theirs == float(apart.sel(model="last", sky=label))
        assert skill == pytest.approx(1 - ours / theirs, rel=1e-12)


def test_kinds_of_time_that_tell_nothing_are_not_shown():
    steady = scored(THREE, series=flow(24 * 28, freq="h", shape=(5, 6)), start=336)
    assert "Rush hours" not in when(Duel.of(steady, None, None), None)
    series = flow(24 * 28, freq="h", shape=(5, 6))
    truth = truth_of(series, 336, 2)
    busy = truth["valid_time"].dt.hour.isin([7, 8, 9, 16, 17, 18]) & (truth["valid_time"].dt.weekday < 5)
    noise = truth.copy(data=np.random.default_rng(3).normal(size=truth.shape))
    wrong = {"MIM": truth + xr.where(busy, 3.0, 1.0) * noise, "last": truth + 2 * noise}
    result = backtest(wrong, series, start=series.time[336], horizon=2)
    rows = dict(rows_of(when(Duel.of(result, None, None), None)))
    score = result.scores_by("rush_hour")["mse"].sel(model="MIM")
    assert float(rows["Rush hours, Mon to Fri 7 to 10 and 16 to 19"][0][0]) == float(
        score.sel(rush_hour=True)
    )
    assert float(rows["All other times"][0][0]) == float(score.sel(rush_hour=False))


def test_shares_of_the_grid():
    series = flow(300, shape=(4, 5))
    truth = truth_of(series, 56, 2)
    noise = truth.copy(data=np.random.default_rng(4).normal(size=truth.shape))
    size = xr.DataArray(np.where(np.arange(5) < 3, 1.0, 3.0), dims="x")
    given = {"MIM": truth + size * noise, "even": truth + 1.8 * noise.copy(data=np.roll(noise, 7, 0))}
    result = backtest(given, series, start=series.time[56], horizon=2)
    duel = Duel.of(result, None, None)
    found = result.compare_cells("MIM", "even")
    assert found["significant"].all()  # 3 columns better, 2 worse
    assert "by more than luck in 60 % of the cells, worse in 40 %" in where(duel).replace("\u00a0", " ")
    assert "In 40 % of the cells even is better by more than luck." in [
        line.replace("\u00a0", " ") for line in failures(duel)
    ]


def test_rivals_that_are_better_at_some_leads_are_named():
    series = flow()
    truth = truth_of(series, 56, 3)
    noise = truth.copy(data=np.random.default_rng(4).normal(size=truth.shape))
    late = xr.DataArray([5.0, 5.0, 0.5], dims="lead_time")
    given = {"MIM": truth + noise, "late": truth + late * noise, "worse": truth + 3 * noise}
    result = backtest(given, series, start=series.time[56], horizon=3)
    assert failures(Duel.of(result, None, None))[0] == "MIM is behind late at 9 h."
    assert "behind" not in failures(Duel.of(scored(THREE), None, None))[0]


def test_metrics_of_whole_frames_have_no_maps():
    assert where(Duel.of(scored(THREE, metrics=["sse"]), None, None)) == ""


def test_the_cases_are_the_median_the_worst_and_the_best():
    duel = Duel.of(scored({"MIM": 1.0, "last": 2.0}), None, None)
    errors = duel.result.scores_by("init_time")["mse"].sel(model="MIM").to_series().sort_values()
    at = {"Typical": errors.index[len(errors) // 2], "Worst": errors.index[-1], "Best": errors.index[0]}
    html = cases(duel, None)
    assert re.findall("<h3>(.*?)</h3>", html) == [f"{k}: made {said_time(v)}" for k, v in at.items()]
    assert re.findall('data-tab="(.*?)"', html) == list(at)


def test_times_can_be_chosen():
    duel = Duel.of(scored({"MIM": 1.0, "last": 2.0}), None, None)
    times = duel.result.observed["init_time"][[3, 7]]
    said = [said_time(time) for time in times.values]
    assert re.findall('data-tab="(.*?)"', cases(duel, times)) == said
    assert re.findall('data-tab="(.*?)"', cases(duel, str(times.values[0]))) == said[:1]
    with pytest.raises(ValueError, match="No forecast was made at 2023"):
        cases(duel, "2023-01-01")


def test_configuration_origins_and_versions_are_told():
    series = flow().drop_isel(time=[90, 91])
    fitted = {"last": Persistence().fit(series[:56]), "normal": Climatology("1D").fit(series[:56])}
    fitted["day"] = SeasonalNaive("1D").fit(series[:56])
    result = backtest(fitted, series, start=series.time[56], horizon=3, stride=2)
    html = unescape(making(result))
    for said in ("Climatology(period='1D')", "3 frames", "2 frames", f"numpy {np.__version__}", "Python"):
        assert said in html
    assert f"{result.n_origins} of {result.origins_wanted} were scored" in html
    missing = result.origins_wanted - result.origins_offered["last"]
    assert missing > 0 and f"last none from {missing}" in html


def test_folds_are_told_and_folded_where_many():
    series = flow()
    few = backtest(Climatology("1D"), series, start=series.time[56], horizon=3, refit_every=40)
    rows = rows_of(making(few))
    assert [name for name, _ in rows] == [str(label) for label in few.folds.index]
    ends = [pd.Timestamp(float(cells[1][0]), unit="s") for _, cells in rows]
    assert ends == list(few.folds["train_end"])
    assert [int(cells[4][2]) for _, cells in rows] == list(few.folds["n_origins"])
    assert "<details>" not in making(few)
    many = backtest(Climatology("1D"), series, start=series.time[56], horizon=3, refit_every=5)
    assert f"<summary>All {len(many.folds)} fits<" in making(many)
