"""A grid in overlapping tiles: each is worked on by itself, and what comes out is blended."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import product

import torch
from jaxtyping import Float
from torch import Tensor


@dataclass(frozen=True, kw_only=True)
class Tile:
    """Where a tile lies on the grid."""

    rows: slice
    columns: slice


@dataclass(frozen=True, kw_only=True)
class Tiling:
    """Overlapping tiles of one size that cover a grid.

    They follow each other ``size - overlap`` cells apart; the last ones are moved inwards, so that they end
    where the grid does. Where ``unit`` does not divide the grid, the last ones end with it too and are that
    much smaller.

    Args:
        grid: Rows and columns of the grid.
        size: Rows and columns of a tile.
        overlap: Cells that a tile shares with the next one, at least.
        unit: Tiles start and end at multiples of it, e.g. of a patch's side.

    Raises:
        ValueError: If a tile is larger than the grid, the overlap leaves nothing of a tile, or ``unit`` does
            not divide both.

    >>> [tile.columns for tile in Tiling(grid=(4, 10), size=(4, 5), overlap=2)]
    [slice(0, 5, None), slice(3, 8, None), slice(5, 10, None)]
    """

    grid: tuple[int, int]
    size: tuple[int, int]
    overlap: int
    unit: int = 1

    def __post_init__(self) -> None:
        if any(side % self.unit for side in (*self.size, self.overlap)):
            raise ValueError(
                f"Tiles of {self.size[0]} x {self.size[1]} cells that share {self.overlap} are no whole "
                f"patches. Use multiples of {self.unit} (patch_size)."
            )
        if not 0 <= self.overlap < min(self.size):
            raise ValueError(
                f"Tiles of {self.size[0]} x {self.size[1]} cells share {self.overlap}, which leaves nothing "
                f"of a tile. Use an overlap from 0 to {min(self.size) - self.unit}."
            )
        if self.size[0] > self.grid[0] or self.size[1] > self.grid[1]:
            raise ValueError(
                f"A tile has {self.size[0]} x {self.size[1]} cells, the grid {self.grid[0]} x "
                f"{self.grid[1]}. Use tiles that fit into it."
            )

    def __iter__(self) -> Iterator[Tile]:
        """The tiles, row after row."""
        rows, columns = self._along(0), self._along(1)
        return (Tile(rows=row, columns=column) for row, column in product(rows, columns))

    def weight(self, tile: Tile, like: Tensor) -> Float[Tensor, "height width"]:
        """How much a tile counts in each of its cells; over all tiles that share a cell it adds up to 1.

        It is the product of a weight along rows and one along columns. These rise from the tile's edge, where
        they are small and never 0, as the square of a sine, to their full height ``overlap`` cells inside. At
        the grid's own border there is no edge to stay away from.

        Args:
            tile: One of this tiling's.
            like: Gives type and device.
        """
        rows, columns = self._share(tile.rows, 0, like), self._share(tile.columns, 1, like)
        return rows[:, None] * columns

    def _along(self, axis: int) -> list[slice]:
        side, whole = self.size[axis], self.grid[axis]
        last = -(-whole // self.unit) * self.unit - side
        step = side - self.overlap
        starts = [*range(0, last, step), last]
        return [slice(start, min(start + side, whole)) for start in starts]

    def _share(self, part: slice, axis: int, like: Tensor) -> Float[Tensor, " side"]:
        total = like.new_zeros(self.grid[axis], dtype=torch.float64)
        for each in self._along(axis):
            total[each] += self._rise(each, axis, total)
        return (self._rise(part, axis, total) / total[part]).to(like.dtype)

    def _rise(self, part: slice, axis: int, like: Tensor) -> Float[Tensor, " side"]:
        side = part.stop - part.start
        inside = torch.arange(1, side + 1, dtype=like.dtype, device=like.device)
        above = inside if part.start > 0 else torch.full_like(inside, torch.inf)
        below = inside.flip(0) if part.stop < self.grid[axis] else torch.full_like(inside, torch.inf)
        depth = (torch.minimum(above, below) / (self.overlap + 1)).clamp(max=1)
        return torch.sin(torch.pi / 2 * depth).square()


def blended(
    tiling: Tiling,
    work: Callable[[Tile], Float[Tensor, "batch time channel height width *parameter"]],
) -> Float[Tensor, "batch time channel grid_height grid_width *parameter"]:
    """What ``work`` gives for every tile, on the whole grid, weighted where tiles share cells.

    Tiles are worked on one after the other, so that the memory is a tile's, beside the whole answer.

    Args:
        tiling: The tiles.
        work: A tile's part of the answer, from where the tile lies.

    >>> grid = torch.arange(40.0).reshape(1, 1, 1, 4, 10)
    >>> tiling = Tiling(grid=(4, 10), size=(3, 5), overlap=2)
    >>> same = blended(tiling, lambda tile: grid[..., tile.rows, tile.columns])
    >>> torch.allclose(same, grid)
    True
    """
    whole: Tensor | None = None
    for tile in tiling:
        part = work(tile)
        if whole is None:
            whole = part.new_zeros(*part.shape[:3], *tiling.grid, *part.shape[5:])
        weight = tiling.weight(tile, part)[(..., *[None] * (part.ndim - 5))]  # ahead of parameters
        whole[:, :, :, tile.rows, tile.columns] += part * weight
    assert whole is not None
    return whole
