"""What the golden numbers of test_released.py do not reach: the ablations."""

import torch
from nn.paper_names import in_layout, out_of_layout, rand, random_weights

from darts_mim.nn.released_cells import ReleasedMIMBlock

HIDDEN, GRID = 3, (5, 4)
NAMES = ["X", "dX", "H", "C", "N", "S", "D", "M"]


def build(ablation):
    return random_weights(ReleasedMIMBlock(HIDDEN, 3, *GRID, layer_norm=False, ablation=ablation))


def states():
    return {name: rand(2, HIDDEN, *GRID, seed=seed) for seed, name in enumerate(NAMES)}


def step_of(block):
    conv, fields = in_layout("direct", states())
    return out_of_layout(conv, block(conv, **fields))


def test_without_mim_n_the_difference_is_handed_on():
    step = step_of(build("without_mim_n"))
    torch.testing.assert_close(step.D, states()["dX"], rtol=0, atol=0)
    torch.testing.assert_close(step.N, states()["N"], rtol=0, atol=0)


def test_without_mim_s_the_differential_features_take_the_memorys_place():
    block = build("without_mim_s")
    with torch.no_grad():
        for weight in (*block.conv_x.parameters(), *block.conv_h.parameters()):
            weight.zero_()  # g = tanh(0), so that C = T
    step = step_of(block)
    torch.testing.assert_close(step.C, step.D, rtol=0, atol=0)
    torch.testing.assert_close(step.S, states()["S"], rtol=0, atol=0)
