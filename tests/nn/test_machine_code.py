"""What is written as machine code, against NumPy."""

import json

import numpy as np
import pytest
from numba import carray

from darts_mim.nn import machine_code
from darts_mim.nn.machine_code import ROWS, VECTOR, Loop, combine, count_up, multiply, transpose

MATRIX = [[1.0, 0.0, -2.5], [0.0, 1.0, 0.25]]
TYPES = {4: np.float32, 8: np.float64}


def drawn(itemsize, *shape, seed=0):
    return np.random.default_rng(seed).normal(size=shape).astype(TYPES[itemsize])


def at(array, *index):
    """Address of an entry."""
    return array.ctypes.data + int(np.dot(index, array.strides[: len(index)]))


def add_once(n):
    """Add 1 to each of n numbers, one item a number."""
    numbers, ones = np.zeros(n), np.ones(n)
    table = np.array([at(ones), at(numbers)], np.int64)

    def body(arguments):
        a = carray(arguments, 4)
        item = count_up(arguments, 0)
        while item < a[3]:
            combine("[[1.0]]", 1, 8, 1, a[2], 8 * item, a[2] + 8, 8 * item)
            item = count_up(arguments, 0)

    Loop(body)([at(table), n])
    return numbers


def test_a_loop_does_every_item_once(threads):
    assert (add_once(1000) == 1).all()


def test_a_loop_works_where_torch_has_other_threads(monkeypatch, threads):
    monkeypatch.setattr(machine_code, "openmp", lambda name: None)
    assert (add_once(10) == 1).all()
    assert machine_code.uses_all_threads() == (threads == 1)


def test_a_loop_works_where_code_cannot_be_kept(monkeypatch):
    compiler = machine_code.cfunc

    def read_only(signature, cache=False):
        if cache:
            raise RuntimeError("cannot cache function: no locator available")
        return compiler(signature)

    monkeypatch.setattr(machine_code, "cfunc", read_only)
    assert (add_once(10) == 1).all()


@pytest.mark.parametrize("itemsize", [4, 8])
@pytest.mark.parametrize("lanes", [1, 2, 16, 64])
@pytest.mark.parametrize("add", [0, 1])
def test_combine(itemsize, lanes, add):
    """Vectors that lie apart, each at an offset."""
    x, y = drawn(itemsize, 3, 5 + lanes), drawn(itemsize, 2, 7 + lanes, seed=1)
    before = y.copy()
    read, write = (np.array([at(rows, n) for n in range(len(rows))], np.int64) for rows in (x, y))
    matrix = json.dumps(MATRIX)

    def body(arguments):
        a = carray(arguments, 4)
        if count_up(arguments, 0) == 0:
            combine(matrix, lanes, itemsize, add, a[2], 5 * itemsize, a[3], 7 * itemsize)

    Loop(body)([at(read), at(write)])
    expected = np.array(MATRIX) @ x[:, 5:] + add * before[:, 7:]
    np.testing.assert_allclose(y[:, 7:], expected, rtol=1e-5 if itemsize == 4 else 1e-13, atol=1e-6)
    np.testing.assert_array_equal(y[:, :7], before[:, :7])


@pytest.mark.parametrize("itemsize", [4, 8])
@pytest.mark.parametrize("vectors", [1, 2, 3, 4])
@pytest.mark.parametrize("add", [0, 1])
def test_multiply(itemsize, vectors, add):
    """A product whose left factor is read along its columns, all rows longer than what is used of them."""
    width, steps = vectors * VECTOR // itemsize, 7
    a, b = drawn(itemsize, steps, ROWS + 2), drawn(itemsize, steps, width + 3, seed=1)
    c = drawn(itemsize, ROWS, width + 1, seed=2)
    before = c.copy()

    def body(arguments):
        n = carray(arguments, 10)
        if count_up(arguments, 0) == 0:
            multiply(vectors, itemsize, add, n[2], n[3], itemsize, n[4], n[5], n[6], n[7], n[8])

    Loop(body)([steps, at(a), a.strides[0], at(b), b.strides[0], at(c), c.strides[0], 0])
    expected = a[:, :ROWS].T @ b[:, :width] + add * before[:, :width]
    np.testing.assert_allclose(c[:, :width], expected, rtol=1e-5 if itemsize == 4 else 1e-13, atol=1e-6)
    np.testing.assert_array_equal(c[:, width:], before[:, width:])


@pytest.mark.parametrize("itemsize", [4, 8])
def test_transpose(itemsize):
    lanes = VECTOR // itemsize
    x, y = drawn(itemsize, lanes, lanes + 3), np.zeros((lanes, lanes + 1), TYPES[itemsize])

    def body(arguments):
        a = carray(arguments, 6)
        if count_up(arguments, 0) == 0:
            transpose(itemsize, a[2], a[3], a[4], a[5])

    Loop(body)([at(x), x.strides[0], at(y), y.strides[0]])
    np.testing.assert_array_equal(y[:, :lanes], x[:, :lanes].T)
    assert (y[:, lanes:] == 0).all()
