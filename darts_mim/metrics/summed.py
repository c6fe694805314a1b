"""Errors summed over a frame, then averaged over frames: how papers on video prediction count.

The figures of Wang et al. (2019), "Memory In Memory", are of this kind, by their size and by the program that
its authors released: the squared error ("MSE") of their Tables 1, 3, 4, 5, 6 and 7, and the absolute error
("MAE") of Tables 1, 3 and 7, with data in [0, 1]. Table 5 (TaxiBJ) has a column a lead time, over 2 x 32 x 32
cells. For a mean over cells, divide by the cells of a frame.
"""

from collections.abc import Collection, Hashable
from typing import ClassVar

import numpy as np
import xarray as xr

from darts_mim.metrics.block import Block, Counted, Laid
from darts_mim.metrics.frames import time_dims
from darts_mim.metrics.metric import Metric
from darts_mim.metrics.statistic import Dims


class _Summed(Metric):
    """Weights count frames, whatever their cells and channels."""

    is_mean_loss: ClassVar[bool] = True

    def __init__(self) -> None:
        super().__init__()

    def whole(self, observed: xr.DataArray, dims: Dims) -> Collection[Hashable]:
        """All that is at one time."""
        times = time_dims(observed)
        return [dim for dim in observed.dims if dim not in times]

    def count(self, block: Block) -> Counted:
        """The sum of cells, and the number of frames of which some cell was observed."""
        dims, times = block.fields.dims, time_dims(block.fields)
        seen = np.ones(block.observed.shape, bool) if block.seen is None else block.seen
        frames = seen.any(tuple(axis for axis, dim in enumerate(dims) if dim not in times))
        pooled = tuple(axis for axis, dim in enumerate(times) if dim in block.dims)
        weight = frames.sum(pooled, dtype=float)
        kept = [dim for dim in times if dim not in block.dims]
        return Counted(super().count(block).value, Laid(kept, weight))


class SummedSquaredError(_Summed):
    """Squared error summed over channels and cells, averaged over frames; units squared.

    A frame is everything at one time: dims named time, init_time or lead_time, or that hold times,
    are averaged over, all others are summed. Masked cells add nothing, so that only scores on one
    mask can be compared.

    Source:
        Wang et al. (2019), CVPR, Tables 1 and 3-7, "MSE".

    >>> truth = xr.DataArray([[0.0, 0.0], [0.0, 0.0]], dims=("time", "x"))
    >>> sse(truth + [[1.0, 2.0], [3.0, 0.0]], truth, dims=("time", "x")).item()
    7.0
    """

    name = "sse"
    title = "Squared error summed over a frame"
    power = 2

    def cell(self, forecast: np.ndarray, observed: np.ndarray) -> np.ndarray:
        """Squared error."""
        return (forecast - observed) ** 2


class SummedAbsoluteError(_Summed):
    """Absolute error summed over channels and cells, averaged over frames; the fields' units.

    Frames and masked cells are as in :class:`SummedSquaredError`.

    Source:
        Wang et al. (2019), CVPR, Tables 1, 3 and 7, "MAE".

    >>> truth = xr.DataArray([[0.0, 0.0], [0.0, 0.0]], dims=("time", "x"))
    >>> sae(truth + [[1.0, 2.0], [-3.0, 0.0]], truth, dims=("time", "x")).item()
    3.0
    """

    name = "sae"
    title = "Absolute error summed over a frame"

    def cell(self, forecast: np.ndarray, observed: np.ndarray) -> np.ndarray:
        """Absolute error."""
        return abs(forecast - observed)


sse = SummedSquaredError()
sae = SummedAbsoluteError()
