"""What the pictures of gates and memories show, read back from them."""

import numpy as np
import pytest
from models.conftest import make_frames, make_model

from darts_mim.diagnostics.gates.diagnose import diagnose_gates
from darts_mim.diagnostics.gates.plot import (
    plot_differences,
    plot_memory,
    plot_saturation,
    plot_stationarity,
)


@pytest.fixture(scope="module")
def model():
    return make_model(layers=3).fit(make_frames())


@pytest.fixture(scope="module")
def mim(model):
    return diagnose_gates(model, make_frames(60), segments=2, max_units=10)


@pytest.fixture(scope="module")
def predrnn():
    model = make_model(layers=3, ablation="without_mim").fit(make_frames())
    return diagnose_gates(model, make_frames(60), segments=2, max_units=10)


def line(axes, label):
    return next(line for line in axes.lines if line.get_label() == label)


def test_saturation_of_several_has_a_line_a_model(mim, predrnn, tmp_path):
    figure = plot_saturation({"MIM": mim, "PredRNN": predrnn})
    upper, lower = figure.axes[1], figure.axes[4]  # layer 2
    assert upper.get_title(loc="left") == "Layer 2: MIM block or ST-LSTM"
    for axes, name in ((upper, "forgotten"), (lower, "kept")):
        for label, each in (("MIM", mim), ("PredRNN", predrnn)):
            share = each[name].sel(gate="temporal", layer=2)[1:]  # nothing to forget at the first step
            np.testing.assert_array_equal(line(axes, label).get_ydata(), share)
            np.testing.assert_array_equal(line(axes, label).get_xdata(), [2, 3, 4, 5])
    assert [text.get_text() for text in figure.legends[0].get_texts()] == ["MIM", "PredRNN"]
    figure.savefig(tmp_path / "saturation.png")


def test_saturation_of_one_has_a_line_a_gate(mim):
    figure = mim.plot()
    labels = [[line.get_label() for line in axes.lines] for axes in figure.axes[:3]]
    of_block = ["temporal", "spatiotemporal", "MIM-N", "MIM-S"]
    assert labels == [["temporal", "spatiotemporal"], of_block, of_block]


def test_saturation_of_networks_that_differ_is_an_error(mim, model):
    longer = diagnose_gates(model, make_frames(20), horizon=4, states=False)
    with pytest.raises(ValueError, match=r"'longer' has 3 layers and 7 steps, the first one 3 and 5"):
        plot_saturation({"MIM": mim, "longer": longer})
    with pytest.raises(ValueError, match="No diagnosis came"):
        plot_saturation({})


def test_differences_show_size_and_place(mim, predrnn, tmp_path):
    figure = mim.plot("differences")
    np.testing.assert_array_equal(
        line(figure.axes[0], "layer 3").get_ydata(), mim["mean_absolute_D"].sel(layer=3)[1:]
    )
    mesh = figure.axes[2].collections[0]
    np.testing.assert_array_equal(mesh.get_array().reshape(5, 4), mim["map_of_D"].sel(layer=3))
    figure.savefig(tmp_path / "differences.png")
    with pytest.raises(ValueError, match="no MIM blocks"):
        plot_differences(predrnn)


def test_memory_has_a_panel_a_memory(mim, predrnn, model, tmp_path):
    figure = plot_memory(mim)
    assert [axes.get_title(loc="left") for axes in figure.axes] == ["C", "N", "S", "M", "H"]
    reach = mim["memory_reach"].sel(memory="S", layer=2)
    np.testing.assert_array_equal(line(figure.axes[2], "layer 2").get_ydata(), reach)
    figure.savefig(tmp_path / "memory.png")
    assert [axes.get_title(loc="left") for axes in predrnn.plot("memory").axes] == ["C", "M", "H"]
    without = diagnose_gates(model, make_frames(20), states=False, gradient_windows=0)
    with pytest.raises(ValueError, match=r"no memory_reach\. Diagnose with gradient_windows=8"):
        without.plot("memory")
    with pytest.raises(ValueError, match=r"no adf_statistic\. Diagnose with states=True"):
        without.plot("stationarity")


def test_stationarity_has_error_bars_and_the_input(mim, predrnn, tmp_path):
    figure = plot_stationarity({"MIM": mim, "PredRNN": predrnn})
    container = figure.axes[0].containers[1]
    statistic = predrnn["adf_statistic"].sel(state="H").mean("segment")
    expected = [float(predrnn["frame_adf_statistic"].mean()), *statistic.values]
    np.testing.assert_allclose(container.lines[0].get_ydata(), expected)
    (bars,) = container.lines[2]
    lengths = [np.ptp(segment[:, 1]) / 2 for segment in bars.get_segments()]
    error = predrnn["adf_statistic"].sel(state="H").std("segment", ddof=1) / np.sqrt(2)
    np.testing.assert_allclose(lengths[1:], error)
    figure.savefig(tmp_path / "stationarity.png")
    one = mim.plot("stationarity").axes[0].containers
    drawn = {container.get_label(): len(container.lines[0].get_xdata()) for container in one}
    assert drawn == {"H": 4, "C": 4, "N": 2, "S": 2, "D": 2}  # the input beside what layer 1 has


def test_a_picture_that_is_not_there_is_an_error(mim):
    with pytest.raises(ValueError, match=r"no picture 'gates'\. Choose from saturation, differences"):
        mim.plot("gates")
