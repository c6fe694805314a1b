"""The spatiotemporal LSTM of PredRNN [Wang2017], first layer of a MIM network."""

from typing import NamedTuple

from torch import nn

from darts_mim.nn.convolution import Convolution, Field
from darts_mim.nn.gates import GateConv
from darts_mim.nn.memory import give_out, remember


class STLSTMStep(NamedTuple):
    """What one step of an ST-LSTM hands on."""

    H: Field
    C: Field
    M: Field


class STLSTMCell(nn.Module):
    """One step of the ST-LSTM: a temporal memory C and a spatiotemporal memory M.

    Source: [Wang2017] Wang et al., PredRNN, NeurIPS 2017, eq. 2; gates named as in [Wang2019], eq. 1.

    Args:
        channels: Channels of the frame.
        hidden: Channels of H, C and M.
        kernel_size: Grid cells, odd.
        layer_norm: Normalise after every gate convolution.
    """

    def __init__(self, channels: int, hidden: int, kernel_size: int, *, layer_norm: bool = False) -> None:
        super().__init__()
        conv = {"layer_norm": layer_norm}
        self.conv_x = GateConv(channels, hidden, ("g", "i", "f", "g'", "i'", "f'", "o"), kernel_size, **conv)
        self.conv_h = GateConv(hidden, hidden, ("g", "i", "f", "o"), kernel_size, bias=False, **conv)
        self.conv_m = GateConv(hidden, hidden, ("g'", "i'", "f'"), kernel_size, bias=False, **conv)
        self.conv_co = GateConv(hidden, hidden, ("o",), kernel_size, bias=False, **conv)
        self.conv_mo = GateConv(hidden, hidden, ("o",), kernel_size, bias=False, **conv)
        self.conv_cm = nn.Conv2d(2 * hidden, hidden, 1, bias=False)

    def forward(
        self,
        conv: Convolution,
        X: Field,  # X_t
        H: Field,  # H_{t-1}
        C: Field,  # C_{t-1}
        M: Field,  # M_{t-1}^L
    ) -> STLSTMStep:
        """One step [Wang2017, eq. 2]."""
        z_g, z_i, z_f, z_g_, z_i_, z_f_, z_o = conv((self.conv_x, X), (self.conv_h, H), (self.conv_m, M))

        C = conv.field(remember(z_g, z_i, z_f, C.values))
        M = conv.field(remember(z_g_, z_i_, z_f_, M.values))

        (cm_o,) = conv((self.conv_co, C), (self.conv_mo, M))
        H = conv.field(give_out(z_o, cm_o, conv.pointwise(self.conv_cm, C, M)))
        return STLSTMStep(H, C, M)
