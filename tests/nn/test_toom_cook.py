import pytest
import torch
from nn.paper_names import rand

from darts_mim.nn.toom_cook import toom_cook


@pytest.mark.parametrize(("m", "r"), [(1, 1), (2, 3), (4, 3), (4, 5), (2, 5), (3, 4)])
def test_outputs_are_those_of_a_correlation(m, r):
    A, G, B = toom_cook(m, r)
    g, d = rand(r, seed=1), rand(m + r - 1, seed=2)
    by_hand = torch.stack([(g * d[j : j + r]).sum() for j in range(m)])
    torch.testing.assert_close(A.T @ ((G @ g) * (B.T @ d)), by_hand, rtol=1e-12, atol=1e-12)


def test_products_are_as_few_as_can_be():
    A, G, B = toom_cook(4, 5)
    assert (A.shape, G.shape, B.shape) == ((8, 4), (8, 5), (8, 8))


def test_the_point_1_counts_once_in_every_output():
    """``Transforms.ones`` adds biases there."""
    A, _, _ = toom_cook(4, 5)
    assert (A[1] == 1).all()


def test_more_points_than_are_known_are_an_error():
    with pytest.raises(ValueError, match=r"m=4, r=7 .* at most 8"):
        toom_cook(4, 7)
