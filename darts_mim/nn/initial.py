"""Initial weights, which the paper does not give."""

import math

from torch import nn

from darts_mim.nn.mim import MIMNCell
from darts_mim.nn.recurrent import MIMNetwork
from darts_mim.nn.released_cells import ReleasedMIMNCell, ReleasedMIMSCell

MIM_N_BOUND = 0.001


def initialise_as_released(network: MIMNetwork) -> None:
    """Draw a network's weights as the released program does (docs/paper.md, row R16).

    Uniform within +-sqrt(6 / (c_in + c_out)), the kernel's area left out; MIM-N's convolutions within
    +-0.001; elementwise weights and the 1x1 convolution of [C, M] Glorot uniform; biases 0.
    """
    for module in network.modules():
        if isinstance(module, nn.Conv2d):
            bound = math.sqrt(6 / (module.in_channels + module.out_channels))
            nn.init.uniform_(module.weight, -bound, bound)
            if module.bias is not None:
                nn.init.zeros_(module.bias)
    for module in network.modules():
        if isinstance(module, MIMNCell | ReleasedMIMNCell):
            for convolution in module.modules():
                if isinstance(convolution, nn.Conv2d):
                    nn.init.uniform_(convolution.weight, -MIM_N_BOUND, MIM_N_BOUND)
        if isinstance(module, ReleasedMIMNCell | ReleasedMIMSCell):
            _glorot_elementwise(module)


def _glorot_elementwise(cell: ReleasedMIMNCell | ReleasedMIMSCell) -> None:
    """TensorFlow's Glorot on (height, width, channels): the last two axes are in and out, the first area."""
    hidden, height, width = cell.weight_o.shape
    for weights, channels in (((cell.weight_i, cell.weight_f), 2 * hidden), ((cell.weight_o,), hidden)):
        bound = math.sqrt(6 / (height * (width + channels)))
        for weight in weights:
            nn.init.uniform_(weight, -bound, bound)
