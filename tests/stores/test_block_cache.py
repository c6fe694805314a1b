"""Each block is read once where a plan is followed, and no more is held than said."""

import pickle
import threading
import time

import numpy as np
import pytest

from darts_mim.stores.block_cache import BlockCache


class Disk:
    """Blocks of 8 bytes; remembers what was read, and in which thread."""

    def __init__(self, broken=None):
        self.reads, self.threads, self.broken = [], set(), broken

    def __call__(self, number):
        self.reads.append(number)
        self.threads.add(threading.get_ident())
        if number == self.broken:
            raise OSError(f"block {number} is broken")
        return np.array([number])

    def cache(self, n=10, limit=80):
        return BlockCache(self, [8] * n, limit)


def held(cache):
    return sorted(cache._held)


def test_without_a_plan_the_blocks_used_last_stay():
    disk = Disk()
    cache = disk.cache(limit=16)
    for number in (0, 1, 0, 2, 0, 1):
        assert cache[number] == number
    assert disk.reads == [0, 1, 2, 1] and held(cache) == [0, 1]


def test_a_plan_reads_each_block_once_and_lets_it_go():
    disk = Disk()
    cache = disk.cache(limit=32)
    first = np.array([0, 5, 0, 6, 1, 6, 1, 7])
    last = np.array([1, 6, 1, 7, 2, 7, 2, 7])
    cache.plan(first, last)
    most = 0
    for a, b in zip(first, last, strict=True):
        for number in range(a, b + 1):
            assert cache[number] == number
        most = max(most, len(held(cache)))
        cache.drawn()
    assert sorted(disk.reads) == [0, 1, 2, 5, 6, 7]
    assert most <= 4 and held(cache) == []
    assert threading.get_ident() not in disk.threads


def test_a_plan_reads_ahead_as_far_as_the_limit():
    disk = Disk()
    cache = disk.cache(limit=24)
    draws = np.arange(6)
    cache.plan(draws, draws)
    for _ in range(100):
        if len(disk.reads) == 3:
            break
        time.sleep(0.01)
    assert sorted(disk.reads) == [0, 1, 2]
    assert cache[0] == 0
    cache.drawn()
    assert held(cache) == [1, 2, 3]


def test_several_runs_of_a_draw():
    disk = Disk()
    cache = disk.cache()
    cache.plan(np.array([[4, 0], [5, 1]]), np.array([[5, 0], [6, 2]]))
    for numbers in ([4, 5, 0], [5, 6, 1, 2]):
        assert [int(cache[number][0]) for number in numbers] == numbers
        cache.drawn()
    assert sorted(disk.reads) == [0, 1, 2, 4, 5, 6] and held(cache) == []


def test_a_plan_larger_than_the_limit_is_followed_all_the_same():
    disk = Disk()
    cache = disk.cache(limit=8)
    cache.plan(np.array([0, 0]), np.array([3, 3]))
    for _ in range(2):
        assert [int(cache[number][0]) for number in range(4)] == [0, 1, 2, 3]
        cache.drawn()
    assert sorted(disk.reads) == [0, 1, 2, 3]


def test_another_plan_keeps_what_it_needs():
    disk = Disk()
    cache = disk.cache()
    cache.plan(np.array([0, 1]), np.array([0, 1]))
    assert [cache[0][0], cache[1][0]] == [0, 1]
    cache.plan(np.array([1, 2]), np.array([1, 2]))
    assert [cache[1][0], cache[2][0]] == [1, 2]
    assert disk.reads == [0, 1, 2]
    cache.plan(np.array([], int), np.array([], int))
    assert held(cache) == []


def test_an_error_comes_where_the_block_is_asked_for():
    cache = Disk(broken=1).cache()
    cache.plan(np.arange(3), np.arange(3))
    assert cache[0] == 0
    with pytest.raises(OSError, match="block 1 is broken"):
        cache[1]


def test_a_copy_for_another_process_is_empty():
    cache = BlockCache(np.ones, [8] * 3, 80)
    cache[2]
    copy = pickle.loads(pickle.dumps(cache))
    assert held(copy) == [] and copy[1].tolist() == [1.0] and held(cache) == [2]
