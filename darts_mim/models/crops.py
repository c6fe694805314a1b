"""Parts of a large grid to train on: where they lie, and how a window is cut."""

from collections.abc import Callable, Generator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from darts_mim.errors import GridMismatchError
from darts_mim.models._compat import TorchTrainingSample, add_safe_globals
from darts_mim.models.parts import Layout

FLOOR = 0.05  # of the mean weight of a place: what a place counts where nothing weighs

CropWeight = Callable[[np.ndarray], np.ndarray]
"""What each cell counts, (row, column), from a window's frames, (time, channel, row, column)."""


@dataclass(frozen=True)
class ShareAbove:
    """The share of a window's frames and channels in which a cell is above a threshold, e.g. is wet.

    For ``MIMModel(crop_weight=...)``: rain covers few cells, and crops drawn anywhere are mostly dry.

    Args:
        threshold: In the units, or on the scale, that the model is fitted on.

    >>> frames = np.array([[[[0.0, 2.0]]], [[[0.0, 0.0]]]])  # two frames of one row and two columns
    >>> ShareAbove(0.5)(frames)
    array([[0. , 0.5]])
    """

    threshold: float

    def __call__(self, frames: np.ndarray) -> np.ndarray:
        """The share, (row, column), from frames (time, channel, row, column); NaN is not above."""
        return (frames > self.threshold).mean(axis=(0, 1))


@dataclass(frozen=True, kw_only=True, eq=False)
class Crops:
    """Draws parts of a grid from its windows.

    Every place where a crop lies inside the grid and holds an observed cell can be drawn: all alike, or in
    proportion to ``weight`` summed over the crop. A twentieth of the mean weight is added everywhere, so that
    no place is never seen. A crop may lie anywhere, and is patched from its own first cell.

    Raises:
        GridMismatchError: If a crop is larger than the grid.

    >>> crops = Crops(size=(1, 2), layout=Layout(shape=(1, 2, 3)), weight=ShareAbove(0.5))
    >>> frames = np.array([[0.0, 0.1, 0.2, 0.3, 0.4, 9.0]])
    >>> window = TorchTrainingSample(past_target=frames, future_target=frames)
    >>> crops.cut(window, np.random.default_rng(0)).past_target
    array([[0.4, 9. ]])
    """

    size: tuple[int, int]  # rows and columns of a crop
    layout: Layout  # of the windows
    weight: CropWeight | None = None  # of the cells; None for all alike
    masked: np.ndarray | None = None  # (component): True where nothing is ever observed

    def __post_init__(self) -> None:
        require_within("crop_size", self.size, self.grid)

    @property
    def grid(self) -> tuple[int, int]:
        """Rows and columns of the grid."""
        return self.layout.shape[1:]

    def cut(self, sample: TorchTrainingSample, rng: np.random.Generator) -> TorchTrainingSample:
        """One window's part at a place that is drawn.

        Frames, covariates on the grid, static covariates of components and sample weights are cut at the
        same place; numbers that hold for the whole grid stay. Masked cells of the frames are NaN, so that
        they are known wherever the crop lies.

        Args:
            sample: Of the whole grid: components are (channel, row, column) in C order, and numbers a time
                stand behind those of covariates.
            rng: What the place is drawn with.

        Raises:
            ValueError: If ``weight`` gives something else than a finite weight, 0 or more, for every cell.
        """
        past, future = sample.past_target, sample.future_target
        assert past is not None and future is not None
        row, column = self._draw(past, future, rng)
        rows, columns = slice(row, row + self.size[0]), slice(column, column + self.size[1])
        cut = self.layout.cut(sample, rows, columns)
        if self.masked is not None:
            past, future = cut.past_target, cut.future_target
            assert past is not None and future is not None
            masked = self._part(self.masked, rows, columns)
            cut = cut.replace(
                past_target=np.where(masked, np.nan, past), future_target=np.where(masked, np.nan, future)
            )
        if sample.sample_weight is not None and sample.sample_weight.shape[-1] > 1:
            cut = cut.replace(sample_weight=self._part(sample.sample_weight, rows, columns))
        return cut

    def _part(self, values: np.ndarray, rows: slice, columns: slice) -> np.ndarray:
        return self.layout.part(values, self.layout.shape[0], rows, columns)

    def _draw(self, past: np.ndarray, future: np.ndarray, rng: np.random.Generator) -> tuple[int, int]:
        """Row and column of a crop's first cell."""
        rows, columns = (whole - side + 1 for whole, side in zip(self.grid, self.size, strict=True))
        if self.weight is None and self._possible is None:
            return int(rng.integers(rows)), int(rng.integers(columns))
        chance = np.ones((rows, columns))
        if self.weight is not None:
            chance = summed(self._weighed(past, future), self.size)
            chance = chance + FLOOR * chance.mean() if chance.any() else np.ones_like(chance)
        if self._possible is not None:
            chance = np.where(self._possible, chance, 0.0)
        place = int(rng.choice(chance.size, p=(chance / chance.sum()).ravel()))
        return place // columns, place % columns

    def _weighed(self, past: np.ndarray, future: np.ndarray) -> np.ndarray:
        assert self.weight is not None
        frames = np.concatenate([past, future]).reshape(-1, *self.layout.shape)
        if self.masked is not None:
            frames[:, self.masked.reshape(self.layout.shape)] = np.nan
        weight = np.asarray(self.weight(frames))
        if weight.shape != self.grid or not np.isfinite(weight).all() or (weight < 0).any():
            raise ValueError(
                f"crop_weight gave {weight.shape} numbers, the least {weight.min():.3g}, for frames of "
                f"{self.layout.shape} (channel, row, column). Return one finite number, 0 or more, for each "
                f"(row, column); masked cells are NaN in the frames."
            )
        return weight

    @cached_property
    def _possible(self) -> np.ndarray | None:
        """Where a crop holds an observed cell; None if it does everywhere."""
        if self.masked is None:
            return None
        observed = (~self.masked).reshape(self.layout.shape).any(axis=0)
        return summed(observed.astype(float), self.size) > 0.5


