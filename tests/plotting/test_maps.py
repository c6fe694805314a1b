import numpy as np
import pytest
from plotting.backtests import flow, four_models

from darts_mim.errors import GridDimsError
from darts_mim.plotting import plot_maps, said_time


@pytest.fixture(scope="module")
def result():
    return four_models()


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
    assert figure.get_suptitle() == f"damped · flow, out · made {said_time(init)}"
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
