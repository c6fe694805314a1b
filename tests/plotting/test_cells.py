import numpy as np
import pytest
import xarray as xr
from matplotlib.colors import to_rgb
from plotting.backtests import flow, four_models, rescored

from darts_mim.plotting import plot_cells
from darts_mim.plotting.style import MISSING


@pytest.fixture(scope="module")
def result():
    return four_models()


def shown(axes):
    return np.ma.filled(axes.collections[0].get_array(), np.nan)


def test_both_maps_show_what_the_result_says(result):
    figure = plot_cells(result, "normal", channel="out")
    score, skill = figure.axes[:2]
    np.testing.assert_array_equal(shown(score), result.cell_scores("mse").sel(model="damped", channel="out"))
    found = result.compare_cells("damped", "normal").sel(channel="out")
    np.testing.assert_array_equal(shown(skill), found["skill"])
    assert "mm²" in {axes.get_ylabel() for axes in figure.axes}
    low, high = skill.collections[0].get_clim()
    assert low == -high


def test_what_may_be_luck_is_hatched(result):
    """Cells of the left columns are better by far; the others as good."""
    truth = result.observed
    rng = np.random.default_rng(0)
    noise = xr.DataArray(rng.normal(size=(2, *truth.shape)), dims=("model", *truth.dims))
    size = xr.DataArray([0.2, 0.2, 1.0, 1.0], dims="x")
    given = rescored({"left": truth + size * noise[0], "even": truth + noise[1]})
    significant = given.compare_cells("left", "even").sel(channel="in")["significant"].values
    assert significant.any() and not significant.all()
    axes = plot_cells(given, "even").axes[1]
    (patch,) = axes.patches
    mesh = np.asarray(axes.collections[0].get_coordinates())
    centres = (mesh[:-1, :-1] + mesh[1:, 1:]) / 2
    inside = [patch.get_path().contains_point(centre) for centre in centres.reshape(-1, 2)]
    np.testing.assert_array_equal(np.reshape(inside, significant.shape), ~significant)
    assert patch.get_hatch()


def test_without_a_reference_there_is_one_map(result):
    figure = plot_cells(result, metric="rmse", model="last")
    np.testing.assert_array_equal(
        shown(figure.axes[0]), result.cell_scores("rmse").sel(model="last", channel="in")
    )
    assert not figure.axes[0].patches and len(figure.axes) == 2  # a map and its colours


def test_cells_never_observed_are_grey_and_not_hatched():
    series = flow()
    series[:, :, 0, 1] = np.nan
    good = four_models().observed
    fill = {"a": (good + 1).fillna(0), "b": (good - 1).fillna(0)}
    from darts_mim.backtesting.backtest import backtest

    holed = backtest(fill, series, start=series.time[56], horizon=4)
    axes = plot_cells(holed, "b").axes[1]
    assert np.isnan(shown(axes)).sum() == 1 and axes.get_facecolor()[:3] == to_rgb(MISSING)
    corners = np.asarray(axes.collections[0].get_coordinates())[0:2, 1:3].mean((0, 1))
    assert not any(patch.get_path().contains_point(corners) for patch in axes.patches)


def test_strangers_are_refused(result):
    with pytest.raises(ValueError, match="no channel 'up'"):
        plot_cells(result, channel="up")
