"""A grid cut into tiles, and what a tile's outputs read of its neighbours."""

from functools import lru_cache
from typing import NamedTuple

import torch
from jaxtyping import Float, Shaped
from torch import Tensor

TILE = 4  # cells a side


class Axis(NamedTuple):
    """Along one axis, one of three tiles that a tile reads: the one before, itself, the one after."""

    read: slice  # where its cells go among those that are read
    cells: slice  # which of its cells
    tiles: slice  # the tiles that have such a neighbour
    neighbours: slice  # those neighbours


def _axis(side: int) -> tuple[Axis, Axis, Axis]:
    rim, every = (side - TILE) // 2, slice(None)
    return (
        Axis(slice(0, rim), slice(TILE - rim, TILE), slice(1, None), slice(0, -1)),
        Axis(slice(rim, rim + TILE), every, every, every),
        Axis(slice(rim + TILE, None), slice(0, rim), slice(0, -1), slice(1, None)),
    )


def read_cells(
    x: Shaped[Tensor, "4 4 batch R C channel"], cells: Shaped[Tensor, "side side batch R C channel"]
) -> None:
    """Copy what each tile's outputs read, its own cells and a rim, zeros outside the grid, into ``cells``."""
    rows, columns = _axis(len(cells)), _axis(len(cells))
    cells[rows[0].read, :, :, 0] = 0
    cells[rows[2].read, :, :, -1] = 0
    cells[:, columns[0].read, :, :, 0] = 0
    cells[:, columns[2].read, :, :, -1] = 0
    for row in rows:
        for column in columns:
            cells[row.read, column.read, :, row.tiles, column.tiles] = x[
                row.cells, column.cells, :, row.neighbours, column.neighbours
            ]


def add_cells(
    cells: Float[Tensor, "side side batch R C channel"], x: Float[Tensor, "4 4 batch R C channel"]
) -> None:
    """The adjoint of ``read_cells``: add what all tiles have for a cell up, into ``x``."""
    before, own, after = _axis(len(cells))
    x.copy_(cells[own.read, own.read])
    for row in (before, own, after):
        for column in (before, own, after):
            if not (row is own and column is own):
                x[row.cells, column.cells, :, row.neighbours, column.neighbours] += cells[
                    row.read, column.read, :, row.tiles, column.tiles
                ]


@lru_cache(maxsize=64)
def places(side: int, batch: int, R: int, C: int, device: torch.device) -> Tensor:
    """For each cell that is read, 1 + its place among the values; 0 for those outside the grid."""
    of_values = 1 + torch.arange(TILE**2 * batch * R * C, device=device)
    read = of_values.new_empty(side, side, batch, R, C, 1)
    read_cells(of_values.view(TILE, TILE, batch, R, C, 1), read)
    return read.flatten()
