"""New York taxi and bike flow, half hour by half hour."""

from pathlib import Path

import numpy as np
import xarray as xr
from zarr.storage import ZipStore

HERE = Path(__file__).parent


def nyc_taxi() -> xr.DataArray:
    """Taxis that enter and leave each cell of New York, every half hour of January to March 2016.

    Returns:
        (time 4320, channel 2, y 16, x 12), float32, vehicles per half hour, in memory. No gap; a blizzard
        stopped the city on 2016-01-23. The literature tests on what comes from step 3024 on.

    Source:
        NYC Taxi and Limousine Commission trip records, gridded by the authors of STSAN (MIT licence);
        ``darts_mim/datasets/README.md``.

    >>> flow = nyc_taxi()
    >>> dict(flow.sizes)
    {'time': 4320, 'channel': 2, 'y': 16, 'x': 12}
    """
    return _load("nyc_taxi.zarr.zip")


def nyc_bike() -> xr.DataArray:
    """Bikes taken to and from each cell of New York, every half hour of August to October 2016.

    Returns:
        (time 4320, channel 2, y 14, x 8), float32, bikes per half hour, in memory. No gap. The literature
        tests on what comes from step 3024 on.

    Source:
        Citi Bike trip histories, gridded by the authors of STSAN (MIT licence);
        ``darts_mim/datasets/README.md``.

    >>> float(nyc_bike().max())
    323.0
    """
    return _load("nyc_bike.zarr.zip")


def _load(name: str) -> xr.DataArray:
    with ZipStore(HERE / name, mode="r") as store:
        return xr.open_zarr(store, consolidated=False, chunks=None)["flow"].astype(np.float32).load()
