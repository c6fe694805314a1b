"""The Lightning module: darts' components become frames on a grid, and frames become components."""

import math
from abc import abstractmethod
from typing import Any, Literal

import torch
from torch import Tensor, nn

from darts_mim.models._compat import (
    ModuleStage,
    PLForecastingModule,
    PLModuleInput,
    PLModuleOutput,
    QuantileRegression,
    TorchInferenceBatch,
    TorchLikelihood,
    TorchTrainingBatch,
    io_processor,
)
from darts_mim.models.data_module import share_of
from darts_mim.models.parts import Layout
from darts_mim.nn import cpu
from darts_mim.nn.patches import to_patches
from darts_mim.nn.scheduled_sampling import draw_teacher_mask, true_frame_probability
from darts_mim.nn.tiling import Tile, Tiling, blended

LossFrames = Literal["all", "forecast"]
LRSchedule = Literal["constant", "cosine"]

CELL_SPREAD = 0.3  # of what is learnt of cells, before it is: enough to tell them apart


class GridModule(PLForecastingModule):
    """A network that generates a grid frame after frame, behind darts' (batch, time, component).

    Args:
        shape: (channel, height, width) of a frame.
        observed: Components that are observed, as indices; None if all are. The others are masked: fed
            as 0, left out of the loss, NaN in a forecast.
        patch_size: Grid cells a side that the network folds into channels.
        gridded_past: Channels of the past covariates that lie on the grid; the rest are one number a
            time, the same for all cells.
        gridded_future: The same of the future covariates.
        cell_channels: Channels that are learnt for every (patched) cell and stand beside every frame.
        loss_frames: Train on all generated frames (docs/paper.md, row R12) or on the forecast alone.
        sampling_steps: Optimiser steps until no true frame is fed past the observed ones (row R14).
        lr_schedule: Hold the learning rate, or let it fall to 0 along a cosine over the training.
        crop_size: Rows and columns of the parts of the grid that are trained and validated on, in which a
            masked cell is NaN; None for the whole grid.
        tile_size: Rows and columns of the tiles in which the whole grid is forecast; None for all at once.
        tile_overlap: Cells that tiles share.
        **kwargs: For darts' ``PLForecastingModule``.
    """

    observed: Tensor | None
    seen: Tensor  # 1 where a cell is observed, patched; only if some is not
    cells: Tensor | None  # (cell_channels, rows, columns), patched: what is learnt of every place

    def __init__(
        self,
        shape: tuple[int, int, int],
        observed: list[int] | None,
        patch_size: int,
        gridded_past: int,
        gridded_future: int,
        cell_channels: int,
        loss_frames: LossFrames,
        sampling_steps: int,
        lr_schedule: LRSchedule,
        crop_size: tuple[int, int] | None = None,
        tile_size: tuple[int, int] | None = None,
        tile_overlap: int = 0,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        channels, height, width = shape
        self.shape, self.grid = (channels, height, width), (height, width)
        self.patch_size = patch_size
        self.gridded_past, self.gridded_future = gridded_past, gridded_future
        self.loss_frames, self.sampling_steps, self.lr_schedule = loss_frames, sampling_steps, lr_schedule
        self.n_parameters = 1 if self.likelihood is None else int(self.likelihood.num_parameters)
        self.crop_size = crop_size
        self.layout = Layout(shape=self.shape, gridded_past=gridded_past, gridded_future=gridded_future)
        self.tiling = tile_size and Tiling(
            grid=self.grid, size=tile_size, overlap=tile_overlap, unit=patch_size
        )
        components = math.prod(self.shape)
        index = None if observed is None else torch.tensor(observed)
        self.register_buffer("observed", index, persistent=False)
        if index is not None:
            seen = torch.zeros(components).index_fill(0, index, 1.0).reshape(1, 1, *self.shape)
            self.register_buffer("seen", to_patches(seen, patch_size)[:, 0], persistent=False)
            # of crops another number of cells is observed each time: metrics read them as one component
            self.n_targets = len(index) if crop_size is None else 1
        size = cell_channels, *self._patched(self.grid)
        drawn = nn.Parameter(CELL_SPREAD * torch.randn(size)) if cell_channels else None
        self.register_parameter("cells", drawn)
        self.network = self.build_network()

    @abstractmethod
    def build_network(self) -> nn.Module:
        """The network, from what the base class knows: ``shape``, ``covariates``, ``n_parameters``."""

    @property
    def n_covariates(self) -> int:
        """Channels that ``covariates`` puts beside a frame, on the patched grid."""
        shapes = self.train_sample_shape or {}
        _, height, width = self.shape
        folded = self.patch_size**2
        n = 0
        for name, gridded in (
            ("past_covariates", self.gridded_past),
            ("future_covariates", self.gridded_future),
        ):
            if (shape := shapes.get(name)) is not None:
                n += gridded * folded + shape[1] - gridded * height * width
        if (shape := shapes.get("static_covariates")) is not None:
            rows, columns = shape
            n += columns * (1 if rows == 1 else self.shape[0] * folded)
        return n if self.cells is None else n + len(self.cells)

    def _patched(self, size: tuple[int, int]) -> tuple[int, int]:
        """Rows and columns of the patches that so many rows and columns of cells fill."""
        height, width = size
        return -(-height // self.patch_size), -(-width // self.patch_size)

    def forward(self, x_in: PLModuleInput) -> PLModuleOutput:
        """Generated frames, (batch, time, component, parameter); in training all that the loss reads."""
        if self.observed is None:
            return self._generated(x_in, None)
        if x_in.stage is ModuleStage.PREDICT or self.crop_size is None:
            return self._generated(x_in, self.seen)
        seen = ~x_in.past_target[:, :1].isnan()
        future = x_in.future_target
        x_in = x_in.replace(
            past_target=x_in.past_target.nan_to_num(0.0),
            future_target=None if future is None else future.nan_to_num(0.0),
        )
        frames = seen.to(x_in.past_target.dtype).unflatten(-1, (self.shape[0], *self.crop_size))
        return self._generated(x_in, to_patches(frames, self.patch_size)[:, 0])

    @io_processor
    def _generated(self, x_in: PLModuleInput, seen: Tensor | None) -> PLModuleOutput:
        """What ``forward`` gives, once it is known where cells are observed (patched)."""
        if x_in.stage is ModuleStage.PREDICT and self.pred_n is not None:
            horizon = self.pred_n
        else:
            horizon = int(self.output_chunk_length or 1)
        if x_in.stage is not ModuleStage.PREDICT:
            generated = self._rolled_out(x_in, horizon, self.crop_size or self.grid, seen)
        elif self.tiling is None:
            generated = self._rolled_out(x_in, horizon, self.grid, seen)
        else:
            generated = blended(self.tiling, lambda tile: self._on_tile(x_in, horizon, tile, seen))
        if self.n_parameters == 1:
            generated = generated.unsqueeze(-1)
        return PLModuleOutput(prediction=generated.flatten(2, 4))

    def _rolled_out(
        self, x_in: PLModuleInput, horizon: int, size: tuple[int, int], seen: Tensor | None
    ) -> Tensor:
        """Generated frames of a grid, or of a part of it, that has ``size`` rows and columns."""
        frames = x_in.past_target.unflatten(-1, (self.shape[0], *size))
        truth, mask = self._teacher(x_in, horizon, frames)
        generated = self.network(frames, horizon, truth, mask, self.covariates(x_in, horizon, size), seen)
        if x_in.stage is ModuleStage.TRAIN and self.loss_frames == "all":
            return generated
        return generated[:, -horizon:]

    def _on_tile(self, x_in: PLModuleInput, horizon: int, tile: Tile, seen: Tensor | None) -> Tensor:
        """The forecast of a tile, rolled out as if there were nothing around it."""
        if seen is not None:
            p = self.patch_size
            rows, columns = (slice(one.start // p, -(-one.stop // p)) for one in (tile.rows, tile.columns))
            seen = seen[..., rows, columns]
        size = tile.rows.stop - tile.rows.start, tile.columns.stop - tile.columns.start
        return self._rolled_out(self.layout.cut(x_in, tile.rows, tile.columns), horizon, size, seen)

    def _teacher(
        self, x_in: PLModuleInput, horizon: int, frames: Tensor
    ) -> tuple[Tensor | None, Tensor | None]:
        if x_in.stage is not ModuleStage.TRAIN or horizon == 1:
            return None, None
        probability = true_frame_probability(self.global_step, self.sampling_steps)
        if probability == 0.0 or x_in.future_target is None:
            return None, None
        future = x_in.future_target[:, -horizon:]
        scaled = future if self.rin is None else self.rin.transform(future)
        truth = scaled.unflatten(-1, frames.shape[2:])
        return truth, self._share_of_mask(truth, horizon, probability)

    def _share_of_mask(self, truth: Tensor, horizon: int, probability: float) -> Tensor:
        """This device's part of what is drawn for the windows of all devices; all draw alike."""
        share = share_of(self._trainer)
        windows = len(truth)
        if self._trainer is not None and share.devices > 1:
            counted = torch.tensor(windows, device=self.device)
            windows = int(self._trainer.strategy.reduce(counted, reduce_op="sum"))
        return draw_teacher_mask(windows, horizon, probability, like=truth)[share.rank :: share.devices]

    def covariates(self, x_in: PLModuleInput, horizon: int, size: tuple[int, int]) -> Tensor | None:
        """What is known when each frame is read, (batch, steps, covariate, rows, columns), patched.

        Beside frame t stand the past covariates of t, their last value held past the observed frames;
        the future covariates of the frame to generate, t + 1; the static covariates; what was learnt
        of every cell.
        """
        steps = x_in.past_target.shape[1] - 1 + horizon
        parts: list[Tensor] = []
        if x_in.past_covariates is not None:
            past = x_in.past_covariates
            held = past[:, -1:].expand(-1, horizon - 1, -1)
            parts.append(self._on_patches(torch.cat([past, held], dim=1), self.gridded_past, size))
        if x_in.future_covariates is not None:
            known = x_in.concatenate_future_along_time()[:, 1 : steps + 1]
            parts.append(self._on_patches(known, self.gridded_future, size))
        if x_in.static_covariates is not None:
            static = x_in.static_covariates.transpose(1, 2)  # (batch, covariate, 1 or component)
            gridded = static.shape[1] * self.shape[0] if static.shape[2] > 1 else 0
            spread = self._on_patches(static.flatten(1)[:, None], gridded, size)
            parts.append(spread.expand(-1, steps, -1, -1, -1))
        if self.cells is not None:
            parts.append(self.cells.expand(x_in.past_target.shape[0], steps, -1, -1, -1))
        return torch.cat(parts, dim=2) if parts else None

    def _on_patches(self, values: Tensor, gridded: int, size: tuple[int, int]) -> Tensor:
        """(batch, time, value) on the patched grid: ``gridded`` channels first, then one number a time."""
        frames, numbers = values.tensor_split([gridded * math.prod(size)], dim=-1)
        spread = numbers[..., None, None].expand(-1, -1, -1, *self._patched(size))
        if not gridded:
            return spread
        patched = to_patches(frames.unflatten(-1, (gridded, *size)), self.patch_size)
        return torch.cat([patched, spread], dim=2)

    def feedback(self, output: Tensor) -> Tensor:
        """The frame that is fed back: the distribution's centre.

        Args:
            output: (batch, channel, rows, columns, parameter), patched.
        """
        if self.likelihood is None:
            return output[..., 0]
        # darts' likelihoods read (batch, time, component, parameter)
        flat = output.flatten(1, 3).unsqueeze(1)
        return centre(self.likelihood, flat).reshape(output.shape[:-1])

    def on_fit_start(self) -> None:
        """As in darts; the processor is prepared, if it is to do the work."""
        super().on_fit_start()
        self._prepare()

    def on_predict_start(self) -> None:
        """As in darts; the processor is prepared, if it is to do the work."""
        super().on_predict_start()
        self._prepare()

    def _prepare(self) -> None:
        if self.device.type == "cpu":
            cpu.prepare()

    def training_step(self, train_batch: TorchTrainingBatch, batch_idx: int) -> Tensor:
        """As in darts; the reconstructions of the observed frames are targets too (row R12)."""
        if self.loss_frames == "all":
            rebuilt = train_batch.past_target[:, 1:]
            weight, forecast = train_batch.sample_weight, train_batch.future_target
            assert forecast is not None
            if weight is not None:
                mean = weight.mean(dim=1, keepdim=True).expand(-1, rebuilt.shape[1], -1)
                weight = torch.cat([mean, weight], dim=1)
            target = torch.cat([rebuilt, forecast], dim=1)
            train_batch = train_batch.replace(future_target=target, sample_weight=weight)
        return super().training_step(train_batch, batch_idx)

    def _train_val_step(
        self, batch: TorchTrainingBatch, stage: ModuleStage, criterion: Any, metrics: Any
    ) -> Tensor:
        """As in darts; the mean over devices of what comes is the mean over the windows of all of them."""
        output = self(batch.to_module_input(stage=stage))
        assert batch.future_target is not None
        loss = self._compute_loss(output, batch.future_target, criterion, batch.sample_weight)
        windows = len(batch.future_target)
        if self._trainer is not None and (devices := self._trainer.world_size) > 1:
            observed = int((~batch.future_target.isnan()).sum())
            counted = torch.tensor([windows, observed], device=self.device)
            windows, together = self._trainer.strategy.reduce(counted, reduce_op="sum").tolist()
            loss = loss * (observed * devices / together)
        self.log(f"{stage.value}_loss", loss, batch_size=windows, prog_bar=True, sync_dist=True)
        self._update_metrics(output, batch.future_target, metrics)
        return loss

    def _compute_loss(
        self, output: PLModuleOutput, target: Tensor, criterion: Any, sample_weight: Tensor | None
    ) -> Tensor:
        output, target, sample_weight = self._observed_of(output, target, sample_weight)
        return super()._compute_loss(output, target, criterion, sample_weight)

    def _update_metrics(self, output: PLModuleOutput, target: Tensor, metrics: Any) -> None:
        output, target, _ = self._observed_of(output, target, None)
        super()._update_metrics(output, target, metrics)

    def _observed_of(
        self, output: PLModuleOutput, target: Tensor, weight: Tensor | None
    ) -> tuple[PLModuleOutput, Tensor, Tensor | None]:
        """What counts: the components that are observed; in crops the values that are, as one component."""
        if self.observed is None:
            return output, target, weight
        if self.crop_size is None:
            if weight is not None and weight.shape[-1] > 1:
                weight = weight[..., self.observed]
            observed = output.prediction[:, :, self.observed]
            return output.replace(prediction=observed), target[..., self.observed], weight
        known = ~target.isnan()
        if weight is not None:
            weight = weight.expand_as(target)[known][None, :, None]
        observed = output.prediction[known][None, :, None]
        return output.replace(prediction=observed), target[known][None, :, None], weight

    def _get_batch_prediction(self, n: int, input_batch: TorchInferenceBatch, roll_size: int) -> Tensor:
        """Roll the network's state on for ``n`` frames, in one pass.

        darts would encode its own forecast anew after every chunk; the state is already there, so
        ``output_chunk_length`` and ``roll_size`` do not limit the roll-out.
        """
        x_in = PLModuleInput(
            past_target=input_batch.past_target,
            past_covariates=input_batch.past_covariates,
            historic_future_covariates=input_batch.historic_future_covariates,
            future_covariates=input_batch.future_covariates,
            static_covariates=input_batch.static_covariates,
            stage=ModuleStage.PREDICT,
        )
        prediction = self._produce_predict_output(x_in).prediction
        if self.observed is None:
            return prediction
        masked = torch.ones(math.prod(self.shape), dtype=torch.bool, device=prediction.device)
        masked = masked.index_fill(0, self.observed, False)
        per_cell = prediction.shape[-1] // len(masked)
        return prediction.masked_fill(masked[:, None].expand(-1, per_cell).flatten(), torch.nan)

    def configure_optimizers(self) -> Any:
        """As in darts, and ``lr_schedule="cosine"``, whose length only the trainer knows."""
        configured: Any = super().configure_optimizers()
        if self.lr_schedule == "constant":
            return configured
        steps = int(self.trainer.estimated_stepping_batches)
        schedule = torch.optim.lr_scheduler.CosineAnnealingLR(configured, T_max=steps)
        return [configured], [{"scheduler": schedule, "interval": "step"}]

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """As in darts, and the random state, so that a resumed fit draws what would have come next."""
        super().on_save_checkpoint(checkpoint)
        checkpoint["random_state"] = [torch.get_rng_state(), *torch.cuda.get_rng_state_all()]

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """As in darts; a fit that goes on takes the random state up."""
        super().on_load_checkpoint(checkpoint)
        if self._trainer is not None:
            on_cpu, *on_devices = checkpoint["random_state"]
            torch.set_rng_state(on_cpu)
            for device, state in enumerate(on_devices[: torch.cuda.device_count()]):
                torch.cuda.set_rng_state(state, device)


def centre(likelihood: TorchLikelihood, output: Tensor) -> Tensor:
    """One value for a distribution: its mean, its mode where it has none, the median of quantiles.

    Args:
        likelihood: Which distribution.
        output: What the network gives out, parameters last.
    """
    if isinstance(likelihood, QuantileRegression):
        return output[..., likelihood.quantiles.index(0.5)]
    parameters = likelihood._params_from_output(output)  # pyright: ignore[reportPrivateUsage]
    distribution = likelihood._distr_from_params(parameters)  # pyright: ignore[reportPrivateUsage]
    if isinstance(distribution, torch.distributions.Cauchy):  # has no mean
        return distribution.mode
    return distribution.mean
