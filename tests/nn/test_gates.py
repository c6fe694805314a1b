import numpy as np
import pytest
import torch
from nn import reference
from nn.paper_names import rand, random_weights

from darts_mim.nn.gates import GateConv


@pytest.mark.parametrize("bias", [False, True])
@pytest.mark.parametrize("kernel_size", [1, 3, 5])
def test_gates_are_one_convolution_cut_in_order(kernel_size, bias):
    gate_conv = random_weights(GateConv(2, 3, "gifo", kernel_size, bias=bias))
    x = rand(2, 2, 5, 4)
    gates = gate_conv(x)
    assert len(gates) == 4
    kernels = gate_conv.conv.weight.detach().numpy()
    offsets = gate_conv.conv.bias.detach().numpy() if bias else np.zeros(12)
    for n, gate in enumerate(gates):
        its = slice(3 * n, 3 * n + 3)
        expected = reference.conv(kernels[its], x.numpy()) + offsets[its, None, None]
        np.testing.assert_allclose(gate.detach(), expected, rtol=1e-12, atol=1e-12)


def test_layer_norm_is_over_height_width_and_channels_of_one_sample():
    gate_conv = random_weights(GateConv(2, 3, "gifo", 3, layer_norm=True))
    x = rand(2, 2, 5, 4)
    x[1] *= 30
    z = gate_conv.conv(x).detach().numpy()
    scale, shift = gate_conv.norm.weight.detach().numpy(), gate_conv.norm.bias.detach().numpy()
    for n in range(2):
        moments = z[n].mean(), z[n].var()  # over all gates together, biased
        expected = (z[n] - moments[0]) / np.sqrt(moments[1] + 1e-5)
        expected = expected * scale[:, None, None] + shift[:, None, None]
        ours = torch.cat(gate_conv(x), dim=1)[n].detach()
        np.testing.assert_allclose(ours, expected, rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize(("kernel_size", "remedy"), [(0, "1 or 1"), (2, "1 or 3"), (4, "3 or 5")])
def test_an_even_kernel_is_an_error(kernel_size, remedy):
    with pytest.raises(ValueError, match=rf"kernel_size is {kernel_size}; .* Use {remedy}\."):
        GateConv(2, 3, "gifo", kernel_size)
