"""Do forecast and truth leave the climatology in the same places?"""

import numpy as np
import xarray as xr

from darts_mim.metrics.block import Block, Counted
from darts_mim.metrics.metric import Metric
from darts_mim.metrics.statistic import PART


class AnomalyCorrelation(Metric):
    """Correlation of the anomalies of forecast and truth from a climatology, dimensionless.

    sum(f' o') / sqrt(sum(f'^2) sum(o'^2)) with f' = forecast - climatology: uncentred, all cells along
    ``dims`` in one sum. Weather centres often score frame by frame and average; so does
    ``acc(forecast, truth, dims=("y", "x")).mean()``.

    Args:
        climatology: What is normal, in the fields' units, on their dims or some of them. One that
            hangs on the time of day or year is laid out first on the times that were forecast, e.g.
            as the forecasts of :class:`darts_mim.Climatology`. Cells where it is NaN are left out.
        weights: How much a cell counts; see :class:`Metric`.

    Source:
        Wilks (2019), Statistical Methods in the Atmospheric Sciences, 4th ed., eq. 9.96; with
        weights, Rasp et al. (2024), WeatherBench 2, eq. 12.

    >>> normal = xr.DataArray([10.0, 20.0], dims="x")
    >>> truth, forecast = normal + [3.0, 4.0], normal + [4.0, 3.0]
    >>> AnomalyCorrelation(climatology=normal)(forecast, truth, dims="x").item()
    0.96
    """

    name = "acc"
    title = "Anomaly correlation"
    power = 0
    perfect = 1.0

    def __init__(self, *, climatology: xr.DataArray, weights: xr.DataArray | None = None) -> None:
        super().__init__(weights=weights)
        self.climatology = climatology

    def count(self, block: Block) -> Counted:
        """Products of the anomalies."""
        normal = block.beside(self.climatology, "The climatology's values")
        forecast, observed = block.near - normal, block.truth - normal
        cells = {"both": forecast * observed, "forecast": forecast**2, "observed": observed**2}
        return block.sums(cells, self.weights_on(block), seen=~np.isnan(observed))

    def final(self, mean: xr.DataArray) -> xr.DataArray:
        """Their ratio; NaN where one of the fields has no anomaly."""
        both, forecast, observed = (mean.sel({PART: name}, drop=True) for name in mean[PART].values)
        scale = (forecast * observed) ** 0.5
        return both / scale.where(scale > 0)
