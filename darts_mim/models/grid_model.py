"""The base of the models: darts' torch model, with doors for xarray, for gaps and for scikit-learn."""

import inspect
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Self

import numpy as np
import pandas as pd
import torch
from dask.utils import parse_bytes
from sklearn.exceptions import NotFittedError
from sklearn.utils import Tags, TargetTags

from darts_mim.grid.times import positive
from darts_mim.grid.windows import WindowCount
from darts_mim.models import export
from darts_mim.models._compat import (
    MixedCovariatesTorchModel,
    SequentialTorchInferenceDataset,
    TimeSeries,
    TorchInferenceDataset,
    TorchTrainingSample,
)
from darts_mim.models.checks import (
    require_one_origin,
    require_series,
    require_whole_covariates,
    require_whole_input,
    warn_if_not_scaled,
)
from darts_mim.models.crops import Crops, CropWeight, require_within, uncut
from darts_mim.models.data_module import GridDataModule, require_no_injection
from darts_mim.models.datasets import GridTrainingDataset
from darts_mim.models.doors import (
    arguments_to_darts,
    as_lists,
    gather,
    is_gridded,
    like,
    takes_grids,
    to_darts,
    to_xarray,
    without_broken,
)
from darts_mim.models.forecasts import Forecasts
from darts_mim.models.lazy_series import LazyTimeSeries
from darts_mim.models.learnt import FUTURE, PAST, SERIES, LearntGrids
from darts_mim.models.light_trainer import LightTrainer, device_of, on_one_device, require_one_device
from darts_mim.models.module import GridModule
from darts_mim.models.parts import Layout
from darts_mim.models.seasonal_lags import lag_steps, require_lags, require_past, with_lags
from darts_mim.stores.fingerprint import asked_of
from darts_mim.stores.forecast_store import stored_forecast
from darts_mim.stores.stored_history import require_one, require_whole_forecasts, stored_history

DIMS = ("time_dim", "spatial_dims", "channel_dim")
TRAINING = ("loss_frames", "sampling_steps", "time_reversal", "lr", "lr_schedule")
PARTS = ("crop_size", "crops_per_window", "crop_weight", "tile_size", "tile_overlap")


