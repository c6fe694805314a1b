"""Input gradients, held against finite differences of the network in float64."""

import copy

import numpy as np
import pytest
import torch
from models.conftest import make_frames, make_model
from sklearn.exceptions import NotFittedError

from darts_mim.diagnostics.gates.sensitivity import input_gradient
from darts_mim.grid.scaling import GridScaler
from darts_mim.models._compat import QuantileRegression
from darts_mim.pipeline import GridPipeline

GRID = {"height": 3, "width": 2}


def by_differences(network, series, lead, pick, eps=1e-4):
    """Mean absolute slope of ``pick(forecast)`` over all windows of 3 frames, cell by cell."""
    network = copy.deepcopy(network).double()
    origins = series.sizes["time"] - 2 - lead
    windows = torch.from_numpy(np.stack([series.values[n : n + 3] for n in range(origins)])).double()
    network.convolution = "direct"
    cells = windows[0].numel()
    nudges = eps * torch.eye(cells, dtype=torch.float64).reshape(cells, *windows.shape[1:])
    values = []
    for side in (1, -1):
        moved = (windows[:, None] + side * nudges).flatten(0, 1)
        with torch.no_grad():
            values.append(pick(network(moved, lead)[:, -1]).reshape(origins, cells))
    slopes = ((values[0] - values[1]) / (2 * eps)).abs().mean(dim=0).reshape(windows.shape[1:])
    return slopes


@pytest.mark.parametrize(
    ("asked", "pick", "convolution"),
    [
        ({"cell": (2, 1), "channel": "flow_1"}, lambda frame: frame[:, 1, 2, 1], "winograd"),
        ({"cell": (0, 1)}, lambda frame: frame[:, :, 0, 1].sum(dim=1), "direct"),
        ({}, lambda frame: frame.sum(dim=(1, 2, 3)), "direct"),
    ],
)
def test_equals_finite_differences(asked, pick, convolution):
    series = make_frames(12, **GRID)
    model = make_model(3, 2, convolution=convolution).fit(series)
    found = input_gradient(model, series, lead=2, windows=100, **asked)
    expected = by_differences(model.model.network, series, 2, pick)
    np.testing.assert_allclose(found, expected, rtol=1e-3, atol=1e-6)  # float32 against float64
    assert found.dims == ("input_step", "channel", "lat", "lon")
    assert found["input_step"].values.tolist() == [-2, -1, 0]
    assert found["lat"].equals(series["lat"]) and found.attrs["windows"] == 8
    assert model.model.network.convolution == convolution


def test_windows_are_spread_over_the_series():
    series = make_frames(40, **GRID)
    model = make_model(3, 2).fit(series)
    some = input_gradient(model, series, lead=1, windows=5)
    assert some.attrs["windows"] == 5
    assert not np.allclose(some, input_gradient(model, series[:10], lead=1, windows=5))


def test_under_a_likelihood_it_is_the_centres():
    series = make_frames(12, **GRID)
    model = make_model(3, 2, likelihood=QuantileRegression([0.1, 0.5, 0.9])).fit(series)
    network = model.model.network
    found = input_gradient(model, series, lead=1, cell=(1, 0), channel="flow_0", windows=100)
    network.feedback = None  # bound to the module; one frame ahead feeds nothing back
    expected = by_differences(network, series, 1, lambda frame: frame[:, 0, 1, 0, 1])
    np.testing.assert_allclose(found, expected, rtol=1e-3, atol=1e-6)


def test_a_mask_and_a_pipeline():
    series = 50 * make_frames(20, **GRID)
    series[:, :, 0, 1] = np.nan
    pipeline = GridPipeline([("scale", GridScaler()), ("mim", make_model(3, 2))]).fit(series)
    found = input_gradient(pipeline, series, lead=1)
    assert np.isnan(found[:, :, 0, 1]).all() and int(found.isnull().sum()) == 6
    alone = input_gradient(pipeline["mim"], pipeline["scale"].transform(series), lead=1)
    assert found.identical(alone)
    with pytest.raises(ValueError, match=r"cell \(0, 1\) is never observed"):
        input_gradient(pipeline, series, lead=1, cell=(0, 1))


@pytest.mark.parametrize(
    ("asked", "message"),
    [
        ({"lead": 0}, "lead is 0; .* Use 1 or more"),
        ({"lead": 1, "cell": (3, 0)}, r"no cell \(3, 0\): the grid has 3 x 2"),
        ({"lead": 1, "channel": "rain"}, "no channel 'rain'. Choose from"),
        ({"lead": 1, "windows": 0}, "windows=0 came"),
    ],
)
def test_what_is_not_there_is_an_error(asked, message):
    series = make_frames(12, **GRID)
    with pytest.raises(ValueError, match=message):
        input_gradient(make_model(3, 2).fit(series), series, **asked)


def test_before_fit_is_an_error():
    with pytest.raises(NotFittedError, match="Call fit"):
        input_gradient(make_model(), make_frames(20), lead=1)
