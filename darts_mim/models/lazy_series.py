"""A TimeSeries whose values stay on the disk until a window of them is drawn."""

from typing import Any, Self

import numpy as np

from darts_mim.grid.windows import row_kinds
from darts_mim.models._compat import TimeSeries


class LazyTimeSeries(TimeSeries):
    """Times, components and metadata of a series that is not in memory, and the way to its values.

    darts' datasets take their windows from ``random_component_values``; here that is something to be sliced
    which reads the frames. What would need all values at once is refused.
    """

    frames: Any  # times and shape, kinds of rows, and values when it is sliced

    @classmethod
    def of(cls, frames: Any, components: Any, metadata: dict[str, Any]) -> Self:
        """The series of some frames."""
        nothing = np.broadcast_to(np.float32(np.nan), (*frames.shape, 1))  # takes no memory
        series = cls(frames.axis, nothing, components=components, metadata=metadata, copy=False)
        series.frames = frames
        return series

    def on(self, frames: Any) -> "LazyTimeSeries":
        """The same series, read through other frames."""
        return LazyTimeSeries.of(frames, self.components, self.metadata or {})

    def random_component_values(self, copy: bool = True) -> Any:
        """The frames, (time, component), to be sliced."""
        return self.frames

    def all_values(self, copy: bool = True) -> np.ndarray:
        """Refused: they are not in memory."""
        raise self._refusal()

    def __getitem__(self, key: Any) -> Any:
        """Refused: a part would be without its values."""
        raise self._refusal()

    def _refusal(self) -> TypeError:
        return TypeError(
            "This takes all values of the series at once, and they are not in memory. Load them first, "
            "series.load(), or part of them; darts_mim.backtest scores forecasts, and fits anew with "
            "refit_every=, without that."
        )


class FramesAndNumbers:
    """Frames, and behind their components numbers of the same times, to be sliced in time."""

    def __init__(self, frames: Any, numbers: np.ndarray) -> None:
        self.frames, self.numbers, self.axis = frames, numbers, frames.axis
        self.shape = len(numbers), frames.shape[1] + numbers.shape[1]
        self.dtype = frames.dtype

    def __getitem__(self, rows: slice) -> np.ndarray:
        """The frames of some rows."""
        return np.concatenate([self.frames[rows], self.numbers[rows]], axis=1)

    def __len__(self) -> int:
        return len(self.numbers)

    @property
    def kinds(self) -> np.ndarray:
        """What each row is good for: the worse of frame and numbers."""
        return np.maximum(self.frames.kinds, row_kinds(self.numbers))

    def with_zero(self, masked: np.ndarray) -> "FramesAndNumbers":
        """The same, 0 where components of the frames are masked."""
        return FramesAndNumbers(self.frames.with_zero(masked), self.numbers)


def beside(frames: LazyTimeSeries, numbers: TimeSeries) -> LazyTimeSeries:
    """Frames that are not in memory, with numbers of the same times behind their components."""
    names: Any = [*frames.components, *numbers.components]
    values = numbers.all_values(copy=False)[:, :, 0].astype(np.float32, copy=False)
    return LazyTimeSeries.of(FramesAndNumbers(frames.frames, values), names, frames.metadata or {})


def values_of(series: TimeSeries) -> Any:
    """(time, component): an array, or what reads one when it is sliced."""
    if isinstance(series, LazyTimeSeries):
        return series.frames
    return series.all_values(copy=False)[:, :, 0]
