import numpy as np
import pytest
import torch

from darts_mim.diagnostics.unit_roots.detrending import time_powers
from darts_mim.diagnostics.unit_roots.moments import concatenated, gram, moments, of_cells, with_fewer_lags


def regression(row, powers, lags, level_first):
    """The columns, one by one."""
    change = np.diff(row)
    n = len(change)
    lagged = [change[lags - lag : n - lag] for lag in range(1, lags + 1)]
    between = [row[lags:-1], *lagged] if level_first else [*lagged, row[lags:-1]]
    return np.stack([*powers[:, lags:], *between, change[lags:]])


def lower(matrix):
    return matrix[np.tril_indices(len(matrix))]


@pytest.mark.parametrize("terms", [0, 1, 2, 3])
@pytest.mark.parametrize(("lags", "fewer"), [(0, 0), (1, 0), (1, 1), (9, 0), (9, 1), (9, 9)])
@pytest.mark.parametrize("level_first", [True, False])
def test_gram_is_that_of_the_columns(terms, lags, fewer, level_first):
    series, powers = np.random.default_rng(0).normal(size=(3, 33)).cumsum(1), time_powers(32, terms)
    held = with_fewer_lags(moments(series, powers, lags), powers, lags - fewer)
    found = gram(held, powers, level_first=level_first)
    for cell, row in enumerate(series):
        columns = regression(row, powers, lags - fewer, level_first)
        np.testing.assert_allclose(
            lower(found[:, :, cell]), lower(columns @ columns.T), rtol=1e-12, atol=1e-11
        )


def test_a_tensor_gives_the_same():
    series, powers = np.random.default_rng(1).normal(size=(3, 40)), time_powers(39, 2)
    for ours, theirs in zip(
        moments(torch.from_numpy(series), powers, 4), moments(series, powers, 4), strict=True
    ):
        np.testing.assert_allclose(ours, theirs, rtol=1e-13, atol=1e-13)


def test_cells_apart_are_cells_together():
    series, powers = np.random.default_rng(2).normal(size=(5, 40)), time_powers(39, 1)
    whole = moments(series, powers, 3)
    parts = concatenated([moments(series[:2], powers, 3), moments(series[2:], powers, 3)])
    for each, other in zip(of_cells(whole, np.array([4, 1])), of_cells(parts, np.array([4, 1])), strict=True):
        np.testing.assert_array_equal(each, other)
