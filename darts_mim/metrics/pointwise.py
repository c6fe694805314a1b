"""Errors counted cell by cell. Sum first, divide last: windows pool exactly, in any chunks.

>>> truth = xr.DataArray([[1.0, 2.0], [3.0, 4.0]], dims=("time", "x"))
>>> windows = [truth[:1], truth[1:]]
>>> total = sum_statistics(rmse.statistic(2 * w, w, dims=("time", "x")) for w in windows)
>>> rmse.score(total).item() == rmse(2 * truth, truth, dims=("time", "x")).item()
True
"""

from collections.abc import Hashable

import numpy as np
import xarray as xr

from darts_mim.metrics.metric import Metric as Metric
from darts_mim.metrics.statistic import Statistic as Statistic
from darts_mim.metrics.statistic import sum_statistics as sum_statistics


class MeanSquaredError(Metric):
    """Mean squared error, in the fields' units squared.

    >>> truth = xr.DataArray([1.0, 2.0, float("nan")], dims="x", attrs={"units": "mm"})
    >>> mse(truth + 2, truth, dims="x").item()
    4.0
    """

    name = "mse"
    title = "Mean squared error"
    power = 2
    is_mean_loss = True

    def cell(self, forecast: np.ndarray, observed: np.ndarray) -> np.ndarray:
        """Squared error."""
        return (forecast - observed) ** 2

    @property
    def counts_as(self) -> Hashable:
        """All that are made of the mean squared error."""
        return type(self).cell, type(self).count, id(self.weights)


class RootMeanSquaredError(MeanSquaredError):
    """Root of the mean squared error, in the fields' units; the root is taken after pooling.

    >>> truth = xr.DataArray([0.0, 0.0], dims="x")
    >>> rmse(xr.DataArray([1.0, 7.0], dims="x"), truth, dims="x").item()
    5.0
    """

    name = "rmse"
    title = "Root mean squared error"
    power = 1
    is_mean_loss = False

    def final(self, mean: xr.DataArray) -> xr.DataArray:
        """Root."""
        return mean**0.5


class MeanAbsoluteError(Metric):
    """Mean absolute error, in the fields' units.

    >>> truth = xr.DataArray([0.0, 0.0], dims="x")
    >>> mae(xr.DataArray([1.0, -7.0], dims="x"), truth, dims="x").item()
    4.0
    """

    name = "mae"
    title = "Mean absolute error"
    is_mean_loss = True

    def cell(self, forecast: np.ndarray, observed: np.ndarray) -> np.ndarray:
        """Absolute error."""
        return abs(forecast - observed)


class Bias(Metric):
    """Mean of forecast minus truth, in the fields' units; positive: too much is forecast.

    >>> truth = xr.DataArray([0.0, 0.0], dims="x")
    >>> bias(xr.DataArray([1.0, -7.0], dims="x"), truth, dims="x").item()
    -3.0
    """

    name = "bias"
    title = "Bias"

    def cell(self, forecast: np.ndarray, observed: np.ndarray) -> np.ndarray:
        """Forecast minus truth."""
        return forecast - observed


mse = MeanSquaredError()
rmse = RootMeanSquaredError()
mae = MeanAbsoluteError()
bias = Bias()
