"""The one kind of convolution that the cells are made of."""

from collections.abc import Sequence

from jaxtyping import Float
from torch import Tensor, nn


class GateConv(nn.Module):
    """A same-padded convolution whose output is cut into gates, with layer norm if asked.

    Layer norm is the published program's: over height, width and channels of one sample, then a scale
    and a shift per channel, epsilon 1e-5 (docs/paper.md, row R9). That is group norm with one group.

    Args:
        channels: Channels read.
        hidden: Channels of one gate.
        gates: The gates written, by name.
        kernel_size: Grid cells, odd.
        bias: Whether the gates have a bias here.
        layer_norm: Whether the gates are normalised.

    Raises:
        ValueError: If ``kernel_size`` is even: no output cell would sit at the kernel's middle.
    """

    def __init__(
        self,
        channels: int,
        hidden: int,
        gates: Sequence[str],
        kernel_size: int,
        *,
        bias: bool = True,
        layer_norm: bool = False,
    ) -> None:
        super().__init__()
        require_odd(kernel_size)
        self.gates = tuple(gates)
        out = hidden * len(self.gates)
        self.conv = nn.Conv2d(channels, out, kernel_size, padding=kernel_size // 2, bias=bias)
        self.norm = nn.GroupNorm(1, out, eps=1e-5) if layer_norm else None

    def forward(
        self, x: Float[Tensor, "batch channel height width"]
    ) -> tuple[Float[Tensor, "batch hidden height width"], ...]:
        """The gates' terms, by torch's own convolution; the cells go through a ``Convolution``."""
        z = self.conv(x)
        if self.norm is not None:
            z = self.norm(z)
        return z.chunk(len(self.gates), dim=1)


def require_odd(kernel_size: int) -> None:
    """Check that an output cell sits at the kernel's middle.

    Raises:
        ValueError: If ``kernel_size`` is even or below 1.
    """
    if kernel_size < 1 or kernel_size % 2 == 0:
        raise ValueError(
            f"kernel_size is {kernel_size}; same padding needs an odd number of cells. "
            f"Use {max(1, kernel_size - 1)} or {max(1, kernel_size + 1)}."
        )
