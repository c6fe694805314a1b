import numpy as np
import pytest
from nn import reference
from nn.paper_names import (
    arithmetics,
    assert_gradients,
    assert_same_step,
    cell_weights,
    in_layout,
    out_of_layout,
    rand,
    random_weights,
    score,
)

from darts_mim.nn.st_lstm import STLSTMCell


def inputs(channels, hidden):
    """X, H, C, M on a grid that is not square."""
    sizes = {"X": channels, "H": hidden, "C": hidden, "M": hidden}
    return {
        name: rand(2, size, 5, 3, seed=seed).requires_grad_()
        for seed, (name, size) in enumerate(sizes.items())
    }


def step_of(cell, states, arithmetic):
    conv, fields = in_layout(arithmetic, states)
    return out_of_layout(conv, cell(conv, **fields))


def by_the_paper(cell, states):
    return reference.st_lstm(cell_weights(cell), *(state.detach().numpy() for state in states.values()))


@pytest.mark.parametrize(("kernel_size", "arithmetic"), arithmetics(1, 3, 5))
def test_step_equals_the_paper(kernel_size, arithmetic):
    cell = random_weights(STLSTMCell(2, 3, kernel_size))
    states = inputs(2, 3)
    assert_same_step(step_of(cell, states, arithmetic), by_the_paper(cell, states))


@pytest.mark.parametrize(("kernel_size", "arithmetic"), arithmetics(3))
def test_gradients_equal_the_paper(kernel_size, arithmetic):
    cell = random_weights(STLSTMCell(2, 3, kernel_size))
    states = inputs(2, 3)
    assert_gradients(
        lambda: score(step_of(cell, states, arithmetic)),
        lambda: score(by_the_paper(cell, states)),
        dict(cell.named_parameters()) | states,
    )


def test_without_input_it_stays_at_rest():
    """No bias but in the input's convolution: from zero states only the biases speak."""
    cell = random_weights(STLSTMCell(2, 3, 3))
    cell.conv_x.conv.bias.data.zero_()
    for state in step_of(cell, {name: 0 * state for name, state in inputs(2, 3).items()}, "direct"):
        np.testing.assert_array_equal(state.detach(), 0)
