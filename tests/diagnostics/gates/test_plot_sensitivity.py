import numpy as np
from models.conftest import make_frames, make_model

from darts_mim.diagnostics.gates.plot_sensitivity import plot_input_gradient
from darts_mim.diagnostics.gates.sensitivity import input_gradient


def test_input_gradient_frames_the_cell(tmp_path):
    model = make_model(layers=3).fit(make_frames())
    gradient = input_gradient(model, make_frames(20), lead=2, cell=(3, 1), channel="flow_1")
    figure = plot_input_gradient(gradient)
    panel = figure.axes[7]  # last frame, second channel
    shown = panel.collections[0].get_array().reshape(5, 4)
    np.testing.assert_allclose(shown, gradient[3, 1].clip(min=float(gradient.max()) / 1000))
    frame = panel.patches[0]
    assert {frame.get_x(), frame.get_x() + frame.get_width()} == {4.5, 5.5}
    assert {frame.get_y(), frame.get_y() + frame.get_height()} == {46.5, 47.5}
    figure.savefig(tmp_path / "gradient.png")
    everywhere = plot_input_gradient(input_gradient(model, make_frames(20), lead=1))
    assert not everywhere.axes[0].patches
