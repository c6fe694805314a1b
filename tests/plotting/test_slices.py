import numpy as np
import pytest
from plotting.backtests import four_models, names

from darts_mim.plotting import panel, plot_slices


@pytest.fixture(scope="module")
def result():
    return four_models()


@pytest.mark.parametrize(
    ("by", "ticks"),
    [
        ("hour", ["00:00", "06:00", "12:00", "18:00", "24:00"]),
        ("weekday", ["Mon", "Tue", "Wed"]),
        ("month", ["Jan"]),
    ],
)
def test_a_line_a_model_along_the_slice(result, by, ticks):
    _, axes = panel()
    assert plot_slices(result, by, "rmse", ax=axes) is axes
    scores = result.scores_by(by)["rmse"]
    assert len(axes.get_lines()) == 4 and set(result.models) <= names(axes).keys()
    for line, name in zip(axes.get_lines(), result.models, strict=True):
        np.testing.assert_array_equal(line.get_ydata(), scores.sel(model=name))
    if by == "hour":
        np.testing.assert_array_equal(axes.get_lines()[0].get_xdata(), np.arange(0, 24, 3))
    labels = [tick.get_text() for tick in axes.get_xticklabels()]
    assert labels[: len(ticks)] == ticks
