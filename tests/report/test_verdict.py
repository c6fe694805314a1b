import re

import numpy as np
import pytest
from report.backtests import scored

from darts_mim.errors import LeakWarning
from darts_mim.report.duel import Duel
from darts_mim.report.verdict import evidence, how_sure, opening, verdict, which


def duel(offsets, metric=None, **options):
    return Duel.of(scored(offsets, **options), None, metric)


@pytest.mark.parametrize(
    ("offsets", "said"),
    [
        ({"MIM": 1.0, "last": 2.0, "normal": 3.0}, r"MIM beats last by 7\d\s%"),
        ({"MIM": 2.0, "last": 1.0, "normal": 3.0}, r"MIM falls short of last by (29|30|31)\d\s%"),
        ({"MIM": 1.0, "last": 1.0, "normal": 3.0}, "MIM and last are too close to call"),
        ({"MIM": 1.0}, r"MIM: mean squared error 1.\d\d mm²"),
    ],
)
def test_the_headline_claims_what_the_numbers_hold(offsets, said):
    assert re.fullmatch(said, verdict(duel(offsets)))


def test_the_evidence_gives_both_scores_the_interval_and_the_leads():
    held = duel({"MIM": 1.0, "last": 2.0, "normal": 3.0})
    compared = held.result.compare("MIM", "last", by=None)
    scores = held.result.scores_by()["mse"]
    said = evidence(held).replace("\u00a0", " ")
    assert f"Mean squared error {scores[0]:.2f} mm², against {scores[1]:.2f} mm² for last" in said
    assert "the best of 2 others" in said
    assert f"95 % interval {100 * compared['low']:.0f} % to {100 * compared['high']:.0f} %" in said
    assert "Ahead at every lead" in said and "8 Jan 2024 to 20 Jan 2024" in said


@pytest.mark.parametrize(
    ("offsets", "said"),
    [
        (
            {"MIM": 1.0, "last": 2.0},
            "MIM: it has the smallest mean squared error of 2 models, and beats the other",
        ),
        ({"MIM": 2.0, "last": 1.0, "normal": 3.0}, "last: it has the smallest .* MIM is number 2."),
        ({"MIM": 1.0, "last": 1.0, "normal": 3.0}, "(MIM has .*; last|last has .*; MIM) may be as good."),
        ({"MIM": 1.0}, "Only MIM was scored"),
    ],
)
def test_which_model_to_use(offsets, said):
    assert re.match(said, which(duel(offsets)))


def test_how_sure_is_said_with_the_test():
    held = duel({"MIM": 1.0, "last": 1.2})
    p = float(held.result.compare("MIM", "last", by=None)["p_value"])
    assert 0 < p < 0.001 and "p < 0.001 (Diebold-Mariano test)" in how_sure(held)


def test_nobody_wins_by_a_metric_without_interval():
    held = duel({"MIM": 1.0, "last": 2.0}, "rmse")
    assert re.fullmatch(r"MIM is 5\d\s% ahead of last", verdict(held))
    assert "95 %" not in opening(held, "x") and "its interval is not known" in how_sure(held)


def test_too_few_forecasts_are_no_evidence():
    held = duel({"MIM": 1.0, "last": 2.0}, start=152)
    assert np.isnan(held.result.compare("MIM", "last", by=None)["low"])
    assert verdict(held) == "MIM and last are too close to call"
    assert how_sure(held).startswith(f"Not at all: {held.result.n_origins} forecasts are too few")
    assert "last may be as good" in which(held)


def test_a_perfect_rival_leaves_nothing_to_divide_by():
    with pytest.warns(LeakWarning):
        held = duel({"MIM": 1.0, "truth": 0.0})
    assert not np.isfinite(held.skill("truth")) and verdict(held) == "MIM and truth cannot be compared"
    assert "nan" not in opening(held, "x").lower()
