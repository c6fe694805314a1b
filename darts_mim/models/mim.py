"""MIMModel: Memory In Memory as a darts model on grids."""

from collections.abc import Sequence
from numbers import Integral
from typing import Any, Self

from torch import nn

from darts_mim.errors import GridMismatchError
from darts_mim.grid.windows import WindowCount
from darts_mim.models._compat import (
    PLForecastingModule,
    QuantileRegression,
    TorchTrainingSample,
    add_safe_globals,
)
from darts_mim.models.crops import CropWeight, require_within
from darts_mim.models.grid_model import GridForecastingModel
from darts_mim.models.module import GridModule, LossFrames, LRSchedule
from darts_mim.nn.gates import require_odd
from darts_mim.nn.initial import initialise_as_released
from darts_mim.nn.mim import Ablation
from darts_mim.nn.recurrent import ConvolutionChoice, MIMNetwork, Variant, require_kernel
from darts_mim.nn.tiling import Tiling

OVERLAP = 5  # kernels that tiles share: docs/paper.md has what is left of their edges


class MIMModule(GridModule):
    """MIM behind darts' tensors; the arguments are ``MIMModel``'s."""

    def __init__(
        self,
        variant: Variant,
        hidden: int,
        layers: int,
        kernel_size: int,
        layer_norm: bool,
        ablation: Ablation | None,
        convolution: ConvolutionChoice,
        checkpoint_segments: int,
        **kwargs: Any,
    ) -> None:
        self.variant: Variant = variant
        self.hidden, self.layers, self.kernel_size = hidden, layers, kernel_size
        self.layer_norm = layer_norm
        self.ablation: Ablation | None = ablation
        self.convolution: ConvolutionChoice = convolution
        self.checkpoint_segments = checkpoint_segments
        super().__init__(**kwargs)

    def build_network(self) -> nn.Module:
        """The network, on the grid and with the covariates that the base class knows."""
        channels, *grid = self.shape
        network = MIMNetwork(
            channels,
            self.hidden,
            self.layers,
            self.kernel_size,
            patch_size=self.patch_size,
            variant=self.variant,
            grid=(grid[0], grid[1]),
            layer_norm=self.layer_norm,
            ablation=self.ablation,
            covariates=self.n_covariates,
            n_parameters=self.n_parameters,
            feedback=self.feedback,
            convolution=self.convolution,
            checkpoint_segments=self.checkpoint_segments,
        )
        if self.variant == "released":
            initialise_as_released(network)
        return network


