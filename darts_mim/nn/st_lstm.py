"""The spatiotemporal LSTM of PredRNN [Wang2017], first layer of a MIM network."""

from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor, nn

from darts_mim.nn.gates import GateConv


class STLSTMStep(NamedTuple):
    """What one step of an ST-LSTM hands on."""

    H: Float[Tensor, "batch hidden height width"]
    C: Float[Tensor, "batch hidden height width"]
    M: Float[Tensor, "batch hidden height width"]


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
        self.conv_x = GateConv(channels, hidden, 7, kernel_size, **conv)
        self.conv_h = GateConv(hidden, hidden, 4, kernel_size, bias=False, **conv)
        self.conv_m = GateConv(hidden, hidden, 3, kernel_size, bias=False, **conv)
        self.conv_co = GateConv(hidden, hidden, 1, kernel_size, bias=False, **conv)
        self.conv_mo = GateConv(hidden, hidden, 1, kernel_size, bias=False, **conv)
        self.conv_cm = nn.Conv2d(2 * hidden, hidden, 1, bias=False)

    def forward(
        self,
        X: Float[Tensor, "batch channel height width"],  # X_t
        H: Float[Tensor, "batch hidden height width"],  # H_{t-1}
        C: Float[Tensor, "batch hidden height width"],  # C_{t-1}
        M: Float[Tensor, "batch hidden height width"],  # M_{t-1}^L
    ) -> STLSTMStep:
        """One step [Wang2017, eq. 2]."""
        x_g, x_i, x_f, x_g_, x_i_, x_f_, x_o = self.conv_x(X)
        h_g, h_i, h_f, h_o = self.conv_h(H)
        m_g_, m_i_, m_f_ = self.conv_m(M)

        g = torch.tanh(x_g + h_g)
        i = torch.sigmoid(x_i + h_i)
        f = torch.sigmoid(x_f + h_f)
        C = f * C + i * g

        g_ = torch.tanh(x_g_ + m_g_)
        i_ = torch.sigmoid(x_i_ + m_i_)
        f_ = torch.sigmoid(x_f_ + m_f_)
        M = f_ * M + i_ * g_

        (c_o,) = self.conv_co(C)
        (m_o,) = self.conv_mo(M)
        o = torch.sigmoid(x_o + h_o + c_o + m_o)
        H = o * torch.tanh(self.conv_cm(torch.cat([C, M], dim=1)))
        return STLSTMStep(H, C, M)