class GridForecastingModel(MixedCovariatesTorchModel):
    """A darts torch model whose series may be grids in xarray.

    ``fit``, ``predict``, ``historical_forecasts``, ``backtest``, ``residuals``, ``gridsearch`` and
    ``lr_find`` take a DataArray, a Dataset, a TimeSeries, or a list of any, and answer in kind. Their other
    arguments are darts'; on grids a backtest does not fit again, unless ``retrain`` says so, and whole
    forecasts come over (init_time, lead_time).

    Covariates lie on the series' grid, or are numbers that hold for all its cells (dims (time) or (time,
    anything)), or are a Dataset of both. Windows that touch a missing time or NaN are not trained on, and
    origins that do are left out of a backtest. Cells that are NaN at all times, such as land, are
    masked: read as 0, left out of the loss, NaN in forecasts.

    A series that is not in memory, such as a zarr store's, is never loaded whole. It is read once to find
    what holds NaN, and then once an epoch: windows are drawn in an order in which every chunk is read ahead
    of its use and let go after it. If the series fits ``cache_size``, the order is that of one in memory.
    ``backtest``, ``residuals``, ``gridsearch`` and ``retrain`` want it loaded; ``darts_mim.backtest`` does
    not.

    With ``to=``, the path of a zarr store, ``predict`` and ``historical_forecasts`` write there, a block of
    origins at a time, and give back what is read from it when it is asked for. The store is complete or
    absent: a run that was stopped goes on when it is asked for the same again.

    Args:
        seasonal_lags: How long ago the frames were that stand beside each frame read.
        time_reversal: Train on every window a second time, backwards.
        crop_size: Rows and columns of the parts of the grid to train on; None for the whole.
        crops_per_window: How many parts of each window are drawn in an epoch.
        crop_weight: What each cell of a window counts when parts are drawn; None for all alike.
        cache_size: Memory for frames of a series that is read from where it is stored.
        use_static_covariates: Read the static covariates of a TimeSeries that has some.
        time_dim: Which dim is time, where it cannot be told.
        spatial_dims: Rows and columns, where they cannot be told.
        channel_dim: Which dim is the channel, where it cannot be told.

    Attributes:
        fitted_until_: Time of the last training frame, of the last fit; None if times are numbers.
        windows_: How many training windows were used, and why the others were not.
    """

    fitted_until_: pd.Timestamp | None
    windows_: WindowCount

    def __init__(
        self,
        *,
        seasonal_lags: Sequence[int | str],
        time_reversal: bool,
        crop_size: tuple[int, int] | None,
        crops_per_window: int,
        crop_weight: CropWeight | None,
        cache_size: int | str,
        use_static_covariates: bool,
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
        self.seasonal_lags = tuple(seasonal_lags)
        self.time_reversal = time_reversal
        self.crop_size, self.crops_per_window, self.crop_weight = crop_size, crops_per_window, crop_weight
        self._considers_static_covariates = use_static_covariates
        self.entry = {  # how series come in
            "time_dim": time_dim,
            "spatial_dims": spatial_dims,
            "channel_dim": channel_dim,
            "cache_bytes": _bytes(cache_size),
        }
        self._grids: LearntGrids | None = None
        self._fitted_on_xarray = False
        self._future_covariates_came = False
        self._weights_beside = False  # while saving: the weights have a file of their own

    # What goes in and what comes out

    @like(MixedCovariatesTorchModel.fit)
    def fit(self, series: Any, *args: Any, **kwargs: Any) -> Self:  # noqa: D102
        require_series(series)
        entered = to_darts(series, self.entry)
        if not self.model_params.get("use_reversible_instance_norm"):
            warn_if_not_scaled(entered)
        takes_grids(MixedCovariatesTorchModel.fit)(self, entered, *args, **kwargs)
        self._fitted_on_xarray = is_gridded(series)
        return self

    @like(MixedCovariatesTorchModel.predict)
    def predict(  # noqa: D102
        self, n: int, series: Any = None, *args: Any, to: str | Path | None = None, **kwargs: Any
    ) -> Any:
        n = positive(n, "n")
        self._require_fitted()
        if to is not None:
            held = self._training_series() if series is None else series
            require_one(held)
            asked = asked_of(self, held, n, args, kwargs)
            return stored_forecast(to, lambda: self.predict(n, series, *args, **kwargs), asked=asked)
        if series is not None:
            require_series(series)
        elif self.training_series is None:
            raise ValueError(
                "No series came, and the model holds none: it was fitted on several, or loaded from a file, "
                "which has no training data in it. Pass the series to forecast from: predict(n, series)."
            )
        kwargs.setdefault("show_warnings", False)  # about re-encoding past one chunk, which is not done here
        asked_in_xarray = self._fitted_on_xarray if series is None else is_gridded(series)
        entered: Any = self.training_series if series is None else to_darts(series, self.entry)
        # always a list, so that what comes is not made a TimeSeries before it is made a grid
        forecasts = takes_grids(MixedCovariatesTorchModel.predict)(
            self, n, _several(entered), *args, **kwargs
        )
        answer = to_xarray(forecasts) if asked_in_xarray else list(forecasts)
        return answer[0] if isinstance(entered, TimeSeries) else answer

    @like(MixedCovariatesTorchModel.historical_forecasts)
    def historical_forecasts(  # noqa: D102
        self, series: Any, *args: Any, to: str | Path | None = None, **kwargs: Any
    ) -> Any:
        require_series(series)
        if to is not None:
            _, _, *names = inspect.signature(MixedCovariatesTorchModel.historical_forecasts).parameters
            return self._stored_history(series, to, **dict(zip(names, args, strict=False)), **kwargs)
        gridded = is_gridded(series)
        if gridded:  # darts' own defaults: fit at every origin, keep the last frame of each forecast
            kwargs = {"retrain": False, "last_points_only": False, "show_warnings": False} | kwargs
        entered = to_darts(series, self.entry)
        if kwargs.get("retrain") is False:
            self._require_fitted()
            for one in _several(entered):
                require_one_origin(one, self.input_chunk_length, kwargs.get("forecast_horizon", 1))
        forecasts = takes_grids(MixedCovariatesTorchModel.historical_forecasts)(
            self, entered, *args, **kwargs
        )
        if not gridded:
            return as_lists(forecasts)
        if not kwargs["retrain"] and not kwargs["last_points_only"]:
            forecasts = without_broken(forecasts, self._learnt.masked(SERIES))
        return gather(forecasts, series, last_points_only=kwargs["last_points_only"])

    def _training_series(self) -> Any:
        """As it came to fit, if it was one in xarray."""
        held = self.training_series if self._fitted_on_xarray else None
        if isinstance(held, LazyTimeSeries):
            return held.frames.series
        return None if held is None else to_xarray(held)

    def _stored_history(
        self,
        series: Any,
        to: str | Path,
        *,
        forecast_horizon: int = 1,
        start: Any = None,
        stride: int = 1,
        num_samples: int = 1,
        **kwargs: Any,
    ) -> Any:
        require_whole_forecasts(kwargs)
        self._require_fitted()

        def ask(part: Any, **when: Any) -> Any:
            return self.historical_forecasts(part, num_samples=num_samples, **when, **kwargs)

        return stored_history(
            to,
            ask,
            series,
            forecast_horizon=forecast_horizon,
            start=start,
            stride=stride,
            num_samples=num_samples,
            asked=asked_of(self, series, kwargs),
            **{name: self.entry[name] for name in DIMS},
        )

    @like(MixedCovariatesTorchModel.backtest)
    def backtest(self, series: Any, *args: Any, **kwargs: Any) -> Any:  # noqa: D102
        if is_gridded(series):
            kwargs = {"retrain": False, "show_warnings": False} | kwargs
        return takes_grids(MixedCovariatesTorchModel.backtest)(self, series, *args, **kwargs)

    @like(MixedCovariatesTorchModel.residuals)
    def residuals(self, series: Any, *args: Any, **kwargs: Any) -> Any:  # noqa: D102
        gridded = is_gridded(series)
        if gridded:
            kwargs = {"retrain": False, "last_points_only": True, "show_warnings": False} | kwargs
        errors = takes_grids(MixedCovariatesTorchModel.residuals)(self, series, *args, **kwargs)
        if not gridded or kwargs.get("values_only"):
            return errors
        return gather(errors, series, last_points_only=kwargs["last_points_only"])

    lr_find = takes_grids(MixedCovariatesTorchModel.lr_find)
    scale_batch_size = takes_grids(MixedCovariatesTorchModel.scale_batch_size)

    @classmethod
    @like(MixedCovariatesTorchModel.gridsearch.__func__)
    def gridsearch(cls, parameters: dict[str, Any], series: Any, **kwargs: Any) -> Any:  # noqa: D102
        dims = {name: parameters[name][0] for name in DIMS if name in parameters}
        return super().gridsearch(parameters, **arguments_to_darts({"series": series} | kwargs, dims))

    def _require_fitted(self) -> None:
        if self.model is None:
            raise NotFittedError(f"This {type(self).__name__} is not fitted yet. Call fit(series) first.")

    # What darts asks for on the way

    @property
    def supports_static_covariates(self) -> bool:
        """They stand beside every frame."""
        return True

    @property
    def uses_future_covariates(self) -> bool:
        """Whether some came to fit; frames of ``seasonal_lags`` are found in the series itself."""
        return self._future_covariates_came if self.seasonal_lags else super().uses_future_covariates

    def _setup_for_fit_from_dataset(
        self,
        series: Any,
        past_covariates: Any = None,
        future_covariates: Any = None,
        *args: Any,
        val_series: Any = None,
        **kwargs: Any,
    ) -> Any:
        if self.model is None:
            several = {SERIES: series, PAST: past_covariates, FUTURE: future_covariates}
            self._grids = LearntGrids.of({role: each and _several(each) for role, each in several.items()})
        self._future_covariates_came = future_covariates is not None
        ends = [one.end_time() for one in _several(series)]
        self.fitted_until_ = max((end for end in ends if isinstance(end, pd.Timestamp)), default=None)
        if val_series is not None:  # darts would only count its components
            self._learnt.require(_several(val_series), SERIES)
        inputs, parameters = super()._setup_for_fit_from_dataset(
            series, past_covariates, future_covariates, *args, val_series=val_series, **kwargs
        )
        windows: GridTrainingDataset = parameters["train_dataset"]
        windows.time_reversal = self.time_reversal  # of the training windows alone
        self.windows_ = windows.count
        return inputs, parameters

    def _setup_for_train(self, *args: Any, **kwargs: Any) -> dict[str, Any]:
        self.trainer_params.setdefault("use_distributed_sampler", False)  # see WindowBatches
        with uncut(*args, *kwargs.values()):
            arguments = super()._setup_for_train(*args, **_pinned(kwargs))
        require_no_injection(arguments["trainer"])
        return arguments | {"datamodule": GridDataModule.like(arguments["datamodule"])}

    def _setup_for_predict(self, *args: Any, **kwargs: Any) -> dict[str, Any]:
        require_one_device(kwargs.get("trainer"))
        kept, light = self.trainer, self._light_trainer(**kwargs)
        if light is not None:
            kwargs["trainer"] = light
        asked, self.trainer_params = self.trainer_params, on_one_device(self.trainer_params)
        try:
            arguments = super()._setup_for_predict(*args, **_pinned(kwargs))
        finally:
            self.trainer_params = asked
        if light is not None or (kept is not None and kept.world_size > 1):
            self.trainer = kept  # the one of several devices knows which of them writes files
        return arguments

    def _light_trainer(
        self,
        *,
        dataset: TorchInferenceDataset,
        trainer: Any = None,
        batch_size: int | None = None,
        verbose: bool | None = None,
        **_: Any,
    ) -> LightTrainer | None:
        """One that forecasts as Lightning's would, if there is nothing else for that one to do."""
        one_batch = len(dataset) <= (batch_size or self.batch_size)
        bar = verbose or (verbose is None and not one_batch and self._shows_progress)
        device = None if bar or trainer is not None else device_of(on_one_device(self.trainer_params))
        return None if device is None else LightTrainer(device)

    @property
    def _shows_progress(self) -> bool:
        return bool(self.trainer_params.get("enable_progress_bar", True))

    def _predict(
        self,
        *args: Any,
        values_only: bool = False,
        predict_likelihood_parameters: bool = False,
        **kwargs: Any,
    ) -> Any:
        forecast: Any = super()._predict(*args, values_only=True, **kwargs)
        values, schemas, starts = forecast
        if values_only:
            return values, schemas, starts
        if predict_likelihood_parameters:
            assert self.likelihood is not None
            names = self.likelihood.component_names
            unnamed = {"static_covariates": None, "hierarchy": None}
            schemas = [
                schema | unnamed | {"columns": names(components=schema["columns"])} for schema in schemas
            ]
        return Forecasts(values=values, schemas=schemas, starts=starts)

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
        grids = self._learnt
        series, future_covariates = self._with_lags(series, future_covariates, self.output_chunk_length)
        return GridTrainingDataset(
            series,
            past_covariates and grids.admit(past_covariates, PAST),
            future_covariates,
            masked=grids.masked(SERIES),
            input_chunk_length=self.input_chunk_length,
            output_chunk_length=self.output_chunk_length,
            stride=stride,
            max_samples_per_ts=max_samples_per_ts,
            sample_weight=sample_weight,
            use_static_covariates=self.uses_static_covariates,
            crops=self._crops(grids),
            crops_per_window=self.crops_per_window,
        )

    def _crops(self, grids: LearntGrids) -> Crops | None:
        """Which parts of the grid are trained on; None for the whole."""
        grid, size = grids.grid(SERIES), self.crop_size
        if size is None:
            return None
        require_within("crop_size", size, (1, 1) if grid is None else (grid.height, grid.width))
        if grid is None:
            return None
        return Crops(
            size=size,
            layout=Layout(
                shape=grid.shape,
                gridded_past=grids.n_channels(PAST),
                gridded_future=self._gridded_future(grids),
            ),
            weight=self.crop_weight,
            masked=grids.masked(SERIES),
        )

    def _gridded_future(self, grids: LearntGrids) -> int:
        """Channels of the future covariates that lie on the grid, frames of a season ago among them."""
        return grids.n_channels(FUTURE) + len(self.seasonal_lags) * grids.n_channels(SERIES)

    def _build_inference_dataset(
        self,
        n: int,
        series: Sequence[TimeSeries],
        past_covariates: Sequence[TimeSeries] | None,
        future_covariates: Sequence[TimeSeries] | None,
        stride: int = 0,
        bounds: np.ndarray | None = None,
    ) -> TorchInferenceDataset:
        grids = self._learnt
        if bounds is None and self.seasonal_lags:
            for one in series:
                require_past(one, lag_steps(self.seasonal_lags, one), self.input_chunk_length)
        series, future_covariates = self._with_lags(series, future_covariates, n)
        dataset = SequentialTorchInferenceDataset(
            series,
            past_covariates and grids.admit(past_covariates, PAST),
            future_covariates,
            n=n,
            stride=stride,
            bounds=bounds,
            input_chunk_length=self.input_chunk_length,
            # all n frames are one chunk: none is encoded again, so no past covariate of the future is read
            output_chunk_length=max(n, self.output_chunk_length),
            use_static_covariates=self.uses_static_covariates,
        )
        if bounds is None:  # one forecast, from the series' end
            for one in series:
                require_whole_input(one, self.input_chunk_length, grids.masked(SERIES))
            require_whole_covariates(dataset)
        return dataset

    def _with_lags(
        self, series: Sequence[TimeSeries], future_covariates: Sequence[TimeSeries] | None, n: int
    ) -> tuple[list[TimeSeries], list[TimeSeries] | None]:
        """Series and future covariates on the learnt grids, among these what was a season ago."""
        grids = self._learnt
        admitted = grids.admit(series, SERIES)
        known = grids.admit(future_covariates, FUTURE) if future_covariates else None
        if not self.seasonal_lags:
            return admitted, known
        grid = grids.grid(FUTURE)
        together: list[TimeSeries] = []
        for one, covariates in zip(admitted, known or [None] * len(admitted), strict=True):
            lags = lag_steps(self.seasonal_lags, one)
            require_lags(lags, n)
            together.append(with_lags(one, covariates, lags, 0 if grid is None else grid.n_components))
        return admitted, together

    @property
    def _learnt(self) -> LearntGrids:
        """The grids of what was fitted on; none if it came without, e.g. as a dataset of darts'."""
        return self._grids or LearntGrids({})

    def grid_arguments(self, train_sample: TorchTrainingSample) -> dict[str, Any]:
        """What ``GridModule`` needs to know of the grid and the covariates."""
        grids = self._learnt
        grid, masked = grids.grid(SERIES), grids.masked(SERIES)
        assert train_sample.past_target is not None
        return {
            "shape": (train_sample.past_target.shape[1], 1, 1) if grid is None else grid.shape,
            "observed": None if masked is None else np.flatnonzero(~masked).tolist(),
            "gridded_past": grids.n_channels(PAST),
            "gridded_future": self._gridded_future(grids),
        }

    # Saving and copying

    def _create_save_dirs(self) -> None:
        """As in darts, by several processes at once."""
        (Path(self.work_dir) / self.model_name).mkdir(parents=True, exist_ok=True)

    @like(MixedCovariatesTorchModel.save)
    def save(self, path: str | None = None, clean: bool = False) -> None:  # noqa: D102
        bare = object.__new__(type(self))  # not copy.copy, which would build the network anew
        vars(bare).update(vars(self))
        # pass the series to predict() after loading: it is not in the file
        bare.training_series = bare.past_covariate_series = bare.future_covariate_series = None
        if self.train_sample is not None:
            arrays = {
                name: None if array is None else np.zeros_like(array)
                for name, array in self.train_sample.feature_arrays().items()
            }
            bare.train_sample = self.train_sample.replace(**arrays, sample_weight=None)
        bare._weights_beside = True
        if bare.trainer is None and self.model is not None:  # loaded, and not used since
            bare.trainer = self._setup_trainer(None, self.model, verbose=False)
            bare.trainer.strategy.connect(self.model)
        super(GridForecastingModel, bare).save(path, clean)

    def to_program(self, n: int | None = None) -> torch.export.ExportedProgram:
        """The fitted model as ``torch.export`` has it; what goes in and out is as in ``to_onnx``."""
        return export.to_program(self._forecaster(n))

    def to_onnx(self, path: str | None = None, n: int | None = None, **kwargs: Any) -> None:
        """Write the fitted model as an ONNX file that takes any batch size.

        A model that was fitted on xarray reads ``frames``, (batch, time, channel, row, column), on the scale
        and with the rows and columns that it was fitted on, and gives out ``forecast``, of the same dims. One
        that was fitted on a TimeSeries has darts' (batch, time, component), for ``run_onnx_prediction``.
        Covariates are (batch, time, value) in both, under darts' names: frames flattened in (channel, row,
        column) order, behind them those of ``seasonal_lags``, lag by lag, then the numbers. A likelihood's
        parameters are a last axis of the forecast.

        Args:
            path: Where to write; by default a name made of the class and the time.
            n: Frames to forecast, by default ``output_chunk_length``.
            **kwargs: For ``torch.onnx.export``.

        Raises:
            ImportError: If onnx or onnxscript is not installed: ``pip install 'darts-mim[onnx]'``.
        """
        export.to_onnx(self._forecaster(n), path or f"{self._default_save_path()}.onnx", **kwargs)

    def _forecaster(self, n: int | None) -> export.Forecaster:
        self._require_fitted()
        assert isinstance(self.model, GridModule)
        horizon = self.output_chunk_length if n is None else positive(n, "n")
        masked = {role: self._learnt.masked(role) for role in (SERIES, PAST, FUTURE)}
        return export.Forecaster(
            self.model, horizon, masked, "frames" if self._fitted_on_xarray else "components"
        )

    def _clean(self) -> Self:
        model = super()._clean()
        model._weights_beside = self._weights_beside
        return model

    def _check_ckpt_parameters(self, tfm_save: "GridForecastingModel") -> None:
        super()._check_ckpt_parameters(tfm_save)
        self._grids = tfm_save._grids  # load_weights() builds the network without having seen a series

    @property
    def _ckpt_skipped_params(self) -> list[str]:
        """Arguments that may differ from those of the model whose weights are loaded."""
        return [*super()._ckpt_skipped_params, *TRAINING, *PARTS, *DIMS, "cache_size"]

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
        fresh = type(self)(**(self.get_params() | params))
        vars(self).clear()
        vars(self).update(vars(fresh))
        return self

    def __sklearn_clone__(self) -> Self:
        return self.untrained_model()

    def __sklearn_is_fitted__(self) -> bool:
        return self._fit_called

    def __sklearn_tags__(self) -> Tags:
        return Tags(estimator_type=None, target_tags=TargetTags(required=False))


def _bytes(cache_size: int | str) -> int:
    try:
        size = parse_bytes(cache_size)
    except (AttributeError, TypeError, ValueError):
        size = 0
    if size < 1:
        raise ValueError(
            f"cache_size is {cache_size!r}; it is a number of bytes or says it in words, e.g. '256 MiB'."
        )
    return size


def _several(series: TimeSeries | Sequence[TimeSeries]) -> Sequence[TimeSeries]:
    return [series] if isinstance(series, TimeSeries) else series


def _pinned(arguments: dict[str, Any]) -> dict[str, Any]:
    """A call's arguments with memory pinned only where there is a device to copy to."""
    own = {"pin_memory": torch.cuda.is_available()} | (arguments.get("dataloader_kwargs") or {})
    return arguments | {"dataloader_kwargs": own}
