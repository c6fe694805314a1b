"""Which windows make a batch, and which of them each device reads."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch.utils.data import Sampler


@dataclass(frozen=True, kw_only=True)
class Share:
    """A device's part of every batch.

    >>> Share(rank=1, devices=3).of(range(8))
    range(1, 8, 3)
    """

    rank: int = 0
    devices: int = 1

    def of(self, batch: Sequence[int]) -> Sequence[int]:
        """Every so-many-th entry, so that neighbours in a batch are read by different devices."""
        return batch[self.rank :: self.devices]


class WindowBatches(Sampler[list[int]]):
    """The batches that one device reads in an epoch; over all devices each window is drawn exactly once.

    A batch of ``batch_size`` windows on each device is one batch of all of them together, so that training
    on two devices goes as it does on one with twice the ``batch_size``. On one device the order is that of
    torch's ``RandomSampler``. A dataset may lay out an order of its own, ``order(seed)``, and may be told
    with ``announce(indices)`` what is going to be read.

    Args:
        dataset: What is drawn from.
        batch_size: Windows of a batch on one device.
        shuffle: Draw in a new order each epoch; otherwise in the dataset's.
        drop_last: Leave out what does not fill a batch on all devices.
        share: This device's part.
        strategy: Whose ``broadcast`` tells all devices the first one's seed; needed if there are several.
        generator: Draws the seed, instead of torch's default one.
        announce: Tell the dataset what is going to be read; not where others than this process read it.

    Raises:
        ValueError: If there are fewer windows than devices.

    >>> first = WindowBatches(range(7), 2, shuffle=False, share=Share(rank=0, devices=2))
    >>> second = WindowBatches(range(7), 2, shuffle=False, share=Share(rank=1, devices=2))
    >>> list(first), list(second)
    ([[0, 2], [4, 6]], [[1, 3], [5]])
    """

    def __init__(
        self,
        dataset: Any,
        batch_size: int,
        *,
        shuffle: bool,
        drop_last: bool = False,
        share: Share | None = None,
        strategy: Any = None,
        generator: torch.Generator | None = None,
        announce: bool = True,
    ) -> None:
        self.dataset, self.shuffle, self.generator, self.announce = dataset, shuffle, generator, announce
        self.share, self.strategy = share or Share(), strategy
        self.sizes = batch_sizes(len(dataset), batch_size, self.share.devices, drop_last=drop_last)

    def __len__(self) -> int:
        return len(self.sizes)

    def __iter__(self) -> Iterator[list[int]]:
        order = self._order()
        batches: list[list[int]] = []
        begin = 0
        for size in self.sizes:
            batches.append(list(self.share.of(order[begin : begin + size])))
            begin += size
        if self.announce and hasattr(self.dataset, "announce"):
            self.dataset.announce([index for batch in batches for index in batch])
        yield from batches

    def _order(self) -> Sequence[int]:
        if not self.shuffle:
            return range(len(self.dataset))
        seed = int(torch.empty((), dtype=torch.int64).random_(generator=self.generator).item())
        if self.share.devices > 1:
            seed = int(self.strategy.broadcast(seed))
        lay_out = getattr(self.dataset, "order", self._shuffled)
        return torch.as_tensor(lay_out(seed)).tolist()

    def _shuffled(self, seed: int) -> torch.Tensor:
        return torch.randperm(len(self.dataset), generator=torch.Generator().manual_seed(seed))


def batch_sizes(n: int, batch_size: int, devices: int, *, drop_last: bool) -> list[int]:
    """Windows of each batch of an epoch, counted over all devices.

    Where the last batch would leave a device without a window, the one before it gives some up; if that one
    has a single window for each device, the two become one.

    Args:
        n: Windows of the epoch.
        batch_size: Windows of a batch on one device.
        devices: How many share a batch.
        drop_last: Leave out an incomplete last batch.

    Raises:
        ValueError: If there are fewer windows than devices.

    >>> batch_sizes(11, 2, 2, drop_last=False)
    [4, 4, 3]
    >>> batch_sizes(9, 2, 2, drop_last=False)
    [4, 3, 2]
    >>> batch_sizes(5, 1, 2, drop_last=False)
    [2, 3]
    """
    if n < devices:
        raise ValueError(
            f"There are {n} windows to be shared among {devices} devices, and each device needs one. Train "
            f"on fewer devices, or pass longer series (a longer val_series, if these windows are its own)."
        )
    whole = batch_size * devices
    full, rest = divmod(n, whole)
    sizes = [whole] * full
    if not rest or drop_last:
        return sizes
    if rest >= devices:
        return [*sizes, rest]
    if batch_size == 1:
        return [*sizes[:-1], whole + rest]
    return [*sizes[:-1], whole + rest - devices, devices]
