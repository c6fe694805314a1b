"""How windows are drawn from series that are not in memory: at random, and yet each block read once."""

from collections.abc import Sequence

import numpy as np
import torch

from darts_mim.stores.block_cache import BlockCache
from darts_mim.stores.frames import LazyFrames

LANES = 8  # parts of a series that take turns, at most
SPARE = 2  # blocks of a part besides a window's: one is read ahead, one is kept for the part before


def shuffled(n: int, seed: int) -> np.ndarray:
    """All numbers below ``n`` as torch's ``RandomSampler`` shuffles them.

    >>> sorted(shuffled(4, seed=1).tolist())
    [0, 1, 2, 3]
    """
    return torch.randperm(n, generator=torch.Generator().manual_seed(seed)).numpy()


def shuffled_by_block(blocks: np.ndarray, lanes: int, seed: int) -> np.ndarray:
    """An order in which few blocks are in use at a time, and each for one stretch.

    The series is cut, each time elsewhere, into ``lanes`` parts of whole blocks. Every part is drawn from
    block after block, the windows of one block at random; and the parts take turns. So a batch has windows
    of several times of the series, and every ``lanes``-th draw is from the same part.

    Args:
        blocks: The block in which each window starts.
        lanes: Parts that take turns.
        seed: Of the random numbers.

    Returns:
        Positions in ``blocks``, each once.

    >>> order = shuffled_by_block(np.array([0, 0, 1, 1, 2, 2, 3, 3]), lanes=2, seed=1)
    >>> sorted(order.tolist())
    [0, 1, 2, 3, 4, 5, 6, 7]
    """
    n = len(blocks)
    rng = np.random.default_rng(seed)
    by_block = np.lexsort((rng.random(n), blocks))
    by_block = np.roll(by_block, -rng.choice(_changes(blocks[by_block])))
    changes = _changes(blocks[by_block])
    cuts = np.unique(changes[np.searchsorted(changes, np.arange(lanes) * n / lanes, side="right") - 1])
    lane = np.searchsorted(cuts, np.arange(n), side="right") - 1
    turn = np.arange(n) - cuts[lane]
    return by_block[np.lexsort((lane, turn))]


def _changes(blocks: np.ndarray) -> np.ndarray:
    """Where a block begins."""
    return np.flatnonzero(np.diff(blocks, prepend=-1))


class Reading:
    """Windows of several series, and the blocks of frames they lie in.

    Args:
        frames: Of each series; None of one in memory.
        starts: The rows in which the windows of each series start.
        length: Frames of a window.
        back: How many rows before a window lie others that are read with it, e.g. those of a day ago.
    """

    def __init__(
        self,
        frames: Sequence[LazyFrames | None],
        starts: Sequence[np.ndarray],
        *,
        length: int,
        back: Sequence[int] = (),
    ) -> None:
        self.frames = frames
        self.series = np.repeat(np.arange(len(frames)), [len(each) for each in starts])
        runs = (_runs(one, rows, length, back) for one, rows in zip(frames, starts, strict=True))
        self.runs = np.concatenate(list(runs))  # (window, run, first and last block)
        blocks = int((self.runs[..., 1] - self.runs[..., 0] + 1).sum(axis=1).max()) + SPARE
        lazy = [one.cache for one in frames if one is not None]
        for cache in lazy:
            cache.limit //= len(lazy)
        self.lanes = min(_lanes(cache, blocks) for cache in lazy)
        self.fits = all(cache.sizes.sum() <= cache.limit for cache in lazy)
        self.begun: set[int] = set()  # series whose cache follows a plan

    def order(self, windows: np.ndarray, seed: int) -> np.ndarray:
        """The positions of ``windows``, numbers of windows, in the order in which to draw them.

        Series that fit the memory together are drawn from as those in memory are.
        """
        if self.fits:
            return shuffled(len(windows), seed)
        n_blocks = int(self.runs.max()) + 1
        return shuffled_by_block(self.series[windows] * n_blocks + self.runs[windows, 0, 0], self.lanes, seed)

    def announce(self, windows: np.ndarray) -> None:
        """Say which windows will be drawn, in this order; none ends that."""
        self.begun = set(self.series[windows].tolist())
        for number, frames in enumerate(self.frames):
            if frames is not None:
                first, last = np.moveaxis(self.runs[windows[self.series[windows] == number]], -1, 0)
                frames.cache.plan(first, last)

    def drawn(self, window: int) -> None:
        """Say that a window was drawn."""
        number = int(self.series[window])
        if number in self.begun and (frames := self.frames[number]) is not None:
            frames.cache.drawn()


def _lanes(cache: BlockCache, blocks: int) -> int:
    """How many parts of a series can take turns, if each has so many blocks in memory."""
    return int(np.clip(cache.limit // (blocks * cache.sizes.max()), 1, LANES))


def _runs(frames: LazyFrames | None, starts: np.ndarray, length: int, back: Sequence[int]) -> np.ndarray:
    """(window, run, first and last block): the blocks of a window, and of the rows before; 0 in memory."""
    if frames is None:
        return np.zeros((len(starts), 1 + len(back), 2), dtype=int)
    first = starts[:, None] - np.array([0, *back])
    rows = np.stack([first, first + length - 1], axis=-1).clip(0, len(frames) - 1)
    return frames.block_of(frames.nearest(rows))
