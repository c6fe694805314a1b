"""The base of the models: darts' torch model, with doors for xarray, for gaps and for scikit-learn."""

import copy
import functools
import warnings
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Self

import numpy as np
import pandas as pd
import xarray as xr

from darts_mim.errors import GapError, GridMismatchError, NotScaledWarning, TooShortError
from darts_mim.grid.grid import METADATA_KEY, Grid
from darts_mim.grid.windows import WHOLE, WindowCount, row_kinds
from darts_mim.models._compat import (
    MixedCovariatesTorchModel,
    TimeSeries,
    TorchInferenceDataset,
    TorchTrainingSample,
)
from darts_mim.models.datasets import GridTrainingDataset
from darts_mim.models.timeseries import from_forecasts, from_timeseries, to_timeseries

UNIT_SCALE = 20.0  # data beyond it, in absolute value, are far from what a network is initialised for
DIMS = ("time_dim", "spatial_dims", "channel_dim")


def _is_gridded(series: Any) -> bool:
    if isinstance(series, list | tuple):
        return bool(series) and all(_is_gridded(one) for one in series)
    return isinstance(series, xr.Dataset) or (isinstance(series, xr.DataArray) and series.ndim > 0)


def _to_darts(value: Any, dims: Mapping[str, Any]) -> Any:
    """A grid as a TimeSeries, a time as pandas has it; anything else as it is."""
    if _is_gridded(value):
        if isinstance(value, list | tuple):
            return [to_timeseries(one, **dims) for one in value]
        return to_timeseries(value, **dims)
    if isinstance(value, xr.DataArray | np.datetime64):  # start=test.time[0]
        return pd.Timestamp(value.values if isinstance(value, xr.DataArray) else value)
    return value


def _to_xarray(result: Any) -> Any:
    return from_timeseries(result) if isinstance(result, TimeSeries) else [from_timeseries(r) for r in result]


def _takes_grids(method: Callable[..., Any]) -> Callable[..., Any]:
    """Let a darts method take a DataArray or Dataset wherever it takes a TimeSeries."""

    @functools.wraps(method)
    def wrapped(self: "GridForecastingModel", *args: Any, **kwargs: Any) -> Any:
        entered = [_to_darts(value, self.dims) for value in args]
        return method(self, *entered, **{k: _to_darts(value, self.dims) for k, value in kwargs.items()})

    return wrapped


