import numpy as np
import pytest
from plotting.backtests import four_models, names, rescored

from darts_mim.plotting import panel, plot_rivals


@pytest.fixture(scope="module")
def result():
    return four_models()


def test_each_rival_has_its_skill_and_its_interval(result):
    _, axes = panel()
    plot_rivals(result, "mse", rivals=["last", "normal"], ax=axes)
    lines = [line for line in axes.get_lines() if len(line.get_xdata()) == 4]
    for line, bars, rival in zip(lines, axes.collections, ["last", "normal"], strict=True):
        np.testing.assert_array_equal(line.get_ydata(), result.skill(rival).sel(model="damped"))
        found = result.compare("damped", rival)
        ends = np.array([segment[:, 1] for segment in bars.get_segments()])
        np.testing.assert_array_equal(ends, np.stack([found["low"], found["high"]], axis=1))
    assert {"last", "normal"} <= names(axes).keys() and "yesterday" not in names(axes)


def test_a_metric_without_interval_has_no_bars(result):
    _, axes = panel()
    assert not plot_rivals(result, "rmse", ax=axes).collections
    assert {"normal", "yesterday", "last"} <= names(axes).keys()


def test_far_behind_is_said_and_not_drawn(result):
    _, axes = panel()
    worse = {"bad": result.forecasts["last"] + 100, "good": result.forecasts["damped"]}
    plot_rivals(rescored(worse), ax=axes)
    assert axes.get_ylim()[0] == -1 and "good ↓" in names(axes)
    assert axes.get_xlabel().endswith("more than 2 times the rival's error")


def test_strangers_are_refused(result):
    for rivals in (["damped"], ["nobody"], []):
        with pytest.raises(
            ValueError, match=r"'damped' can be held against \['normal', 'yesterday', 'last'\]"
        ):
            plot_rivals(result, rivals=rivals)
