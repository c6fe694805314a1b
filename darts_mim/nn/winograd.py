"""Convolutions with a fraction of the multiplications: Winograd's, on states kept in tiles [Lavin2016]."""

import math
import weakref
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from darts_mim.nn.convolution import Field, add_by_name
from darts_mim.nn.gates import GateConv
from darts_mim.nn.tiles import TILE, add_cells, places
from darts_mim.nn.toom_cook import toom_cook

KERNELS = (3, 5)  # cells a side; 7 needs points so far apart that float32 loses two digits more


@dataclass(frozen=True)
class Transforms:
    """The matrices of F(4 x 4, r x r), both axes at once.

    Attributes:
        output: From the products to the outputs of a tile.
        kernel: From a kernel to its spectrum.
        input: From the cells that the outputs of a tile read to their spectrum.
        side: Cells a side that they read.
    """

    output: Float[Tensor, "outputs points"]
    kernel: Float[Tensor, "points taps"]
    input: Float[Tensor, "points cells"]
    side: int

    @property
    def points(self) -> int:
        """Products a tile and channel."""
        return self.side**2

    @property
    def ones(self) -> int:
        """The point (1, 1), whose product every output of the tile counts once."""
        return self.side + 1


@cache
def transforms(kernel_size: int, dtype: torch.dtype, device: torch.device) -> Transforms:
    """The matrices for a kernel of ``kernel_size`` x ``kernel_size``."""
    A, G, B = toom_cook(TILE, kernel_size)
    output, kernel, input_ = (torch.kron(X, X).to(device, dtype).contiguous() for X in (A.T, G, B.T))
    return Transforms(output, kernel, input_, side=TILE + kernel_size - 1)


class Workspace:
    """Memory that is used again and again: fresh memory costs more than the work that is done in it.

    Args:
        matrices: The transforms.
        batch: Sequences.
        R: Tiles along the height.
        C: Tiles along the width.
    """

    def __init__(self, matrices: Transforms, batch: int, R: int, C: int) -> None:
        self.matrices = matrices
        self._read = places(matrices.side, batch, R, C, matrices.input.device)
        self._named: dict[tuple[str, int], Tensor] = {}
        self._lent: list[tuple[weakref.ref[Field], Tensor]] = []

    def take(self, name: str, like: Tensor, *shape: int) -> Tensor:
        """Uninitialised memory under a name, good until the next ``take`` of that name and size."""
        size = math.prod(shape)
        if (name, size) not in self._named:
            self._named[name, size] = like.new_empty(size)
        return self._named[name, size].view(shape)

    def spectrum(
        self, x: Float[Tensor, "4 4 batch R C channel"], into: Float[Tensor, "points tiles channel"]
    ) -> None:
        """Write what convolutions read of the values."""
        channels = x.shape[-1]
        rows = self.take("rows", x, 1 + x[..., 0].numel(), channels)
        rows[0] = 0
        rows[1:] = x.reshape(-1, channels)
        cells = self.take("cells", x, len(self._read), channels)
        torch.index_select(rows, 0, self._read, out=cells)
        torch.mm(self.matrices.input, cells.view(self.matrices.points, -1), out=into.flatten(1))

    def lend(self, field: Field, *shape: int) -> Tensor:
        """Uninitialised memory that is the field's as long as the field lives."""
        size = math.prod(shape)
        for n, (owner, memory) in enumerate(self._lent):
            if owner() is None and memory.numel() == size:
                self._lent[n] = weakref.ref(field), memory
                return memory.view(shape)
        memory = field.values.new_empty(size)
        self._lent.append((weakref.ref(field), memory))
        return memory.view(shape)

    def release(self) -> None:
        """Lend nothing again: what is lent goes with its field."""
        self._lent.clear()


@dataclass(frozen=True)
class Wiring:
    """What one group of gates is computed from, beside the tensors that have gradients.

    Attributes:
        gates: For each source, the gate that each of its kernels writes.
        spectra: For each source, its kernels' spectra, (kernel, points, channel, hidden).
    """

    gates: list[list[int]]
    spectra: list[Tensor]
    matrices: Transforms
    workspace: Workspace

    @property
    def n_gates(self) -> int:
        """Gates that are written."""
        return 1 + max(max(gates) for gates in self.gates)

    def sources_of(self, gate: int) -> list[tuple[int, int]]:
        """The (source, kernel) pairs that write a gate."""
        return [(s, gates.index(gate)) for s, gates in enumerate(self.gates) if gate in gates]


