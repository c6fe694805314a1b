"""GridPipeline: transformers and a forecaster as one, in the units that go in."""

from pathlib import Path
from typing import Any, Self

from sklearn.pipeline import Pipeline
from sklearn.utils.validation import check_is_fitted

from darts_mim.grid.times import moment
from darts_mim.grid.transformer import is_list, is_timeseries
from darts_mim.stores.fingerprint import asked_of
from darts_mim.stores.forecast_store import stored_forecast
from darts_mim.stores.stored_history import require_one, require_whole_forecasts, stored_history


class GridPipeline(Pipeline):
    """A scikit-learn Pipeline of grid transformers that ends in a forecaster.

    ``fit`` learns every transformer on the training series and the forecaster on what they make of it;
    ``predict`` and ``historical_forecasts`` undo the transforms on what the forecaster gives, so that
    forecasts come in the units, dims and coordinates that went in. A series that is not in memory is
    transformed where the forecaster reads it, and never loaded whole. ``get_params``, ``set_params`` with
    ``step__parameter``, ``clone`` and indexing by step name are scikit-learn's.

    Args:
        steps: (name, transformer) pairs and, last, (name, forecaster). A transformer has ``fit``,
            ``transform`` and ``inverse_transform(series, history=None)``; a forecaster ``fit(series)``,
            ``predict(n, series)`` and, for backtests, ``historical_forecasts``.
        memory: As in scikit-learn; unused.
        verbose: As in scikit-learn.

    >>> import numpy as np, pandas as pd, xarray as xr
    >>> from darts_mim.baselines import Persistence
    >>> from darts_mim.grid.scaling import GridScaler
    >>> series = xr.DataArray(
    ...     np.arange(24.0).reshape(6, 2, 2),
    ...     dims=("time", "y", "x"),
    ...     coords={"time": pd.date_range("2024", periods=6, freq="h")},
    ... )
    >>> pipeline = GridPipeline([("scale", GridScaler()), ("last", Persistence())])
    >>> pipeline.fit(series).predict(n=2).values[-1]
    array([[20., 21.], [22., 23.]])
    >>> pipeline["scale"].method
    'minmax'
    """

    series_: Any  # the training series, from whose end predict() starts by default

    @property
    def transformers(self) -> list[Any]:
        """The transformers, first to last."""
        return [step for _, step in self.steps[:-1] if step not in (None, "passthrough")]

    @property
    def forecaster(self) -> Any:
        """The last step."""
        return self.steps[-1][1]

    def fit(  # pyright: ignore[reportIncompatibleMethodOverride]
        self, series: Any, y: None = None, *, val_series: Any = None, **params: Any
    ) -> Self:
        """Fit every step on the training series.

        Args:
            series: A DataArray, a Dataset, a darts TimeSeries or a list of any.
            y: Ignored, as scikit-learn has it.
            val_series: Validation series for the forecaster; transformed, never fitted on.
            **params: For the forecaster's ``fit``, as they are: covariates are not transformed.

        Raises:
            TypeError: If a step cannot do what its place asks for.
            ValueError: If there are no steps, or two have one name.
        """
        self._validate_steps()
        transformed = series
        for transformer in self.transformers:
            transformed = transformer.fit_transform(transformed)
            if val_series is not None:
                val_series = transformer.transform(val_series)
        if val_series is not None:
            params["val_series"] = val_series
        self.forecaster.fit(transformed, **params)
        self.series_ = series
        return self

    def predict(  # pyright: ignore[reportIncompatibleVariableOverride]
        self, n: int, series: Any = None, *, to: str | Path | None = None, **params: Any
    ) -> Any:
        """The ``n`` frames after ``series``, in its units.

        Args:
            n: Frames, at least 1.
            series: What to forecast from; by default the training series.
            to: A Zarr store to write the forecast to, whole or not at all; it is then read from there as it
                is asked for. One that holds this very forecast is read.
            **params: For the forecaster's ``predict``.

        Raises:
            FileExistsError: If something else than forecasts is at ``to``.
            NotFittedError: Before ``fit``.
            OSError: If ``to`` cannot be written.
            ValueError: If likelihood parameters are asked for: they are not in the series' units.
        """
        if params.get("predict_likelihood_parameters"):
            raise ValueError(
                "Likelihood parameters cannot be brought back to the units that went in. Ask for "
                "num_samples, or ask the forecaster itself, on a transformed series."
            )
        check_is_fitted(self)
        if series is None:
            series = self._training_series()
        if to is not None:
            require_one(series)
            asked = asked_of(self, series, n, params)
            return stored_forecast(to, lambda: self.predict(n, series, **params), asked=asked)
        transformed, histories = self._transform(series)
        return self._restore(self.forecaster.predict(n, transformed, **params), histories)

    def historical_forecasts(
        self, series: Any, *, forecast_horizon: int, to: str | Path | None = None, **params: Any
    ) -> Any:
        """Forecasts from one time after another, by the fitted steps, in the units of ``series``.

        Args:
            series: What to forecast from and over.
            forecast_horizon: Frames of each forecast.
            to: A Zarr store to write forecasts to, a block of origins at a time; they are then read from
                there as they are asked for. Complete or absent: what was stopped goes on when it is asked for
                again, and one that holds these very forecasts is read. It takes ``start``.
            **params: ``start``, ``stride`` and what else the forecaster's ``historical_forecasts`` takes.

        Returns:
            Dims (init_time, lead_time, and the series' own without time), coordinate ``valid_time``. Of a
            TimeSeries, one TimeSeries an origin.

        Raises:
            FileExistsError: If something else than forecasts is at ``to``.
            NotFittedError: Before ``fit``.
            OSError: If ``to`` cannot be written.
            ValueError: If ``last_points_only`` is asked for, or ``start`` is no time, or missing with ``to``.
        """
        check_is_fitted(self)
        if any(map(is_timeseries, series if is_list(series) else [series])):
            # darts' own defaults fit again at every origin and keep the last frame of each forecast
            params = {"retrain": False, "last_points_only": False} | params
        elif params.get("start") is not None:  # a number would count frames, of which transforms drop some
            params["start"] = moment(params["start"], "start")
        if params.get("last_points_only"):
            raise ValueError(
                "A last frame alone cannot always be brought back to the units that went in: differences are "
                "added up from the first. Leave last_points_only out and select, e.g. .isel(lead_time=-1)."
            )
        if to is not None:
            return self._stored(series, to, forecast_horizon, **params)
        transformed, histories = self._transform(series)
        forecasts = self.forecaster.historical_forecasts(
            transformed, forecast_horizon=forecast_horizon, **params
        )
        return self._restore(forecasts, histories)

    def _stored(
        self,
        series: Any,
        to: str | Path,
        horizon: int,
        *,
        start: Any = None,
        stride: int = 1,
        num_samples: int = 1,
        **params: Any,
    ) -> Any:
        """Forecasts from all origins, block by block into a store."""
        require_one(series)
        require_whole_forecasts(params)
        if num_samples > 1:
            params["num_samples"] = num_samples
        transformed, histories = self._transform(series)

        def ask(part: Any, **when: Any) -> Any:
            return self._restore(self.forecaster.historical_forecasts(part, **when, **params), histories)

        return stored_history(
            to,
            ask,
            transformed,
            forecast_horizon=horizon,
            start=start,
            stride=stride,
            num_samples=num_samples,
            asked=asked_of(self, series, params),
            **self._dims(),
        )

    def _dims(self) -> dict[str, Any]:
        """What the first step was told of the series' dims."""
        told = self.steps[0][1].get_params() if hasattr(self.steps[0][1], "get_params") else {}
        return {name: told.get(name) for name in ("time_dim", "spatial_dims", "channel_dim")}

    def __sklearn_is_fitted__(self) -> bool:
        # a slice, such as pipeline[:-1], holds fitted steps and was never fitted itself
        return hasattr(self, "series_") or super().__sklearn_is_fitted__()

    def _validate_steps(self) -> None:
        """scikit-learn's own check, and what a forecast asks for besides."""
        super()._validate_steps()
        asked = [(step, "inverse_transform") for step in self.transformers] + [(self.forecaster, "predict")]
        for step, method in asked:
            if not hasattr(step, method):
                raise TypeError(
                    f"{step!r} has no {method}. Steps are grid transformers, e.g. GridScaler(), and the last "
                    f"one is a forecaster, e.g. MIMModel(...) or Persistence()."
                )

    def _training_series(self) -> Any:
        if hasattr(self, "series_"):
            return self.series_
        raise ValueError("This part of a pipeline was not fitted itself. Pass a series: predict(n, series).")

    def _transform(self, series: Any) -> tuple[Any, list[Any]]:
        """The series as the forecaster sees it, and as each transformer saw it."""
        histories: list[Any] = []
        for transformer in self.transformers:
            histories.append(series)
            series = transformer.transform(series)
        return series, histories

    def _restore(self, forecast: Any, histories: list[Any]) -> Any:
        for transformer, history in zip(reversed(self.transformers), reversed(histories), strict=True):
            forecast = transformer.inverse_transform(forecast, history=history)
        return forecast
