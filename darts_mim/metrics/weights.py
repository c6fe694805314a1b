"""How much a cell counts: on a grid of degrees, cells near the poles are small."""

import numpy as np
import xarray as xr


def latitude_weights(latitude: xr.DataArray) -> xr.DataArray:
    """Weights in proportion to a cell's area on a grid regular in degrees: cos(latitude).

    A metric with weights divides by their sum over the cells that were observed, so that their
    scale does not matter.

    Args:
        latitude: Degrees north, on one spatial dim or two.

    Returns:
        Dimensionless, on the dims and coordinates of ``latitude``; 0 at the poles.

    Raises:
        ValueError: If some are beyond 90 degrees.

    Source:
        Rasp et al. (2024), WeatherBench 2, J. Adv. Model. Earth Syst. 16, e2023MS004019, eq. 1,
        for cells of equal height.

    >>> field = xr.DataArray([[0.0], [2.0]], {"lat": [0.0, 60.0]}, ("lat", "lon"))
    >>> latitude_weights(field.lat).round(3).values.tolist()
    [1.0, 0.5]
    """
    if not bool((abs(latitude) <= 90).all()):
        raise ValueError(
            f"Latitudes run from {float(latitude.min()):g} to {float(latitude.max()):g}; wanted are degrees "
            f"north, from -90 to 90. Pass the latitude coordinate, e.g. field['lat']."
        )
    # cos(90 degrees) is a little off zero in floating point, and below it beyond.
    weights = np.cos(np.deg2rad(latitude.values.astype(float))).clip(min=0)
    attrs = {"long_name": "Weight in proportion to area", "units": "1"}
    return xr.DataArray(weights, latitude.coords, latitude.dims, "weights", attrs)
