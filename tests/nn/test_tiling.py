import itertools

import numpy as np
import pytest
import torch
from nn.paper_names import rand, random_weights

from darts_mim.nn.receptive_field import receptive_radius
from darts_mim.nn.recurrent import MIMNetwork
from darts_mim.nn.tiling import Tiling, blended

TILINGS = [
    # grid, size, overlap, unit
    ((9, 14), (4, 5), 2, 1),
    ((9, 14), (5, 5), 4, 1),  # a cell lies in many tiles
    ((9, 14), (4, 14), 0, 1),
    ((9, 14), (9, 14), 3, 1),  # one tile
    ((11, 17), (6, 8), 2, 2),  # patches that do not divide the grid
    ((10, 17), (6, 9), 3, 3),
]


@pytest.mark.parametrize(("grid", "size", "overlap", "unit"), TILINGS)
def test_weights_of_all_tiles_add_up_to_1_in_every_cell(grid, size, overlap, unit):
    tiling = Tiling(grid=grid, size=size, overlap=overlap, unit=unit)
    total = np.zeros(grid)
    for tile in tiling:
        weight = tiling.weight(tile, torch.zeros((), dtype=torch.float64)).numpy()
        assert (weight > 0).all()
        assert tile.rows.start % unit == tile.columns.start % unit == 0
        total[tile.rows, tile.columns] += weight
    np.testing.assert_allclose(total, 1, rtol=1e-14)


@pytest.mark.parametrize(("grid", "size", "overlap", "unit"), TILINGS)
def test_neighbours_share_what_they_should(grid, size, overlap, unit):
    tiling = Tiling(grid=grid, size=size, overlap=overlap, unit=unit)
    for axis, name in enumerate(("rows", "columns")):
        parts = sorted({(part.start, part.stop) for part in (getattr(tile, name) for tile in tiling)})
        assert parts[0][0] == 0 and parts[-1][1] == grid[axis]
        for before, after in itertools.pairwise(parts):
            assert overlap <= before[1] - after[0]
        assert all(stop - start == size[axis] for start, stop in parts[:-1])
        assert size[axis] - unit < parts[-1][1] - parts[-1][0] <= size[axis]


def test_a_weight_rises_from_a_tile_s_edge_and_not_from_the_grid_s():
    """By hand: three columns are shared; sin^2 at a quarter, half and three quarters of the way."""
    tiling = Tiling(grid=(4, 9), size=(4, 6), overlap=3)
    left, right = (tiling.weight(tile, torch.zeros((), dtype=torch.float64))[0].numpy() for tile in tiling)
    rise = np.sin(np.pi / 2 * np.array([0.25, 0.5, 0.75])) ** 2  # adds up to 1 with its mirror image
    np.testing.assert_allclose(left, [1, 1, 1, *rise[::-1]])
    np.testing.assert_allclose(right, [*rise, 1, 1, 1])


@pytest.mark.parametrize("parameters", [(), (3,)])
def test_what_is_the_same_in_every_tile_comes_back(parameters):
    grid = rand(2, 3, 2, 9, 14, *parameters).float()
    tiling = Tiling(grid=(9, 14), size=(4, 5), overlap=2)
    seen = []
    same = blended(tiling, lambda tile: seen.append(tile) or grid[:, :, :, tile.rows, tile.columns])
    assert len(seen) == len(list(tiling)) == 4 * 4
    assert same.dtype == torch.float32
    torch.testing.assert_close(same, grid)


def test_where_tiles_differ_their_weighted_mean_comes_back():
    tiling = Tiling(grid=(9, 14), size=(4, 5), overlap=2)
    values = {(tile.rows.start, tile.columns.start): float(n) for n, tile in enumerate(tiling)}
    like, wanted = torch.zeros((), dtype=torch.float64), torch.zeros(9, 14, dtype=torch.float64)
    for tile in tiling:
        value = values[tile.rows.start, tile.columns.start]
        wanted[tile.rows, tile.columns] += value * tiling.weight(tile, like)
    found = blended(
        tiling,
        lambda tile: torch.full((1, 1, 1, 4, 5), values[tile.rows.start, tile.columns.start]).double(),
    )
    torch.testing.assert_close(found[0, 0, 0], wanted)


@pytest.mark.parametrize("patch_size", [1, 2])
def test_a_network_on_tiles_gives_the_whole_where_no_tile_s_edge_is_near(patch_size):
    """As far as ``receptive_radius`` says; half as far from an edge, it shows."""
    radius = receptive_radius(2, 3, patch_size, observed=2, step=2)
    network = random_weights(MIMNetwork(2, 2, 2, 3, patch_size=patch_size))
    side = 2 * radius + 2
    side += -side % patch_size
    # the second row's tiles end with a grid that patches of two do not divide
    grid, size, overlap = (2 * side - 5, side), (side, side), 2 * patch_size
    frames = rand(1, 2, 2, *grid)
    tiling = Tiling(grid=grid, size=size, overlap=overlap, unit=patch_size)
    with torch.no_grad():
        whole = network(frames, 2)
        tiled = blended(tiling, lambda tile: network(frames[..., tile.rows, tile.columns], 2))
    starts = [tile.rows.start for tile in tiling][1:]
    stops = [tile.rows.stop for tile in tiling][:-1]
    nearest = np.array(
        [
            min(
                [row - start for start in starts if row >= start]
                + [stop - 1 - row for stop in stops if row < stop]
            )
            for row in range(grid[0])
        ]
    )
    error = (tiled - whole)[0, -1].abs().amax(dim=(0, 2)).numpy()
    # a cell reads its neighbour `radius` away, and the edge's own cell reads one beyond the tile
    assert (nearest >= radius).any()
    assert (error[nearest >= radius] < 1e-12).all()
    assert (error[nearest < radius // 2] > 1e-12).all()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"size": (10, 4)}, "A tile has 10 x 4 cells, the grid 9 x 14"),
        ({"size": (4, 15)}, "A tile has 4 x 15 cells, the grid 9 x 14"),
        ({"overlap": 4}, "share 4, which leaves nothing of a tile. Use an overlap from 0 to 3"),
        ({"overlap": -1}, "share -1"),
        ({"unit": 3}, r"no whole patches. Use multiples of 3 \(patch_size\)"),
    ],
)
def test_tiles_that_cannot_be(arguments, message):
    with pytest.raises(ValueError, match=message):
        Tiling(**({"grid": (9, 14), "size": (4, 5), "overlap": 2} | arguments))
