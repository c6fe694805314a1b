"""The cells as the authors' released program computes them; docs/paper.md lists how they differ."""

import torch
from torch import nn

from darts_mim.nn.convolution import Convolution, Field
from darts_mim.nn.gates import GateConv
from darts_mim.nn.memory import (
    give_out_as_released,
    give_out_by_cell,
    remember_as_released,
    remember_by_cell,
    take_in_as_released,
)
from darts_mim.nn.mim import Ablation, MIMNStep, MIMSStep, MIMStep
from darts_mim.nn.st_lstm import STLSTMStep


class ReleasedSTLSTMCell(nn.Module):
    """One step of the released program's ST-LSTM (rows R1, R2, R8, R11).

    Differs from the paper: the temporal and the spatiotemporal gates share the input's convolution, and
    the output gate reads M_{t-1} beside H_{t-1} and X_t, not the new C and M.

    Args:
        channels: Channels of the frame.
        hidden: Channels of H, C and M.
        kernel_size: Grid cells, odd.
        layer_norm: Normalise after every gate convolution.
    """

    def __init__(self, channels: int, hidden: int, kernel_size: int, *, layer_norm: bool = True) -> None:
        super().__init__()
        conv = {"layer_norm": layer_norm}
        self.conv_x = GateConv(channels, hidden, ("x_i", "x_g", "x_f", "o"), kernel_size, **conv)
        self.conv_h = GateConv(hidden, hidden, ("h_i", "h_g", "h_f", "o"), kernel_size, **conv)
        self.conv_m = GateConv(hidden, hidden, ("m_i", "m_g", "m_f", "o"), kernel_size, **conv)
        self.conv_cm = nn.Conv2d(2 * hidden, hidden, 1)

    def forward(
        self,
        conv: Convolution,
        X: Field,  # X_t
        H: Field,  # H_{t-1}
        C: Field,  # C_{t-1}
        M: Field,  # M_{t-1}^L
    ) -> STLSTMStep:
        """One step."""
        x_i, x_g, x_f, z_o, h_i, h_g, h_f, m_i, m_g, m_f = conv(
            (self.conv_x, X), (self.conv_h, H), (self.conv_m, M)
        )

        C = conv.field(remember_as_released(x_g, x_i, x_f, h_g, h_i, h_f, C.values))
        M = conv.field(remember_as_released(x_g, x_i, x_f, m_g, m_i, m_f, M.values))
        H = conv.field(give_out_as_released(z_o, conv.pointwise(self.conv_cm, C, M)))
        return STLSTMStep(H, C, M)


class _InnerCell(nn.Module):
    """What MIM-N and MIM-S share in the released program (rows R5, R6, R7, R8).

    Gates i, g, f, o read an input and a state by convolution, and the cell's own memory elementwise, by
    weights that have one value per cell and channel: i and f the old memory, o the new one.
    """

    def __init__(self, hidden: int, kernel_size: int, height: int, width: int, *, layer_norm: bool) -> None:
        super().__init__()
        conv = {"layer_norm": layer_norm}
        self.conv_x = GateConv(hidden, hidden, ("i", "g", "f", "o"), kernel_size, **conv)
        self.conv_h = GateConv(hidden, hidden, ("i", "g", "f", "o"), kernel_size, **conv)
        self.weight_i = nn.Parameter(torch.zeros(hidden, height, width))
        self.weight_f = nn.Parameter(torch.zeros(hidden, height, width))
        self.weight_o = nn.Parameter(torch.zeros(hidden, height, width))

    def gate(
        self,
        conv: Convolution,
        x: Field,
        h: Field,
        memory: Field,
    ) -> tuple[Field, Field]:
        """What the cell gives out, and its new memory."""
        z_i, z_g, z_f, z_o = conv((self.conv_x, x), (self.conv_h, h))
        weights = (conv.elementwise(weight) for weight in (self.weight_i, self.weight_f, self.weight_o))
        weight_i, weight_f, weight_o = weights
        memory = conv.field(remember_by_cell(z_g, z_i, z_f, weight_i, weight_f, memory.values))
        return conv.field(give_out_by_cell(z_o, weight_o, memory.values)), memory