class GridForecastingModel(MixedCovariatesTorchModel):
    """A darts torch model whose series may be grids in xarray.

    ``fit``, ``predict``, ``historical_forecasts``, ``backtest``, ``residuals``, ``gridsearch`` and
    ``lr_find`` take a DataArray, a Dataset, a TimeSeries, or a list of any, and answer in kind. Their other
    arguments are darts'.

    Args:
        time_reversal: Train on every window a second time, backwards.
        time_dim: Which dim is time, where it cannot be told.
        spatial_dims: Rows and columns, where they cannot be told.
        channel_dim: Which dim is the channel, where it cannot be told.

    Attributes:
        windows_: How many training windows were used, and why the others were not.
    """

    windows_: WindowCount

    def __init__(
        self,
        *,
        time_reversal: bool,
        time_dim: str | None,
        spatial_dims: Sequence[str] | None,
        channel_dim: str | None,
    ) -> None:
        super().__init__(**self._extract_torch_model_params(**self.model_params))
        if shift := self.model_params["output_chunk_shift"]:
            raise ValueError(
                f"output_chunk_shift is {shift}; each frame is generated from the one before it, so none can "
                f"be left out. Use 0."
            )
        self.pl_module_params = self._extract_pl_module_params(**self.model_params)
        self.time_reversal = time_reversal
        self.dims = {"time_dim": time_dim, "spatial_dims": spatial_dims, "channel_dim": channel_dim}
        self._grid_metadata: dict[str, Any] | None = None  # plain types, which darts' safe loading takes
        self._gridded_covariates: dict[str, int] = {}
        self._fitted_on_xarray = False
        self._weights_beside = False  # while saving: the weights have a file of their own

    # What goes in and what comes out

    @functools.wraps(MixedCovariatesTorchModel.fit)
    def fit(self, series: Any, *args: Any, **kwargs: Any) -> Self:  # noqa: D102
        _takes_grids(super().fit.__func__)(self, series, *args, **kwargs)
        self._fitted_on_xarray = _is_gridded(series)
        return self

    @functools.wraps(MixedCovariatesTorchModel.predict)
    def predict(self, n: int, series: Any = None, *args: Any, **kwargs: Any) -> Any:  # noqa: D102
        if n < 1:
            raise ValueError(f"n is {n}; a forecast has at least one frame. Pass n >= 1.")
        kwargs.setdefault("show_warnings", False)  # about re-encoding past one chunk, which is not done here
        forecast = _takes_grids(super().predict.__func__)(self, n, series, *args, **kwargs)
        asked_in_xarray = self._fitted_on_xarray if series is None else _is_gridded(series)
        return _to_xarray(forecast) if asked_in_xarray else forecast

    @functools.wraps(MixedCovariatesTorchModel.historical_forecasts)
    def historical_forecasts(self, series: Any, *args: Any, **kwargs: Any) -> Any:  # noqa: D102
        if not _is_gridded(series):
            return super().historical_forecasts(series, *args, **kwargs)
        last_points_only = kwargs.setdefault("last_points_only", False)
        kwargs.setdefault("show_warnings", False)
        forecasts = _takes_grids(super().historical_forecasts.__func__)(self, series, *args, **kwargs)
        if last_points_only:
            return _to_xarray(forecasts)
        if isinstance(series, list | tuple):
            return [_gather(one) for one in forecasts]
        return _gather(forecasts)

    @functools.wraps(MixedCovariatesTorchModel.residuals)
    def residuals(self, series: Any, *args: Any, **kwargs: Any) -> Any:  # noqa: D102
        errors = _takes_grids(super().residuals.__func__)(self, series, *args, **kwargs)
        return _to_xarray(errors) if _is_gridded(series) and not kwargs.get("values_only") else errors

    backtest = _takes_grids(MixedCovariatesTorchModel.backtest)
    lr_find = _takes_grids(MixedCovariatesTorchModel.lr_find)
    scale_batch_size = _takes_grids(MixedCovariatesTorchModel.scale_batch_size)

    @classmethod
    @functools.wraps(MixedCovariatesTorchModel.gridsearch.__func__)
    def gridsearch(cls, parameters: dict[str, Any], series: Any, **kwargs: Any) -> Any:  # noqa: D102
        dims = {name: parameters[name][0] for name in DIMS if name in parameters}
        entered = {name: _to_darts(value, dims) for name, value in kwargs.items()}
        return super().gridsearch(parameters, _to_darts(series, dims), **entered)

    # What darts asks for on the way

    def _setup_for_fit_from_dataset(self, series: Any, *args: Any, **kwargs: Any) -> Any:
        if self.model is None:
            self._grid_metadata = None  # to be learnt from this series
        _warn_if_not_scaled(series)
        inputs, parameters = super()._setup_for_fit_from_dataset(series, *args, **kwargs)
        windows: GridTrainingDataset = parameters["train_dataset"]
        windows.time_reversal = self.time_reversal  # of the training windows alone
        self.windows_ = windows.count
        return inputs, parameters

    def _build_train_dataset(
        self,
        series: Sequence[TimeSeries],
        past_covariates: Sequence[TimeSeries] | None,
        future_covariates: Sequence[TimeSeries] | None,
        sample_weight: Sequence[TimeSeries] | str | None,
        max_samples_per_ts: int | None,
        stride: int = 1,
    ) -> GridTrainingDataset:
        if self.time_reversal and past_covariates is not None:
            raise ValueError(
                "time_reversal=True reads windows backwards, and past_covariates are not known over the "
                "frames to forecast. Use time_reversal=False, or pass them as future_covariates."
            )
        if self.model is None and self._grid_metadata is None:
            self._grid_metadata = (series[0].metadata or {}).get(METADATA_KEY)
            self._gridded_covariates = {
                "gridded_past": self._channels_on_the_grid(past_covariates, series[0]),
                "gridded_future": self._channels_on_the_grid(future_covariates, series[0]),
            }
        return GridTrainingDataset(
            [self._admit(one) for one in series],
            past_covariates,
            future_covariates,
            input_chunk_length=self.input_chunk_length,
            output_chunk_length=self.output_chunk_length,
            stride=stride,
            max_samples_per_ts=max_samples_per_ts,
            sample_weight=sample_weight,
            use_static_covariates=self.uses_static_covariates,
        )

    def _build_inference_dataset(
        self,
        n: int,
        series: Sequence[TimeSeries],
        past_covariates: Sequence[TimeSeries] | None,
        future_covariates: Sequence[TimeSeries] | None,
        stride: int = 0,
        bounds: np.ndarray | None = None,
    ) -> TorchInferenceDataset:
        series = [self._admit(one) for one in series]
        if bounds is None:  # one forecast, from the series' end
            for one in series:
                self._require_whole_input(one)
        return super()._build_inference_dataset(
            n, series, past_covariates, future_covariates, stride=stride, bounds=bounds
        )

    def _admit(self, series: TimeSeries) -> TimeSeries:
        """Check that a series lies on the grid that was learnt, and put 0 where that grid is masked."""
        encoded = (series.metadata or {}).get(METADATA_KEY)
        if self._grid_metadata is None or encoded is None:
            return series
        grid = Grid.from_metadata(self._grid_metadata)
        if encoded != self._grid_metadata:
            grid.require_same(Grid.of_timeseries(series), "The series")
        if grid.mask is None:
            return series
        values = series.all_values(copy=True)
        values[:, grid.mask.ravel()] = 0.0
        return series.with_values(values)

    def _require_whole_input(self, series: TimeSeries) -> None:
        wanted = self.input_chunk_length
        if len(series) < wanted:
            raise TooShortError(
                f"The series has {len(series)} frames; a forecast reads {wanted} (input_chunk_length). "
                f"Pass at least {wanted}."
            )
        kinds = row_kinds(series.all_values(copy=False)[-wanted:, :, 0])
        if broken := [str(time) for time in series.time_index[-wanted:][kinds != WHOLE]]:
            raise GapError(
                f"{len(broken)} of the {wanted} frames to forecast from are missing or hold NaN, the first at "
                f"{broken[0]}. Fill them, e.g. .interpolate_na('time'), or end the series before them."
            )

    def _channels_on_the_grid(self, covariates: Sequence[TimeSeries] | None, target: TimeSeries) -> int:
        """How many channels of the covariates are frames; the rest is one number a time."""
        if covariates is None or METADATA_KEY not in (covariates[0].metadata or {}):
            return 0
        encoded = (covariates[0].metadata or {})[METADATA_KEY]
        channels, *size = Grid.from_metadata(encoded).shape
        _, *wanted = Grid.of_timeseries(target).shape
        if size != wanted:
            raise GridMismatchError(
                f"The covariates lie on {size[0]} x {size[1]} cells, the series on {wanted[0]} x {wanted[1]}. "
                f"Bring them onto the series' grid, e.g. .interp_like(series)."
            )
        return channels

    def grid_arguments(self, train_sample: TorchTrainingSample) -> dict[str, Any]:
        """What ``GridModule`` needs to know of the grid and the covariates."""
        if self._grid_metadata is None:
            assert train_sample.past_target is not None
            shape, observed = (train_sample.past_target.shape[1], 1, 1), None
        else:
            grid = Grid.from_metadata(self._grid_metadata)
            shape = grid.shape
            observed = None if grid.mask is None else np.flatnonzero(~grid.mask).tolist()
        return {"shape": shape, "observed": observed, **self._gridded_covariates}

    # Saving and copying

    @functools.wraps(MixedCovariatesTorchModel.save)
    def save(self, path: str | None = None, clean: bool = False) -> None:  # noqa: D102
        bare = copy.copy(self)  # pass the series to predict() after loading: it is not in the file
        bare.training_series = bare.past_covariate_series = bare.future_covariate_series = None
        if self.train_sample is not None:
            arrays = {
                name: None if array is None else np.zeros_like(array)
                for name, array in self.train_sample.feature_arrays().items()
            }
            bare.train_sample = self.train_sample.replace(**arrays, sample_weight=None)
        bare.model, bare.trainer, bare._weights_beside = self.model, self.trainer, True
        if bare.trainer is None and self.model is not None:  # loaded, and not used since
            bare.trainer = self._setup_trainer(None, self.model, verbose=False)
            bare.trainer.strategy.connect(self.model)
        super(GridForecastingModel, bare).save(path, clean)

    def __getstate__(self) -> dict[str, Any]:
        state = super().__getstate__()
        if self.model is not None and not self._weights_beside:
            state["_weights"] = self.model.state_dict()
        return state | {"_weights_beside": False}

    def __setstate__(self, state: dict[str, Any]) -> None:
        weights = state.pop("_weights", None)
        super().__setstate__(state)
        if weights is not None:
            assert self.train_sample is not None
            self.model = self._create_model(self.train_sample)
            self.model.to_dtype(next(value.dtype for value in weights.values() if value.is_floating_point()))
            self.model.load_state_dict(weights)

    def get_params(self, deep: bool = True) -> dict[str, Any]:
        """The constructor's arguments, as scikit-learn asks for them."""
        return dict(self.model_params)

    def set_params(self, **params: Any) -> Self:
        """Change constructor arguments; what was fitted is dropped, as the network may be another."""
        self.__dict__ = type(self)(**(self.get_params() | params)).__dict__
        return self

    def __sklearn_clone__(self) -> Self:
        return self.untrained_model()


