import sys

import numpy as np
import pandas as pd
import pytest
import xarray as xr

from darts_mim import plotting
from darts_mim.backtesting.backtest import backtest
from darts_mim.backtesting.lead_labels import lead_labels
from darts_mim.baselines import Climatology, DampedAnomaly, Persistence, SeasonalNaive
from darts_mim.errors import GridDimsError
from darts_mim.plotting import plot_maps, plot_scores, plot_skill


def flow(n=80, *, seed=0):
    time = pd.date_range("2024-01-01", periods=n, freq="3h")
    values = np.random.default_rng(seed).gamma(2.0, 5.0, (n, 2, 3, 4))
    values += 10 * (1 + np.sin(time.hour.values * np.pi / 12))[:, None, None, None]
    return xr.DataArray(
        values,
        {"time": time, "channel": ["in", "out"], "y": [3.0, 2.0, 1.0]},
        ("time", "channel", "y", "x"),
        name="flow",
        attrs={"units": "mm"},
    )


@pytest.fixture(scope="module")
def result():
    series = flow()
    fitted = {
        "damped": DampedAnomaly("1D").fit(series[:56]),
        "normal": Climatology("1D").fit(series[:56]),
        "yesterday": SeasonalNaive("1D").fit(series[:56]),
        "last": Persistence().fit(series[:56]),
    }
    return backtest(fitted, series, start=series.time[56], horizon=4, metrics=["mse", "rmse", "bias"])


def drawn(axes):
    return [line.get_ydata() for line in axes.get_lines() if len(line.get_xdata()) > 2]


def names(axes):
    return {text.get_text(): text for text in axes.texts if text.get_text()}


def overlap(figure, artists):
    figure.canvas.draw()
    boxes = [artist.get_window_extent().shrunk(0.98, 0.98) for artist in artists]
    return any(a.overlaps(b) for i, a in enumerate(boxes) for b in boxes[:i])


@pytest.mark.parametrize("metric", ["mse", "rmse", "bias", None])
def test_scores_are_drawn_as_they_are(result, metric):
    figure = plot_scores(result, metric)
    (axes,) = figure.axes
    np.testing.assert_array_equal(drawn(axes), result.scores[metric or "mse"])
    assert [tick.get_text() for tick in axes.get_xticklabels()] == ["3 h", "6 h", "9 h", "12 h"]
    if metric == "rmse":
        assert axes.get_ylim()[0] == 0


def test_every_line_is_named_and_no_name_covers_another(result):
    for figure in (plot_scores(result), plot_skill(result, "last")):
        (axes,) = figure.axes
        labels = [text for name, text in names(axes).items() if name in result.models]
        assert len(labels) >= 3
        assert not overlap(figure, labels)
        colours = {line.get_color() for line in axes.get_lines()}
        assert {label.get_color() for label in labels} <= colours


def test_skill_is_drawn_with_its_interval(result):
    (axes,) = plot_skill(result, "normal").axes
    skill = result.skill("normal").sel(model=["damped", "yesterday"])
    assert [len(line) for line in drawn(axes)][:1] == [4]
    for line, expected in zip(drawn(axes), skill, strict=False):
        np.testing.assert_array_equal(line, expected)
    band = result.compare("damped", "normal")
    (outline,) = axes.collections[0].get_paths()
    assert outline.vertices[:, 1].max() == pytest.approx(float(band["high"].max()))
    assert outline.vertices[:, 1].min() == pytest.approx(float(band["low"].min()))


def rescored(forecasts):
    series = flow()
    return backtest(forecasts, series, start=series.time[56], horizon=4)


def test_a_model_far_worse_is_named_not_drawn(result):
    good, normal, last = (result.forecasts[name] for name in ("damped", "normal", "last"))
    (axes,) = plot_skill(rescored({"good": good, "normal": normal, "bad": last + 100}), "normal").axes
    assert axes.get_xlabel().endswith("more than 2 times the error: bad")
    assert "bad" not in names(axes) and axes.get_ylim()[0] >= plotting.FAR_WORSE


def test_one_model_alone_can_be_drawn():
    series = flow()
    alone = backtest(Persistence().fit(series), series, start=series.time[-2], horizon=1)
    assert len(plot_scores(alone).axes) == 1
    assert len(plot_skill(alone, "Persistence").axes) == 1


def test_errors_far_apart_get_a_logarithmic_scale(result):
    wide = {"good": result.forecasts["damped"], "bad": result.forecasts["last"] + 100}
    (axes,) = plot_scores(rescored(wide)).axes
    assert axes.get_yscale() == "log" and any("logarithmic" in name for name in names(axes))


