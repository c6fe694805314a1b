"""Every name taken from inside darts, so that a change there is met at one place."""

from darts import TimeSeries as TimeSeries
from darts.models.forecasting.pl_forecasting_module import PLForecastingModule as PLForecastingModule
from darts.models.forecasting.pl_forecasting_module import io_processor as io_processor
from darts.models.forecasting.torch_forecasting_model import (
    MixedCovariatesTorchModel as MixedCovariatesTorchModel,
)
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
