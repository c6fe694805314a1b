"""Every name taken from inside darts, so that a change there is met at one place."""

from importlib import import_module
from types import ModuleType

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

series_from_schema = _build_forecast_series_from_schema


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
