import numpy as np
import pandas as pd
import pytest

from darts_mim import datasets


@pytest.mark.parametrize(
    ("load", "shape", "maximum", "first"),
    [
        (datasets.nyc_taxi, (4320, 2, 16, 12), 1518, "2016-01-01"),
        (datasets.nyc_bike, (4320, 2, 14, 8), 323, "2016-08-01"),
    ],
)
def test_what_ships(load, shape, maximum, first):
    flow = load()
    assert flow.shape == shape
    assert flow.dims == ("time", "channel", "y", "x")
    assert flow.dtype == np.float32  # differences of unsigned integers would wrap around
    assert float(flow.max()) == maximum
    assert flow["channel"].values.tolist() == ["inflow", "outflow"]
    assert flow.indexes["time"].equals(pd.date_range(first, periods=4320, freq="30min"))
    assert flow.attrs["units"].endswith("per 30 min")
    assert not flow.isnull().any()


def test_the_blizzard_is_there():
    """On 2016-01-23 New York stood still."""
    daily = datasets.nyc_taxi().sum(["channel", "y", "x"]).resample(time="1D").sum()
    assert daily[:60].idxmin("time").dt.date == pd.Timestamp("2016-01-23").date()
