"""Errors against the truth's own mean, so that cities of different size can be compared."""

import numpy as np
import xarray as xr

from darts_mim.metrics.metric import Metric
from darts_mim.metrics.statistic import PART


class NormalisedRootMeanSquaredError(Metric):
    """Root mean squared error over the truth's mean, dimensionless.

    Of the ways to normalise, this is the one of city traffic. The truth's range would hang on two
    cells, and does not pool. It means nothing for fields whose mean is near 0, such as anomalies.

    Source:
        Zhang and Patras (2018), MobiHoc, 231-240, sec. 5.

    >>> truth = xr.DataArray([10.0, 30.0], dims="x")
    >>> nrmse(truth + 5, truth, dims="x").item()
    0.25
    """

    name = "nrmse"
    title = "Root mean squared error over the mean"
    power = 0

    def cell(self, forecast: np.ndarray, observed: np.ndarray) -> dict[str, np.ndarray]:
        """Squared error, and the truth."""
        return {"error": (forecast - observed) ** 2, "truth": observed}

    def final(self, mean: xr.DataArray) -> xr.DataArray:
        """Root of the first over the second."""
        return _over_truth(mean.sel({PART: "error"}, drop=True) ** 0.5, mean)


class NormalisedMeanAbsoluteError(Metric):
    """Mean absolute error over the truth's mean, dimensionless.

    For counts it is the sum of absolute errors over the sum of counts, also called WAPE. Unlike
    the mean absolute percentage error, it is whole where a cell is 0.

    Source:
        Hyndman and Koehler (2006), Int. J. Forecast. 22, 679-688, sec. 2 (MAE/mean).

    >>> truth = xr.DataArray([0.0, 40.0], dims="x")
    >>> nmae(truth + 5, truth, dims="x").item()
    0.25
    """

    name = "nmae"
    title = "Mean absolute error over the mean"
    power = 0

    def cell(self, forecast: np.ndarray, observed: np.ndarray) -> dict[str, np.ndarray]:
        """Absolute error, and the truth."""
        return {"error": abs(forecast - observed), "truth": observed}

    def final(self, mean: xr.DataArray) -> xr.DataArray:
        """The first over the second."""
        return _over_truth(mean.sel({PART: "error"}, drop=True), mean)


def _over_truth(error: xr.DataArray, mean: xr.DataArray) -> xr.DataArray:
    truth = mean.sel({PART: "truth"}, drop=True)
    return error / truth.where(truth != 0)


nrmse = NormalisedRootMeanSquaredError()
nmae = NormalisedMeanAbsoluteError()