def panels(figure):
    return [axes for axes in figure.axes if axes.get_subplotspec() is not None]


def meshes(figure):
    return np.array([axes.collections[0] for axes in panels(figure)], dtype=object).reshape(3, -1)


def test_maps_show_forecast_truth_and_difference(result):
    init = result.observed["init_time"].values[5]
    figure = result.plot_maps(init, model="damped", channel="out")
    forecast = result.forecasts["damped"].sel(init_time=init, channel="out")
    truth = result.observed.sel(init_time=init, channel="out")
    rows = meshes(figure)
    for column in range(4):
        shown = [mesh.get_array() for mesh in rows[:, column]]
        np.testing.assert_allclose(shown, [forecast[column], truth[column], (forecast - truth)[column]])
    assert len({mesh.get_clim() for mesh in rows[:2].flat}) == 1
    low, high = rows[2, 0].get_clim()
    assert low == -high and {mesh.get_clim() for mesh in rows[2]} == {(low, high)}
    assert panels(figure)[0].get_title().endswith("\n3 h ahead")
    assert figure.get_suptitle() == f"damped · flow, out · made {plotting.said_time(init)}"
    assert {axes.get_ylabel() for axes in figure.axes} >= {"Forecast", "Truth", "mm"}


def test_rows_with_a_coordinate_run_up_and_others_run_down():
    series = flow()
    with_coordinate = panels(plot_maps(series + 1, series))[0]
    assert np.ptp(with_coordinate.get_ylim()) == 3 and with_coordinate.get_ylim()[0] < 1
    without = panels(plot_maps(series.drop_vars("y") + 1, series.drop_vars("y")))[0]
    assert without.get_ylim() == (2.5, -0.5)


@pytest.mark.parametrize("cells", [{"y": [1]}, {"x": [2]}, {"y": [1], "x": [2]}], ids=str)
def test_a_lone_row_or_column_is_as_wide_as_a_cell(cells):
    """matplotlib's own edges for one centre are 0 apart, and the map is blank."""
    series = flow().isel(cells)
    mesh = meshes(plot_maps(series + 1, series))[0, 0]
    corners = mesh.get_coordinates()
    assert np.ptp(corners[0, :, 0]) == series.sizes["x"] and np.ptp(corners[:, 0, 1]) == series.sizes["y"]


def test_missing_cells_are_blank_and_scales_know_them():
    series = flow()
    series[:, :, 0, 1] = np.nan
    mesh = meshes(plot_maps(series + 1, series))[0, 0]
    assert np.ma.getmaskarray(mesh.get_array()).sum() == 1 and np.isfinite(mesh.get_clim()).all()


def test_times_can_be_chosen(result):
    series = flow()
    figure = plot_maps(series[50:60] * 2, series, times=series.time[[52, 55]], title="Twice")
    rows = meshes(figure)
    np.testing.assert_allclose(rows[1, 1].get_array(), series[55, 0])
    np.testing.assert_allclose(rows[2, 0].get_array(), series[52, 0])
    assert figure.get_suptitle() == "Twice"
    with pytest.raises(ValueError, match="not among the 10 times"):
        plot_maps(series[50:60], series, times=[series.time.values[3]])
    with pytest.raises(ValueError, match="no channel 'up'"):
        plot_maps(series, series, channel="up")
    with pytest.raises(GridDimsError, match="init_time=0"):
        plot_maps(result.forecasts["last"], result.observed, grid=result.grid)


def test_dataset_maps():
    series = flow()
    dataset = series.to_dataset("channel")
    dataset["out"].attrs["units"] = "K"
    figure = plot_maps(dataset, dataset, channel="out")
    np.testing.assert_allclose(meshes(figure)[1, 0].get_array(), series[0, 1])
    assert "K" in {axes.get_ylabel() for axes in figure.axes}


def test_nothing_is_left_in_pyplot(result):
    plot_scores(result)
    assert "matplotlib.pyplot" not in sys.modules or not sys.modules["matplotlib.pyplot"].get_fignums()


def test_labels_of_leads():
    def labels(*leads):
        return lead_labels(xr.DataArray(pd.to_timedelta(leads), dims="lead_time"))

    assert labels("5min", "90s", "36h", "7D", "10s") == ["5 min", "1.5 min", "1.5 d", "7 d", "10 s"]
    assert labels("50min", "100min") == ["50 min", "100 min"]
