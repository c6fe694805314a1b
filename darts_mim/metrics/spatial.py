"""Was the event forecast near enough? Fractions of events in a neighbourhood."""

from collections.abc import Mapping
from typing import ClassVar

import numpy as np
import xarray as xr
from scipy.ndimage import uniform_filter

from darts_mim.metrics.frames import FieldMetric
from darts_mim.metrics.metric import with_numbers
from darts_mim.metrics.statistic import PART


class FractionsSkillScore(FieldMetric):
    """Fractions skill score at a threshold and a scale, in [0, 1].

    1 - sum (F - O)^2 / (sum F^2 + sum O^2), where F and O are the shares of events in the ``scale`` x
    ``scale`` cells around each cell. What lies outside the grid, and what was not observed, holds no
    event, and no neighbourhood is centred there. Sums run over all fields before dividing, so that
    fields without an event do not count. It grows with the scale: to 1 where as many events are
    forecast as seen, else to less.

    Args:
        threshold: An event is ``field >= threshold``, in the fields' units.
        scale: Side of the neighbourhood, in cells, odd; 1 compares cell by cell.
        spatial_dims: Names of rows and columns; see :class:`FieldMetric`.

    Raises:
        ValueError: If the scale is not odd and positive.

    Source:
        Roberts and Lean (2008), Mon. Wea. Rev. 136, 78-97, eqs. 2-7.

    >>> rain = xr.DataArray(np.eye(4, 5), dims=("y", "x"))
    >>> aside = rain.roll(x=1)
    >>> for scale in (1, 3):
    ...     FractionsSkillScore(threshold=1, scale=scale)(aside, rain, dims=("y", "x")).round(2).item()
    0.0
    0.86
    """

    name = "fss"
    title = "Fractions skill score"
    power: ClassVar[int] = 0
    perfect = 1.0
    as_float64 = False  # a threshold of 0.7 is met by float32's 0.7, which is less

    def __init__(self, *, threshold: float, scale: int, spatial_dims: tuple[str, str] | None = None) -> None:
        super().__init__(spatial_dims=spatial_dims)
        if scale != int(scale) or scale < 1 or scale % 2 == 0:
            raise ValueError(
                f"scale={scale} has no cell at its centre. Pass an odd number of cells: 1, 3, 5, ..."
            )
        self.threshold, self.scale = float(threshold), int(scale)
        self.name = with_numbers("fss", self.threshold, self.scale)
        self.title = f"Fractions skill score, at least {self.threshold:g} in {self.scale} cells"

    def fields(
        self, forecast: np.ndarray, observed: np.ndarray, seen: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray]:
        """Squared difference of the fractions, and the most it can be."""
        near, truth = (
            uniform_filter(
                ((field >= self.threshold) & seen).astype(float),
                self.scale,
                axes=(1, 2),
                mode="constant",
            )
            for field in (forecast, observed)
        )
        value = [(terms * seen).sum((1, 2)) for terms in ((near - truth) ** 2, near**2 + truth**2)]
        return np.stack(value, axis=1), seen.sum((1, 2))

    def extra(self, shape: tuple[int, int]) -> Mapping[str, list[str]]:
        """Two sums."""
        return {PART: ["difference", "most"]}

    def final(self, mean: xr.DataArray) -> xr.DataArray:
        """NaN where neither field has an event."""
        most = mean.sel({PART: "most"}, drop=True)
        return 1 - mean.sel({PART: "difference"}, drop=True) / most.where(most > 0)
