from types import SimpleNamespace

import numpy as np
import pytest
from scipy import stats

from darts_mim.diagnostics.spatial import morans_i

STEPS = [(0, 1), (1, 0), (0, -1), (-1, 0)]
CORNERS = [(1, 1), (1, -1), (-1, 1), (-1, -1)]


def fields(*shape, seed=0):
    values = np.random.default_rng(seed).normal(size=shape)
    return values + 0.5 * np.roll(values, 1, axis=-1)


def oracle(field, present, *, rook):
    """Cliff and Ord's formulas with the whole matrix of weights, on the cells that are present."""
    ids = [(y, x) for y, x in np.argwhere(present).tolist()]
    steps = STEPS if rook else STEPS + CORNERS
    w = np.array([[float((v - y, u - x) in steps) for v, u in ids] for y, x in ids])
    z = np.array([field[at] for at in ids], dtype=float)
    z, n, s0 = z - z.mean(), len(z), w.sum()
    s1, s2 = ((w + w.T) ** 2).sum() / 2, ((w.sum(0) + w.sum(1)) ** 2).sum()
    value, expected = n / s0 * (z @ w @ z) / (z @ z), -1 / (n - 1)
    variance = (n**2 * s1 - n * s2 + 3 * s0**2) / ((n**2 - 1) * s0**2) - expected**2
    score = (value - expected) / variance**0.5
    return SimpleNamespace(
        value=value, expected=expected, variance=variance, z=score, p_value=2 * stats.norm.sf(abs(score))
    )


def hold(result, at, expected):
    for name in ("value", "expected", "variance", "z"):
        np.testing.assert_allclose(getattr(result, name)[at], getattr(expected, name), rtol=1e-9)
    np.testing.assert_allclose(result.p_value[at], expected.p_value, rtol=1e-8)


@pytest.mark.parametrize(
    ("neighbours", "value", "variance", "p_value"),
    [
        ("rook", 0.06655556088437006, 0.015441302188264734, 0.43994161325215286),
        ("queen", -0.06286902668801007, 0.0074748836913918005, 0.6987712406134359),
    ],
)
def test_figures_of_esda(neighbours, value, variance, p_value):
    """esda 2.9.0 with libpysal's lat2W(5, 7), transformation="B", under normality, two-tailed."""
    result = morans_i((np.arange(35) ** 2 % 11).reshape(5, 7).astype(float), neighbours=neighbours)
    np.testing.assert_allclose(result.value, value, rtol=1e-12)
    np.testing.assert_allclose(result.variance, variance, rtol=1e-12)
    np.testing.assert_allclose(result.p_value, p_value, rtol=1e-12)


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
@pytest.mark.parametrize("neighbours", ["rook", "queen"])
def test_whole_fields(neighbours, dtype):
    several = fields(2, 3, 5, 7).astype(dtype)
    result = morans_i(several, neighbours=neighbours)
    for at in np.ndindex(2, 3):
        hold(result, at, oracle(several[at], np.ones((5, 7), dtype=bool), rook=neighbours == "rook"))


@pytest.mark.parametrize("neighbours", ["rook", "queen"])
def test_cells_left_out_take_their_links_with_them(neighbours):
    several = fields(4, 6, 4, seed=3)
    several[np.random.default_rng(1).random(several.shape) < 0.2] = np.nan
    several[2, :2, :2] = [[1.0, np.nan], [np.nan, np.nan]]  # a cell without neighbours
    mask = np.zeros((6, 4), dtype=bool)
    mask[4, 1:3] = True
    result = morans_i(several, neighbours=neighbours, mask=mask)
    for at, field in enumerate(several):
        hold(result, at, oracle(field, np.isfinite(field) & ~mask, rook=neighbours == "rook"))


def test_a_mask_for_each_field():
    several = fields(3, 4, 5)
    masks = np.random.default_rng(2).random(several.shape) < 0.3
    np.testing.assert_allclose(
        morans_i(several, mask=masks).p_value, morans_i(np.where(masks, np.nan, several)).p_value
    )


def test_chance_gives_what_is_promised():
    noise = np.random.default_rng(0).normal(size=(4000, 7, 9))
    result = morans_i(noise)
    np.testing.assert_allclose(result.value.mean(), -1 / 62, atol=4e-3)
    np.testing.assert_allclose(result.value.var(), result.variance[0], rtol=0.07)
    assert 0.04 < np.mean(result.p_value < 0.05) < 0.06


@pytest.mark.parametrize(
    "field",
    [
        np.full((4, 5), 0.1),
        np.full((4, 5), np.nan),
        np.array([[1.0, 2.0]]),
        np.array([[1.0, np.nan, 2.0, np.nan, 4.0]]),
    ],
    ids=["constant", "nothing", "two cells", "no neighbours"],
)
def test_fields_that_tell_nothing(field):
    result = morans_i(field)
    for each in (result.value, result.expected, result.variance, result.p_value):
        assert np.isnan(each)


def test_what_came_is_said():
    with pytest.raises(ValueError, match="neighbours='bishop'"):
        morans_i(np.zeros((3, 4)), neighbours="bishop")
    with pytest.raises(ValueError, match=r"shape \(3,\)"):
        morans_i(np.zeros(3))
    with pytest.raises(ValueError, match=r"mask has the shape \(4, 3\)"):
        morans_i(np.zeros((3, 4)), mask=np.zeros((4, 3), dtype=bool))
