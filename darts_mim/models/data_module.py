"""What Lightning reads in training: each window once an epoch, over all devices."""

from typing import Any, Self

from pytorch_lightning import Trainer
from torch.utils.data import DataLoader

from darts_mim.models._compat import TorchDataModule, TorchDataset
from darts_mim.models.batches import Share, WindowBatches


class GridDataModule(TorchDataModule):
    """darts' data module, whose windows are shared among devices.

    Lightning would share them by drawing some twice; see ``WindowBatches``.
    """

    @classmethod
    def like(cls, module: TorchDataModule) -> Self:
        """One that reads what ``module`` reads, with its settings."""
        return cls(
            train_dataset=module.train_dataset,
            val_dataset=module.val_dataset,
            batch_size=module.batch_size,
            dataloader_kwargs=module.dataloader_kwargs | {"shuffle": module.shuffle},
        )

    def _create_dataloader(self, dataset: TorchDataset | None, **kwargs: Any) -> list[Any] | DataLoader[Any]:
        share = share_of(self.trainer)
        if dataset is None or "sampler" in self.dataloader_kwargs:
            _require_no_sampler(self.dataloader_kwargs, share)
            return super()._create_dataloader(dataset, **kwargs)
        arguments = dict(self.dataloader_kwargs)
        batches = WindowBatches(
            dataset,
            self.batch_size,
            shuffle=kwargs["shuffle"],
            drop_last=arguments.pop("drop_last"),
            share=share,
            strategy=None if self.trainer is None else self.trainer.strategy,
            generator=arguments.get("generator"),
            announce=not arguments.get("num_workers"),
        )
        return DataLoader(dataset, batch_sampler=batches, **arguments)


def share_of(trainer: Trainer | None) -> Share:
    """Which part of every batch a trainer reads in this process; all of it on one device."""
    spread = None if trainer is None else trainer.distributed_sampler_kwargs
    return Share() if spread is None else Share(rank=spread["rank"], devices=spread["num_replicas"])


def require_no_injection(trainer: Trainer) -> None:
    """Stop where Lightning would share the windows in its own way.

    Raises:
        ValueError: If the trainer is of several devices and has Lightning's sampler switched on.
    """
    connector: Any = trainer._accelerator_connector  # pyright: ignore[reportPrivateUsage]
    if connector.is_distributed and connector.use_distributed_sampler:
        raise ValueError(
            "The trainer is of several devices, and Lightning would share the windows among them with a "
            "sampler of its own, which draws some twice. Pass use_distributed_sampler=False to that Trainer "
            "(it is so where devices are given in pl_trainer_kwargs)."
        )


def _require_no_sampler(dataloader_kwargs: dict[str, Any], share: Share) -> None:
    if share.devices > 1 and "sampler" in dataloader_kwargs:
        raise ValueError(
            f"dataloader_kwargs hold a sampler, which would draw every window on each of {share.devices} "
            f"devices. Leave it out, or train on one device."
        )
