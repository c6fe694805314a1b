"""Metrics of whole fields and frames: which dims are rows, columns and time, and one stack of arrays.

A *field* is what lies along rows and columns, one for each time and channel. A *frame* is everything at
one time: all channels together.
"""

from collections.abc import Collection, Hashable, Mapping, Sequence
from math import prod
from typing import Any, ClassVar

import numpy as np
import xarray as xr

from darts_mim.errors import GridDimsError
from darts_mim.metrics.block import Block, Counted, Laid
from darts_mim.metrics.metric import Metric
from darts_mim.metrics.statistic import Dims, listed

OF_TIME = {"time", "init_time", "lead_time", "valid_time", "realization"}


def time_dims(field: xr.DataArray) -> list[Hashable]:
    """Dims along which frames follow each other: by their names, or because they hold times.

    >>> time_dims(xr.DataArray(np.zeros((2, 3, 4)), dims=("init_time", "y", "x")))
    ['init_time']
    """
    return [dim for dim in field.dims if dim in OF_TIME or _holds_times(field, dim)]


def _holds_times(field: xr.DataArray, dim: Hashable) -> bool:
    return dim in field.coords and field[dim].dtype.kind in "mM"


def rows_and_columns(field: xr.DataArray, dims: Dims) -> tuple[Hashable, Hashable]:
    """The two of ``dims`` that are neither times nor channels, in the field's order.

    Raises:
        GridDimsError: If they are not two.

    >>> rows_and_columns(xr.DataArray(np.zeros((2, 3, 4)), dims=("time", "y", "x")), ("time", "y", "x"))
    ('y', 'x')
    """
    others = {*time_dims(field), "channel"}
    space = [dim for dim in field.dims if dim in listed(dims) and dim not in others]
    if len(space) != 2:
        raise GridDimsError(
            f"Rows and columns of fields on {field.dims} cannot be told from dims={tuple(listed(dims))}. "
            f"Pass both in dims, or their names to the metric, e.g. spatial_dims=('y', 'x')."
        )
    return space[0], space[1]


class FieldMetric(Metric):
    """A metric of whole fields. Derive from it and say what each field counts.

    Args:
        spatial_dims: Names of rows and columns; by default the two of ``dims`` that are neither
            times (by name or values) nor ``channel``.

    Attributes:
        by_frame: All channels of a time are counted as one; each channel then shows that score.
        as_float64: :meth:`fields` is given float64, not the fields' own number type.
    """

    by_frame: ClassVar[bool] = False
    as_float64: ClassVar[bool] = True

    def __init__(self, *, spatial_dims: tuple[str, str] | None = None) -> None:
        super().__init__()
        self.spatial_dims = spatial_dims

    def fields(
        self, forecast: np.ndarray, observed: np.ndarray, seen: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray]:
        """What each field adds to the sum, and how much it counts.

        Args:
            forecast: (field, row, column), or (frame, channel, row, column) if ``by_frame``; 0 where
                not observed.
            observed: The same.
            seen: Where there is a truth.

        Returns:
            (field, ...) with the dims of :meth:`extra` behind, and (field,).
        """
        raise NotImplementedError(f"{type(self).__name__} does not define fields(forecast, observed, seen).")

    def extra(self, shape: tuple[int, int]) -> Mapping[str, Sequence[Any] | np.ndarray]:
        """Dims of what a field of this shape counts, with their labels, such as ``part``."""
        return {}

    def whole(self, observed: xr.DataArray, dims: Dims) -> Collection[Hashable]:
        """A field or frame is not cut."""
        if not self.by_frame:
            return self._space(observed, dims)
        return [dim for dim in observed.dims if dim not in time_dims(observed)]

    def count(self, block: Block) -> Counted:
        """Lay the fields in one stack, count each, and sum those along ``block.dims``."""
        dims = block.fields.dims
        space = self._space(block.fields, block.dims)
        times = time_dims(block.fields) if self.by_frame else [dim for dim in dims if dim not in space]
        channels = [dim for dim in dims if dim not in (*times, *space)]
        sizes = dict(zip(dims, block.observed.shape, strict=True))
        order = [dims.index(dim) for dim in (*times, *channels, *space)]
        shape = sizes[space[0]], sizes[space[1]]
        stack = (-1, prod(sizes[dim] for dim in channels), *shape) if self.by_frame else (-1, *shape)
        fields = (block.near, block.truth) if self.as_float64 else (block.forecast, block.observed)
        seen = np.ones(block.observed.shape, bool) if block.seen is None else block.seen
        near, truth, seen = (
            field.transpose(order).reshape(stack)
            for field in (*(np.where(seen, field, field.dtype.type(0)) for field in fields), seen)
        )
        value, weight = self.fields(near, truth, seen)
        extra = self.extra(shape)
        several = tuple(sizes[dim] for dim in times)
        pooled = tuple(axis for axis, dim in enumerate(times) if dim in block.dims)
        value = value.reshape(several + value.shape[1:]).sum(pooled)
        weight = weight.reshape(several).sum(pooled, dtype=float)
        # Of a frame, each channel shows the same.
        shown = {dim: sizes[dim] for dim in channels if dim not in block.dims}
        value, weight = (np.broadcast_to(one, (*shown.values(), *one.shape)) for one in (value, weight))
        kept = (*shown, *(dim for dim in times if dim not in block.dims))
        return Counted(Laid((*kept, *extra), value), Laid(kept, weight), extra)

    def _space(self, observed: xr.DataArray, dims: Dims) -> tuple[Hashable, Hashable]:
        if self.spatial_dims is None:
            return rows_and_columns(observed, dims)
        if not set(self.spatial_dims) <= set(listed(dims)):
            raise GridDimsError(
                f"{self.name} counts whole fields along {self.spatial_dims}, which are not in "
                f"dims={tuple(listed(dims))}. Add them."
            )
        return self.spatial_dims
