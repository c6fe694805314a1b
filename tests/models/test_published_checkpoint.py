"""A published checkpoint, all the way into darts."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
import xarray as xr

from darts_mim import GridMismatchError, MIMModel, mim_from_variables

GOLDEN = Path(__file__).parents[1] / "golden"
QUIET = {"enable_progress_bar": False, "enable_model_summary": False, "accelerator": "cpu"}


@pytest.fixture(scope="module", params=["plain", "layernorm"])
def published(request):
    """The network, and frames as a user has them: (time, y, x, channel)."""
    golden = np.load(GOLDEN / f"released_mim_{request.param}.npz")
    network = mim_from_variables({k[4:]: golden[k] for k in golden.files if k.startswith("var:")})
    times = pd.date_range("2024-01-01", periods=8, freq="6min")
    frames = xr.DataArray(golden["frames"][1], {"time": times}, ("time", "y", "x", "channel"))
    return network, frames


def test_forecast_is_the_published_programs(published):
    network, frames = published
    model = MIMModel.from_network(network, frames, 4, 4, pl_trainer_kwargs=QUIET)
    with torch.no_grad():
        observed = torch.from_numpy(frames.transpose("time", "channel", "y", "x").values)
        generated = network(observed[None, :4], horizon=4)[0, -4:]
    forecast = model.predict(4, frames[:4])
    assert forecast.dims == frames.dims
    np.testing.assert_allclose(forecast.transpose("time", "channel", "y", "x"), generated, atol=1e-6)


def test_it_saves_and_trains_on_like_any_model(published, tmp_path):
    network, frames = published
    model = MIMModel.from_network(network, frames, 4, 4, pl_trainer_kwargs=QUIET)
    model.save(str(tmp_path / "mim.pt"))
    before = model.predict(2, frames[:4])
    xr.testing.assert_identical(MIMModel.load(str(tmp_path / "mim.pt")).predict(2, frames[:4]), before)
    model.fit(frames, epochs=1)
    assert not model.predict(2, frames[:4]).equals(before)


def test_another_grid_is_an_error(published):
    network, frames = published
    with pytest.raises(GridMismatchError, match="the grid it was trained on"):
        MIMModel.from_network(network, frames[:, :4], 4, 4, pl_trainer_kwargs=QUIET)
