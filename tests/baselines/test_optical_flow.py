import sys

import numpy as np
import pandas as pd
import pytest
import xarray as xr
from baselines.series import flow, needs_pysteps

from darts_mim.baselines import OpticalFlow, Persistence


def rain(frames=8, speed=(1, 2), dtype=np.float64):
    """A field of showers that moves as a whole, by ``speed`` cells a step; and its mirror image."""
    y, x = np.mgrid[0:60, 0:80].astype(float)
    rng = np.random.default_rng(3)
    centres = rng.uniform(-20, 80, (40, 2))
    heights = rng.uniform(2, 12, 40)
    fields = [
        sum(
            height * np.exp(-((y - cy - speed[0] * t) ** 2 + (x - cx - speed[1] * t) ** 2) / 25)
            for height, (cy, cx) in zip(heights, centres, strict=True)
        )
        for t in range(frames)
    ]
    values = np.stack([fields, np.flip(fields, axis=2)], axis=1).astype(dtype)
    time = pd.date_range("2024-06-01", periods=frames, freq="5min")
    return xr.DataArray(values, {"time": time}, ("time", "channel", "y", "x"), attrs={"units": "mm/h"})


@needs_pysteps
@pytest.mark.parametrize("dtype", [np.float64, np.float32])
def test_showers_move_on(dtype):
    series = rain(dtype=dtype)
    forecast = OpticalFlow().fit(series[:3]).predict(3, series[:5])
    inside = {"y": slice(10, 50), "x": slice(12, 68)}
    error = np.abs(forecast - series[5:]).isel(inside).mean()
    lazy = np.abs(Persistence().fit(series[:3]).predict(3, series[:5]) - series[5:]).isel(inside).mean()
    assert error < 0.1 * lazy
    assert forecast.dtype == dtype and forecast.attrs == series.attrs


@needs_pysteps
@pytest.mark.parametrize("fill", [0.0, -3.5])
def test_what_comes_from_outside_is_filled(fill):
    series = rain(speed=(0, 4))
    forecast = OpticalFlow(fill=fill).fit(series).predict(3)
    assert (forecast[2, 0, :, :8] == fill).all() and (forecast[2, 1, :, -8:] == fill).all()
    inside = forecast[2, :, 2:-2]  # a motion that is a little off reads beyond the last row
    assert (inside[0, :, 20:] != fill).all() and (inside[1, :, :-20] != fill).all()


@needs_pysteps
def test_without_rain_nothing_moves():
    series = xr.zeros_like(rain())
    np.testing.assert_array_equal(OpticalFlow(fill=9.0).fit(series).predict(2), 0)


@needs_pysteps
def test_behind_cells_that_are_never_observed_is_fill():
    series = rain()
    series[:, :, 20:30, 30:40] = np.nan
    forecast = OpticalFlow().fit(series).predict(4)
    assert forecast[:, :, 20:30, 30:40].isnull().all()
    forecast[:, :, 20:30, 30:40] = 1.0
    assert np.isfinite(forecast).all()
    assert (forecast[3, 0, 30:33, 42:46] == 0).all()  # one row and two columns a step from the block


@pytest.mark.parametrize("lacking", ["pysteps", "cv2"])
def test_without_pysteps_the_error_says_what_to_install(monkeypatch, lacking):
    monkeypatch.setitem(sys.modules, lacking, None)
    for name in [name for name in sys.modules if name.startswith("pysteps.")]:
        monkeypatch.delitem(sys.modules, name)
    with pytest.raises(ImportError, match=r"pip install 'darts-mim\[radar\]'"):
        OpticalFlow().fit(flow())


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"frames": 1}, "motion takes at least 2"),
        ({"frames": 2.5}, "whole number"),
        ({"fill": np.nan}, "numbers"),
    ],
)
def test_wrong_arguments(wrong, message):
    with pytest.raises(ValueError, match=message):
        OpticalFlow(**wrong).fit(flow())
