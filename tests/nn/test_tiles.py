import pytest
import torch
from nn.paper_names import rand

from darts_mim.nn.tiles import add_cells, read_cells


def test_a_tile_reads_its_own_cells_and_a_rim():
    """Held against cutting a padded grid, on 2 x 3 tiles with two cells of rim."""
    grid = rand(8, 12)
    tiles = grid.view(2, 4, 3, 4).permute(1, 3, 0, 2)[:, :, None, :, :, None].contiguous()
    cells = rand(8, 8, 1, 2, 3, 1)
    read_cells(tiles, cells)
    padded = torch.nn.functional.pad(grid, (2, 2, 2, 2))
    for R in range(2):
        for C in range(3):
            assert (cells[:, :, 0, R, C, 0] == padded[4 * R : 4 * R + 8, 4 * C : 4 * C + 8]).all()


@pytest.mark.parametrize("kernel_size", [3, 5])
def test_adding_cells_is_the_adjoint_of_reading_them(kernel_size):
    """<read(x), y> = <x, add(y)>."""
    side = 4 + kernel_size - 1
    x, y = rand(4, 4, 2, 3, 2, 5, seed=1), rand(side, side, 2, 3, 2, 5, seed=2)
    read, added = torch.full_like(y, torch.nan), torch.full_like(x, torch.nan)
    read_cells(x, read)
    add_cells(y, added)
    torch.testing.assert_close((read * y).sum(), (x * added).sum())
