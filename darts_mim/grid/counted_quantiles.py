"""Exact quantiles of values that do not fit into memory, by counting them several times.

The bits of a float, with those of negative ones turned, are a whole number that is ordered as the floats are.
A pass counts how often each run of leading digits comes up, behind the digits that the passes before found;
so that each pass finds the next digits of the value at a rank, until it is known to the last bit.
"""

from collections.abc import Callable, Iterable, Sequence
from functools import partial

import numpy as np
import xarray as xr

from darts_mim.grid.reduction import Cells

WIDE, NARROW = 16, 8  # bits of a digit: of few channels, and of many, whose counts take memory
FEW = 8  # channels
Counts = list[np.ndarray]  # of each channel, (prefix, digit)


def counted_quantiles(
    over: Callable[..., Iterable[tuple[Cells, Counts]]],
    levels: Sequence[float],
    *,
    dtype: np.dtype,
    channels: int | None = None,
) -> np.ndarray:
    """Quantiles of all frames and cells, as ``np.nanquantile`` has them; nothing is sorted.

    Two passes for float32 and four for float64; of more than 8 channels, each with quantiles of its own,
    four and eight.

    Args:
        over: Takes a statistic of a block and the merge of two, passes once over all blocks, and yields
            cells and their statistic, as :func:`darts_mim.grid.reduction.statistics` does.
        levels: In [0, 1].
        dtype: Float type that holds the values.
        channels: How many channels there are, each with quantiles of its own; None pools them.

    Returns:
        float64, (level, channel, 1, 1), of length 1 along channel if they are pooled; NaN without a value.

    >>> from darts_mim.grid.reduction import statistics
    >>> frames = xr.DataArray(np.array([7.0, 1.0, np.nan, 4.0, -2.0]), dims="time").chunk(time=2)
    >>> frames = frames.expand_dims(["channel", "y", "x"]).transpose("time", ...)
    >>> counted_quantiles(partial(statistics, frames), [0.0, 0.5], dtype=frames.dtype).ravel()
    array([-2. ,  2.5])
    """
    groups = channels or 1
    bits, digit = 8 * dtype.itemsize, WIDE if groups <= FEW else NARROW
    prefixes = np.zeros((groups, 2 * len(levels)), dtype=f"u{dtype.itemsize}")
    ranks, shares = np.zeros(prefixes.shape, dtype=np.int64), np.zeros((groups, len(levels)))
    n = np.zeros(groups, dtype=np.int64)
    for known in range(0, bits, digit):
        wanted = [np.unique(prefix) for prefix in prefixes]
        count = partial(
            _count, wanted=wanted, known=known, digit=digit, dtype=dtype, by_channel=channels is not None
        )
        counts = [np.zeros((len(prefix), 2**digit), dtype=np.int64) for prefix in wanted]
        for (mine, _, _), parts in over(count, _added):
            for total, part in zip(counts if channels is None else counts[mine], parts, strict=True):
                total += part
        if not known:
            n = np.array([one.sum() for one in counts])
            ranks, shares = _ranks(n, levels)
        for channel, each in enumerate(counts):
            row = np.searchsorted(wanted[channel], prefixes[channel])
            up_to = each.cumsum(axis=1)
            for target, at in enumerate(row):
                found = int(np.searchsorted(up_to[at], ranks[channel, target], "right"))
                found = min(found, 2**digit - 1)  # without any value there is none at the rank
                ranks[channel, target] -= up_to[at, found] - each[at, found]
                prefixes[channel, target] = (int(prefixes[channel, target]) << digit) + found
    ends = _floats(prefixes, dtype).astype(np.float64)
    low, high = ends[:, : len(levels)], ends[:, len(levels) :]
    values = np.where(n[:, None] > 0, low + (high - low) * shares, np.nan)
    return values.T[:, :, None, None]


def _ranks(n: np.ndarray, levels: Sequence[float]) -> tuple[np.ndarray, np.ndarray]:
    """(channel, 2 levels): the ranks that a quantile lies between, and (channel, level): how far up."""
    last = np.maximum(n - 1, 0)[:, None]
    at = np.asarray(levels) * last
    below = np.floor(at).astype(np.int64)
    return np.concatenate([below, np.minimum(below + 1, last)], axis=1), at - below


def _count(
    block: xr.DataArray,
    cells: Cells,
    *,
    wanted: list[np.ndarray],
    known: int,
    digit: int,
    dtype: np.dtype,
    by_channel: bool,
) -> Counts:
    """How often each digit comes up behind each of the prefixes, which are ``known`` bits long."""
    values = block.values.astype(dtype, copy=False)
    if not by_channel:
        return [_digits(values, wanted[0], known, digit)]
    each = zip(np.moveaxis(values, -3, 0), wanted[cells[0]], strict=True)
    return [_digits(one, prefixes, known, digit) for one, prefixes in each]


def _digits(values: np.ndarray, prefixes: np.ndarray, known: int, digit: int) -> np.ndarray:
    """(prefix, digit)."""
    keys = _keys(values[~np.isnan(values)])
    rest = np.array(8 * keys.itemsize - known - digit, keys.dtype)
    last, counts = np.array(2**digit - 1, keys.dtype), np.empty((len(prefixes), 2**digit), dtype=np.int64)
    heads = keys >> rest
    for row, prefix in enumerate(prefixes):
        mine = heads if not known else heads[heads >> np.array(digit, keys.dtype) == prefix]
        counts[row] = np.bincount((mine & last).astype(np.intp), minlength=2**digit)
    return counts


def _keys(values: np.ndarray) -> np.ndarray:
    """Whole numbers that are ordered as the floats are.

    >>> np.diff(_keys(np.float32([-np.inf, -2, -1, 0, 1e-30, 3])).astype(np.int64)) > 0
    array([ True,  True,  True,  True,  True])
    """
    bits = np.ascontiguousarray(values).view(f"u{values.itemsize}")
    sign = np.array(1, bits.dtype) << np.array(8 * bits.itemsize - 1, bits.dtype)
    return np.where(bits & sign, ~bits, bits | sign)


def _floats(keys: np.ndarray, dtype: np.dtype) -> np.ndarray:
    """Which floats have these keys.

    >>> _floats(_keys(np.array([-2.5, 0.0, 7.0])), np.dtype(float))
    array([-2.5,  0. ,  7. ])
    """
    sign = np.array(1, keys.dtype) << np.array(8 * keys.itemsize - 1, keys.dtype)
    return np.where(keys & sign, keys ^ sign, ~keys).view(dtype)


def _added(one: Counts, other: Counts) -> Counts:
    return [a + b for a, b in zip(one, other, strict=True)]
