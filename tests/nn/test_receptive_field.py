import pytest
import torch
from nn.paper_names import rand, random_weights

from darts_mim.nn.receptive_field import receptive_radius
from darts_mim.nn.recurrent import MIMNetwork


def reached(network, frames, step, cell):
    """How far from a cell its forecast's gradient is not zero, above, below, to the left and to the right."""
    frames = frames.requires_grad_()
    (row, column) = cell
    forecast = network(frames, step)[0, -1, 0, row, column]
    (gradient,) = torch.autograd.grad(forecast, frames)
    rows, columns = (gradient.abs().sum(dim=(0, 1, 2)) > 0).nonzero().T
    return [row - rows.min(), rows.max() - row, column - columns.min(), columns.max() - column]


CASES = [
    # layers, kernel, observed, step, ablation
    (2, 3, 1, 1, None),
    (2, 3, 2, 1, None),
    (2, 3, 3, 2, None),
    (2, 3, 5, 1, None),
    (3, 3, 4, 1, None),
    (3, 3, 2, 3, None),
    (2, 5, 2, 2, None),
    (2, 1, 3, 3, None),
    (3, 3, 3, 2, "without_mim_n"),
    (3, 3, 3, 2, "without_mim_s"),
    (3, 3, 3, 2, "without_mim"),
]


@pytest.mark.parametrize(("layers", "kernel_size", "observed", "step", "ablation"), CASES)
def test_the_gradient_reaches_as_far_and_no_farther(layers, kernel_size, observed, step, ablation):
    radius = receptive_radius(layers, kernel_size, observed=observed, step=step, ablation=ablation)
    network = random_weights(MIMNetwork(1, 2, layers, kernel_size, ablation=ablation))
    height, width = 2 * radius + 5, 2 * radius + 4
    cell = (radius + 2, radius + 1)
    found = reached(network, rand(1, observed, 1, height, width), step, cell)
    assert found == [radius] * 4


@pytest.mark.parametrize("patch_size", [2, 3])
def test_a_cell_of_a_patch_reaches_as_far_as_its_patch_does(patch_size):
    """From a patch's first cell the farthest one below ends a patch; from its last, one above begins one."""
    radius = receptive_radius(2, 3, patch_size, observed=2, step=1)
    patches = (radius + 1) // patch_size  # on either side
    network = random_weights(MIMNetwork(1, 2, 2, 3, patch_size=patch_size))
    side = (2 * patches + 1) * patch_size
    frames = rand(1, 2, 1, side + patch_size, side)
    first = patches * patch_size
    up, down, left, right = reached(network, frames, 1, (first, first + patch_size - 1))
    assert (down, left) == (radius, radius)
    assert (up, right) == (radius - patch_size + 1, radius - patch_size + 1)


def test_a_frame_is_within_its_own_reach():
    assert receptive_radius(2, 1, 4, observed=3, step=5) == 3


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"layers": 1}, "layers is 1"),
        ({"observed": 0}, "observed 0"),
        ({"step": 0}, "step 0"),
        ({"kernel_size": 4}, "kernel_size is 4"),
    ],
)
def test_what_no_network_has(arguments, message):
    with pytest.raises(ValueError, match=message):
        receptive_radius(**({"layers": 2, "kernel_size": 3, "observed": 2, "step": 1} | arguments))
