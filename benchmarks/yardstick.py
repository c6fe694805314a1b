"""The yardstick: the released program transcribed the way public ports are written.

One convolution per gate group, eager, states of zeros convolved like any other, nothing shared and nothing
kept from step to step. Its weights have the names of ``MIMNetwork(variant="released")``, so that both compute
the same function: ``yardstick.load_state_dict(network.state_dict())``.
"""

import torch
from torch import Tensor, nn

from darts_mim.nn.patches import from_patches, to_patches

FORGET_BIAS = 1.0


def _conv(channels: int, gates: int, hidden: int, kernel_size: int) -> nn.ModuleDict:
    conv = nn.Conv2d(channels, gates * hidden, kernel_size, padding=kernel_size // 2)
    return nn.ModuleDict({"conv": conv})


class PlainSTLSTM(nn.Module):
    """The first layer."""

    def __init__(self, channels: int, hidden: int, kernel_size: int) -> None:
        super().__init__()
        self.conv_x = _conv(channels, 4, hidden, kernel_size)
        self.conv_h = _conv(hidden, 4, hidden, kernel_size)
        self.conv_m = _conv(hidden, 4, hidden, kernel_size)
        self.conv_cm = nn.Conv2d(2 * hidden, hidden, 1)

    def forward(self, x: Tensor, h: Tensor, c: Tensor, m: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """One step."""
        i_x, g_x, f_x, o_x = torch.chunk(self.conv_x["conv"](x), 4, dim=1)
        i_h, g_h, f_h, o_h = torch.chunk(self.conv_h["conv"](h), 4, dim=1)
        i_m, g_m, f_m, o_m = torch.chunk(self.conv_m["conv"](m), 4, dim=1)
        i, g = torch.sigmoid(i_x + i_h), torch.tanh(g_x + g_h)
        f = torch.sigmoid(f_x + f_h + FORGET_BIAS)
        i_, g_ = torch.sigmoid(i_x + i_m), torch.tanh(g_x + g_m)
        f_ = torch.sigmoid(f_x + f_m + FORGET_BIAS)
        o = torch.sigmoid(o_x + o_h + o_m)
        c = f * c + i * g
        m = f_ * m + i_ * g_
        h = o * torch.tanh(self.conv_cm(torch.cat([c, m], dim=1)))
        return h, c, m


class PlainInner(nn.Module):
    """MIM-N or MIM-S."""

    def __init__(self, hidden: int, kernel_size: int, grid: tuple[int, int]) -> None:
        super().__init__()
        self.conv_x = _conv(hidden, 4, hidden, kernel_size)
        self.conv_h = _conv(hidden, 4, hidden, kernel_size)
        self.weight_i = nn.Parameter(torch.zeros(hidden, *grid))
        self.weight_f = nn.Parameter(torch.zeros(hidden, *grid))
        self.weight_o = nn.Parameter(torch.zeros(hidden, *grid))

    def forward(self, x: Tensor, h: Tensor, memory: Tensor) -> tuple[Tensor, Tensor]:
        """One step."""
        i_x, g_x, f_x, o_x = torch.chunk(self.conv_x["conv"](x), 4, dim=1)
        i_h, g_h, f_h, o_h = torch.chunk(self.conv_h["conv"](h), 4, dim=1)
        i = torch.sigmoid(i_x + i_h + memory * self.weight_i)
        f = torch.sigmoid(f_x + f_h + memory * self.weight_f + FORGET_BIAS)
        memory = f * memory + i * torch.tanh(g_x + g_h)
        o = torch.sigmoid(o_x + o_h + memory * self.weight_o)
        return o * torch.tanh(memory), memory


class PlainBlock(nn.Module):
    """A MIM block."""

    def __init__(self, hidden: int, kernel_size: int, grid: tuple[int, int]) -> None:
        super().__init__()
        self.mim_n = PlainInner(hidden, kernel_size, grid)
        self.mim_s = PlainInner(hidden, kernel_size, grid)
        self.conv_x = _conv(hidden, 4, hidden, kernel_size)
        self.conv_h = _conv(hidden, 3, hidden, kernel_size)
        self.conv_m = _conv(hidden, 4, hidden, kernel_size)
        self.conv_cm = nn.Conv2d(2 * hidden, hidden, 1)

    def forward(
        self, x: Tensor, h: Tensor, c: Tensor, s: Tensor, d: Tensor, m: Tensor
    ) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """One step; ``d`` is what MIM-N gave out."""
        i_x, g_x, f_x, o_x = torch.chunk(self.conv_x["conv"](x), 4, dim=1)
        i_h, g_h, o_h = torch.chunk(self.conv_h["conv"](h), 3, dim=1)
        i_m, g_m, f_m, o_m = torch.chunk(self.conv_m["conv"](m), 4, dim=1)
        i, g = torch.sigmoid(i_x + i_h), torch.tanh(g_x + g_h)
        i_, g_ = torch.sigmoid(i_x + i_m), torch.tanh(g_x + g_m)
        f_ = torch.sigmoid(f_x + f_m + FORGET_BIAS)
        o = torch.sigmoid(o_x + o_h + o_m)
        t, s = self.mim_s(d, c, s)
        c = t + i * g
        m = f_ * m + i_ * g_
        h = o * torch.tanh(self.conv_cm(torch.cat([c, m], dim=1)))
        return h, c, s, m


class PlainMIM(nn.Module):
    """The released program.

    Args:
        channels: Channels of a frame.
        hidden: Channels of every state.
        layers: The ST-LSTM and the MIM blocks.
        kernel_size: Grid cells, odd.
        grid: Rows and columns of the grid.
        patch_size: Grid cells a side that are folded into channels.
    """

    def __init__(
        self,
        channels: int,
        hidden: int,
        layers: int,
        kernel_size: int,
        grid: tuple[int, int],
        patch_size: int = 1,
    ) -> None:
        super().__init__()
        self.hidden, self.patch_size = hidden, patch_size
        folded = channels * patch_size**2
        patched = (-(-grid[0] // patch_size), -(-grid[1] // patch_size))
        self.first = PlainSTLSTM(folded, hidden, kernel_size)
        self.blocks = nn.ModuleList(PlainBlock(hidden, kernel_size, patched) for _ in range(layers - 1))
        self.to_frame = nn.Conv2d(hidden, folded, 1)

    def forward(self, observed: Tensor, horizon: int) -> Tensor:
        """Every generated frame, (batch, T - 1 + horizon, channel, height, width)."""
        generated = self.generate(to_patches(observed, self.patch_size), horizon)
        return from_patches(generated, self.patch_size, *observed.shape[-2:])

    def generate(self, observed: Tensor, horizon: int) -> Tensor:
        """The same on patched frames, (batch, T - 1 + horizon, patch channel, rows, columns)."""
        batch, known, _, rows, columns = observed.shape
        zero = observed.new_zeros(batch, self.hidden, rows, columns)
        layers = 1 + len(self.blocks)
        h, c, n, s, d = ([zero] * layers for _ in "hcnsd")
        m = zero
        generated: list[Tensor] = []
        for t in range(known - 1 + horizon):
            frame = observed[:, t] if t < known else generated[-1]
            before = h[0]
            h[0], c[0], m = self.first(frame, h[0], c[0], m)
            difference = h[0] - before
            for l, block in enumerate(self.blocks, start=1):
                if t > 0:
                    d[l], n[l] = block.mim_n(difference, d[l], n[l])
                    difference = d[l]
                h[l], c[l], s[l], m = block(h[l - 1], h[l], c[l], s[l], d[l], m)
            generated.append(self.to_frame(h[-1]))
        return torch.stack(generated, dim=1)
