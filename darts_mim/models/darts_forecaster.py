"""Any darts model as a forecaster of grids."""

from collections.abc import Callable
from typing import Any, Self, cast

import numpy as np
import pandas as pd
import xarray as xr
from sklearn.base import BaseEstimator
from sklearn.exceptions import NotFittedError

from darts_mim.errors import GapError, TooShortError
from darts_mim.grid.grid import Grid
from darts_mim.grid.times import following, lead_times, origin_rows, positive, step_of, times_of
from darts_mim.grid.windows import WHOLE, fill_axis, row_kinds
from darts_mim.models._compat import GlobalForecastingModel, TimeSeries
from darts_mim.models.grid_model import GridForecastingModel

Gridded = xr.DataArray | xr.Dataset


class DartsForecaster(BaseEstimator):
    """A darts model that takes gridded series, one component a cell, and forecasts them in kind.

    ``MIMModel`` needs none of it. It is for the others, as rivals: in a backtest, which puts it around darts'
    models by itself, and as the last step of a ``GridPipeline``.

    A global model (regressions, networks) is fitted by ``fit`` and forecasts from any series; gaps are
    left out of its training, and it does not forecast from windows that touch one. A local model (naive
    ones, exponential smoothing, ARIMA) can only forecast from the end of what it was fitted on, so that it is
    fitted anew at each origin, on the frames up to it and back to the last gap; if it takes one component at
    a time, cell by cell. Cells that are NaN at all times in training are left out, and NaN in forecasts.

    Args:
        model: Any model of ``darts.models``, fitted or not.
        train_length: Frames that a local model is fitted on at each origin; None for all.
        time_dim: Name of the time dim, if it cannot be told.
        spatial_dims: Names of rows and columns, if they cannot be told.
        channel_dim: Name of the channel dim, if it cannot be told.

    Attributes:
        model_: The darts model that ``fit`` has fitted; ``model`` stays as it was.
        observed_: (component,), False where a cell is left out.
        fitted_until_: Time of the last training frame; None of a local model.

    >>> from darts.models import NaiveDrift
    >>> time = pd.date_range("2024-01-01", periods=4, freq="h")
    >>> level = xr.DataArray(np.arange(24.0).reshape(4, 2, 3), {"time": time}, ("time", "y", "x"))
    >>> DartsForecaster(NaiveDrift()).fit(level).predict(2).values[:, 0]
    array([[24., 25., 26.],
           [30., 31., 32.]])
    """

    model_: Any
    observed_: np.ndarray
    until_: pd.Timestamp

    def __init__(
        self,
        model: Any,
        *,
        train_length: int | None = None,
        time_dim: str | None = None,
        spatial_dims: tuple[str, str] | None = None,
        channel_dim: str | None = None,
    ) -> None:
        self.model = model
        self.train_length = train_length
        self.time_dim = time_dim
        self.spatial_dims = spatial_dims
        self.channel_dim = channel_dim

    @property
    def fits_at_every_origin(self) -> bool:
        """Whether it is a local model."""
        return not (
            isinstance(self.model, GlobalForecastingModel)
            and self.model.supports_transferable_series_prediction
        )

    @property
    def in_use(self) -> Any:
        """The darts model that forecasts."""
        return getattr(self, "model_", self.model)

    @property
    def supports_probabilistic_prediction(self) -> bool:
        """Whether forecasts may be samples."""
        return self.in_use.supports_probabilistic_prediction  # a network does not know before it is fitted

    @property
    def min_train_series_length(self) -> int:
        """Frames that it takes to fit."""
        return self.model.min_train_series_length

    @property
    def fitted_until_(self) -> pd.Timestamp | None:
        """Time of the last training frame; None of a local model, and where there is no training series."""
        if hasattr(self, "until_"):
            return self.until_
        series = None if self.fits_at_every_origin else getattr(self.model, "training_series", None)
        return None if series is None else series.end_time()

    def fit(self, series: Gridded) -> Self:
        """Fit a fresh copy of a global model; of a local one, learn the grid.

        Raises:
            GapError: If no stretch without a gap is long enough.
            TooShortError: If the series is too short.
        """
        grid = self._grid(series, with_mask=True)
        values, axis = fill_axis(grid.components(series), times_of(series, grid.time_dim))
        self.training_ = series
        self.observed_ = np.ones(grid.n_components, dtype=bool) if grid.mask is None else ~grid.mask.ravel()
        least = self.min_train_series_length
        if len(axis) < least:
            raise TooShortError(f"{self.model!r} is fitted on at least {least} frames, and {len(axis)} came.")
        if self.fits_at_every_origin:
            return self
        stretches = [rows for rows in self._stretches(values) if len(rows) >= least]
        if not stretches:
            raise GapError(
                f"{self.model!r} is fitted on at least {least} frames without a gap, and there are none in "
                f"{len(axis)}. Fill the gaps, e.g. .interpolate_na({grid.time_dim!r})."
            )
        whole = self._timeseries(values, axis)
        parts = [whole[int(rows[0]) : int(rows[-1]) + 1] for rows in stretches]
        self.model_ = self.model.untrained_model()
        self.model_.fit(parts[0] if len(parts) == 1 else parts)
        self.until_ = cast(pd.Timestamp, times_of(series, grid.time_dim)[-1])
        return self

    def predict(
        self, n: int, series: Gridded | None = None, *, num_samples: int = 1, random_state: int | None = None
    ) -> Gridded:
        """The ``n`` frames after ``series`` (default: after the training series), in kind.

        Raises:
            GapError: If a frame that is read is missing or holds NaN.
            TooShortError: If there are too few.
        """
        past = self._training_series() if series is None else series
        grid = self._grid(past)
        values, axis = fill_axis(grid.components(past), times_of(past, grid.time_dim))
        at, made = self._forecasts(
            values, axis, np.array([len(axis) - 1]), positive(n, "n"), num_samples, random_state
        )
        if not len(at):
            raise self._cannot(axis, len(axis) - 1)
        future = following(cast(pd.Timestamp, axis[-1]), step_of(axis), n)
        return grid.series(made[0] if num_samples > 1 else made[0, ..., 0], future)

    def historical_forecasts(
        self,
        series: Gridded,
        *,
        forecast_horizon: int,
        start: Any = None,
        stride: int = 1,
        num_samples: int = 1,
        random_state: int | None = None,
    ) -> Gridded:
        """Forecasts from every origin in ``series``; a global model is not fitted again.

        Returns:
            Dims ``(init_time, lead_time, ...)`` with the coordinate ``valid_time``. Origins that would read
            a missing time or NaN are left out.

        Raises:
            GapError: If no origin is left.
            TooShortError: If the series ends before one whole forecast.
        """
        grid = self._grid(series)
        values, axis = fill_axis(grid.components(series), times_of(series, grid.time_dim))
        origins = origin_rows(axis, start=start, horizon=forecast_horizon, stride=stride)
        at, made = self._forecasts(values, axis, origins, forecast_horizon, num_samples, random_state)
        if not len(at):
            raise self._cannot(axis, int(origins[-1]))
        valid = axis.values[at[:, None] + np.arange(1, forecast_horizon + 1)]
        return grid.forecasts(made, axis.values[at], lead_times(step_of(axis), forecast_horizon), valid)

    def __sklearn_clone__(self) -> Self:
        parameters = self.get_params(deep=False) | {"model": self.model.untrained_model()}
        return type(self)(**parameters)

    def __sklearn_is_fitted__(self) -> bool:
        return self.fits_at_every_origin or self.in_use._fit_called

    def _grid(self, series: Gridded, *, with_mask: bool = False) -> Grid:
        dims: dict[str, Any] = {
            name: getattr(self, name) for name in ("time_dim", "spatial_dims", "channel_dim")
        }
        return Grid.of(series, **dims, with_mask=with_mask)

    def _training_series(self) -> Gridded:
        if not hasattr(self, "training_"):
            raise NotFittedError(f"This {type(self).__name__} is not fitted yet. Call fit(series) first.")
        return self.training_

    def _stretches(self, values: np.ndarray) -> list[np.ndarray]:
        """Rows without a gap between them."""
        whole = np.flatnonzero(row_kinds(values, ~self._observed(values)) == WHOLE)
        return [] if not len(whole) else np.split(whole, np.flatnonzero(np.diff(whole) > 1) + 1)

    def _observed(self, values: np.ndarray) -> np.ndarray:
        return getattr(self, "observed_", np.ones(values.shape[1], dtype=bool))

    def _timeseries(self, values: np.ndarray, axis: pd.DatetimeIndex) -> TimeSeries:
        components = values[:, self._observed(values), None].astype(
            np.float32, copy=False
        )  # as to_timeseries has it
        return TimeSeries(times=axis, values=components, copy=False)

    def _forecasts(
        self,
        values: np.ndarray,
        axis: pd.DatetimeIndex,
        origins: np.ndarray,
        n: int,
        num_samples: int,
        random_state: int | None,
    ) -> tuple[np.ndarray, np.ndarray]:
        """The origins that can be forecast from, and (origin, lead, component, sample)."""
        observed = self._observed(values)
        whole = np.concatenate([[True], row_kinds(values, ~observed) == WHOLE])
        begin = np.maximum.accumulate(np.where(whole, 0, np.arange(len(whole))))[
            1:
        ]  # the row after the last gap
        have = origins + 1 - begin[origins]
        wanted = (
            self.min_train_series_length if self.fits_at_every_origin else -(self.in_use.extreme_lags[0] or 0)
        )
        at, have = origins[have >= wanted], have[have >= wanted]
        if not len(at):
            return at, np.empty(0)
        series = self._timeseries(values, axis)
        most = wanted if not self.fits_at_every_origin else (self.train_length or len(axis))
        pasts = [
            series[int(row) + 1 - min(int(k), most) : int(row) + 1] for row, k in zip(at, have, strict=True)
        ]
        options: dict[str, Any] = {
            "num_samples": num_samples,
            "random_state": random_state,
            "show_warnings": False,
        }
        ask = self._fitted_on_each if self.fits_at_every_origin else self.in_use.predict
        forecasts = ask(n, pasts, **options)
        made = np.stack([one.all_values(copy=False) for one in forecasts])
        shape = (*made.shape[:2], len(observed), made.shape[-1])
        filled = np.full(shape, np.nan, dtype=made.dtype)
        filled[:, :, observed] = made
        return at, filled

    def _fitted_on_each(self, n: int, pasts: list[TimeSeries], **options: Any) -> list[TimeSeries]:
        """A local model's, fitted on one past after the other."""

        def after(past: TimeSeries) -> TimeSeries:
            return self.model.untrained_model().fit(past).predict(n, **options)

        if self.model.supports_multivariate:
            return [after(past) for past in pasts]
        return [_beside(after, past) for past in pasts]

    def _cannot(self, axis: pd.DatetimeIndex, row: int) -> GapError | TooShortError:
        error = TooShortError if row + 1 < self.min_train_series_length else GapError
        return error(
            f"{self.model!r} cannot forecast from {axis[row]}: what it reads before is too short, missing or "
            f"NaN. Pass a series that begins earlier, or fill the gap."
        )


def _beside(forecast: Callable[[TimeSeries], TimeSeries], past: TimeSeries) -> TimeSeries:
    """Forecasts of each component alone, put together again."""
    each = [forecast(past[name]) for name in past.components]
    values = np.concatenate([one.all_values(copy=False) for one in each], axis=1)
    return TimeSeries(times=each[0].time_index, values=values, components=list(past.components))


def as_forecaster(model: Any, **options: Any) -> Any:
    """A darts model as ``DartsForecaster`` makes it; a model that takes grids, as it is."""
    return model if isinstance(model, GridForecastingModel) else DartsForecaster(model, **options)
