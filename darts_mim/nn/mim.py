"""Memory In Memory as the paper writes it: MIM-N, MIM-S and the block around them [Wang2019]."""

from typing import Literal, NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor, nn

from darts_mim.nn.gates import GateConv

Ablation = Literal["without_mim_n", "without_mim_s"]


class MIMNStep(NamedTuple):
    """What one step of MIM-N hands on."""

    D: Float[Tensor, "batch hidden height width"]
    N: Float[Tensor, "batch hidden height width"]


class MIMSStep(NamedTuple):
    """What one step of MIM-S hands on."""

    T: Float[Tensor, "batch hidden height width"]
    S: Float[Tensor, "batch hidden height width"]


class MIMStep(NamedTuple):
    """What one step of a MIM block hands on."""

    H: Float[Tensor, "batch hidden height width"]
    C: Float[Tensor, "batch hidden height width"]
    N: Float[Tensor, "batch hidden height width"]
    S: Float[Tensor, "batch hidden height width"]
    D: Float[Tensor, "batch hidden height width"]
    M: Float[Tensor, "batch hidden height width"]


class MIMNCell(nn.Module):
    """One step of MIM-N, the non-stationary module [Wang2019, eq. 2].

    Reads how the layer below changed since the last step and keeps that trend in its memory N.

    Args:
        hidden: Channels of dH, N and D.
        kernel_size: Grid cells, odd.
        layer_norm: Normalise after every gate convolution.
    """

    def __init__(self, hidden: int, kernel_size: int, *, layer_norm: bool = False) -> None:
        super().__init__()
        conv = {"layer_norm": layer_norm}
        self.conv_x = GateConv(hidden, hidden, 4, kernel_size, **conv)
        self.conv_n = GateConv(hidden, hidden, 3, kernel_size, bias=False, **conv)
        self.conv_no = GateConv(hidden, hidden, 1, kernel_size, bias=False, **conv)

    def forward(
        self,
        dH: Float[Tensor, "batch hidden height width"],  # H_t^{l-1} - H_{t-1}^{l-1}
        N: Float[Tensor, "batch hidden height width"],  # N_{t-1}^l
    ) -> MIMNStep:
        """One step [Wang2019, eq. 2]."""
        x_g, x_i, x_f, x_o = self.conv_x(dH)
        n_g, n_i, n_f = self.conv_n(N)
        g = torch.tanh(x_g + n_g)
        i = torch.sigmoid(x_i + n_i)
        f = torch.sigmoid(x_f + n_f)
        N = f * N + i * g
        (n_o,) = self.conv_no(N)
        o = torch.sigmoid(x_o + n_o)
        return MIMNStep(D=o * torch.tanh(N), N=N)


class MIMSCell(nn.Module):
    """One step of MIM-S, the stationary module [Wang2019, eq. 3].

    Decides from the differential features D whether the memory C is kept or overwritten.

    Args:
        hidden: Channels of D, C, S and T.
        kernel_size: Grid cells, odd.
        layer_norm: Normalise after every gate convolution.
    """

    def __init__(self, hidden: int, kernel_size: int, *, layer_norm: bool = False) -> None:
        super().__init__()
        conv = {"layer_norm": layer_norm}
        self.conv_d = GateConv(hidden, hidden, 4, kernel_size, **conv)
        self.conv_c = GateConv(hidden, hidden, 4, kernel_size, bias=False, **conv)
        self.conv_so = GateConv(hidden, hidden, 1, kernel_size, bias=False, **conv)

    def forward(
        self,
        D: Float[Tensor, "batch hidden height width"],  # D_t^l
        C: Float[Tensor, "batch hidden height width"],  # C_{t-1}^l
        S: Float[Tensor, "batch hidden height width"],  # S_{t-1}^l
    ) -> MIMSStep:
        """One step [Wang2019, eq. 3]."""
        d_g, d_i, d_f, d_o = self.conv_d(D)
        c_g, c_i, c_f, c_o = self.conv_c(C)
        g = torch.tanh(d_g + c_g)
        i = torch.sigmoid(d_i + c_i)
        f = torch.sigmoid(d_f + c_f)
        S = f * S + i * g
        (s_o,) = self.conv_so(S)
        o = torch.sigmoid(d_o + c_o + s_o)
        return MIMSStep(T=o * torch.tanh(S), S=S)


