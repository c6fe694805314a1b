"""A part of a grid, cut out of everything that a window or a batch holds."""

import math
from dataclasses import dataclass
from typing import Any, TypeVar

import numpy as np
import torch
from torch import Tensor

from darts_mim.models._compat import PLModuleInput, TorchTrainingSample

Sample = TypeVar("Sample", TorchTrainingSample, PLModuleInput)
Values = TypeVar("Values", np.ndarray, Tensor)


@dataclass(frozen=True, kw_only=True)
class Layout:
    """What stands on the grid in components: channels first, (channel, row, column); numbers behind them."""

    shape: tuple[int, int, int]  # (channel, height, width) of a frame
    gridded_past: int = 0  # channels of past covariates that lie on the grid
    gridded_future: int = 0  # channels of future covariates that do

    def cut(self, sample: Sample, rows: slice, columns: slice) -> Sample:
        """Frames, covariates on the grid and static covariates of components, all cut at one place.

        What holds for the whole grid stays, and weights of a sample do too.
        """
        channels = self.shape[0]
        gridded = {
            "past_target": channels,
            "future_target": channels,
            "past_covariates": self.gridded_past,
            "historic_future_covariates": self.gridded_future,
            "future_covariates": self.gridded_future,
        }
        parts: dict[str, Any] = {
            name: self.part(values, n, rows, columns)
            for name, n in gridded.items()
            if (values := getattr(sample, name)) is not None
        }
        static = sample.static_covariates  # (..., 1 or component, covariate)
        if static is not None and static.shape[-2] > 1:
            last = static.swapaxes(-1, -2)
            parts["static_covariates"] = self.part(last, channels, rows, columns).swapaxes(-1, -2)
        return sample.replace(**parts)

    def part(self, values: Values, gridded: int, rows: slice, columns: slice) -> Values:
        """(..., component) with the first ``gridded`` channels cut, and the numbers behind them.

        >>> Layout(shape=(1, 2, 3)).part(np.array([0, 1, 2, 3, 4, 5, -1]), 1, slice(0, 2), slice(1, 3))
        array([ 1,  2,  4,  5, -1])
        """
        lead, grid = values.shape[:-1], self.shape[1:]
        cells = gridded * math.prod(grid)
        frames = values[..., :cells].reshape(*lead, gridded, *grid)
        cut = frames[..., rows, columns].reshape(*lead, -1)
        join: Any = torch.cat if isinstance(values, Tensor) else np.concatenate
        return join([cut, values[..., cells:]], -1)
