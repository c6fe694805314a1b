"""Winograd's convolution on a batch of tiles, in three steps: read, multiply, write [Lavin2016]."""

import json
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache

import torch
from jaxtyping import Float
from torch import Tensor

from darts_mim.nn.machine_code import ROWS, VECTOR
from darts_mim.nn.tile_code import PANEL, TILE, add_loop, gates_loop, gradients_loop, read_loop
from darts_mim.nn.toom_cook import toom_cook

BLOCK = 128  # tiles that a thread takes from what is read to the gates: about what its cache holds
CHUNK = 2**14  # tiles times channels that the backward pass takes at a time: it keeps all points of them


@dataclass(frozen=True)
class Matrices:
    """The matrices of F(4 x 4, r x r), those of one axis as the loops take them.

    Attributes:
        read: B.T, from the cells that the outputs of a tile read to points.
        read_back: B.
        write: A.T, from the products at the points to the outputs of a tile.
        write_back: A.
        kernel: G, from kernels to points, both axes at once.
        side: Points along an axis; also cells that the outputs of a tile read.
    """

    read: str
    read_back: str
    write: str
    write_back: str
    kernel: Float[Tensor, "points taps"]
    side: int

    @property
    def ones(self) -> int:
        """The point (1, 1), whose product every output of the tile counts once."""
        return self.side + 1


@cache
def matrices(kernel_size: int, dtype: torch.dtype) -> Matrices:
    """The matrices for a kernel of ``kernel_size`` x ``kernel_size``."""
    A, G, B = toom_cook(TILE, kernel_size)
    read, read_back, write, write_back = (json.dumps(X.tolist()) for X in (B.T, B, A.T, A))
    return Matrices(read, read_back, write, write_back, torch.kron(G, G).to(dtype), side=len(A))


@dataclass(frozen=True)
class Term:
    """One kernel's part in one gate.

    Attributes:
        source: Which of the values it reads.
        gate: Which of the gates it writes.
        kernel: At the points, with room for whole vectors of channels, both read and written.
    """

    source: int
    gate: int
    kernel: Float[Tensor, "points room hidden_room"]


@dataclass(frozen=True, kw_only=True)
class Source:
    """One of the values that gates read, in the backward pass.

    Attributes:
        points: What was read.
        channels: Of them.
        d_points: Where the points of their gradient go, if anywhere.
        terms: For each kernel that reads it: the points of its gate's gradient, the kernel, and where the
            kernel's gradient goes, if anywhere.
        begun: Whether kernels' gradients are added to what is there.
    """

    points: Tensor
    channels: int
    d_points: Tensor | None
    terms: Sequence[tuple[Tensor, Tensor, Tensor | None]]
    begun: bool


