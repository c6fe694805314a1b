import numpy as np
import pytest
from diagnostics.residuals.cases import forecasts, series

from darts_mim.diagnostics.residuals.diagnose import diagnose_residuals


@pytest.fixture(scope="module")
def diagnosis():
    observed = series(300)
    observed[:, 0, 1, 2] = np.nan
    return diagnose_residuals(forecasts(observed, horizon=6, persistence=0.7), observed, model="damped")


def test_maps_show_the_autocorrelation_and_dot_what_is_white(diagnosis):
    figure = diagnosis.plot(channel="in")
    leads = [0, 2, 3, 5]
    of = diagnosis.dataset.isel(channel=0, lead_time=leads)
    maps = figure.axes[:4]
    for number, axes in enumerate(maps):
        drawn = np.ma.filled(axes.collections[0].get_array(), np.nan)
        np.testing.assert_allclose(drawn, of["lag1_autocorrelation"][number])
        x, y = axes.lines[0].get_data()
        white = np.zeros((3, 5), dtype=bool)
        white[y.astype(int), x.astype(int)] = True
        np.testing.assert_array_equal(white, of["whiteness_rejected"][number] == 0)
        share = of["share_rejected"][number].item()
        assert axes.get_title().endswith(f"in {share:.0%} of cells".replace("%", " %"))


def test_lines_are_those_of_the_dataset(diagnosis):
    figure = diagnosis.plot(channel="out")
    by_title = {axes.get_title(loc="left"): axes for axes in figure.axes}
    of = diagnosis.dataset.isel(channel=1)
    thick = by_title["In time"].lines[1:8:2]
    for lead, line in zip([0, 2, 3, 5], thick, strict=True):
        np.testing.assert_allclose(line.get_ydata(), of["mean_autocorrelation"][lead, lead:])
    np.testing.assert_allclose(by_title["In space"].lines[0].get_ydata(), of["morans_i_share_positive"])
    course, trend = by_title["Over time"].lines[:2]
    size = -(-294 // 48)
    means = [of["mean_squared_error"][k : k + size, 0].mean() for k in range(0, 294, size)]
    np.testing.assert_allclose(course.get_ydata(), means)
    slope = np.diff(trend.get_ydata()) / (293 / 24)
    np.testing.assert_allclose(slope, of["squared_error_trend"][0])


def test_legible(diagnosis):
    figure = diagnosis.plot()
    figure.canvas.draw()
    for axes in figure.axes:
        labels = [*axes.get_xticklabels(), *axes.texts]
        boxes = [label.get_window_extent() for label in labels if label.get_text()]
        assert all(box.x0 >= 0 and box.x1 <= figure.bbox.x1 for box in boxes)
        ticks = [label.get_window_extent() for label in axes.get_xticklabels() if label.get_text()]
        assert not any(a.overlaps(b) for i, a in enumerate(ticks) for b in ticks[:i])


def test_what_came_is_said(diagnosis):
    with pytest.raises(ValueError, match="no channel 'up'"):
        diagnosis.plot(channel="up")


@pytest.mark.parametrize("n", [2, 6])
def test_little_is_drawn_too(n):
    observed = series(n + 2, channels=1)
    figure = diagnose_residuals(forecasts(observed, horizon=2), observed).plot()
    figure.canvas.draw()
    assert figure.axes[0].get_title().startswith("1 h ahead\nin")
