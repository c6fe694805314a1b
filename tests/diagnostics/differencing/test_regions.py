import numpy as np
import pandas as pd
import pytest
import xarray as xr

from darts_mim.diagnostics.differencing import regions
from darts_mim.grid.grid import Grid


def flow(n=30, seed=0):
    values = np.random.default_rng(seed).normal(size=(n, 2, 5, 7))
    values[3, 0, 1, 2] = np.nan
    values[:, 1, 4, 6] = np.nan
    time = pd.date_range("2024", periods=n, freq="h")
    return xr.DataArray(values, {"time": time}, ("time", "channel", "y", "x"), attrs={"units": "cars"})


def found_in(series, cut=(2, 3)):
    grid = Grid.of(series)
    return regions.region_statistics(grid.canonical(series), grid, cut)


def test_moments_equal_those_of_each_region():
    series = flow()
    found = found_in(series)
    rows, columns = np.array_split(np.arange(5), 2), np.array_split(np.arange(7), 3)
    for i, r in enumerate(rows):
        for j, c in enumerate(columns):
            region = series.isel(y=r, x=c)
            at = {"region_row": i, "region_column": j}
            mean, deviation = found["region_mean"].isel(at), found["region_std"].isel(at)
            np.testing.assert_allclose(mean, region.mean(["y", "x"]), rtol=1e-12)
            np.testing.assert_allclose(deviation, region.std(["y", "x"]), rtol=1e-10)
    assert found["region_mean"].attrs["units"] == "cars"


def test_density_counts_each_third():
    series = flow()
    density = found_in(series)["region_density"]
    np.testing.assert_allclose(density.sum("value"), 1.0, rtol=1e-12)
    low, high = float(series.min()), float(series.max())
    edges = np.linspace(low, high, regions.BINS + 1)
    values = series.isel(time=slice(10, 20), channel=0, y=slice(0, 3), x=slice(0, 3)).values.ravel()
    wanted = np.histogram(values[np.isfinite(values)], edges)[0] / np.isfinite(values).sum()
    np.testing.assert_allclose(density.isel(part=1, channel=0, region_row=0, region_column=0), wanted)


def test_some_frames_at_a_time_is_the_same(monkeypatch):
    whole = found_in(flow())
    monkeypatch.setattr(regions, "BLOCK", 7 * 70)
    xr.testing.assert_allclose(found_in(flow().chunk(time=4)), whole, rtol=1e-12)


def test_a_region_never_seen_is_nan_and_a_constant_one_has_a_density():
    series = flow().where(flow()["x"] > 2)
    found = found_in(series)
    assert found["region_mean"].isel(region_column=0).isnull().all()
    assert found["region_density"].isel(region_column=0).isnull().all()
    still = found_in(xr.ones_like(flow()))
    np.testing.assert_allclose(still["region_density"].sum("value"), 1.0)
    assert (still["region_std"] == 0).all()


def test_more_regions_than_rows_are_as_many_as_rows():
    assert found_in(flow(), (9, 1)).sizes["region_row"] == 5
    with pytest.raises(ValueError, match="regions=0 came"):
        found_in(flow(), (0, 1))
