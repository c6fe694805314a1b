"""Blocks of frames in memory: each read once while a plan is followed, ahead of its use, within a limit."""

import os
from collections import OrderedDict
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

import numpy as np

READERS = 2  # threads that read ahead; decoding leaves Python's lock


class BlockCache:
    """Numbered blocks, read when they are asked for, or ahead of that where a plan says what comes.

    Without a plan the blocks used last stay, as many as the limit allows. With one, a block is read before
    its first use and let go after its last, so that it is read once; only reading ahead minds the limit then.

    Args:
        read: The block of a number.
        sizes: Of each block, in bytes.
        limit: Bytes to hold.

    >>> cache = BlockCache(lambda k: np.full(2, k), sizes=[16, 16, 16], limit=32)
    >>> cache.plan(first=np.array([0, 0, 1]), last=np.array([0, 1, 2]))
    >>> [cache[0].tolist(), cache[1].tolist()], cache.n_read
    ([[0, 0], [1, 1]], 2)
    """

    def __init__(self, read: Callable[[int], np.ndarray], sizes: Sequence[int], limit: int) -> None:
        self.read = read
        self.sizes = np.asarray(sizes)
        self.limit = limit
        self._empty()

    def _empty(self) -> None:
        self._process = os.getpid()
        self.n_read = 0
        self._held: OrderedDict[int, Future[np.ndarray]] = OrderedDict()
        self._last_use = np.full(len(self.sizes), -1)
        self._coming: list[int] = []  # blocks to read ahead, the next one last
        self._drawn = 0
        self._readers: ThreadPoolExecutor | None = None

    def __getitem__(self, number: int) -> np.ndarray:
        """A block, waited for if it is not there yet."""
        if self._process != os.getpid():
            self._empty()  # the threads that read did not come along into this process
        if number not in self._held:
            self._start(number)
        self._held.move_to_end(number)
        block = self._held[number].result()
        if not self.planned:
            self._drop_oldest()
        return block

    @property
    def planned(self) -> bool:
        """Whether it is known what comes."""
        return bool((self._last_use >= 0).any())

    def plan(self, first: np.ndarray, last: np.ndarray) -> None:
        """Say which blocks the coming draws will use; an empty plan ends the one before.

        Args:
            first: First block of each draw, in the order of the draws, (draw,); or of each of several runs of
                blocks that a draw uses, (draw, run).
            last: Last block, included, likewise.
        """
        draws = np.broadcast_to(np.arange(len(first)).reshape(-1, *[1] * (first.ndim - 1)), first.shape)
        first_use = np.full(len(self.sizes), len(first))
        self._last_use = np.full(len(self.sizes), -1)
        self._drawn = 0
        for further in range(int((last - first).max(initial=-1)) + 1):
            uses = first + further <= last
            np.minimum.at(first_use, first[uses] + further, draws[uses])
            np.maximum.at(self._last_use, first[uses] + further, draws[uses])
        used = np.flatnonzero(self._last_use >= 0)
        self._coming = used[np.argsort(first_use[used], kind="stable")][::-1].tolist()
        self._drop_done()
        self._read_ahead()

    def drawn(self) -> None:
        """Say that one more draw of the plan is done."""
        self._drawn += 1
        if self._drop_done():
            self._read_ahead()

    def _drop_done(self) -> bool:
        done = [number for number in self._held if self._last_use[number] < self._drawn]
        for number in done:
            del self._held[number]
        return bool(done)

    def _drop_oldest(self) -> None:
        while len(self._held) > 1 and self._bytes() > self.limit:
            self._held.popitem(last=False)

    def _read_ahead(self) -> None:
        while self._coming:
            number = self._coming[-1]
            if number not in self._held:
                if self._held and self._bytes() + self.sizes[number] > self.limit:
                    return
                self._start(number)
            self._coming.pop()

    def _start(self, number: int) -> None:
        if self._readers is None:
            self._readers = ThreadPoolExecutor(READERS, thread_name_prefix="frames")
        self._held[number] = self._readers.submit(self.read, number)
        self.n_read += 1

    def _bytes(self) -> int:
        return int(self.sizes[list(self._held)].sum())

    def __getstate__(self) -> dict[str, Any]:
        return {"read": self.read, "sizes": self.sizes, "limit": self.limit}

    def __setstate__(self, state: dict[str, Any]) -> None:
        vars(self).update(state)
        self._empty()
