"""Where the origins of forecasts stand in time: equally spaced, but for those that are missing."""

from dataclasses import dataclass

import numpy as np
import xarray as xr


@dataclass(frozen=True, kw_only=True)
class Origins:
    """Places of the origins on a regular axis, and how far along it forecasts overlap.

    >>> times = np.array(["2024-01-01T00", "2024-01-01T06", "2024-01-01T18"], "M8[ns]")
    >>> Origins.of(xr.DataArray([1.0, 2.0, 3.0], {"init_time": times}, "init_time"), "init_time", horizon=4)
    Origins(places=array([0, 1, 3]), overlap=4)
    >>> every_third = xr.DataArray([1.0, 2.0, 3.0], {"init_time": [0, 3, 12]}, "init_time")
    >>> Origins.of(every_third, "init_time", horizon=4)
    Origins(places=array([0, 1, 4]), overlap=2)
    """

    places: np.ndarray  # (origin,) whole numbers from 0, increasing
    overlap: int  # places after which two forecasts have no frame in common; at least 1

    def __len__(self) -> int:
        return len(self.places)

    @classmethod
    def of(cls, losses: xr.DataArray, dim: str, *, horizon: int) -> "Origins":
        """Read them from the coordinate of ``dim``.

        Args:
            losses: With the coordinate: datetimes, whose greatest common step is the axis' step, or
                whole numbers, in the unit of ``horizon``. Without one, none is missing.
            dim: The dim of the origins.
            horizon: Frames forecast from each origin.

        Raises:
            ValueError: If the coordinate is neither, or is not increasing, or there are no origins, or
                ``horizon`` is below 1.
        """
        if horizon < 1:
            raise ValueError(f"horizon={horizon} came; it wants a whole number of at least 1.")
        given = losses[dim].values if dim in losses.coords else np.arange(losses.sizes[dim])
        if not len(given):
            raise ValueError(f"There are no origins along {dim!r}. Pass the losses of one at least.")
        if given.dtype.kind not in "iuMm":
            raise ValueError(
                f"The coordinate of {dim!r} is of type {given.dtype}; wanted are datetimes or whole numbers. "
                f"Number the origins in steps of the series, e.g. .assign_coords({dim}=[0, 1, 2, 5])."
            )
        apart = np.diff(given.astype("int64"))
        if (apart <= 0).any():
            position = int(np.flatnonzero(apart <= 0)[0])
            raise ValueError(
                f"The origins along {dim!r} are not in order, each once: {given[position]} comes before "
                f"{given[position + 1]}. Sort them, e.g. .sortby({dim!r}).drop_duplicates({dim!r})."
            )
        step = int(np.gcd.reduce(apart)) if len(apart) else 1
        places = np.concatenate([[0], np.cumsum(apart // step)])
        return cls(places=places, overlap=horizon if given.dtype.kind in "Mm" else -(-horizon // step))
