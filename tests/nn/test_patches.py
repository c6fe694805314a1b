import numpy as np
import pytest
import torch
from nn.paper_names import rand

from darts_mim.nn.patches import from_patches, to_patches

GRIDS = [(6, 4), (6, 9), (5, 7), (1, 3), (2, 1)]


@pytest.mark.parametrize("patch_size", [1, 2, 3, 4])
@pytest.mark.parametrize("grid", GRIDS)
def test_round_trip_gives_the_frames_back(grid, patch_size):
    frames = rand(2, 3, 2, *grid)
    patches = to_patches(frames, patch_size)
    rows, columns = (-(-side // patch_size) for side in grid)
    assert patches.shape == (2, 3, 2 * patch_size**2, rows, columns)
    torch.testing.assert_close(from_patches(patches, patch_size, *grid), frames, rtol=0, atol=0)


def test_channels_run_over_row_in_patch_then_column_in_patch_then_channel():
    p, channels = 2, 3
    frames = rand(1, 1, channels, 4, 6)
    patches = to_patches(frames, p)
    for row_in_patch in range(p):
        for column_in_patch in range(p):
            for channel in range(channels):
                folded = (row_in_patch * p + column_in_patch) * channels + channel
                cells = frames[0, 0, channel, row_in_patch::p, column_in_patch::p]
                assert (patches[0, 0, folded] == cells).all()


@pytest.mark.parametrize("patch_size", [2, 3, 4])
@pytest.mark.parametrize("grid", GRIDS)
def test_a_grid_that_does_not_divide_is_continued_by_its_last_row_and_column(grid, patch_size):
    frames = rand(2, 3, 2, *grid)
    below, right = (-side % patch_size for side in grid)
    continued = np.pad(frames.numpy(), ((0, 0), (0, 0), (0, 0), (0, below), (0, right)), mode="edge")
    expected = to_patches(torch.from_numpy(continued), patch_size)
    torch.testing.assert_close(to_patches(frames, patch_size), expected, rtol=0, atol=0)


def test_gradient_reaches_each_cell_as_often_as_it_was_continued():
    frames = torch.zeros(1, 1, 1, 3, 3, requires_grad=True)
    to_patches(frames, 2).sum().backward()
    assert frames.grad.squeeze().tolist() == [[1, 1, 2], [1, 1, 2], [2, 2, 4]]
