import numpy as np
import pytest
import sklearn.metrics
import xarray as xr
from metrics.fields import DIMS, field, gappy

from darts_mim.errors import GridMismatchError
from darts_mim.metrics import MeanAbsoluteError, MeanSquaredError, latitude_weights, mse


def test_weights_are_in_proportion_to_the_area():
    edges = np.linspace(-90, 90, 19)
    centres = xr.DataArray((edges[1:] + edges[:-1]) / 2, dims="lat")
    area = np.diff(np.sin(np.deg2rad(edges)))
    weights = latitude_weights(centres)
    np.testing.assert_allclose(weights / weights.sum(), area / area.sum(), rtol=1e-12)
    assert weights.dims == ("lat",) and latitude_weights(xr.DataArray(90.0)) >= 0


@pytest.mark.parametrize("lazy", [False, True])
def test_weighted_errors_equal_scikit_learn(lazy):
    forecast, truth = field(0), gappy()
    weights = latitude_weights(truth.y)
    seen = truth.notnull().values
    spread = weights.broadcast_like(truth).transpose(*DIMS).values[seen]
    pairs = {
        MeanSquaredError: sklearn.metrics.mean_squared_error,
        MeanAbsoluteError: sklearn.metrics.mean_absolute_error,
    }
    for metric, oracle in pairs.items():
        expected = oracle(truth.values[seen], forecast.values[seen], sample_weight=spread)
        fields = (forecast.chunk(init_time=1, y=5), truth.chunk(y=4)) if lazy else (forecast, truth)
        np.testing.assert_allclose(metric(weights=weights)(*fields, dims=DIMS), expected, rtol=1e-12)


def test_without_weights_all_cells_count_the_same():
    ones = MeanSquaredError(weights=xr.ones_like(field(0).y))
    np.testing.assert_allclose(
        ones(field(0), gappy(), dims=DIMS), mse(field(0), gappy(), dims=DIMS), rtol=1e-12
    )


def test_weights_on_another_grid_are_an_error():
    weights = latitude_weights(field(0).y)
    with pytest.raises(GridMismatchError, match="labels along y"):
        MeanSquaredError(weights=weights[:5])(field(0), field(1), dims=DIMS)
    with pytest.raises(GridMismatchError, match="dim lat"):
        MeanSquaredError(weights=weights.rename(y="lat"))(field(0), field(1), dims=DIMS)


def test_latitudes_are_degrees():
    with pytest.raises(ValueError, match="from -90 to 90"):
        latitude_weights(xr.DataArray([0.0, 5e5], dims="y"))
    with pytest.raises(ValueError, match="from -90 to 90"):
        latitude_weights(xr.DataArray([0.0, np.nan], dims="y"))
