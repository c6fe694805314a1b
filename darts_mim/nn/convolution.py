"""How the cells' convolutions are computed: the interface, and torch's own way."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import torch
from jaxtyping import Float
from torch import Tensor, nn

from darts_mim.nn.gates import GateConv


@dataclass(slots=True, eq=False)
class Field:
    """A state, or a frame, as it runs from cell to cell.

    Attributes:
        values: Its numbers, in the layout of the ``Convolution`` that made it. Elementwise work is the same
            in every layout.
        zero: Whether it is known to be zero, as every state is at the start; zeros are not convolved.
    """

    values: Tensor
    zero: bool = False


@runtime_checkable
class Convolution(Protocol):
    """One way to compute the convolutions of one batch; ``conv((self.conv_x, X))`` is the paper's W * X.

    It lives for one pass through a network, and may keep what it derives from the weights.
    """

    def __call__(self, *terms: tuple[GateConv, Field]) -> tuple[Tensor, ...]:
        """The gates' terms; those of gates that share a name are added, in the order of the names."""
        ...

    def pointwise(self, conv: nn.Conv2d, *fields: Field) -> Tensor:
        """A 1x1 convolution of the fields, one after the other along the channels."""
        ...

    def field(self, values: Tensor) -> Field:
        """Values in this layout."""
        ...

    def zeros(self, channels: int) -> Field:
        """A field that is zero."""
        ...

    def elementwise(self, weight: Float[Tensor, "channel height width"]) -> Tensor:
        """One weight per channel and cell, in this layout."""
        ...

    def fold(self, frame: Float[Tensor, "batch channel height width"]) -> Field:
        """A frame into this layout."""
        ...

    def unfold(self, values: Tensor) -> Float[Tensor, "batch channel height width"]:
        """Values out of this layout."""
        ...


def add_by_name(terms: Iterable[tuple[GateConv, Sequence[Tensor]]]) -> dict[str, Tensor]:
    """Terms of gates, by the gates' names; those of one name are added."""
    total: dict[str, Tensor] = {}
    for gate_conv, gates in terms:
        for name, z in zip(gate_conv.gates, gates, strict=True):
            total[name] = total[name] + z if name in total else z
    return total


class DirectConvolution:
    """Torch's own convolutions, on (batch, channel, height, width), channels last in memory.

    Args:
        frames: Frames of the batch to come; they give its size, grid, dtype and device.
    """

    def __init__(self, frames: Float[Tensor, "batch time channel height width"]) -> None:
        self.like = frames

    def __call__(self, *terms: tuple[GateConv, Field]) -> tuple[Tensor, ...]:
        """The gates' terms, added by name."""
        gates = add_by_name((gate_conv, self._gates(gate_conv, field)) for gate_conv, field in terms)
        return tuple(gates.values())

    def _gates(self, gate_conv: GateConv, field: Field) -> tuple[Tensor, ...]:
        if not field.zero or gate_conv.norm is not None:
            return gate_conv(field.values)
        bias, hidden = gate_conv.conv.bias, gate_conv.conv.out_channels // len(gate_conv.gates)
        if bias is None:
            return (field.values.new_zeros(()),) * len(gate_conv.gates)
        return bias[:, None, None].split(hidden)

    def pointwise(self, conv: nn.Conv2d, *fields: Field) -> Tensor:
        """A 1x1 convolution of the fields, concatenated."""
        return conv(torch.cat([field.values for field in fields], dim=1))

    def field(self, values: Tensor) -> Field:
        """The values as they are."""
        return Field(values)

    def zeros(self, channels: int) -> Field:
        """A field that is zero."""
        batch, _, _, height, width = self.like.shape
        return Field(self.like.new_zeros(batch, channels, height, width), zero=True)

    def elementwise(self, weight: Float[Tensor, "channel height width"]) -> Tensor:
        """The weight as it is."""
        return weight

    def fold(self, frame: Float[Tensor, "batch channel height width"]) -> Field:
        """The frame, channels last: what is made from it stays so, and convolutions are faster on it."""
        return Field(frame.contiguous(memory_format=torch.channels_last))

    def unfold(self, values: Tensor) -> Float[Tensor, "batch channel height width"]:
        """The values as they are."""
        return values
