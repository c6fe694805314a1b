"""Every name taken from inside darts, so that a change there is met at one place."""

from functools import wraps
from importlib import import_module
from types import ModuleType
from typing import Any

from darts import TimeSeries as TimeSeries
from darts.models.forecasting.forecasting_model import GlobalForecastingModel as GlobalForecastingModel
from darts.models.forecasting.pl_forecasting_module import PLForecastingModule as PLForecastingModule
from darts.models.forecasting.pl_forecasting_module import io_processor as io_processor
from darts.models.forecasting.torch_forecasting_model import (
    MixedCovariatesTorchModel as MixedCovariatesTorchModel,
)
from darts.utils.data.torch_datasets._data_module import TorchDataModule as TorchDataModule
from darts.utils.data.torch_datasets.dataset import TorchDataset as TorchDataset
from darts.utils.data.torch_datasets.inference_dataset import (
    SequentialTorchInferenceDataset as SequentialTorchInferenceDataset,
)
from darts.utils.data.torch_datasets.inference_dataset import (
    TorchInferenceDataset as TorchInferenceDataset,
)
from darts.utils.data.torch_datasets.training_dataset import (
    SequentialTorchTrainingDataset as SequentialTorchTrainingDataset,
)
from darts.utils.data.torch_datasets.training_dataset import TorchTrainingDataset as TorchTrainingDataset
from darts.utils.data.torch_datasets.utils import ModuleStage as ModuleStage
from darts.utils.data.torch_datasets.utils import PLModuleInput as PLModuleInput
from darts.utils.data.torch_datasets.utils import PLModuleOutput as PLModuleOutput
from darts.utils.data.torch_datasets.utils import TorchInferenceBatch as TorchInferenceBatch
from darts.utils.data.torch_datasets.utils import TorchTrainingBatch as TorchTrainingBatch
from darts.utils.data.torch_datasets.utils import TorchTrainingSample as TorchTrainingSample
from darts.utils.likelihood_models.torch import QuantileRegression as QuantileRegression
from darts.utils.likelihood_models.torch import TorchLikelihood as TorchLikelihood
from darts.utils.serialization import add_safe_globals as add_safe_globals
from darts.utils.timeseries_generation import (
    _build_forecast_series_from_schema,  # pyright: ignore[reportPrivateUsage]
)
from darts.utils.utils import generate_index as generate_index
from darts.utils.utils import n_steps_between
from pandas.tseries.frequencies import to_offset
from pandas.tseries.offsets import Day, Hour

series_from_schema = _build_forecast_series_from_schema

COUNTING_STEPS = (  # darts' modules that count the steps between two times
    "metrics.utils",
    "models.forecasting.conformal_models",
    "models.forecasting.regression_ensemble_model",
    "timeseries",
    "utils",
    "utils.data.tabularization.tabularization",
    "utils.data.utils",
    "utils.historical_forecasts.utils",
    "utils.utils",
)


def _count_days() -> None:
    """Let darts count steps of days: since pandas 3 a day is no fixed time, and darts divides by it."""
    counts: Any = n_steps_between

    @wraps(counts)
    def in_hours(end: Any, start: Any, freq: Any) -> int:
        step = to_offset(freq) if isinstance(freq, str) else freq
        return counts(end, start, Hour(24 * step.n) if isinstance(step, Day) else step)

    for name in COUNTING_STEPS:
        module: Any = import_module(f"darts.{name}")
        module.n_steps_between = in_hours


_count_days()


def onnx_export() -> ModuleType:
    """The module with which darts writes ONNX files; it imports onnx, which is optional.

    Raises:
        ImportError: If onnx or onnxscript is not installed.
    """
    try:
        return import_module("darts.utils.onnx.export")
    except ImportError as missing:
        raise ImportError(
            f"{missing}. To write ONNX files, install what it takes: pip install 'darts-mim[onnx]'."
        ) from missing
