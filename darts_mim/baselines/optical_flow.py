"""What moves goes on moving: rain carried along the motion of the last frames."""

import io
import warnings
from collections.abc import Callable
from contextlib import redirect_stdout
from importlib import import_module
from typing import Any

import numpy as np

from darts_mim.baselines.base import Baseline, Past
from darts_mim.baselines.rows import Held, Rows
from darts_mim.grid.times import positive


class OpticalFlow(Baseline):
    """Semi-Lagrangian extrapolation of the last frame along its optical flow, by pysteps.

    Each channel moves on its own. Motion is found by Lucas and Kanade's method between the last frames, made
    dense by interpolation, and taken as steady over all leads. Rain does not grow or decay, and what enters
    from outside the grid is not known: those cells are ``fill``. The same holds behind cells that are never
    observed. Rain rates are often moved in their logarithm: put a ``GridScaler("log1p")`` in front, in a
    ``GridPipeline``.

    Args:
        frames: Last frames that the motion is read from, at least 2.
        fill: What a cell is forecast to be where the motion comes from outside the grid, in the units of the
            series: 0 is no rain.
        time_dim: Name of the time dim, if it cannot be told.
        spatial_dims: Names of rows and columns, if they cannot be told.
        channel_dim: Name of the channel dim, if it cannot be told.

    Raises:
        ImportError: From ``fit``, if pysteps or OpenCV is not installed: ``pip install 'darts-mim[radar]'``.

    Source:
        Lucas and Kanade (1981), Proc. 7th IJCAI, 674-679; Germann and Zawadzki (2002), Mon. Wea. Rev. 130,
        2859-2873; Pulkkinen et al. (2019), Geosci. Model Dev. 12, 4185-4219 (pysteps).

    >>> import pandas as pd, xarray as xr
    >>> time, y, x = pd.date_range("2024-01-01", periods=4, freq="5min"), np.arange(40), np.arange(50)
    >>> hill = [np.exp(-((y[:, None] - 20) ** 2 + (x - 15 - 2 * t) ** 2) / 30) for t in range(4)]
    >>> rain = xr.DataArray(hill, {"time": time, "y": y, "x": x})
    >>> forecast = OpticalFlow().fit(rain).predict(3)  # doctest: +SKIP
    >>> forecast.max("y").argmax("x").values  # doctest: +SKIP
    array([23, 25, 27])
    """

    def __init__(
        self,
        *,
        frames: int = 3,
        fill: float = 0.0,
        time_dim: str | None = None,
        spatial_dims: tuple[str, str] | None = None,
        channel_dim: str | None = None,
    ) -> None:
        super().__init__(time_dim=time_dim, spatial_dims=spatial_dims, channel_dim=channel_dim)
        self.frames = frames
        self.fill = fill

    def _learn(self, rows: Rows) -> None:
        if positive(self.frames, "frames") == 1:
            raise ValueError("frames=1 came; motion takes at least 2. Pass frames=2 or more.")
        if not np.isfinite(self.fill):
            raise ValueError(f"fill={self.fill} came; metrics want numbers. Pass one, e.g. fill=0.0.")
        _pysteps()

    @property
    def fitted_until_(self) -> None:
        """None: motion is that of the frames before each origin."""

    def _reads(self, past: Past) -> np.ndarray:
        return np.maximum(past.origins[:, None] - np.arange(self.frames)[::-1], -1)

    def _frames(self, past: Past, reads: np.ndarray, seen: Held) -> np.ndarray:
        motion, extrapolate = _pysteps()
        shape = self.grid_.shape
        forecasts = np.empty((len(reads), past.horizon, *shape))
        for origin, rows in enumerate(reads):
            last = seen[rows].astype(np.float64).reshape(len(rows), *shape)
            for channel in range(shape[0]):
                images = last[:, channel]
                with warnings.catch_warnings():  # of few tracked features it says so, and goes on
                    warnings.simplefilter("ignore", RuntimeWarning)
                    velocity = motion(np.ma.masked_invalid(images), verbose=False)
                forecasts[origin, :, channel] = extrapolate(
                    images[-1], velocity, past.horizon, allow_nonfinite_values=True
                )
        forecasts = forecasts.reshape(len(reads), past.horizon, -1)
        return np.where(np.isfinite(forecasts), forecasts, self.fill)


def _pysteps() -> tuple[Callable[..., Any], Callable[..., Any]]:
    """Lucas and Kanade's motion, and extrapolation along it."""
    try:
        with redirect_stdout(io.StringIO()):  # it says where it found its configuration
            motion = import_module("pysteps.motion.lucaskanade")
            extrapolation = import_module("pysteps.extrapolation.semilagrangian")
            import_module("cv2")
    except ImportError as missing:
        raise ImportError(
            f"OpticalFlow needs {missing.name}, which is not installed. Install what it takes: "
            f"pip install 'darts-mim[radar]'"
        ) from missing
    return motion.dense_lucaskanade, extrapolation.extrapolate
