"""The weights of our cells under the paper's names, and what the tests of the cells share."""

from functools import partial

import torch

from darts_mim.nn.convolution import DirectConvolution
from darts_mim.nn.mim import MIMBlock, MIMNCell, MIMSCell
from darts_mim.nn.st_lstm import STLSTMCell
from darts_mim.nn.winograd import WinogradConvolution

NAMES = {
    STLSTMCell: {
        "conv_x": "Wxg Wxi Wxf W'xg W'xi W'xf Wxo",
        "conv_h": "Whg Whi Whf Who",
        "conv_m": "Wmg Wmi Wmf",
        "conv_co": "Wco",
        "conv_mo": "Wmo",
        "conv_cm": "W1x1",
    },
    MIMBlock: {
        "conv_x": "Wxg Wxi W'xg W'xi W'xf Wxo",
        "conv_h": "Whg Whi Who",
        "conv_m": "Wmg Wmi Wmf",
        "conv_co": "Wco",
        "conv_mo": "Wmo",
        "conv_cm": "W1x1",
    },
    MIMNCell: {"conv_x": "Wxg Wxi Wxf Wxo", "conv_n": "Wng Wni Wnf", "conv_no": "Wno"},
    MIMSCell: {"conv_d": "Wdg Wdi Wdf Wdo", "conv_c": "Wcg Wci Wcf Wco", "conv_so": "Wso"},
}


def cell_weights(cell):
    """A cell's weights as ``reference`` wants them."""
    w = {}
    for attribute, names in NAMES[type(cell)].items():
        gate_conv = getattr(cell, attribute)
        conv = getattr(gate_conv, "conv", gate_conv)
        kernels = conv.weight.detach().numpy()
        step = len(kernels) // len(names.split())
        for n, name in enumerate(names.split()):
            gate = slice(n * step, (n + 1) * step)
            w[name] = kernels[gate]
            if conv.bias is not None:  # W'xg has the bias b'g
                prime, letter = name[1:-2], name[-1]
                w[f"b{prime}{letter}"] = conv.bias.detach().numpy()[gate, None, None]
    if getattr(cell, "mim_n", None) is not None:
        w["MIM-N"] = cell_weights(cell.mim_n)
    if getattr(cell, "mim_s", None) is not None:
        w["MIM-S"] = cell_weights(cell.mim_s)
    return w


def network_weights(network):
    """A network's weights as ``reference.network`` wants them."""
    return {
        "layers": [cell_weights(cell) for cell in (network.first, *network.blocks)],
        "W": network.to_frame.weight.detach().numpy(),
        "b": network.to_frame.bias.detach().numpy()[:, None, None],
    }


def random_weights(module, *, scale=0.4):
    """The module in float64, its weights drawn large enough to bend every gate."""
    generator = torch.Generator().manual_seed(0)
    module = module.double()
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.copy_(scale * torch.randn(parameter.shape, generator=generator, dtype=torch.float64))
    return module


def rand(*shape, seed=0):
    """Normal numbers in float64."""
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


ARITHMETIC = {
    "direct": DirectConvolution,
    "winograd 3": partial(WinogradConvolution, kernel_size=3),
    "winograd 5": partial(WinogradConvolution, kernel_size=5),
}
"""Ways to compute a convolution, by name; a kernel of another size has the first one alone."""


def arithmetics(*kernel_sizes):
    """(kernel size, name of an arithmetic that can compute it), for ``pytest.mark.parametrize``."""
    pairs = [(size, name) for size in kernel_sizes for name in ("direct", f"winograd {size}")]
    return [(size, name) for size, name in pairs if name in ARITHMETIC]


def in_layout(arithmetic, tensors):
    """The arithmetic for a batch of such tensors, and the tensors as its fields."""
    conv = ARITHMETIC[arithmetic](next(iter(tensors.values()))[:, None])
    return conv, {name: conv.fold(tensor) for name, tensor in tensors.items()}


def out_of_layout(conv, step):
    """A cell's step with plain tensors in the fields' place."""
    return type(step)(*(conv.unfold(field.values) for field in step))


def assert_same_step(step, expected):
    """A cell's step and the reference's name the same states and hold the same numbers."""
    assert step._fields == expected._fields
    for ours, theirs in zip(step, expected, strict=True):
        torch.testing.assert_close(ours, torch.from_numpy(theirs), rtol=1e-10, atol=1e-10)


def score(states):
    """One number that hangs on every number of the states, in torch and in NumPy."""
    return sum(((n + 1) * state + state**2).sum() for n, state in enumerate(states))


def assert_gradients(loss, reference_loss, tensors, *, eps=1e-5):
    """Autograd agrees with central differences of the reference, along one random direction a tensor.

    The reference reads the tensors anew at each call: they are moved in place, and moved back. What the
    loss does not hang on, such as the memory of a module taken out, has the gradient 0 in both.
    """
    gradients = torch.autograd.grad(loss(), list(tensors.values()), materialize_grads=True)
    for n, ((name, tensor), gradient) in enumerate(zip(tensors.items(), gradients, strict=True)):
        direction = rand(*tensor.shape, seed=n)
        direction /= direction.norm()
        start = tensor.detach().clone()
        values = []
        with torch.no_grad():
            for side in (eps, -eps):
                tensor.copy_(start + side * direction)
                values.append(reference_loss())
            tensor.copy_(start)
        slope = (values[0] - values[1]) / (2 * eps)
        along = (gradient * direction).sum().item()
        # the difference quotient errs by eps**2 times a third derivative, and by rounding over eps
        assert abs(along - slope) <= 1e-7 * max(1.0, abs(slope)), f"{name}: {along} against {slope}"