class MIMModel(GridForecastingModel):
    """Memory In Memory [Wang2019]: forecasts a grid frame after frame.

    An ST-LSTM and MIM blocks above it read ``input_chunk_length`` frames and generate the next ones, each
    fed back to generate the one after. Any ``n`` can be forecast: past ``output_chunk_length`` the
    recurrent state runs on, and nothing is encoded anew.

    Args:
        input_chunk_length: Frames read; the paper: 10, or 4 on TaxiBJ.
        output_chunk_length: Frames forecast in training; the paper: 10, or 4 on TaxiBJ.
        output_chunk_shift: 0, as every frame is generated from the one before it.
        variant: ``"paper"``, equations 1-4, on any grid; or ``"released"``, the authors' program, whose
            weights belong to one grid. docs/paper.md lists how they differ.
        hidden: Channels of every state; the paper: 64.
        layers: The ST-LSTM and the MIM blocks, 2 to 5; the paper: 4.
        kernel_size: Grid cells (or patches), odd; the paper: 5.
        patch_size: Grid cells a side folded into channels; the paper: 1. A grid that it does not divide is
            continued inside and cropped on the way out.
        layer_norm: Normalise after every gate convolution; the paper: yes.
        cell_channels: Numbers learnt for every cell (or patch), which stand beside each frame like static
            covariates: how busy a place is, how soon its anomalies fade [Shao2022]. The weights then
            belong to one grid. 0, the paper's, knows cells by their values alone.
        seasonal_lags: Beside each frame read stands the frame so long before the one to be generated, e.g.
            ``("1D", "7D")``, as pandas offsets or steps, no shorter than a forecast: what a series was
            yesterday says more than a calendar [Zhang2017]. They count as future covariates.
        ablation: Take ``"without_mim_n"`` or ``"without_mim_s"`` out of every block (Table 3), or both:
            ``"without_mim"`` has an ST-LSTM with a forget gate of its own in every layer, which is PredRNN.
        convolution: How convolutions are computed: ``"direct"``, torch's own; ``"winograd"``, with a fraction
            of the multiplications; ``"auto"``, the faster one. The numbers are the same, to rounding.
        checkpoint_segments: Parts of the time loop whose inner values are computed again in the backward pass
            and not kept: less memory, more time. 0 keeps everything; the square root of the number of frames
            is a good value.
        loss_frames: ``"all"`` generated frames, as the published program: the observed frames 2..T are
            rebuilt and count too; or ``"forecast"`` alone.
        sampling_steps: Optimiser steps over which the chance to be fed a true frame past the observed ones
            falls from 1 to 0; the paper: 50 000. 0 feeds generated frames from the start.
        time_reversal: Train on every window a second time, backwards; the published program: yes.
        crop_size: Rows and columns of the part of the grid that is drawn from each window to train and
            validate on, where whole frames are too large; the forecast is of the whole grid. None trains on
            the whole.
        crops_per_window: Parts drawn from each window in an epoch.
        crop_weight: What each cell counts when parts are drawn, (row, column), from the window's frames,
            (time, channel, row, column), e.g. ``ShareAbove(0.1)`` for places where it rains. None draws all
            places alike.
        tile_size: Rows and columns of the overlapping tiles in which the whole grid is forecast, one at a
            time, where it takes too much memory at once; multiples of ``patch_size``. Each is rolled out over
            all steps by itself, as if there were nothing around it, and the forecasts are blended: what lies
            beyond a tile's edge does not flow in, and the longer the forecast the farther inside that shows.
        tile_overlap: Cells that neighbouring tiles share; by default 5 kernels, ``5 * kernel_size *
            patch_size``, and half a tile at most. docs/paper.md has what is left of the edges.
        cache_size: Memory for frames of a series that is read from where it is stored, in bytes or in words.
            More of it shuffles better: more places of the series are read at a time.
        lr: Learning rate; the paper: 1e-3. ``optimizer_kwargs={"lr": ...}`` wins over it.
        lr_schedule: ``"constant"``, the paper's, or ``"cosine"``, to 0 over the whole training.
        use_static_covariates: Read the static covariates of a TimeSeries that has some: one number for
            the whole grid, or one for each component.
        time_dim: Which dim is time, where it cannot be told.
        spatial_dims: Rows and columns, where they cannot be told.
        channel_dim: Which dim is the channel, where it cannot be told.
        **kwargs: darts' own: ``batch_size`` (the paper: 8), ``n_epochs``, ``random_state``, ``likelihood``,
            ``loss_fn``, ``optimizer_cls``, ``add_encoders``, ``pl_trainer_kwargs``, ...

    Raises:
        ValueError: If an argument is out of its range.

    Source:
        [Wang2019] Wang et al., Memory In Memory, CVPR 2019; arXiv:1811.07490. [Shao2022] Shao et al.,
        Spatial-Temporal Identity, CIKM 2022; arXiv:2208.05233. [Zhang2017] Zhang et al., Deep
        Spatio-Temporal Residual Networks, AAAI 2017; arXiv:1610.00081.

    >>> import numpy as np, pandas as pd, xarray as xr
    >>> wave = np.sin(np.arange(40)[:, None, None] + np.arange(4)[:, None] + np.arange(3))
    >>> series = xr.DataArray(
    ...     wave, dims=("time", "y", "x"), coords={"time": pd.date_range("2024", periods=40, freq="h")}
    ... )
    >>> quiet = {"enable_progress_bar": False, "enable_model_summary": False, "accelerator": "cpu"}
    >>> model = MIMModel(4, 2, hidden=4, layers=2, kernel_size=3, n_epochs=1, pl_trainer_kwargs=quiet)
    >>> model.fit(series).predict(n=3).sizes
    Frozen({'time': 3, 'y': 4, 'x': 3})
    """

    def __init__(
        self,
        input_chunk_length: int,
        output_chunk_length: int,
        output_chunk_shift: int = 0,
        *,
        variant: Variant = "paper",
        hidden: int = 64,
        layers: int = 4,
        kernel_size: int = 5,
        patch_size: int = 1,
        layer_norm: bool = False,
        cell_channels: int = 0,
        seasonal_lags: Sequence[int | str] = (),
        ablation: Ablation | None = None,
        convolution: ConvolutionChoice = "auto",
        checkpoint_segments: int = 0,
        loss_frames: LossFrames = "all",
        sampling_steps: int = 0,
        time_reversal: bool = False,
        crop_size: tuple[int, int] | None = None,
        crops_per_window: int = 1,
        crop_weight: CropWeight | None = None,
        tile_size: tuple[int, int] | None = None,
        tile_overlap: int | None = None,
        cache_size: int | str = "256 MiB",
        lr: float = 1e-3,
        lr_schedule: LRSchedule = "constant",
        use_static_covariates: bool = True,
        time_dim: str | None = None,
        spatial_dims: Sequence[str] | None = None,
        channel_dim: str | None = None,
        **kwargs: Any,
    ) -> None:
        _require_choice("variant", variant, ("paper", "released"))
        _require_choice("ablation", ablation, (None, "without_mim_n", "without_mim_s", "without_mim"))
        _require_choice("convolution", convolution, ("auto", "direct", "winograd"))
        _require_choice("loss_frames", loss_frames, ("all", "forecast"))
        _require_choice("lr_schedule", lr_schedule, ("constant", "cosine"))
        _require_at_least("hidden", hidden, 1)
        _require_at_least("layers", layers, 2)
        _require_at_least("patch_size", patch_size, 1)
        _require_at_least("cell_channels", cell_channels, 0)
        _require_at_least("checkpoint_segments", checkpoint_segments, 0)
        _require_at_least("sampling_steps", sampling_steps, 0)
        require_odd(kernel_size)
        require_kernel(convolution, kernel_size)
        if lr_schedule == "cosine" and kwargs.get("lr_scheduler_cls") is not None:
            raise ValueError("lr_schedule='cosine' and lr_scheduler_cls are two schedules. Pass one of them.")
        likelihood = kwargs.get("likelihood")
        if isinstance(likelihood, QuantileRegression) and 0.5 not in likelihood.quantiles:
            raise ValueError(
                f"The quantiles are {likelihood.quantiles}; the median is fed back to the network. Add 0.5."
            )
        crop_size, tile_size = _pair("crop_size", crop_size), _pair("tile_size", tile_size)
        _require_at_least("crops_per_window", crops_per_window, 1)
        _require_any_grid(variant, cell_channels, crop_size=crop_size, tile_size=tile_size)
        if crop_size is None and (crop_weight is not None or crops_per_window > 1):
            raise ValueError(
                "crop_weight and crops_per_window are of crops, and crop_size is None. Pass it, e.g. "
                "crop_size=(64, 64)."
            )
        if crop_weight is not None and not callable(crop_weight):
            raise ValueError(
                f"crop_weight is {crop_weight!r}; it is a function of a window's frames, such as "
                f"ShareAbove(0.1)."
            )
        if crop_size is not None:
            _require_no_scale_of_cells(kwargs.get("use_reversible_instance_norm"))
        super().__init__(
            seasonal_lags=seasonal_lags,
            time_reversal=time_reversal,
            crop_size=crop_size,
            crops_per_window=crops_per_window,
            crop_weight=crop_weight,
            cache_size=cache_size,
            use_static_covariates=use_static_covariates,
            time_dim=time_dim,
            spatial_dims=spatial_dims,
            channel_dim=channel_dim,
        )
        assert self.pl_module_params is not None
        self.pl_module_params["optimizer_kwargs"] = {"lr": lr} | (kwargs.get("optimizer_kwargs") or {})
        self.module_arguments: dict[str, Any] = {
            "variant": variant,
            "hidden": hidden,
            "layers": layers,
            "kernel_size": kernel_size,
            "patch_size": patch_size,
            "layer_norm": layer_norm,
            "cell_channels": cell_channels,
            "ablation": ablation,
            "convolution": convolution,
            "checkpoint_segments": checkpoint_segments,
            "loss_frames": loss_frames,
            "sampling_steps": sampling_steps,
            "lr_schedule": lr_schedule,
            "crop_size": crop_size,
            "tile_size": tile_size,
            "tile_overlap": _overlap(tile_size, tile_overlap, kernel_size, patch_size),
        }

    @classmethod
    def from_network(
        cls,
        network: MIMNetwork,
        series: Any,
        input_chunk_length: int,
        output_chunk_length: int,
        *,
        patch_size: int = 1,
        **kwargs: Any,
    ) -> Self:
        """A model around a network that was trained elsewhere, ready to predict.

        Args:
            network: E.g. a published checkpoint's, from ``mim_from_variables``. Its weights are copied.
            series: At least one window on the grid that the network was trained on, scaled as it was
                there. It fixes dims, coordinates and mask; nothing is trained on it.
            input_chunk_length: Frames read.
            output_chunk_length: Frames forecast in training, if it is trained on.
            patch_size: Grid cells a side that were folded into channels before the network saw them.
            **kwargs: For the constructor: what neither the network nor ``n_epochs``, 0 here, fixes.

        Raises:
            GridMismatchError: If the network's weights do not fit the series' channels and grid.
        """
        model = cls(
            input_chunk_length,
            output_chunk_length,
            variant=network.variant,
            hidden=network.hidden,
            layers=1 + len(network.blocks),
            kernel_size=network.kernel_size,
            layer_norm=network.layer_norm,
            ablation=network.ablation,
            patch_size=patch_size,
            n_epochs=0,
            **kwargs,
        ).fit(series)
        assert isinstance(model.model, MIMModule)
        try:
            model.model.network.load_state_dict(network.state_dict())
        except RuntimeError as mismatch:
            raise GridMismatchError(
                f"The network's weights do not fit a series of {model.model.shape} (channel, row, column) "
                f"with patch_size={patch_size}: {mismatch} Pass a series on the grid it was trained on, and "
                f"the patch_size that was used there."
            ) from mismatch
        return model

    def _create_model(self, train_sample: TorchTrainingSample) -> PLForecastingModule:
        arguments = self.grid_arguments(train_sample) | self.module_arguments
        for name in ("crop_size", "tile_size"):
            if (size := arguments.get(name)) is not None:
                require_within(name, size, arguments["shape"][1:])
        return MIMModule(**arguments, **(self.pl_module_params or {}))


