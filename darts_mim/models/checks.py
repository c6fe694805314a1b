"""What a model checks before it fits or forecasts: whole frames, at a scale it was made for."""

import warnings
from collections.abc import Sequence
from typing import Any

import numpy as np
import xarray as xr

from darts_mim.errors import GapError, NotScaledWarning, TooShortError
from darts_mim.grid.windows import WHOLE, row_kinds
from darts_mim.models._compat import SequentialTorchInferenceDataset, TimeSeries
from darts_mim.models.lazy_series import LazyTimeSeries, values_of

UNIT_SCALE = 10.0  # a root mean square beyond it is far from what a network is initialised for


def require_series(series: Any) -> None:
    """Check that a series came, or a list of at least one.

    Raises:
        TypeError: If something else did.
        ValueError: If the list is empty.
    """
    several: list[Any] = list(series) if isinstance(series, list | tuple) else [series]
    if not several:
        raise ValueError("An empty list came, where at least one series is wanted. Pass one.")
    for one in several:
        if not isinstance(one, xr.DataArray | xr.Dataset | TimeSeries):
            raise TypeError(
                f"A {type(one).__name__} came, where a DataArray, a Dataset, a darts TimeSeries or a list of "
                f"them is wanted. Give values their times, e.g. xr.DataArray(values, {{'time': times}}, "
                f"('time', 'y', 'x'))."
            )


def require_one_origin(series: TimeSeries, wanted: int, horizon: int) -> None:
    """Check that a series is long enough for one forecast of frames that it holds.

    Raises:
        TooShortError: If it is not.
    """
    if len(series) < wanted + horizon:
        raise TooShortError(
            f"The series has {len(series)} frames; one forecast within it takes {wanted + horizon} "
            f"(input_chunk_length {wanted} + forecast_horizon {horizon}). Pass a longer one."
        )


def require_whole_input(series: TimeSeries, wanted: int, masked: np.ndarray | None) -> None:
    """Check that the last ``wanted`` frames are there and hold no NaN but where the grid is masked.

    Raises:
        TooShortError: If there are fewer.
        GapError: If one is missing or holds NaN.
    """
    if len(series) < wanted:
        raise TooShortError(
            f"The series has {len(series)} frames; a forecast reads {wanted} (input_chunk_length). "
            f"Pass at least {wanted}."
        )
    kinds = row_kinds(values_of(series)[-wanted:], masked)
    if broken := [str(time) for time in series.time_index[-wanted:][kinds != WHOLE]]:
        raise GapError(
            f"{len(broken)} of the {wanted} frames to forecast from are missing or hold NaN, the first "
            f"at {broken[0]}. Fill them, e.g. .interpolate_na('time'), or end the series before them."
        )


def require_whole_covariates(dataset: SequentialTorchInferenceDataset) -> None:
    """Check that covariates are known over every frame that a forecast reads them for.

    Raises:
        GapError: If one is missing or NaN.
    """
    names = ("past_covariates", "historic_future_covariates", "future_covariates", "static_covariates")
    for index in range(len(dataset)):
        sample = dataset[index]
        for name in names:
            values = getattr(sample, name)
            if values is not None and not np.isfinite(values).all():
                raise GapError(
                    f"The {name} hold NaN, or miss a time, where the forecast needs them (frames of "
                    f"seasonal_lags are among the future ones). Fill them, e.g. .interpolate_na('time')."
                )


def warn_if_not_scaled(series: TimeSeries | Sequence[TimeSeries]) -> None:
    """Warn, at the line that called ``fit``, if the network would see values far from 1."""
    several = [series] if isinstance(series, TimeSeries) else series
    scale = max(_root_mean_square(_some_frames(one)) for one in several)
    if scale > UNIT_SCALE:
        warnings.warn(
            f"The series' root mean square is {scale:.4g}, and the network is made for values near 1. "
            f"Put a GridScaler before the model: GridPipeline([('scale', GridScaler()), ('model', ...)]), or "
            f"pass use_reversible_instance_norm=True to it.",
            NotScaledWarning,
            stacklevel=3,
        )


def _some_frames(series: TimeSeries) -> np.ndarray:
    """As many as tell the scale: a large series is not copied for it, nor read."""
    values = values_of(series)
    if not isinstance(series, LazyTimeSeries):
        return values[:: 1 + len(series) // 1000]
    return np.concatenate([values[row : row + 1] for row in np.linspace(0, len(series) - 1, 8, dtype=int)])


def _root_mean_square(values: np.ndarray) -> float:
    known = values[np.isfinite(values)]
    return float(np.sqrt(np.mean(np.square(known, dtype=np.float64)))) if known.size else 0.0
