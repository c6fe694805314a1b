import sys

import numpy as np
import pandas as pd
import pytest
import xarray as xr
from plotting.backtests import flow, four_models, names, rescored

from darts_mim.backtesting.backtest import backtest
from darts_mim.backtesting.lead_labels import lead_labels
from darts_mim.baselines import Persistence
from darts_mim.plotting import FAR_WORSE, panel, plot_scores, plot_skill


@pytest.fixture(scope="module")
def result():
    return four_models()


def on_a_panel(plot, *args, **options):
    """Drawn on a figure that nothing holds on to."""
    _, axes = panel()
    assert plot(*args, ax=axes, **options) is axes
    return axes


def drawn(axes):
    return [line.get_ydata() for line in axes.get_lines() if len(line.get_xdata()) > 2]


def overlap(figure, artists):
    figure.canvas.draw()
    boxes = [artist.get_window_extent().shrunk(0.98, 0.98) for artist in artists]
    return any(a.overlaps(b) for i, a in enumerate(boxes) for b in boxes[:i])


@pytest.mark.parametrize("metric", ["mse", "rmse", "bias", None])
def test_scores_are_drawn_as_they_are(result, metric):
    axes = on_a_panel(plot_scores, result, metric)
    np.testing.assert_array_equal(drawn(axes), result.scores[metric or "mse"])
    assert [tick.get_text() for tick in axes.get_xticklabels()] == ["3 h", "6 h", "9 h", "12 h"]
    if metric == "rmse":
        assert axes.get_ylim()[0] == 0


def test_every_line_is_named_and_no_name_covers_another(result):
    for axes in (on_a_panel(plot_scores, result), on_a_panel(plot_skill, result, "last")):
        labels = [text for name, text in names(axes).items() if name in result.models]
        assert len(labels) >= 3
        assert not overlap(axes.figure, labels)
        colours = {line.get_color() for line in axes.get_lines()}
        assert {label.get_color() for label in labels} <= colours


def test_skill_is_drawn_with_its_interval(result):
    axes = on_a_panel(plot_skill, result, "normal")
    skill = result.skill("normal").sel(model=["damped", "yesterday"])
    assert [len(line) for line in drawn(axes)][:1] == [4]
    for line, expected in zip(drawn(axes), skill, strict=False):
        np.testing.assert_array_equal(line, expected)
    band = result.compare("damped", "normal")
    (outline,) = axes.collections[0].get_paths()
    assert outline.vertices[:, 1].max() == pytest.approx(float(band["high"].max()))
    assert outline.vertices[:, 1].min() == pytest.approx(float(band["low"].min()))


def test_a_model_far_worse_is_named_not_drawn(result):
    good, normal, last = (result.forecasts[name] for name in ("damped", "normal", "last"))
    axes = on_a_panel(plot_skill, rescored({"good": good, "normal": normal, "bad": last + 100}), "normal")
    assert axes.get_xlabel().endswith("more than 2 times the error: bad")
    assert "bad" not in names(axes) and axes.get_ylim()[0] >= FAR_WORSE


def test_one_model_alone_can_be_drawn():
    series = flow()
    alone = backtest(Persistence().fit(series), series, start=series.time[-2], horizon=1)
    assert len(on_a_panel(plot_scores, alone).get_lines()) == 1
    assert len(on_a_panel(plot_skill, alone, "Persistence").get_lines()) == 1  # the line at 0


def test_errors_far_apart_get_a_logarithmic_scale(result):
    wide = {"good": result.forecasts["damped"], "bad": result.forecasts["last"] + 100}
    axes = on_a_panel(plot_scores, rescored(wide))
    assert axes.get_yscale() == "log" and any("logarithmic" in name for name in names(axes))


def test_labels_of_leads():
    def labels(*leads):
        return lead_labels(xr.DataArray(pd.to_timedelta(leads), dims="lead_time"))

    assert labels("5min", "90s", "36h", "7D", "10s") == ["5 min", "1.5 min", "1.5 d", "7 d", "10 s"]
    assert labels("50min", "100min") == ["50 min", "100 min"]


def test_without_axes_a_new_figure_of_pyplots_is_drawn_on(result):
    pyplot = pytest.importorskip("matplotlib.pyplot")
    before = pyplot.get_fignums()
    axes = plot_scores(result)
    try:
        new = [pyplot.figure(number) for number in pyplot.get_fignums() if number not in before]
        assert new == [axes.figure]
    finally:
        pyplot.close(axes.figure)


def test_with_axes_pyplot_is_left_alone(result):
    before = sys.modules["matplotlib.pyplot"].get_fignums() if "matplotlib.pyplot" in sys.modules else []
    on_a_panel(plot_scores, result)
    on_a_panel(plot_skill, result, "last")
    assert "matplotlib.pyplot" not in sys.modules or sys.modules["matplotlib.pyplot"].get_fignums() == before


def test_a_result_draws_itself(result):
    _, axes = panel()
    assert result.plot_scores("rmse", ax=axes) is axes
    assert axes.get_title(loc="left") == "Root mean squared error by lead time"
    _, axes = panel()
    assert result.plot_skill("last", ax=axes).get_title(loc="left") == "Skill over last"
    _, axes = panel()
    assert result.plot_slices("hour", ax=axes).get_title(loc="left").endswith("by hour of the day")
    assert len(result.plot_cells("last", "mse", channel="out").axes) == 4


def test_of_many_models_the_best_are_drawn_each_in_a_colour_of_its_own():
    series = flow()
    worse = {f"off by {k}": k for k in (9, 1, 2, 8, 3, 4, 5, 6, 7)}
    made = (
        Persistence().fit(series[:40]).historical_forecasts(series, forecast_horizon=3, start=series.time[40])
    )
    result = backtest(
        {"far off": made + 100, **{name: made + k for name, k in worse.items()}},
        series,
        start=series.time[40],
        horizon=3,
        metrics=["mse"],
    )
    axes = on_a_panel(plot_scores, result)
    told = [text.get_text() for text in axes.texts if text.get_text() in result.models]
    assert set(told) == {"far off", *(f"off by {k}" for k in range(1, 7))}
    assert len({line.get_color() for line in axes.get_lines()}) == 7
    assert any("7 of 10 models drawn" in text.get_text() for text in axes.texts)
    assert len(drawn(on_a_panel(plot_skill, result, "off by 1"))) <= 7