class TileLoops:
    """What is done with a batch of tiles, R x C a sample, and the memory that is used again and again.

    Values are (4, 4, batch, R, C, channel), and what lies outside the grid is never read; points are (point,
    tile, channel), with room for whole vectors of channels, and for a few tiles more.

    Args:
        kernel_size: Cells a side.
        batch: Samples.
        height: Cells of the grid.
        width: Cells of the grid.
        dtype: float32 or float64.
    """

    def __init__(self, kernel_size: int, batch: int, height: int, width: int, dtype: torch.dtype) -> None:
        self.matrices = matrices(kernel_size, dtype)
        self.batch, self.height, self.width, self.dtype = batch, height, width, dtype
        self.R, self.C = -(-height // TILE), -(-width // TILE)
        self._zeros = torch.zeros(PANEL // dtype.itemsize, dtype=dtype)
        self._memory: dict[str, Tensor] = {}

    def room(self, channels: int) -> int:
        """Channels in whole vectors."""
        return _whole(channels, VECTOR // self.dtype.itemsize)

    def kernel_rows(self, channels: int) -> int:
        """Rows of a kernel's gradient: no fewer than of a kernel, and as products write them."""
        return _whole(self.room(channels), ROWS)

    def parts(self, hidden: int) -> Iterator[slice]:
        """Samples, as many as the backward pass takes at a time."""
        n = max(1, CHUNK // (self.R * self.C * hidden))
        for first in range(0, self.batch, n):
            yield slice(first, min(first + n, self.batch))

    def points(self, name: str, n: int, samples: int, channels: int) -> Float[Tensor, "n points tiles room"]:
        """Memory for points of some samples, good until the next call of that name."""
        shape = n, self.matrices.side**2, _whole(samples * self.R * self.C, ROWS), self.room(channels)
        beyond = ROWS * shape[-1]  # a product reads a little further than the last tile
        memory = self._take(name, math.prod(shape) + beyond)
        return memory[: math.prod(shape)].view(shape)

    def gates(
        self, values: Sequence[Tensor], terms: Sequence[Term], bias: Sequence[Tensor | None], hidden: int
    ) -> tuple[Tensor, ...]:
        """All gates: convolutions of the values, added, and a bias."""
        lanes = self._lanes(hidden)
        sources: list[int] = []
        for n, x in enumerate(values):
            there = 0
            if self._lanes(x.shape[-1]) != lanes:  # read beforehand, in vectors of another length
                there = self.read(f"source {n}", [x], slice(0, self.batch)).data_ptr()
            sources += [x.data_ptr(), x.shape[-1], there]
        z = [values[0].new_empty(*values[0].shape[:-1], hidden) for _ in bias]
        gates: list[int] = []
        kernels: list[int] = []
        for n, (out, of_gate) in enumerate(zip(z, bias, strict=True)):
            own = [term for term in terms if term.gate == n]
            gates += [out.data_ptr(), _address(of_gate), len(kernels) // 2, len(own)]
            kernels += [number for term in own for number in (term.source, term.kernel.data_ptr())]
        rows, columns = self._block()
        side, room = self.matrices.side, _whole(rows * columns, ROWS)
        read = sum(self.room(x.shape[-1]) for x in values) * self.dtype.itemsize
        scratch = self._scratch(self._strip(columns) + side**2 * room * (read + PANEL))
        loop = gates_loop(self.matrices.read, self.matrices.write, side, lanes, self.dtype.itemsize)
        grid = self.batch, self.height, self.width, hidden, rows, columns
        loop([*grid, *scratch, len(values), len(z), len(kernels) // 2, 0, 0, *sources, *gates, *kernels])
        return tuple(z)

    def read(
        self, name: str, values: Sequence[Tensor], samples: slice, *, gradient: bool = False
    ) -> Float[Tensor, "n points tiles room"]:
        """Points of some samples: of the cells that each tile's outputs read, or of its outputs' gradients.

        Args:
            name: Of the memory that they go to, good until the next call of that name.
            values: Tensors of as many channels.
            samples: Of the batch.
            gradient: Whether they are gradients of outputs.
        """
        side, channels = self.matrices.side, values[0].shape[-1]
        matrix, cells = (self.matrices.write_back, TILE) if gradient else (self.matrices.read, side)
        into = self.points(name, len(values), samples.stop - samples.start, channels)
        ends = [
            address for x, points in zip(values, into, strict=True) for address in map(_address, (x, points))
        ]
        loop = read_loop(matrix, side, cells, self._lanes(channels), self.dtype.itemsize)
        loop([*self._head(channels, samples, len(values), into), *ends])
        return into

    def add_back(self, points: Float[Tensor, "points tiles room"], values: Tensor, samples: slice) -> None:
        """The adjoint of ``read``: add what the points have for each cell to the values of some samples."""
        side, channels = self.matrices.side, values.shape[-1]
        loop = add_loop(self.matrices.read_back, side, self._lanes(channels), self.dtype.itemsize)
        loop([*self._head(channels, samples, 1, points[None]), values.data_ptr(), points.data_ptr()])

    def gradients(self, tiles: int, hidden: int, sources: Sequence[Source]) -> None:
        """Points of the sources' gradients, and kernels' gradients.

        Args:
            tiles: Tiles that the points are of.
            hidden: Channels of a gate.
            sources: What was read, and where the gradients go.
        """
        head: list[int] = []
        tail: list[int] = []
        for source in sources:
            head += [source.points.data_ptr(), source.channels, _address(source.d_points)]
            head += [len(source.terms), int(source.begun)]
            tail += [address for term in source.terms for address in map(_address, term)]
        widest = max(self.room(source.channels) for source in sources)
        _, *scratch = self._scratch(self.room(hidden) * widest * self.dtype.itemsize)
        sizes = self.matrices.side**2, tiles, hidden, len(sources), len(tail) // 3
        gradients_loop(self.dtype.itemsize)([*sizes, *scratch, *(0,) * 7, *head, *tail])

    def _head(self, channels: int, samples: slice, tensors: int, points: Tensor) -> list[int]:
        """What loops over rows of tiles are told."""
        rows = samples.start * self.R, (samples.stop - samples.start) * self.R
        steps = (points.stride(step) * self.dtype.itemsize for step in (1, 2))
        scratch = self._scratch(self._strip(self.C))
        return [self.batch, self.height, self.width, channels, *rows, *scratch, tensors, *steps, 0, 0]

    def _block(self) -> tuple[int, int]:
        """Rows of tiles and tiles of a row that a thread takes at a time, so that all threads get as many."""
        parts = -(-self.C // BLOCK)
        columns = -(-self.C // parts)
        if parts > 1:
            return 1, columns
        rows = self.batch * self.R
        blocks = _whole(-(-rows // max(1, BLOCK // columns)), torch.get_num_threads())
        return max(1, -(-rows // max(1, blocks))), columns

    def _strip(self, columns: int) -> int:
        """Bytes that a thread needs for a row of tiles."""
        return PANEL + (TILE * columns + 2 * TILE) * self.matrices.side * PANEL

    def _scratch(self, size: int) -> tuple[int, int, int]:
        """Address of zeros, address of memory for all threads, and each one's bytes."""
        size = _whole(size, VECTOR)
        memory = self._take("scratch", torch.get_num_threads() * size // self.dtype.itemsize)
        return self._zeros.data_ptr(), memory.data_ptr(), size

    def _take(self, name: str, numbers: int) -> Tensor:
        if name not in self._memory or len(self._memory[name]) < numbers:
            self._memory[name] = torch.empty(numbers, dtype=self.dtype)
        return self._memory[name]

    def _lanes(self, channels: int) -> int:
        """Channels that are read and written at a time: as many as fit, in equal parts."""
        lanes = PANEL // self.dtype.itemsize
        while channels % lanes:
            lanes //= 2
        return lanes


def _whole(number: int, part: int) -> int:
    return -(-number // part) * part


def _address(memory: Tensor | None) -> int:
    return 0 if memory is None else memory.data_ptr()