class ReleasedMIMNCell(_InnerCell):
    """One step of the released program's MIM-N: gates read D_{t-1} by convolution, N elementwise."""

    def forward(
        self,
        conv: Convolution,
        dX: Field,  # dH^1 at layer 2, D_t^{l-1} above (R3, R4)
        D: Field,  # D_{t-1}^l
        N: Field,  # N_{t-1}^l
    ) -> MIMNStep:
        """One step."""
        return MIMNStep(*self.gate(conv, dX, D, N))


class ReleasedMIMSCell(_InnerCell):
    """One step of the released program's MIM-S: gates read C_{t-1} by convolution, S elementwise."""

    def forward(
        self,
        conv: Convolution,
        D: Field,  # D_t^l
        C: Field,  # C_{t-1}^l
        S: Field,  # S_{t-1}^l
    ) -> MIMSStep:
        """One step."""
        return MIMSStep(*self.gate(conv, D, C, S))


class ReleasedMIMBlock(nn.Module):
    """One step of the released program's MIM block (rows R1, R2, R4, R8, R10).

    Args:
        hidden: Channels of every state.
        kernel_size: Grid cells, odd.
        height: Rows of the (patched) grid; the elementwise weights fix it.
        width: Columns of the (patched) grid.
        layer_norm: Normalise after every gate convolution.
        ablation: The inner module to take out; it passes its first input on, as in ``MIMBlock``.
    """

    def __init__(
        self,
        hidden: int,
        kernel_size: int,
        height: int,
        width: int,
        *,
        layer_norm: bool = True,
        ablation: Ablation | None = None,
    ) -> None:
        super().__init__()
        conv = {"layer_norm": layer_norm}
        inner = (hidden, kernel_size, height, width)
        self.mim_n = None if ablation == "without_mim_n" else ReleasedMIMNCell(*inner, **conv)
        self.mim_s = None if ablation == "without_mim_s" else ReleasedMIMSCell(*inner, **conv)
        self.conv_x = GateConv(hidden, hidden, ("x_i", "x_g", "x_f", "o"), kernel_size, **conv)
        self.conv_h = GateConv(hidden, hidden, ("h_i", "h_g", "o"), kernel_size, **conv)
        self.conv_m = GateConv(hidden, hidden, ("m_i", "m_g", "m_f", "o"), kernel_size, **conv)
        self.conv_cm = nn.Conv2d(2 * hidden, hidden, 1)

    def forward(
        self,
        conv: Convolution,
        X: Field,  # H_t^{l-1}
        dX: Field | None,  # None at the first step (R10)
        H: Field,  # H_{t-1}^l
        C: Field,  # C_{t-1}^l
        N: Field,  # N_{t-1}^l
        S: Field,  # S_{t-1}^l
        D: Field,  # D_{t-1}^l
        M: Field,  # M_t^{l-1}
    ) -> MIMStep:
        """One step."""
        x_i, x_g, x_f, z_o, h_i, h_g, m_i, m_g, m_f = conv(
            (self.conv_x, X), (self.conv_h, H), (self.conv_m, M)
        )

        if dX is not None:
            D, N = (dX, N) if self.mim_n is None else self.mim_n(conv, dX, D, N)
        T, S = (D, S) if self.mim_s is None else self.mim_s(conv, D, C, S)
        C = conv.field(take_in_as_released(x_g, x_i, h_g, h_i, T.values))
        M = conv.field(remember_as_released(x_g, x_i, x_f, m_g, m_i, m_f, M.values))
        H = conv.field(give_out_as_released(z_o, conv.pointwise(self.conv_cm, C, M)))
        return MIMStep(H, C, N, S, D, M)
