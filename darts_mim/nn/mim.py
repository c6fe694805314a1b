"""Memory In Memory as the paper writes it: MIM-N, MIM-S and the block around them [Wang2019]."""

from typing import Literal, NamedTuple

from torch import nn

from darts_mim.nn.convolution import Convolution, Field
from darts_mim.nn.gates import GateConv
from darts_mim.nn.memory import give_out, remember, take_in

Ablation = Literal["without_mim_n", "without_mim_s", "without_mim"]


class MIMNStep(NamedTuple):
    """What one step of MIM-N hands on."""

    D: Field
    N: Field


class MIMSStep(NamedTuple):
    """What one step of MIM-S hands on."""

    T: Field
    S: Field


class MIMStep(NamedTuple):
    """What one step of a MIM block hands on."""

    H: Field
    C: Field
    N: Field
    S: Field
    D: Field
    M: Field


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
        self.conv_x = GateConv(hidden, hidden, ("g", "i", "f", "o"), kernel_size, **conv)
        self.conv_n = GateConv(hidden, hidden, ("g", "i", "f"), kernel_size, bias=False, **conv)
        self.conv_no = GateConv(hidden, hidden, ("o",), kernel_size, bias=False, **conv)

    def forward(
        self,
        conv: Convolution,
        dH: Field,  # H_t^{l-1} - H_{t-1}^{l-1}
        N: Field,  # N_{t-1}^l
    ) -> MIMNStep:
        """One step [Wang2019, eq. 2]."""
        z_g, z_i, z_f, z_o = conv((self.conv_x, dH), (self.conv_n, N))
        N = conv.field(remember(z_g, z_i, z_f, N.values))
        (n_o,) = conv((self.conv_no, N))
        return MIMNStep(D=conv.field(give_out(z_o, n_o, N.values)), N=N)


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
        self.conv_d = GateConv(hidden, hidden, ("g", "i", "f", "o"), kernel_size, **conv)
        self.conv_c = GateConv(hidden, hidden, ("g", "i", "f", "o"), kernel_size, bias=False, **conv)
        self.conv_so = GateConv(hidden, hidden, ("o",), kernel_size, bias=False, **conv)

    def forward(
        self,
        conv: Convolution,
        D: Field,  # D_t^l
        C: Field,  # C_{t-1}^l
        S: Field,  # S_{t-1}^l
    ) -> MIMSStep:
        """One step [Wang2019, eq. 3]."""
        z_g, z_i, z_f, z_o = conv((self.conv_d, D), (self.conv_c, C))
        S = conv.field(remember(z_g, z_i, z_f, S.values))
        (s_o,) = conv((self.conv_so, S))
        return MIMSStep(T=conv.field(give_out(z_o, s_o, S.values)), S=S)


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
        self.conv_x = GateConv(hidden, hidden, ("g", "i", "g'", "i'", "f'", "o"), kernel_size, **conv)
        self.conv_h = GateConv(hidden, hidden, ("g", "i", "o"), kernel_size, bias=False, **conv)
        self.conv_m = GateConv(hidden, hidden, ("g'", "i'", "f'"), kernel_size, bias=False, **conv)
        self.conv_co = GateConv(hidden, hidden, ("o",), kernel_size, bias=False, **conv)
        self.conv_mo = GateConv(hidden, hidden, ("o",), kernel_size, bias=False, **conv)
        self.conv_cm = nn.Conv2d(2 * hidden, hidden, 1, bias=False)

    def forward(
        self,
        conv: Convolution,
        X: Field,  # H_t^{l-1}
        dH: Field | None,  # None at the first step
        H: Field,  # H_{t-1}^l
        C: Field,  # C_{t-1}^l
        N: Field,  # N_{t-1}^l
        S: Field,  # S_{t-1}^l
        D: Field,  # zero, what D is at the first step
        M: Field,  # M_t^{l-1}
    ) -> MIMStep:
        """One step [Wang2019, eq. 1]; the first has no difference to read, so D = 0 and N = 0."""
        z_g, z_i, z_g_, z_i_, z_f_, z_o = conv((self.conv_x, X), (self.conv_h, H), (self.conv_m, M))

        if dH is not None:
            D, N = (dH, N) if self.mim_n is None else self.mim_n(conv, dH, N)
        T, S = (D, S) if self.mim_s is None else self.mim_s(conv, D, C, S)
        C = conv.field(take_in(z_g, z_i, T.values))
        M = conv.field(remember(z_g_, z_i_, z_f_, M.values))

        (cm_o,) = conv((self.conv_co, C), (self.conv_mo, M))
        H = conv.field(give_out(z_o, cm_o, conv.pointwise(self.conv_cm, C, M)))
        return MIMStep(H, C, N, S, D, M)
