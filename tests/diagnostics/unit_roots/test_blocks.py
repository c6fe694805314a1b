import numpy as np
import pytest
import torch

from darts_mim.diagnostics.unit_roots.blocks import cached, over_blocks, to_numpy


@pytest.mark.parametrize("n_jobs", [1, 2, 5])
@pytest.mark.parametrize("cells", [1, 3, 100])
def test_every_cell_once_and_in_order(n_jobs, cells):
    series = np.arange(14).reshape(7, 2)
    parts = over_blocks(lambda block: block.copy(), series, cells=cells, n_jobs=n_jobs)
    np.testing.assert_array_equal(np.concatenate(parts), series)
    assert max(map(len, parts)) <= min(cells, -(-7 // n_jobs))


def test_no_cell_is_one_empty_block():
    assert over_blocks(len, np.zeros((0, 2)), cells=3, n_jobs=2) == [0]


def test_parts_are_as_large_as_a_cache(monkeypatch):
    monkeypatch.setattr("darts_mim.diagnostics.unit_roots.blocks.VALUES", 10)
    assert [len(part) for part in cached(np.zeros((7, 4)))] == [2, 2, 2, 1]
    assert [len(part) for part in cached(torch.zeros((2, 40)))] == [1, 1]


def test_to_numpy():
    array = np.ones(2)
    assert to_numpy(array) is array
    assert isinstance(to_numpy(torch.ones(2, requires_grad=True)), np.ndarray)


def test_an_error_in_a_thread_is_raised():
    with pytest.raises(ZeroDivisionError):
        over_blocks(lambda block: 1 // 0, np.zeros((4, 2)), cells=1, n_jobs=2)
