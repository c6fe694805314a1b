import ast
from importlib.metadata import version
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import xarray as xr

import darts_mim.models
from darts_mim.models import _compat

FILES = sorted(Path(darts_mim.models.__file__).parent.glob("*.py"))


def imported_from(path):
    tree = ast.parse(path.read_text())
    return {node.module for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)}


@pytest.mark.parametrize("path", [path for path in FILES if path.name != "_compat.py"], ids=lambda p: p.name)
def test_darts_is_imported_through_compat_alone(path):
    assert not {name for name in imported_from(path) if name and name.split(".")[0] == "darts"}


def test_the_darts_that_is_installed_is_the_one_whose_inside_is_known():
    assert version("darts").startswith("0.48.")
    assert all(getattr(_compat, name) is not None for name in vars(_compat) if not name.startswith("_"))


@pytest.mark.parametrize("step", ["D", "2D", "W-MON"])
def test_steps_of_days_are_counted(tiny, step):
    """darts divides a time by pandas 3's days, which is an error there."""
    values = np.random.default_rng(0).random((40, 3, 4), dtype=np.float32)
    by_day, by_hour = (
        xr.DataArray(values, {"time": pd.date_range("2024-01-01", periods=40, freq=freq)}, ("time", "y", "x"))
        for freq in (step, "h")
    )
    came, wanted = (
        tiny().fit(series[:25]).historical_forecasts(series, forecast_horizon=2, start=series.time[25])
        for series in (by_day, by_hour)
    )
    np.testing.assert_array_equal(came.values, wanted.values)
    np.testing.assert_array_equal(came.init_time, by_day.time[24:38])
