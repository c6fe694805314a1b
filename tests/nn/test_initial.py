import math

import pytest
import torch
from torch import nn

from darts_mim.nn.initial import initialise_as_released
from darts_mim.nn.recurrent import MIMNetwork

CHANNELS, HIDDEN, ROWS, COLUMNS = 2, 16, 9, 7


@pytest.fixture(params=["released", "paper"])
def network(request):
    torch.manual_seed(0)
    network = MIMNetwork(CHANNELS, HIDDEN, 3, 3, variant=request.param, grid=(ROWS, COLUMNS), layer_norm=True)
    initialise_as_released(network)
    return network


def assert_uniform(weight, bound):
    """Within the bound, nearly up to it, with a uniform's mean and standard deviation of bound / sqrt(3)."""
    weight, n = weight.detach(), weight.numel()
    assert weight.abs().max() <= bound
    assert weight.abs().max() > (1 - 10 / n) * bound
    assert weight.mean().item() == pytest.approx(0, abs=3 / math.sqrt(n) * bound)
    assert weight.std().item() == pytest.approx(bound / math.sqrt(3), rel=3 / math.sqrt(n))


def convolutions(network):
    return {name: module for name, module in network.named_modules() if isinstance(module, nn.Conv2d)}


def test_kernels_leave_their_area_out(network):
    kernels = [conv for name, conv in convolutions(network).items() if "mim_n" not in name]
    assert {conv.kernel_size for conv in kernels} == {(1, 1), (3, 3)}
    for conv in kernels:
        c_out, c_in, _, _ = conv.weight.shape
        assert_uniform(conv.weight, math.sqrt(6 / (c_in + c_out)))


def test_the_non_stationary_module_starts_near_zero(network):
    kernels = [conv for name, conv in convolutions(network).items() if "mim_n" in name]
    assert kernels
    for conv in kernels:
        assert_uniform(conv.weight, 0.001)


def test_elementwise_weights_are_glorot_uniform():
    """TensorFlow's fans of a (height, width, channels) variable; i and f are one variable of 2 x channels."""
    network = MIMNetwork(CHANNELS, HIDDEN, 3, 3, variant="released", grid=(ROWS, COLUMNS))
    torch.manual_seed(0)
    initialise_as_released(network)
    for block in network.blocks:
        for cell in (block.mim_n, block.mim_s):
            for weight, channels in [
                (cell.weight_i, 2 * HIDDEN),
                (cell.weight_f, 2 * HIDDEN),
                (cell.weight_o, HIDDEN),
            ]:
                fan_in, fan_out = ROWS * COLUMNS, ROWS * channels
                assert_uniform(weight, math.sqrt(6 / (fan_in + fan_out)))


def test_biases_are_zero_and_layer_norm_the_identity(network):
    for name, parameter in network.named_parameters():
        if name.endswith("norm.weight"):
            assert (parameter == 1).all()
        elif name.endswith("bias"):
            assert (parameter == 0).all()


def test_seed_fixes_every_weight(network):
    torch.manual_seed(0)
    again = MIMNetwork(CHANNELS, HIDDEN, 3, 3, variant=network.variant, grid=(ROWS, COLUMNS), layer_norm=True)
    initialise_as_released(again)
    for one, other in zip(network.parameters(), again.parameters(), strict=True):
        assert (one == other).all()
