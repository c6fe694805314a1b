"""What the transformers share: they take any sort of gridded series and answer in kind."""

from abc import abstractmethod
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from typing import Any, Self, TypeVar, cast

import numpy as np
import pandas as pd
import xarray as xr
from sklearn.base import BaseEstimator, TransformerMixin
from sklearn.utils.validation import check_is_fitted

from darts_mim.grid.grid import METADATA_KEY, Grid
from darts_mim.grid.lazy import as_dask
from darts_mim.grid.reduction import Cells, statistics
from darts_mim.grid.variables import as_float

BLOCK = 2**24  # values in memory that are looked at together while fitting
S = TypeVar("S")


class GridTransformer(TransformerMixin, BaseEstimator):
    """Learns from gridded series, changes them, and undoes that on forecasts.

    A series is a DataArray, a Dataset, a darts TimeSeries, or a list of these. One that is not in memory, be
    it dask's or opened with ``chunks=None``, is never loaded whole: it is counted block by block in ``fit``,
    by dask's active scheduler, and stays lazy in ``transform``. Subclasses work on arrays with dims (time,
    channel, row, column), realization, init_time and lead_time in front.

    Args:
        time_dim: Name of the time dim, if it cannot be told.
        spatial_dims: Names of rows and columns, if they cannot be told.
        channel_dim: Name of the channel dim, if it cannot be told.

    Attributes:
        grid_: The grid learnt in ``fit``; a series on another one is an error.
        fitted_until_: Time of the last frame learnt from; None if nothing is learnt from values.
    """

    grid_: Grid
    fitted_until_: pd.Timestamp | None

    def __init__(
        self,
        *,
        time_dim: str | None = None,
        spatial_dims: tuple[str, str] | None = None,
        channel_dim: str | None = None,
    ) -> None:
        self.time_dim = time_dim
        self.spatial_dims = spatial_dims
        self.channel_dim = channel_dim

    @abstractmethod
    def _learn(self, arrays: list[xr.DataArray]) -> None:
        """Set the fitted attributes from all arrays together."""

    @abstractmethod
    def _forward(self, array: xr.DataArray) -> xr.DataArray:
        """The array, changed; lazy if it was."""

    @abstractmethod
    def _backward(self, array: xr.DataArray, history: Any) -> xr.DataArray:
        """The array, changed back; ``history`` is as the user passed it."""

    def fit(self, series: Any, y: None = None) -> Self:
        """Learn the grid and the statistics; of a list, from all of it together.

        Args:
            series: Training series; values that are NaN are left out.
            y: Ignored, as scikit-learn has it.

        Raises:
            GridDimsError: If the dims cannot be told apart.
            GridMismatchError: If the series of a list are on different grids.
        """
        many: list[Any] = list(series) if is_list(series) else [series]
        if not many:
            raise ValueError("An empty list came, where at least one series is wanted. Pass one.")
        self.grid_ = self._grid_of(many[0])
        arrays = [self._open(one) for one in many]
        self.fitted_until_ = max(
            filter(None, (_last_time(one, self.grid_.time_dim) for one in arrays)), default=None
        )
        self._learn(arrays)
        return self

    def fit_transform(self, X: Any, y: None = None, **fit_params: Any) -> Any:
        """``fit``, then ``transform``."""
        return self.fit(X, y, **fit_params).transform(X)

    def transform(self, series: Any) -> Any:
        """The series, changed, in kind; a lazy one stays lazy.

        Raises:
            NotFittedError: Before ``fit``.
            GridMismatchError: If the series is on another grid than in ``fit``.
        """
        check_is_fitted(self, "grid_")
        return self._each(lambda one, _: self._forward(one), series)

    def inverse_transform(self, series: Any, history: Any = None) -> Any:
        """Undo ``transform``, also on forecasts.

        Args:
            series: A series, or forecasts with dims (init_time, lead_time) and the coordinate
                valid_time; either may have the dim realization.
            history: The untransformed series before the forecast, where the transform needs it;
                one for all or one for each of a list.

        Raises:
            NotFittedError: Before ``fit``.
            GridMismatchError: If the series is on another grid than in ``fit``.
        """
        check_is_fitted(self, "grid_")
        return self._each(self._backward, series, history)

    def _each(
        self,
        change: Callable[[xr.DataArray, Any], xr.DataArray],
        series: Any,
        history: Any = None,
    ) -> Any:
        if is_list(series):
            before = history if is_list(history) else [history] * len(series)
            if len(before) != len(series):
                raise ValueError(
                    f"{len(before)} histories came for {len(series)} series. Pass one for each, or one for "
                    f"all."
                )
            return [self._each(change, *pair) for pair in zip(series, before, strict=True)]
        return self._close(change(self._open(series), history), series)

    def _grid_of(self, series: Any) -> Grid:
        if is_timeseries(series):
            return Grid.of_timeseries(series)
        return Grid.of(
            series,
            time_dim=self.time_dim,
            spatial_dims=self.spatial_dims,
            channel_dim=self.channel_dim,
            with_mask=False,
        )

    def _open(self, series: Any) -> xr.DataArray:
        """The series as a canonical array of floats on the learnt grid."""
        if not is_timeseries(series):
            return as_float(self.grid_.canonical(as_dask(series)))
        if METADATA_KEY in (series.metadata or {}):
            self.grid_.require_same(Grid.of_timeseries(series), "The TimeSeries")
        else:
            self.grid_.require_width(series.n_components, "The TimeSeries")
        values = series.all_values(copy=False)  # (time, component, sample)
        values = values.reshape(len(values), *self.grid_.shape, values.shape[-1])
        time_dim = self.grid_.time_dim
        array = xr.DataArray(
            values,
            dims=(time_dim, *self.grid_.canonical_dims, "realization"),
            coords={time_dim: series.time_index},
        )
        return as_float(array).transpose("realization", ...)

    def _close(self, array: xr.DataArray, like: Any) -> Any:
        """The array in the kind of ``like``, whose last frames it holds."""
        if not is_timeseries(like):
            return self.grid_.restore(array, like)
        values = array.transpose(..., "realization").values
        values = values.reshape(len(values), self.grid_.n_components, -1)
        return like[len(like) - len(values) :].with_values(values)

    def _statistics(
        self,
        arrays: Iterable[xr.DataArray],
        statistic: Callable[[xr.DataArray, Cells], S],
        merge: Callable[[S, S], S],
    ) -> Iterator[tuple[Cells, S]]:
        """What ``statistic`` makes of all frames, each once, block by block, and of which cells that is.

        Blocks of lazy arrays are read and counted by dask's active scheduler; see :func:`statistics`.
        """
        time_dim = self.grid_.time_dim
        of_block = partial(_of_finite, statistic=statistic, time_dim=time_dim)
        channels, rows, columns = (slice(0, n) for n in self.grid_.shape)
        for array in arrays:
            if array.chunks is not None:
                yield from statistics(array, of_block, merge)
                continue
            n = array.sizes[time_dim]
            step = max(1, BLOCK * n // max(1, array.size))
            for start in range(0, n, step):
                cells = channels, rows, columns
                yield cells, of_block(array.isel({time_dim: slice(start, start + step)}), cells)


def _of_finite(
    block: xr.DataArray, cells: Cells, *, statistic: Callable[[xr.DataArray, Cells], S], time_dim: str
) -> S:
    require_finite(block.values, block[time_dim].values, block.get_axis_num(time_dim))
    return statistic(block, cells)


def require_finite(values: np.ndarray, times: np.ndarray, axis: int) -> None:
    """Check that no value is infinite.

    Args:
        values: Frames, in memory.
        times: Of the frames.
        axis: Which axis of the values is time.

    Raises:
        ValueError: Naming the first and the last time that has one.
    """
    infinite = np.isinf(values)
    if infinite.any():
        others = tuple(other for other in range(values.ndim) if other != axis)
        at = times[infinite.any(others)]
        raise ValueError(
            f"The series holds infinite values between {at[0]} and {at[-1]}. Make them NaN, e.g. "
            f".where(np.isfinite(series))."
        )


def is_list(series: Any) -> bool:
    """Whether several series came, rather than one."""
    return isinstance(series, list | tuple)


def is_timeseries(series: Any) -> bool:
    """Whether it is a darts TimeSeries; this layer does not import darts."""
    return hasattr(series, "with_values") and hasattr(series, "metadata")


def _last_time(array: xr.DataArray, time_dim: str) -> pd.Timestamp | None:
    index = array.indexes.get(time_dim)
    return cast(pd.Timestamp, index[-1]) if isinstance(index, pd.DatetimeIndex) else None