def _require_choice(name: str, value: Any, choices: tuple[Any, ...]) -> None:
    if value not in choices:
        raise ValueError(f"{name} is {value!r}; it is one of {', '.join(map(repr, choices))}.")


def _require_at_least(name: str, value: int, least: int) -> None:
    if value < least:
        raise ValueError(f"{name} is {value}. Use {least} or more.")


def _pair(name: str, value: Any) -> tuple[int, int] | None:
    if value is None:
        return None
    sides = list(value) if isinstance(value, Sequence) else []
    if len(sides) != 2 or not all(isinstance(side, Integral) and int(side) > 0 for side in sides):
        raise ValueError(f"{name} is {value!r}; it is rows and columns, two whole numbers above 0, or None.")
    return int(sides[0]), int(sides[1])


def _require_any_grid(variant: Variant, cell_channels: int, **parts: tuple[int, int] | None) -> None:
    """Check that weights fit a part of the grid, where one is asked for."""
    own = "variant='released'" if variant == "released" else "cell_channels" if cell_channels else None
    for name, size in parts.items():
        if own is not None and size is not None:
            raise ValueError(
                f"{own} has weights for every cell of one grid, and {name}={size} is a part of it. Use "
                f"variant='paper' with cell_channels=0, or {name}=None."
            )


def _require_no_scale_of_cells(instance_norm: bool | dict[str, Any] | None) -> None:
    """Check that instance norm learns nothing of cells, as crops lie anywhere."""
    if instance_norm and (instance_norm is True or instance_norm.get("affine", True)):
        raise ValueError(
            "use_reversible_instance_norm=True learns a scale of every cell, and crops lie anywhere. Pass "
            "use_reversible_instance_norm={'affine': False}."
        )


def _overlap(
    tile_size: tuple[int, int] | None, tile_overlap: int | None, kernel_size: int, patch_size: int
) -> int:
    """Cells that tiles share, checked against their size."""
    if tile_size is None:
        if tile_overlap is not None:
            raise ValueError("tile_overlap is of tiles, and tile_size is None. Pass it, e.g. (256, 256).")
        return 0
    if tile_overlap is None:
        patches = min(OVERLAP * kernel_size, min(tile_size) // (2 * patch_size))
        tile_overlap = patches * patch_size
    return Tiling(grid=tile_size, size=tile_size, overlap=tile_overlap, unit=patch_size).overlap


add_safe_globals([MIMModel, MIMModule, WindowCount])
