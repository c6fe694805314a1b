"""Many series, some cells at a time: on how many threads, and how many values at once."""

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar

import numpy.typing as npt
import torch

Series = npt.NDArray[Any] | torch.Tensor
Result = TypeVar("Result")

VALUES = 2**17  # 1 MB in float64: what is read again and again stays in a core's cache
VALUES_ON_DEVICE = 2**26  # 512 MB: enough to fill a GPU


def over_blocks(
    function: Callable[[Any], Result], series: Series, *, cells: int, n_jobs: int
) -> list[Result]:
    """``function`` of some cells at a time, in their order, on ``n_jobs`` threads.

    Args:
        function: Takes rows of the series.
        series: (cell, time).
        cells: At most so many rows at once; fewer if there is less than one block a thread.
        n_jobs: Threads. NumPy and torch let go of the interpreter while they compute.

    Raises:
        ValueError: If ``n_jobs`` is not positive.
    """
    if n_jobs < 1:
        raise ValueError(f"n_jobs={n_jobs}; wanted 1 or more threads.")
    rows = len(series)
    cells = max(1, min(cells, -(-rows // n_jobs)))
    blocks = [series[start : start + cells] for start in range(0, max(rows, 1), cells)]
    if n_jobs == 1 or len(blocks) == 1:
        return [function(block) for block in blocks]
    with ThreadPoolExecutor(n_jobs) as threads:
        return list(threads.map(function, blocks))


def cached(block: Series) -> Iterator[Series]:
    """The block's rows, as many at a time as a cache, or a device, holds well."""
    on_device = isinstance(block, torch.Tensor) and block.device.type != "cpu"
    cells = max(1, (VALUES_ON_DEVICE if on_device else VALUES) // block.shape[1])
    for start in range(0, max(len(block), 1), cells):
        yield block[start : start + cells]


def to_numpy(array: Any) -> npt.NDArray[Any]:
    """A tensor, from any device, as NumPy's."""
    return array.numpy(force=True) if isinstance(array, torch.Tensor) else array
