"""The loops over tiles, against slow transcriptions of what they stand for."""

import json

import pytest
import torch
import torch.nn.functional as F
from nn.paper_names import rand

from darts_mim.nn import tile_loops
from darts_mim.nn.tile_loops import Term, TileLoops

GRIDS = [(8, 12), (5, 9), (1, 1), (3, 270)]  # the last one is cut into blocks of columns


def tiled(x, beyond=0.0):
    """(batch, channel, height, width) in tiles, what lies outside the grid filled with a number."""
    height, width = x.shape[2:]
    padded = F.pad(x, (0, -width % 4, 0, -height % 4), value=beyond)
    return padded.unflatten(3, (-1, 4)).unflatten(2, (-1, 4)).permute(3, 5, 0, 2, 4, 1).contiguous()


def untiled(tiles, height, width):
    return tiles.permute(2, 5, 3, 0, 4, 1).flatten(4).flatten(2, 3)[..., :height, :width]


def of(text):
    return torch.tensor(json.loads(text), dtype=torch.float64)


def windows(x, cells):
    """(batch, R, C, channel, cells, cells): what each tile reads, zeros outside the grid."""
    height, width = x.shape[2:]
    rim = (cells - 4) // 2
    padded = F.pad(x, (rim, rim + -width % 4, rim, rim + -height % 4))
    return padded.unfold(2, cells, 4).unfold(3, cells, 4).permute(0, 2, 3, 1, 4, 5)


@pytest.mark.parametrize("grid", GRIDS)
@pytest.mark.parametrize("kernel_size", [3, 5])
@pytest.mark.parametrize("channels", [2, 7, 64, 96])
def test_read_transforms_windows(kernel_size, channels, grid, threads):
    """Of some of the samples; what lies outside the grid is not read."""
    loops = TileLoops(kernel_size, 3, *grid, torch.float64)
    xs = [rand(3, channels, *grid, seed=seed) for seed in (1, 2)]
    points = loops.read("x", [tiled(x, beyond=torch.nan) for x in xs], slice(1, 3))
    B, side = of(loops.matrices.read), loops.matrices.side
    for x, found in zip(xs, points, strict=True):
        expected = B @ windows(x[1:], side) @ B.T  # (batch, R, C, channel, side, side)
        expected = expected.permute(4, 5, 0, 1, 2, 3).reshape(side**2, -1, channels)
        torch.testing.assert_close(found[:, : expected.shape[1], :channels], expected)


@pytest.mark.parametrize("grid", GRIDS)
@pytest.mark.parametrize("kernel_size", [3, 5])
def test_adding_back_is_the_adjoint_of_reading(kernel_size, grid, threads):
    """<read(x), y> = <x, add_back(y)>."""
    loops = TileLoops(kernel_size, 3, *grid, torch.float64)
    x, into, samples = rand(3, 5, *grid), torch.zeros_like(tiled(rand(3, 5, *grid))), slice(1, 3)
    (read,) = loops.read("x", [tiled(x)], samples)
    y = torch.zeros_like(read)
    tiles = 2 * loops.R * loops.C
    y[:, :tiles, :5] = rand(len(y), tiles, 5, seed=2)
    loops.add_back(y, into, samples)
    back = untiled(into, *grid)
    assert (back[0] == 0).all()
    torch.testing.assert_close((read * y)[:, :tiles, :5].sum(), (x * back).sum())


@pytest.mark.parametrize("kernel_size", [3, 5])
def test_reading_a_gradient_is_the_adjoint_of_writing(kernel_size):
    loops = TileLoops(kernel_size, 2, 6, 9, torch.float64)
    dz = rand(2, 3, 6, 9)
    (points,) = loops.read("dz", [tiled(dz)], slice(0, 2), gradient=True)
    A = of(loops.matrices.write_back)
    expected = (A @ windows(dz, 4) @ A.T).permute(4, 5, 0, 1, 2, 3).reshape(len(A) ** 2, -1, 3)
    torch.testing.assert_close(points[:, : expected.shape[1], :3], expected)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("channels, hidden", [((3, 20), 20), ((2, 64), 72), ((128, 128), 128)])
@pytest.mark.parametrize("grid", GRIDS)
def test_gates_are_convolutions(grid, channels, hidden, dtype, threads):
    """Two sources; one gate reads both, the others one each; only one has a bias."""
    xs = [rand(2, n, *grid, seed=n) for n in channels]
    weights = [rand(2, hidden, n, 5, 5, seed=k) / 5 / n**0.5 for k, n in enumerate(channels)]
    bias = rand(hidden)
    loops = TileLoops(5, 2, *grid, dtype)

    def kernel(weight):
        points = loops.matrices.kernel.double() @ weight.permute(2, 3, 1, 0).flatten(0, 1).flatten(1)
        points = points.unflatten(1, (weight.shape[1], hidden))
        lacking = [loops.room(side) - side for side in points.shape[1:]]
        return F.pad(points, (0, lacking[1], 0, lacking[0])).to(dtype).contiguous()

    terms = [Term(s, gate, kernel(weights[s][k])) for s in (0, 1) for k, gate in enumerate((1, s * 2))]
    values = [tiled(x, beyond=torch.nan).to(dtype) for x in xs]
    found = loops.gates(values, terms, [None, bias.to(dtype), None], hidden)
    convolved = [
        [F.conv2d(x, weight, padding=2) for weight in two] for x, two in zip(xs, weights, strict=True)
    ]
    expected = [convolved[0][1], convolved[0][0] + convolved[1][0] + bias[:, None, None], convolved[1][1]]
    close = {"rtol": 0, "atol": 1e-11 if dtype == torch.float64 else 3e-4}
    for ours, theirs in zip(found, expected, strict=True):
        assert ours.isfinite().all()
        torch.testing.assert_close(untiled(ours, *grid).double(), theirs, **close)


def test_bits_do_not_hang_on_threads_or_blocks(monkeypatch):
    def gates(threads, block):
        monkeypatch.setattr(tile_loops, "BLOCK", block)
        torch.set_num_threads(threads)
        loops = TileLoops(3, 3, 10, 11, torch.float32)
        kernel = rand(36, 32, 32).float()
        return loops.gates([tiled(rand(3, 32, 10, 11)).float()], [Term(0, 0, kernel)], [None], 32)[0]

    before = torch.get_num_threads()
    try:
        one, *others = [gates(*how) for how in ((1, 64), (2, 64), (3, 5), (2, 2))]
    finally:
        torch.set_num_threads(before)
    assert all((one == other).all() for other in others)