def summed(cells: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """The sum over the crop that begins at each cell from which one fits, by an integral image.

    >>> summed(np.arange(6.0).reshape(2, 3), (2, 2))
    array([[ 8., 12.]])
    """
    height, width = size
    upto = np.pad(cells.cumsum(axis=0, dtype=np.float64).cumsum(axis=1), ((1, 0), (1, 0)))
    sums = upto[height:, width:] - upto[:-height, width:] - upto[height:, :-width] + upto[:-height, :-width]
    return np.maximum(sums, 0.0)  # differences of large sums may fall below by rounding


def require_within(name: str, size: tuple[int, int], grid: tuple[int, int]) -> None:
    """Check that a part of the grid is no larger than the grid.

    Raises:
        GridMismatchError: If it is.
    """
    if size[0] > grid[0] or size[1] > grid[1]:
        raise GridMismatchError(
            f"{name} is {size[0]} x {size[1]} cells, and the grid has {grid[0]} x {grid[1]}. Use "
            f"{name}=({min(size[0], grid[0])}, {min(size[1], grid[1])}) or less, or None for the whole grid."
        )


@contextmanager
def uncut(*datasets: Any) -> Generator[None]:
    """Windows of the whole grid for a while: darts takes the model's sizes from the first one.

    Args:
        *datasets: Training datasets, those without crops and None among them.
    """
    cropping = [dataset for dataset in datasets if getattr(dataset, "crops", None) is not None]
    kept = [dataset.crops for dataset in cropping]
    try:
        for dataset in cropping:
            dataset.crops = None
        yield
    finally:
        for dataset, crops in zip(cropping, kept, strict=True):
            dataset.crops = crops


add_safe_globals([ShareAbove])
