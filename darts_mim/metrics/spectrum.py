"""At which wavelengths has a forecast too little power? A blurred one has none at the short ones."""

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import numpy as np
import xarray as xr
from scipy import fft

from darts_mim.metrics.frames import FieldMetric
from darts_mim.metrics.metric import with_numbers
from darts_mim.metrics.statistic import PART

FIELDS = ["forecast", "observed"]


class PowerSpectrumRatio(FieldMetric):
    """Power of the forecast over power of the truth, by wavelength; dimensionless, 1 is right.

    The power of a field is |FFT|^2 / cells, averaged over rings of equal wavelength: ring k holds what
    rounds to k waves on the longer side of the grid. The score has a dim ``wavelength``, in cells,
    from the longer side down to 2. Spectra of all fields are averaged before dividing; the
    spectra themselves are ``statistic.value / statistic.weight``, along ``part``.

    A field counts if all its cells were observed. No window is laid over the edges, whose jump from one
    side to the other leaks power to short wavelengths, in forecast and truth alike.

    Source:
        Ruzanski and Chandrasekar (2011), IEEE Trans. Geosci. Remote Sens. 49, 627-642; Sinclair and
        Pegram (2005), Atmos. Sci. Lett. 6, 154-159.

    >>> truth = xr.DataArray(np.random.default_rng(0).random((6, 8)), dims=("y", "x"))
    >>> PowerSpectrumRatio()(0.5 * truth, truth, dims=("y", "x")).round(6).to_series().to_dict()
    {8.0: 0.25, 4.0: 0.25, 2.6666666666666665: 0.25, 2.0: 0.25}
    """

    name = "power_spectrum_ratio"
    title = "Power of the forecast over that of the truth"
    power: ClassVar[int] = 0
    perfect = 1.0

    def fields(
        self, forecast: np.ndarray, observed: np.ndarray, seen: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray]:
        """Both spectra, of whole fields."""
        waves, times = _frequencies(observed.shape[1:])
        rings = _rings(observed.shape[1:])
        within = (np.rint(waves * max(observed.shape[1:])) == rings[:, None, None]) * times
        mean = (within / within.sum((1, 2), keepdims=True)).reshape(len(rings), -1)
        counted = np.asarray(seen.all((1, 2)))
        return _power(forecast, observed, counted) @ mean.T, counted

    def extra(self, shape: tuple[int, int]) -> Mapping[str, Sequence[Any] | np.ndarray]:
        """Whose spectrum, and the wavelengths."""
        return {PART: FIELDS, "wavelength": max(shape) / _rings(shape)}

    def final(self, mean: xr.DataArray) -> xr.DataArray:
        """NaN where the truth has no power."""
        return _ratio(mean)


class PowerRatio(FieldMetric):
    """Power of the forecast over power of the truth at short wavelengths, as one number; 1 is right.

    Summed over all waves no longer than ``wavelength``. Below 1, the forecast is blurred; above,
    noisy. Fields, edges and masks are as in :class:`PowerSpectrumRatio`.

    Args:
        wavelength: The longest that counts, in cells, from 2 up.
        spatial_dims: Names of rows and columns; see :class:`FieldMetric`.

    Source:
        As :class:`PowerSpectrumRatio`.

    >>> truth = xr.DataArray(np.random.default_rng(0).random((6, 8)), dims=("y", "x"))
    >>> blurred = (truth + truth.roll(x=1)) / 2
    >>> bool(PowerRatio(wavelength=3)(blurred, truth, dims=("y", "x")) < 0.5)
    True
    """

    name = "power_ratio"
    title = "Power over that of the truth"
    power: ClassVar[int] = 0
    perfect = 1.0

    def __init__(self, *, wavelength: float, spatial_dims: tuple[str, str] | None = None) -> None:
        super().__init__(spatial_dims=spatial_dims)
        if not wavelength >= 2:
            raise ValueError(
                f"wavelength={wavelength}; a grid shows none shorter than 2 cells. Pass 2 or more."
            )
        self.wavelength = float(wavelength)
        self.name = with_numbers("power_ratio", self.wavelength)
        self.title = f"Power over that of the truth, waves to {self.wavelength:g} cells"

    def fields(
        self, forecast: np.ndarray, observed: np.ndarray, seen: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray]:
        """Both powers, of whole fields."""
        waves, times = _frequencies(observed.shape[1:])
        short = (waves * self.wavelength >= 1 - 1e-9) * times
        counted = np.asarray(seen.all((1, 2)))
        return _power(forecast, observed, counted) @ short.ravel().astype(float), counted

    def extra(self, shape: tuple[int, int]) -> Mapping[str, Sequence[Any] | np.ndarray]:
        """Whose power."""
        return {PART: FIELDS}

    def final(self, mean: xr.DataArray) -> xr.DataArray:
        """NaN where the truth has no power."""
        return _ratio(mean)


def _power(forecast: np.ndarray, observed: np.ndarray, counted: np.ndarray) -> np.ndarray:
    """(field, part, wave): squared amplitudes; 0 of fields that do not count."""
    both = np.stack([forecast, observed], axis=1) * counted[:, None, None, None]
    amplitude: Any = fft.rfft2(both)
    power = amplitude.real**2 + amplitude.imag**2
    return power.reshape(*both.shape[:2], -1) / (both.shape[-2] * both.shape[-1])


def _frequencies(shape: tuple[int, ...]) -> tuple[np.ndarray, np.ndarray]:
    """Waves per cell, in any direction, and how often a field has each: once, or again mirrored."""
    rows, columns = fft.fftfreq(shape[0]), fft.rfftfreq(shape[1])
    return np.hypot(rows[:, None], columns), 1 + ((columns > 0) & (columns < 0.5))


def _rings(shape: tuple[int, ...]) -> np.ndarray:
    """The rings that are asked for, in waves on the longer side."""
    return np.arange(1, max(shape) // 2 + 1)


def _ratio(mean: xr.DataArray) -> xr.DataArray:
    forecast, observed = (mean.sel({PART: name}, drop=True) for name in FIELDS)
    return forecast / observed.where(observed > 0)