def _gather(forecasts: Sequence[TimeSeries]) -> Any:
    """Forecasts of one series over (init_time, lead_time); those from a broken window are left out."""
    mask = Grid.of_timeseries(forecasts[0]).mask
    masked = None if mask is None else mask.ravel()
    whole = [
        one for one in forecasts if (row_kinds(one.all_values(copy=False)[..., 0], masked) == WHOLE).all()
    ]
    if not whole:
        raise GapError(
            f"None of {len(forecasts)} forecasts has a whole input window: each touches a missing time or NaN. "
            f"Fill the gaps, e.g. .interpolate_na('time'), or start elsewhere."
        )
    if len(whole) < len(forecasts):
        warnings.warn(
            f"{len(forecasts) - len(whole)} of {len(forecasts)} origins are left out: their input window "
            f"touches a missing time or NaN.",
            stacklevel=3,
        )
    return from_forecasts(whole)


def _warn_if_not_scaled(series: TimeSeries | Sequence[TimeSeries]) -> None:
    several = [series] if isinstance(series, TimeSeries) else series
    largest = max(float(np.nanmax(np.abs(one.all_values(copy=False)), initial=0.0)) for one in several)
    if largest > UNIT_SCALE:
        warnings.warn(
            f"The series reaches {largest:.4g} in absolute value, and the network is made for values near 1. "
            f"Put a GridScaler before the model: GridPipeline([('scale', GridScaler()), ('model', ...)]).",
            NotScaledWarning,
            stacklevel=4,
        )
