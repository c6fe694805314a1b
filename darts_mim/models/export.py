"""A fitted model as a function of tensors alone, for ``torch.export`` and ONNX.

The batch size stays open; the horizon is fixed, as a graph has a fixed number of steps.
"""

import copy
import warnings
from collections.abc import Generator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor, nn
from torch.distributions import Distribution

from darts_mim.models._compat import TorchInferenceBatch
from darts_mim.models.learnt import FUTURE, PAST, SERIES
from darts_mim.models.light_trainer import evaluating
from darts_mim.models.module import GridModule
from darts_mim.nn.recurrent import MIMNetwork

Layout = Literal["frames", "components"]

ROLES = {  # what the tensors are of, in the order in which they are passed
    "past_target": SERIES,
    "past_covariates": PAST,
    "historic_future_covariates": FUTURE,
    "future_covariates": FUTURE,
    "static_covariates": None,
}
BATCH = 2  # of the examples: torch would take 1 for a size that never changes


class Forecaster(nn.Module):
    """What a fitted model computes: observed frames and covariates in, the next ``n`` frames out.

    Masked cells may be NaN in what goes in and are NaN in what comes out, as in the model's own forecasts.
    Under a likelihood a last axis holds the distribution's parameters.

    Args:
        module: A fitted model's.
        n: Frames to forecast, in one pass that rolls the network's state on.
        masked: Components that are never observed, by role: "series", "past_covariates",
            "future_covariates".
        layout: ``"frames"``: the series comes as (batch, time, channel, height, width), and so does the
            forecast; ``"components"``: as in darts, (batch, time, component). Covariates are (batch, time,
            value) in both: frames flattened in (channel, row, column) order, then the numbers.
    """

    def __init__(
        self, module: GridModule, n: int, masked: Mapping[str, np.ndarray | None], layout: Layout
    ) -> None:
        super().__init__()
        self.module = copy.copy(module)  # of its own are what it is asked for; the weights are shared
        self.module.set_predict_parameters(n, 1, n, 1, module.likelihood is not None, False)
        self.n, self.frames = n, layout == "frames"
        shapes = module.train_sample_shape or {}
        self.names = [name for name in ROLES if shapes.get(name) is not None]
        self.shapes = {name: tuple(shapes[name] or ()) for name in self.names}
        for name in self.names:
            cells = masked.get(ROLES[name] or "")
            index = None if cells is None else torch.from_numpy(np.flatnonzero(cells))
            self.register_buffer(f"masked_{name}", index)

    def forward(self, *tensors: Tensor) -> Tensor:
        """The forecast, from the tensors in the order of ``names``."""
        series, *covariates = tensors
        flat = (series.flatten(2) if self.frames else series, *covariates)
        batch: dict[str, Any] = {
            name: self._zeroed(name, tensor) for name, tensor in zip(self.names, flat, strict=True)
        }
        forecast = self.module._get_batch_prediction(self.n, TorchInferenceBatch(**batch), self.n)  # pyright: ignore[reportPrivateUsage]
        forecast = forecast.unflatten(-1, (-1, self.module.n_parameters))
        if not self.frames:
            return forecast
        forecast = forecast.unflatten(2, self.module.shape)
        return forecast.squeeze(-1) if self.module.likelihood is None else forecast

    def _zeroed(self, name: str, tensor: Tensor) -> Tensor:
        masked = getattr(self, f"masked_{name}")
        return tensor if masked is None else tensor.index_fill(-1, masked, 0.0)

    def examples(self) -> tuple[Tensor, ...]:
        """Zeros of the shapes that ``forward`` takes."""
        like = next(self.module.parameters())
        return tuple(like.new_zeros(BATCH, *self._shape(name)) for name in self.names)

    def _shape(self, name: str) -> tuple[int, ...]:
        if name == "past_target" and self.frames:
            return self.module.input_chunk_length, *self.module.shape
        shape = self.shapes[name]
        return (self.n, *shape[1:]) if name == "future_covariates" else shape

    @property
    def input_names(self) -> list[str]:
        """What the tensors are called in a file: as darts has it, and the series' ``frames``."""
        return ["frames" if self.frames and name == "past_target" else name for name in self.names]


def to_program(forecaster: Forecaster) -> torch.export.ExportedProgram:
    """The forecaster as ``torch.export`` has it, for any batch size."""
    with _exportable(forecaster):
        return torch.export.export(
            forecaster, forecaster.examples(), dynamic_shapes=_any_batch(forecaster.names)
        )


def to_onnx(forecaster: Forecaster, path: str, **kwargs: Any) -> None:
    """The forecaster as an ONNX file, for any batch size, with what darts' ``run_onnx_prediction`` reads.

    Args:
        forecaster: What to export.
        path: Where to write.
        **kwargs: For ``torch.onnx.export``.

    Raises:
        ImportError: If onnx or onnxscript is not installed.
    """
    from darts_mim.models._compat import onnx_export

    export: Any = onnx_export()
    names = forecaster.input_names
    likelihood = forecaster.module.likelihood
    spec = export.OnnxModelSpec(
        input_chunk_length=forecaster.module.input_chunk_length,
        output_chunk_length=forecaster.n,
        output_chunk_shift=0,
        uses_past_covariates="past_covariates" in names,
        uses_future_covariates="future_covariates" in names,
        uses_static_covariates="static_covariates" in names,
        likelihood_parameter_names=None if likelihood is None else likelihood.parameter_names,
        feature_input_names=names,
        input_names=names,
        output_names=["forecast"],
        state_input_names=[],
        state_output_names=[],
        state_input_shapes=None,
    )
    with _exportable(forecaster):
        bundle = export.OnnxExportBundle(
            wrapper=forecaster,
            example_inputs=forecaster.examples(),
            input_names=names,
            output_names=["forecast"],
            spec=spec,
        )
        asked = {"dynamic_shapes": _any_batch(names), "verbose": False} | kwargs
        export._save_onnx_export(bundle, path, **asked)


def _any_batch(names: Sequence[str]) -> dict[str, Any]:
    batch = torch.export.Dim("batch")
    return {"tensors": tuple({0: batch} for _ in names)}


@contextmanager
def _exportable(forecaster: Forecaster) -> Generator[None]:
    """In evaluation mode, with torch's own convolutions, and no checks of numbers, which a graph has not."""
    validates = Distribution._validate_args  # pyright: ignore[reportPrivateUsage]
    networks = [part for part in forecaster.modules() if isinstance(part, MIMNetwork)]
    kept: list[Any] = [network.convolution for network in networks]
    try:
        Distribution.set_default_validate_args(False)
        for network in networks:
            network.convolution = "direct"
        with evaluating(forecaster), torch.no_grad(), warnings.catch_warnings():
            # of darts' instance norm, which keeps a window's scale only until the forecast is brought back
            warnings.filterwarnings("ignore", "The tensor attributes? .* assigned during export")
            # of several inputs' batch, which is one
            warnings.filterwarnings("ignore", "# The axis name: batch will not be used")
            yield
    finally:
        Distribution.set_default_validate_args(validates)
        for network, convolution in zip(networks, kept, strict=True):
            network.convolution = convolution
