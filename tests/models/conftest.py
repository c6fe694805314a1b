"""Small grids and small networks that the tests of the models share."""

import numpy as np
import pandas as pd
import pytest
import xarray as xr

from darts_mim.models.mim import MIMModel

QUIET = {
    "enable_progress_bar": False,
    "enable_model_summary": False,
    "accelerator": "cpu",
    "logger": False,
    "enable_checkpointing": False,
}


def make_frames(
    n=40, channels=2, height=5, width=4, *, seed=0, freq="h", start="2024-01-01", dtype="float32"
):
    """Noise around a wave that runs over the grid, between 0 and 1."""
    t, c, i, j = np.ogrid[:n, :channels, :height, :width]
    wave = 0.5 + 0.3 * np.sin(2 * np.pi * (t / 8 + c / 3 + i / 5 - j / 7))
    noise = np.random.default_rng(seed).uniform(-0.2, 0.2, wave.shape)
    return xr.DataArray(
        (wave + noise).astype(dtype),
        dims=("time", "channel", "lat", "lon"),
        coords={
            "time": pd.date_range(start, periods=n, freq=freq),
            "channel": [f"flow_{k}" for k in range(channels)],
            "lat": 50.0 - np.arange(height),
            "lon": 4.0 + np.arange(width),
        },
        name="flow",
        attrs={"units": "vehicles"},
    )


def make_model(input_chunk_length=4, output_chunk_length=2, **kwargs):
    """The smallest MIM there is."""
    small = {"hidden": 4, "layers": 2, "kernel_size": 3, "n_epochs": 1, "random_state": 0}
    trainer = QUIET | kwargs.pop("pl_trainer_kwargs", {})
    return MIMModel(input_chunk_length, output_chunk_length, **(small | kwargs), pl_trainer_kwargs=trainer)


@pytest.fixture(scope="session")
def frames():
    return make_frames


@pytest.fixture(scope="session")
def tiny():
    return make_model


@pytest.fixture(scope="session")
def series():
    return make_frames()


@pytest.fixture(scope="session")
def fitted(series):
    """Fitted on ``series``; tests leave it as it is."""
    return make_model().fit(series)


@pytest.fixture(scope="session")
def masked():
    """Two cells are never observed: one in both channels, one in the first."""
    array = make_frames(seed=3)
    array[:, :, 1, 2] = np.nan
    array[:, 0, 4, 0] = np.nan
    return array
