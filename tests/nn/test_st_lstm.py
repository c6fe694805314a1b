import numpy as np
import pytest
from nn import reference
from nn.paper_names import assert_gradients, assert_same_step, cell_weights, rand, random_weights, score

from darts_mim.nn.st_lstm import STLSTMCell


def inputs(channels, hidden):
    """X, H, C, M on a grid that is not square."""
    return [
        rand(2, size, 5, 3, seed=seed).requires_grad_() for seed, size in enumerate([channels, *[hidden] * 3])
    ]


def in_numpy(tensors):
    return [tensor.detach().numpy() for tensor in tensors]


@pytest.mark.parametrize("kernel_size", [1, 3, 5])
def test_step_equals_the_paper(kernel_size):
    cell = random_weights(STLSTMCell(2, 3, kernel_size))
    states = inputs(2, 3)
    assert_same_step(cell(*states), reference.st_lstm(cell_weights(cell), *in_numpy(states)))


def test_gradients_equal_the_paper():
    cell = random_weights(STLSTMCell(2, 3, 3))
    states = inputs(2, 3)
    assert_gradients(
        lambda: score(cell(*states)),
        lambda: score(reference.st_lstm(cell_weights(cell), *in_numpy(states))),
        dict(cell.named_parameters()) | dict(zip("XHCM", states, strict=True)),
    )


def test_without_input_it_stays_at_rest():
    """No bias but in the input's convolution: from zero states only the biases speak."""
    cell = random_weights(STLSTMCell(2, 3, 3))
    cell.conv_x.conv.bias.data.zero_()
    for state in cell(*(0 * state for state in inputs(2, 3))):
        np.testing.assert_array_equal(state.detach(), 0)