class MIMBlock(nn.Module):
    """One step of a MIM block: an ST-LSTM whose forget gate is MIM-N and MIM-S [Wang2019, eq. 1].

    A module taken out (Table 3) passes its first input on: without MIM-N, D is dH; without MIM-S,
    T is D. The paper does not say how it took them out.

    Args:
        hidden: Channels of every state.
        kernel_size: Grid cells, odd.
        layer_norm: Normalise after every gate convolution.
        ablation: The inner module to take out.
    """

    def __init__(
        self,
        hidden: int,
        kernel_size: int,
        *,
        layer_norm: bool = False,
        ablation: Ablation | None = None,
    ) -> None:
        super().__init__()
        conv = {"layer_norm": layer_norm}
        self.mim_n = None if ablation == "without_mim_n" else MIMNCell(hidden, kernel_size, **conv)
        self.mim_s = None if ablation == "without_mim_s" else MIMSCell(hidden, kernel_size, **conv)
        self.conv_x = GateConv(hidden, hidden, 6, kernel_size, **conv)
        self.conv_h = GateConv(hidden, hidden, 3, kernel_size, bias=False, **conv)
        self.conv_m = GateConv(hidden, hidden, 3, kernel_size, bias=False, **conv)
        self.conv_co = GateConv(hidden, hidden, 1, kernel_size, bias=False, **conv)
        self.conv_mo = GateConv(hidden, hidden, 1, kernel_size, bias=False, **conv)
        self.conv_cm = nn.Conv2d(2 * hidden, hidden, 1, bias=False)

    def forward(
        self,
        X: Float[Tensor, "batch hidden height width"],  # H_t^{l-1}
        dH: Float[Tensor, "batch hidden height width"] | None,  # None at the first step
        H: Float[Tensor, "batch hidden height width"],  # H_{t-1}^l
        C: Float[Tensor, "batch hidden height width"],  # C_{t-1}^l
        N: Float[Tensor, "batch hidden height width"],  # N_{t-1}^l
        S: Float[Tensor, "batch hidden height width"],  # S_{t-1}^l
        D: Float[Tensor, "batch hidden height width"],  # zero, what D is at the first step
        M: Float[Tensor, "batch hidden height width"],  # M_t^{l-1}
    ) -> MIMStep:
        """One step [Wang2019, eq. 1]; the first has no difference to read, so D = 0 and N = 0."""
        x_g, x_i, x_g_, x_i_, x_f_, x_o = self.conv_x(X)
        h_g, h_i, h_o = self.conv_h(H)
        m_g_, m_i_, m_f_ = self.conv_m(M)

        g = torch.tanh(x_g + h_g)
        i = torch.sigmoid(x_i + h_i)
        if dH is not None:
            D, N = (dH, N) if self.mim_n is None else self.mim_n(dH, N)
        T, S = (D, S) if self.mim_s is None else self.mim_s(D, C, S)
        C = T + i * g

        g_ = torch.tanh(x_g_ + m_g_)
        i_ = torch.sigmoid(x_i_ + m_i_)
        f_ = torch.sigmoid(x_f_ + m_f_)
        M = f_ * M + i_ * g_

        (c_o,) = self.conv_co(C)
        (m_o,) = self.conv_mo(M)
        o = torch.sigmoid(x_o + h_o + c_o + m_o)
        H = o * torch.tanh(self.conv_cm(torch.cat([C, M], dim=1)))
        return MIMStep(H, C, N, S, D, M)
