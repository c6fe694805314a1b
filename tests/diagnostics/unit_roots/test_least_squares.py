import numpy as np
import pytest

from darts_mim.diagnostics.unit_roots.least_squares import by_cholesky, by_householder


def both(design):
    return by_cholesky(np.einsum("csk,csl->klc", design, design)), by_householder(design)


def test_every_nested_fit_is_that_of_lstsq():
    design = np.random.default_rng(0).normal(loc=[0, 0, 5, 0, 5, 1], size=(3, 25, 6))
    for fit in both(design):
        for cell, rows in enumerate(design):
            for columns in range(1, 6):
                expected = np.linalg.lstsq(rows[:, :columns], rows[:, 5])[1][0]
                assert fit.nested()[columns, cell] == pytest.approx(expected, rel=1e-11)
            last = np.linalg.lstsq(rows[:, :5], rows[:, 5])[0][
                4
            ]  # of the last column: the sign of its effect
            assert np.sign(fit.effects[4, cell]) == np.sign(last)
        np.testing.assert_allclose(fit.nested()[0], (design[:, :, 5] ** 2).sum(1), rtol=1e-12)


def test_what_is_left_of_a_column():
    rng = np.random.default_rng(1)
    design = rng.normal(size=(1, 50, 3))
    design[0, :, 1] = design[0, :, 0] + 1e-3 * rng.normal(size=50)
    expected = np.linalg.lstsq(design[0, :, :1], design[0, :, 1])[1][0] / (design[0, :, 1] ** 2).sum()
    for fit in both(design):
        assert fit.left[1, 0] == pytest.approx(expected, rel=1e-8)


def test_the_columns_keep_the_digits_that_their_products_lose():
    rng = np.random.default_rng(2)
    noise = rng.normal(size=(50, 2))
    design = np.stack([noise[:, 0], noise[:, 0] + 1e-7 * noise[:, 1], noise[:, 1] + rng.normal(size=50)], -1)[
        None
    ]
    expected = np.linalg.lstsq(noise, design[0, :, 2])[1][0]
    cholesky, householder = both(design)
    assert householder.unexplained[0] == pytest.approx(expected, rel=1e-8)
    assert abs(cholesky.unexplained[0] / expected - 1) > 1e-8
    assert cholesky.left.min() < 1e-13


def test_no_more_rows_than_columns():
    design = np.random.default_rng(3).normal(size=(2, 3, 4))
    assert by_householder(design).unexplained.tolist() == [0, 0]
