"""Forecasting without Lightning's loop, where that loop would only call the network."""

from collections.abc import Generator, Mapping
from contextlib import contextmanager
from dataclasses import fields
from typing import Any

import torch
from pytorch_lightning import Callback, Trainer
from pytorch_lightning.strategies import ParallelStrategy, Strategy
from torch import Tensor, nn

from darts_mim.models._compat import PLForecastingModule, TorchInferenceBatch

OF_FITTING = frozenset(  # a Trainer's arguments that change no forecast
    {
        "accumulate_grad_batches",
        "check_val_every_n_epoch",
        "default_root_dir",
        "enable_checkpointing",
        "enable_model_summary",
        "enable_progress_bar",
        "gradient_clip_algorithm",
        "gradient_clip_val",
        "limit_train_batches",
        "limit_val_batches",
        "log_every_n_steps",
        "logger",
        "max_epochs",
        "max_steps",
        "min_epochs",
        "min_steps",
        "num_sanity_val_steps",
        "val_check_interval",
    }
)
OF_SEVERAL_DEVICES = frozenset(
    {"devices", "num_nodes", "strategy", "sync_batchnorm", "use_distributed_sampler"}
)
FULL_PRECISION = (None, 32, "32", "32-true")
ONE = (1, "1")


class LightTrainer:
    """Forecasts as a Lightning ``Trainer`` does, without what that one sets up for every call.

    darts makes a Trainer for each forecast, which looks for plug-ins on the disk and walks through all that
    a batch holds: more work than a small network's own. This one keeps nothing and changes nothing.

    Args:
        device: Where to compute; the model is on the CPU before and after, as with Lightning.
    """

    def __init__(self, device: torch.device) -> None:
        self.device = device

    def predict(self, model: PLForecastingModule, datamodule: Any) -> list[tuple[Tensor, Any, Any]]:
        """The forecasts of every batch, on the CPU, with their series' schemas and first times."""
        model.to(self.device)
        try:
            with evaluating(model), torch.inference_mode():
                model.on_predict_start()
                batches = enumerate(datamodule.predict_dataloader())
                return [self._step(model, batch, index) for index, batch in batches]
        finally:
            model.on_predict_end()
            model.cpu()

    def _step(
        self, model: PLForecastingModule, batch: TorchInferenceBatch, index: int
    ) -> tuple[Tensor, Any, Any]:
        values = {each.name: getattr(batch, each.name) for each in fields(batch)}
        tensors = {name: value for name, value in values.items() if isinstance(value, Tensor)}
        moved = batch.replace(**{name: tensor.to(self.device) for name, tensor in tensors.items()})
        forecast, schemas, starts = model.predict_step(moved, index)
        return forecast.cpu(), schemas, starts


@contextmanager
def evaluating(model: nn.Module) -> Generator[None]:
    """The model in evaluation mode; afterwards each of its parts is in the mode it was in."""
    modes = [(module, module.training) for module in model.modules()]
    model.eval()
    try:
        yield
    finally:
        for module, training in modes:
            module.training = training


def on_one_device(arguments: Mapping[str, Any]) -> dict[str, Any]:
    """A Trainer's arguments for forecasting, where they were given for training on several devices.

    Every process makes all forecasts, each on its own device: shared among devices, the forecasts would come
    back in parts, and not all of them.

    >>> on_one_device({"accelerator": "cpu", "devices": 2, "strategy": "ddp", "precision": "bf16-mixed"})
    {'accelerator': 'cpu', 'precision': 'bf16-mixed', 'devices': 1}
    """
    strategy = arguments.get("strategy")
    if isinstance(strategy, Strategy) and not isinstance(strategy, ParallelStrategy):
        return dict(arguments)  # of one device already
    asked = {name: value for name, value in arguments.items() if name not in OF_SEVERAL_DEVICES}
    on_gpu = asked.get("accelerator", "auto") in ("auto", "gpu", "cuda") and torch.cuda.is_available()
    return asked | {"devices": [_own_gpu(arguments.get("devices", "auto"))] if on_gpu else 1}


def _own_gpu(devices: Any) -> int:
    """The GPU that this process computes on, or the first of those asked for."""
    if isinstance(devices, str) and "," in devices:
        devices = [int(index) for index in devices.split(",") if index.strip()]
    current = torch.cuda.current_device()
    if not isinstance(devices, list | tuple):  # a number of them
        return current
    return current if current in devices else int(devices[0])


def require_one_device(trainer: Trainer | None) -> None:
    """Stop where forecasts would be shared among devices.

    Raises:
        ValueError: If the trainer is of several devices.
    """
    if trainer is not None and (devices := trainer.num_devices * trainer.num_nodes) > 1:
        raise ValueError(
            f"The trainer is of {devices} devices, and each would return a part of the forecasts. Leave "
            f"trainer out, or pass one of one device: Trainer(devices=1). A model trained on several devices "
            f"forecasts on one, in each process."
        )


def device_of(arguments: Mapping[str, Any]) -> torch.device | None:
    """The one device on which a Trainer of these arguments would forecast, in full precision.

    None if it would do anything else besides, or if it takes Lightning to tell: on several devices, with
    callbacks that watch forecasts, or with any argument that is not known to be of fitting alone.

    >>> device_of({"accelerator": "cpu", "max_epochs": 3})
    device(type='cpu')
    >>> device_of({"accelerator": "cpu", "precision": "bf16-mixed"})
    """
    asked = {name: value for name, value in arguments.items() if name not in OF_FITTING}
    accelerator, devices = asked.pop("accelerator", "auto"), asked.pop("devices", "auto")
    plain = asked.pop("precision", None) in FULL_PRECISION
    watched = any(_watches_forecasts(callback) for callback in _several(asked.pop("callbacks", None)))
    if asked or watched or not plain:
        return None
    if accelerator == "auto":
        found = torch.accelerator.current_accelerator(check_available=True)
        accelerator = "cpu" if found is None else found.type
    if accelerator == "cpu" and devices in ("auto", *ONE):
        return torch.device("cpu")
    if accelerator in ("gpu", "cuda") and torch.cuda.is_available():
        return _gpu(devices)
    return None


def _gpu(devices: Any) -> torch.device | None:
    if isinstance(devices, list) and len(devices) == 1:
        return torch.device("cuda", int(devices[0]))
    if devices in ONE or (devices == "auto" and torch.cuda.device_count() == 1):
        return torch.device("cuda", 0)
    return None


def _several(callbacks: Any) -> list[Any]:
    if callbacks is None:
        return []
    return list(callbacks) if isinstance(callbacks, list | tuple) else [callbacks]


def _watches_forecasts(callback: Any) -> bool:
    hooks = [name for name in vars(Callback) if name.startswith("on_predict")]
    return any(getattr(type(callback), name) is not getattr(Callback, name) for name in hooks)