class _Gates(torch.autograd.Function):
    """A group of gates, each a sum of convolutions of some of the sources, on tiles.

    The sources' spectra are made anew in the backward pass: they are four times as large as the values, and
    kept for every step they would be most of the memory.
    """

    @staticmethod
    def forward(
        ctx: Any,
        wiring: Wiring,
        spectra: Sequence[Tensor],
        bias: Float[Tensor, "gate hidden"] | None,
        *values_and_kernels: Tensor,
    ) -> tuple[Tensor, ...]:
        values = values_and_kernels[: len(spectra)]
        ctx.save_for_backward(*values)
        ctx.wiring, ctx.has_bias = wiring, bias is not None
        matrices, hidden = wiring.matrices, wiring.spectra[0].shape[-1]
        products = wiring.workspace.take("products", values[0], *spectra[0].shape[:2], hidden)
        gates: list[Tensor] = []
        for gate in range(wiring.n_gates):
            for n, (s, k) in enumerate(wiring.sources_of(gate)):
                products.baddbmm_(spectra[s], wiring.spectra[s][k], beta=min(n, 1))
            if bias is not None:
                products[matrices.ones] += bias[gate]
            z = torch.mm(matrices.output, products.flatten(1))
            gates.append(z.view(*values[0].shape[:-1], hidden))
        return tuple(gates)

    @staticmethod
    def backward(ctx: Any, *dz: Tensor) -> tuple[Any, ...]:
        wiring: Wiring = ctx.wiring
        matrices, workspace = wiring.matrices, wiring.workspace
        workspace.release()  # the forward pass is over
        values: tuple[Tensor, ...] = ctx.saved_tensors
        points, tiles, hidden = matrices.points, dz[0][0, 0, ..., 0].numel(), dz[0].shape[-1]
        spectra = [
            workspace.take(f"spectrum {s}", x, points, tiles, x.shape[-1]) for s, x in enumerate(values)
        ]
        for x, spectrum in zip(values, spectra, strict=True):
            workspace.spectrum(x, spectrum)
        d_spectra = [workspace.take(f"gradient {s}", x, *x.shape) for s, x in enumerate(spectra)]
        d_products = workspace.take("products", dz[0], points, tiles, hidden)
        d_kernels = [
            kernels.new_empty(len(kernels), matrices.kernel.shape[1], *kernels.shape[2:])
            for kernels in wiring.spectra
        ]
        read: set[int] = set()
        for gate, d_gate in enumerate(dz):
            torch.mm(matrices.output.T, d_gate.reshape(TILE**2, -1), out=d_products.flatten(1))
            for s, k in wiring.sources_of(gate):
                kernel = wiring.spectra[s][k]
                d_spectra[s].baddbmm_(d_products, kernel.transpose(1, 2), beta=int(s in read))
                read.add(s)
                d_kernel = workspace.take("kernel", kernel, *kernel.shape)
                torch.bmm(spectra[s].transpose(1, 2), d_products, out=d_kernel)
                torch.mm(matrices.kernel.T, d_kernel.flatten(1), out=d_kernels[s][k].flatten(1))
        d_values = [torch.empty_like(x) for x in values]
        for d_x, spectrum, d_spectrum in zip(d_values, spectra, d_spectra, strict=True):
            cells = spectrum.flatten(1)  # the spectrum is not needed any more
            torch.mm(matrices.input.T, d_spectrum.flatten(1), out=cells)
            add_cells(cells.view(matrices.side, matrices.side, *d_x.shape[2:]), d_x)
        d_bias = torch.stack([d_gate.sum(dim=(0, 1, 2, 3, 4)) for d_gate in dz]) if ctx.has_bias else None
        return None, None, d_bias, *d_values, *d_kernels


