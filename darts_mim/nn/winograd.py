"""Convolutions with a fraction of the multiplications: Winograd's, on states kept in tiles [Lavin2016]."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

from darts_mim.nn.convolution import Field, add_by_name
from darts_mim.nn.gates import GateConv
from darts_mim.nn.tile_code import TILE
from darts_mim.nn.tile_loops import Source, Term, TileLoops

KERNELS = (3, 5)  # cells a side; 7 needs points so far apart that float32 loses two digits more


class Kernels:
    """The kernels of one convolution at their points, (gate, point, channel, hidden), and their gradient.

    The gradient is added to in place, step by step of a backward pass, which autograd would do with a copy.
    """

    def __init__(self, gate_conv: GateConv, loops: TileLoops) -> None:
        self.gates = gate_conv.gates
        self.hidden = gate_conv.conv.out_channels // len(self.gates)
        self.points: Tensor = _KernelPoints.apply(gate_conv.conv.weight, len(self.gates), loops)  # pyright: ignore[reportAttributeAccessIssue]
        self._rows = loops.kernel_rows(gate_conv.conv.in_channels)
        self._pass, self._gradient = -1, self.points.new_empty(0)

    def add_to(self) -> tuple[Tensor, Tensor | None]:
        """Memory that gradients are added to; and what autograd is told of it, once a backward pass."""
        backward_pass: int = torch._C._current_graph_task_id()  # pyright: ignore
        if backward_pass == self._pass:
            return self._gradient, None
        gates, points, rows, room = self.points.shape
        self._pass, self._gradient = backward_pass, self.points.new_empty(gates, points, self._rows, room)
        return self._gradient, self._gradient[:, :, :rows]


class _KernelPoints(torch.autograd.Function):
    """Kernels at their points."""

    @staticmethod
    def forward(
        ctx: Any,
        weight: Float[Tensor, "written channel rows columns"],
        gates: int,
        loops: TileLoops,
    ) -> Tensor:
        ctx.shape, ctx.gates, ctx.loops = weight.shape, gates, loops
        kernel = (
            weight.unflatten(0, (gates, -1)).flatten(3).permute(0, 3, 2, 1)
        )  # (gate, tap, channel, hidden)
        points = torch.matmul(loops.matrices.kernel, kernel.flatten(2))
        points = points.unflatten(2, kernel.shape[2:])
        lacking = [loops.room(side) - side for side in kernel.shape[2:]]
        return F.pad(points, (0, lacking[1], 0, lacking[0])) if any(lacking) else points

    @staticmethod
    @once_differentiable
    def backward(  # pyright: ignore[reportIncompatibleMethodOverride]
        ctx: Any, *d_points: Tensor
    ) -> tuple[Any, ...]:
        channels, hidden = ctx.shape[1], ctx.shape[0] // ctx.gates
        d_kernel = torch.matmul(ctx.loops.matrices.kernel.T, d_points[0][:, :, :channels, :hidden].flatten(2))
        d_weight = d_kernel.unflatten(2, (channels, hidden)).permute(0, 3, 2, 1)
        return d_weight.reshape(ctx.shape), None, None


@dataclass(frozen=True)
class Wiring:
    """What a group of gates is computed from, beside the tensors that have gradients.

    Attributes:
        names: The gates.
        kernels: For each source, the kernels that read it; one a source.
        loops: Where the work is done.
    """

    names: list[str]
    kernels: list[Kernels]
    loops: TileLoops

    def places(self, kernels: Kernels) -> list[int]:
        """The gates that kernels write."""
        return [self.names.index(name) for name in kernels.gates]


class _Gates(torch.autograd.Function):
    """A group of gates, each a sum of convolutions of some of the sources, on tiles.

    The points are not kept: the sources are read again in the backward pass, which costs less than memory
    that is four times the values'.
    """

    @staticmethod
    def forward(
        ctx: Any, wiring: Wiring, bias: Float[Tensor, "gate hidden"] | None, *values_and_kernels: Tensor
    ) -> tuple[Tensor, ...]:
        n = len(wiring.kernels)
        values = [x.contiguous() for x in values_and_kernels[:n]]
        ctx.save_for_backward(*values)
        ctx.wiring = wiring
        terms = [
            Term(source, gate, points)
            for source, (kernels, of_source) in enumerate(
                zip(wiring.kernels, values_and_kernels[n:], strict=True)
            )
            for gate, points in zip(wiring.places(kernels), of_source, strict=True)
        ]
        biases = [None] * len(wiring.names) if bias is None else list(bias.contiguous())
        return wiring.loops.gates(values, terms, biases, wiring.kernels[0].hidden)

    @staticmethod
    @once_differentiable
    def backward(  # pyright: ignore[reportIncompatibleMethodOverride]
        ctx: Any, *dz: Tensor
    ) -> tuple[Any, ...]:
        wiring: Wiring = ctx.wiring
        values: tuple[Tensor, ...] = ctx.saved_tensors
        loops, hidden = wiring.loops, dz[0].shape[-1]
        dz = tuple(d_gate.contiguous() for d_gate in dz)
        _, wants_bias, *wants = ctx.needs_input_grad
        d_values = [torch.zeros_like(x) if want else None for x, want in zip(values, wants, strict=False)]
        d_kernels = [
            kernels.add_to() if want else (None, None)
            for kernels, want in zip(wiring.kernels, wants[len(values) :], strict=True)
        ]
        d_bias = dz[0].new_zeros(len(dz), hidden) if wants_bias else None
        for samples in loops.parts(hidden):
            n, tiles = samples.stop - samples.start, (samples.stop - samples.start) * loops.R * loops.C
            d_products = loops.read("d_products", dz, samples, gradient=True)
            if d_bias is not None:
                d_bias += d_products[:, loops.matrices.ones, :tiles, :hidden].sum(1)
            sources = [
                Source(
                    points=loops.read(f"source {s}", [x], samples)[0],
                    channels=x.shape[-1],
                    d_points=None if d_x is None else loops.points(f"d_source {s}", 1, n, x.shape[-1])[0],
                    terms=[
                        (d_products[gate], kernels.points[k], None if d_kernel is None else d_kernel[k])
                        for k, gate in enumerate(wiring.places(kernels))
                    ],
                    begun=new is None or samples.start > 0,
                )
                for s, (x, d_x, kernels, (d_kernel, new)) in enumerate(
                    zip(values, d_values, wiring.kernels, d_kernels, strict=True)
                )
            ]
            loops.gradients(tiles, hidden, sources)
            for source, d_x in zip(sources, d_values, strict=True):
                if source.d_points is not None and d_x is not None:
                    loops.add_back(source.d_points, d_x, samples)
        return None, d_bias, *d_values, *(new for _, new in d_kernels)


class WinogradConvolution:
    """F(4 x 4, r x r) on (4, 4, batch, R, C, channel): R x C tiles of 4 x 4 cells.

    A convolution is one small constant matrix on the cells that each tile reads, one matrix product a point,
    and one constant matrix on the products. A 5x5 kernel takes 4 multiplications a cell in place of 25, a
    3x3 kernel 2.25 in place of 9. Elementwise work is done on the tiles as they are; what it leaves in their
    cells outside the grid is not read.

    Args:
        frames: Frames of the batch to come; they give its size, grid, dtype and device.
        kernel_size: Cells a side of every kernel, in ``KERNELS``.

    Source:
        [Lavin2016] Lavin and Gray, Fast Algorithms for Convolutional Neural Networks, CVPR 2016.
    """

    def __init__(self, frames: Float[Tensor, "batch time channel height width"], kernel_size: int) -> None:
        self.like = frames
        self.height, self.width = frames.shape[-2:]
        self.loops = TileLoops(kernel_size, len(frames), self.height, self.width, frames.dtype)
        self.R, self.C = self.loops.R, self.loops.C
        self._kernels: dict[GateConv, Kernels] = {}
        self._elementwise: dict[Tensor, Tensor] = {}

    def __call__(self, *terms: tuple[GateConv, Field]) -> tuple[Tensor, ...]:
        """The gates' terms, added by name."""
        if terms[0][0].norm is None:
            return self._sum(terms)
        gates = add_by_name(
            (gate_conv, self._normalised(gate_conv, self._sum([(gate_conv, field)])))
            for gate_conv, field in terms
        )
        return tuple(gates.values())

    def _sum(self, terms: Sequence[tuple[GateConv, Field]]) -> tuple[Tensor, ...]:
        """Gates of one name added while they are products: one output transform for all terms."""
        bias = add_by_name(
            (gate_conv, gate_conv.conv.bias.chunk(len(gate_conv.gates)))
            for gate_conv, _ in terms
            if gate_conv.conv.bias is not None
        )
        names = list(dict.fromkeys(name for gate_conv, _ in terms for name in gate_conv.gates))
        read = [(gate_conv, field) for gate_conv, field in terms if not field.zero]
        written = [name for name in names if any(name in gate_conv.gates for gate_conv, _ in read)]
        z: dict[str, Tensor] = {}
        if read:
            kernels = [self._kernels_of(gate_conv) for gate_conv, _ in read]
            gates = _Gates.apply(
                Wiring(written, kernels, self.loops),
                self._stacked(bias, written),
                *[field.values for _, field in read],
                *[one.points for one in kernels],
            )
            z = dict(zip(written, gates, strict=True))
        zero = terms[0][1].values.new_zeros(())
        return tuple(z[name] if name in z else bias.get(name, zero) for name in names)

    def _stacked(self, bias: dict[str, Tensor], names: list[str]) -> Tensor | None:
        if not any(name in bias for name in names):
            return None
        zero = torch.zeros_like(next(iter(bias.values())))
        return torch.stack([bias.get(name, zero) for name in names])

    def _kernels_of(self, gate_conv: GateConv) -> Kernels:
        """A convolution's kernels, put to their points once a pass."""
        if gate_conv not in self._kernels:
            self._kernels[gate_conv] = Kernels(gate_conv, self.loops)
        return self._kernels[gate_conv]

    def pointwise(self, conv: nn.Conv2d, *fields: Field) -> Tensor:
        """A 1x1 convolution: a matrix product over the channels, which come last."""
        weights = conv.weight[:, :, 0, 0].split([field.values.shape[-1] for field in fields], dim=1)
        z = F.linear(fields[0].values, weights[0], conv.bias)
        for field, weight in zip(fields[1:], weights[1:], strict=True):
            z = z + F.linear(field.values, weight)
        return z

    def field(self, values: Tensor) -> Field:
        """The values as they are: what lies outside the grid is not read."""
        return Field(values)

    def zeros(self, channels: int) -> Field:
        """A field that is zero."""
        batch = len(self.like)
        return Field(self.like.new_zeros(TILE, TILE, batch, self.R, self.C, channels), zero=True)

    def elementwise(self, weight: Float[Tensor, "channel height width"]) -> Tensor:
        """The weight in tiles, put there once a pass."""
        if weight not in self._elementwise:
            self._elementwise[weight] = self._to_tiles(weight[None])
        return self._elementwise[weight]

    def fold(self, frame: Float[Tensor, "batch channel height width"]) -> Field:
        """A frame in tiles."""
        return Field(self._to_tiles(frame))

    def _to_tiles(self, frame: Float[Tensor, "batch channel height width"]) -> Tensor:
        padded = F.pad(frame, (0, -self.width % TILE, 0, -self.height % TILE))
        tiles = padded.unflatten(3, (self.C, TILE)).unflatten(2, (self.R, TILE))
        return tiles.permute(3, 5, 0, 2, 4, 1).contiguous()

    def unfold(self, values: Tensor) -> Float[Tensor, "batch channel height width"]:
        """Tiles as a frame, cropped to the grid."""
        frame = values.permute(2, 5, 3, 0, 4, 1).flatten(4, 5).flatten(2, 3)
        return frame[..., : self.height, : self.width]

    def _normalised(self, gate_conv: GateConv, gates: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
        """Layer norm as ``GateConv`` has it, over the cells of the grid alone."""
        assert gate_conv.norm is not None
        shape = TILE, TILE, len(self.like), self.R, self.C, gate_conv.conv.out_channels // len(gates)
        frame = torch.cat([self.unfold(z.expand(shape)) for z in gates], dim=1)
        return tuple(self._to_tiles(z) for z in gate_conv.norm(frame).chunk(len(gates), dim=1))