class WinogradConvolution:
    """F(4 x 4, r x r) on (4, 4, batch, R, C, channel): R x C tiles of 4 x 4 cells.

    A convolution is one small constant matrix on the cells that each tile reads, one matrix product a point,
    and one constant matrix on the products. A 5x5 kernel takes 4 multiplications a cell in place of 25, a
    3x3 kernel 2.25 in place of 9. Elementwise work is done on the tiles as they are; their cells outside
    the grid are kept at 0.

    Args:
        frames: Frames of the batch to come; they give its size, grid, dtype and device.
        kernel_size: Cells a side of every kernel, in ``KERNELS``.

    Source:
        [Lavin2016] Lavin and Gray, Fast Algorithms for Convolutional Neural Networks, CVPR 2016.
    """

    def __init__(self, frames: Float[Tensor, "batch time channel height width"], kernel_size: int) -> None:
        self.like = frames
        self.height, self.width = frames.shape[-2:]
        self.R, self.C = -(-self.height // TILE), -(-self.width // TILE)
        self.matrices = transforms(kernel_size, frames.dtype, frames.device)
        self.workspace = Workspace(self.matrices, len(frames), self.R, self.C)
        self._kernels: dict[GateConv, tuple[Tensor, Tensor]] = {}
        self._elementwise: dict[Tensor, Tensor] = {}
        self._inside = None
        if self.height % TILE or self.width % TILE:
            self._inside = self._to_tiles(frames.new_ones(1, 1, self.height, self.width))

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
            kernels = [self._kernel(gate_conv) for gate_conv, _ in read]
            wiring = Wiring(
                [[written.index(name) for name in gate_conv.gates] for gate_conv, _ in read],
                [spectrum for _, spectrum in kernels],
                self.matrices,
                self.workspace,
            )
            gates = _Gates.apply(
                wiring,
                [self._spectrum(field) for _, field in read],
                self._stacked(bias, written),
                *[field.values for _, field in read],
                *[kernel for kernel, _ in kernels],
            )
            z = dict(zip(written, gates, strict=True))
        zero = terms[0][1].values.new_zeros(())
        return tuple(z[name] if name in z else bias.get(name, zero) for name in names)

    def _spectrum(self, field: Field) -> Tensor:
        """What convolutions read of a field, made at its first one."""
        if field.spectrum is None:
            x = field.values.detach()
            field.spectrum = self.workspace.lend(
                field, self.matrices.points, x[0, 0, ..., 0].numel(), x.shape[-1]
            )
            self.workspace.spectrum(x, field.spectrum)
        return field.spectrum

    def _stacked(self, bias: dict[str, Tensor], names: list[str]) -> Tensor | None:
        if not any(name in bias for name in names):
            return None
        zero = torch.zeros_like(next(iter(bias.values())))
        return torch.stack([bias.get(name, zero) for name in names])

    def _kernel(self, gate_conv: GateConv) -> tuple[Tensor, Tensor]:
        """Kernels, (gate, taps, channel, hidden), and their spectra, (gate, points, channel, hidden)."""
        if gate_conv not in self._kernels:
            weight, gates = gate_conv.conv.weight, len(gate_conv.gates)
            kernel = weight.unflatten(0, (gates, -1)).flatten(3).permute(0, 3, 2, 1).contiguous()
            with torch.no_grad():
                spectrum = torch.matmul(self.matrices.kernel, kernel.flatten(2))
            self._kernels[gate_conv] = kernel, spectrum.view(gates, -1, *kernel.shape[2:])
        return self._kernels[gate_conv]

    def pointwise(self, conv: nn.Conv2d, *fields: Field) -> Tensor:
        """A 1x1 convolution: a matrix product over the channels, which come last."""
        weights = conv.weight[:, :, 0, 0].split([field.values.shape[-1] for field in fields], dim=1)
        z = F.linear(fields[0].values, weights[0], conv.bias)
        for field, weight in zip(fields[1:], weights[1:], strict=True):
            z = z + F.linear(field.values, weight)
        return z

    def field(self, values: Tensor) -> Field:
        """The values, 0 outside the grid: that is what a kernel at its edge is to read there."""
        return Field(values if self._inside is None else values * self._inside)

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
