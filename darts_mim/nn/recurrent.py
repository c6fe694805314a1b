"""The network: cells stacked over layers and time, and rolled on past the observed frames."""

from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise
from typing import Literal

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from darts_mim.nn.convolution import Convolution, DirectConvolution, Field
from darts_mim.nn.machine_code import uses_all_threads
from darts_mim.nn.mim import Ablation, MIMBlock
from darts_mim.nn.patches import from_patches, to_patches
from darts_mim.nn.released_cells import ReleasedMIMBlock, ReleasedSTLSTMCell
from darts_mim.nn.st_lstm import STLSTMCell
from darts_mim.nn.tile_code import TILE
from darts_mim.nn.winograd import KERNELS, WinogradConvolution

Variant = Literal["paper", "released"]
ConvolutionChoice = Literal["auto", "direct", "winograd"]


@dataclass(frozen=True, kw_only=True)
class MIMState:
    """What the network carries from one frame to the next; one entry a layer, bottom first.

    Layer 1 is an ST-LSTM, which has no N, S and D: theirs begin at layer 2, and stay zero where the layers
    above are ST-LSTMs too. ``M`` is the zigzag memory as the top layer left it. ``first`` says that no frame
    was read yet, so there is no difference to read.
    """

    H: tuple[Field, ...]
    C: tuple[Field, ...]
    N: tuple[Field, ...]
    S: tuple[Field, ...]
    D: tuple[Field, ...]
    M: Field
    first: bool


class MIMNetwork(nn.Module):
    """Memory In Memory: an ST-LSTM and MIM blocks above it [Wang2019, eq. 4 and Figure 4].

    Args:
        channels: Channels of a frame.
        hidden: Channels of every state.
        layers: The ST-LSTM and the MIM blocks, at least 2.
        kernel_size: Grid cells, odd.
        patch_size: Grid cells a side that are folded into channels.
        variant: ``"paper"``, equations 1-4, any grid; or ``"released"``, the authors' program, one grid.
        grid: Rows and columns of the grid; only ``"released"`` needs it.
        layer_norm: Normalise after every gate convolution.
        ablation: The inner module to take out of every block (Table 3); ``"without_mim"`` takes both out and
            gives the forget gate back: every layer is an ST-LSTM, which is PredRNN [Wang2017].
        covariates: Channels of what is known beside a frame.
        n_parameters: Numbers given out per channel and cell; more than 1 for a distribution.
        feedback: The frame to feed back, (batch, channel, rows, columns), patched, from what the network
            gives out for it, with ``n_parameters`` as a last axis.
        convolution: ``"direct"``, torch's own; ``"winograd"``, with a fraction of the multiplications, on
            the processor in float32 and float64, and direct elsewhere; or ``"auto"``, the faster one. All
            give the same numbers, to rounding.
        checkpoint_segments: Parts of the time loop whose inner values are not kept for the backward pass but
            computed again there: less memory, more time. 0 keeps everything.

    Raises:
        ValueError: If there are fewer than 2 layers, an even kernel, no ``grid`` where one is needed, or
            several parameters and no ``feedback``.

    >>> network = MIMNetwork(channels=2, hidden=8, layers=3, kernel_size=3)
    >>> network(torch.zeros(1, 4, 2, 6, 5), horizon=4).shape
    torch.Size([1, 7, 2, 6, 5])
    """

    def __init__(
        self,
        channels: int,
        hidden: int = 64,
        layers: int = 4,
        kernel_size: int = 5,
        *,
        patch_size: int = 1,
        variant: Variant = "paper",
        grid: tuple[int, int] | None = None,
        layer_norm: bool = False,
        ablation: Ablation | None = None,
        covariates: int = 0,
        n_parameters: int = 1,
        feedback: Callable[[Tensor], Tensor] | None = None,
        convolution: ConvolutionChoice = "auto",
        checkpoint_segments: int = 0,
    ) -> None:
        super().__init__()
        if layers < 2:
            raise ValueError(
                f"layers is {layers}; MIM needs the ST-LSTM and at least one block above it. "
                f"Use layers=2 or more."
            )
        if n_parameters > 1 and feedback is None:
            raise ValueError(
                f"n_parameters is {n_parameters}, and nothing says which frame they feed back. Pass "
                f"feedback=, e.g. lambda output: output[..., 0]."
            )
        require_kernel(convolution, kernel_size)
        self.channels, self.hidden, self.patch_size = channels, hidden, patch_size
        self.kernel_size, self.layer_norm = kernel_size, layer_norm
        self.variant: Variant = variant
        self.ablation: Ablation | None = ablation
        self.convolution: ConvolutionChoice = convolution
        self.checkpoint_segments = checkpoint_segments
        self.n_parameters, self.feedback = n_parameters, feedback
        folded = channels * patch_size**2
        frame = folded + covariates
        st_lstm = ReleasedSTLSTMCell if variant == "released" else STLSTMCell
        self.first = st_lstm(frame, hidden, kernel_size, layer_norm=layer_norm)
        self.blocks = nn.ModuleList(self._block(grid) for _ in range(layers - 1))
        self.to_frame = nn.Conv2d(hidden, folded * n_parameters, 1)

    def forward(
        self,
        observed: Float[Tensor, "batch time channel height width"],
        horizon: int,
        true_future: Float[Tensor, "batch {horizon} channel height width"] | None = None,
        teacher_mask: Float[Tensor, "batch {horizon-1}"] | None = None,
        covariates: Float[Tensor, "batch steps covariate rows columns"] | None = None,
        seen: Float[Tensor, "#batch folded rows columns"] | None = None,
    ) -> Tensor:
        """Every generated frame: observed frames 2..T rebuilt, then the forecast.

        Args:
            observed: T frames.
            horizon: Frames to forecast, at least 1.
            true_future: The frames to forecast, for scheduled sampling.
            teacher_mask: 1 where the true frame is fed in place of the generated one, at steps T+1 on.
            covariates: What is known when frame t is read, for t = 1..T-1+horizon, on the patched grid.
            seen: 1 where a cell is observed, 0 where nothing ever is, patched; a generated frame is fed back
                as 0 there.

        Returns:
            (batch, T - 1 + horizon, channel, height, width), and a last axis for the numbers of a
            distribution where ``n_parameters`` is above 1.

        Raises:
            ValueError: If ``horizon`` is below 1, or ``true_future`` comes without ``teacher_mask``.
        """
        if horizon < 1:
            raise ValueError(f"horizon is {horizon}; at least one frame is forecast. Use 1 or more.")
        if (true_future is None) != (teacher_mask is None):
            raise ValueError(
                "true_future are the frames that teacher_mask says to feed. Pass both or neither."
            )
        height, width = observed.shape[-2:]
        frames = to_patches(observed, self.patch_size)
        truth = None if true_future is None else to_patches(true_future, self.patch_size)
        known = frames.shape[1]
        conv = self._convolution(frames)

        def read(t: int, last: Tensor | None) -> Tensor:
            """The frame of step t, the last generated one given, and what is known beside it."""
            if t < known:
                frame = frames[:, t]
            else:
                assert last is not None
                frame = self._fed_back(last) if seen is None else self._fed_back(last) * seen
                if truth is not None and teacher_mask is not None:
                    fed = teacher_mask[:, t - known, None, None, None]
                    frame = fed * truth[:, t - known] + (1 - fed) * frame
            return frame if covariates is None else torch.cat([frame, covariates[:, t]], dim=1)

        def run(steps: range, state: MIMState, last: Tensor | None) -> tuple[list[Tensor], MIMState]:
            """Generated frames, and the state after them."""
            generated: list[Tensor] = []
            for t in steps:
                H, state = self.step(conv, conv.fold(read(t, last)), state)
                last = conv.unfold(conv.pointwise(self.to_frame, H))
                generated.append(last)
            return generated, state

        generated: list[Tensor] = []
        state, last = self.initial_state(conv), None
        for steps in self._segments(known - 1 + horizon):
            if self.checkpoint_segments and torch.is_grad_enabled():
                some, state = checkpoint(run, steps, state, last, use_reentrant=False)
            else:
                some, state = run(steps, state, last)
            generated += some
            last = some[-1]
        return self._unfold(torch.stack(generated, dim=1), height, width)

    def _block(self, grid: tuple[int, int] | None) -> nn.Module:
        """A layer above the first."""
        size, layer_norm, ablation = (self.hidden, self.kernel_size), self.layer_norm, self.ablation
        if ablation == "without_mim":
            st_lstm = ReleasedSTLSTMCell if self.variant == "released" else STLSTMCell
            return st_lstm(self.hidden, *size, layer_norm=layer_norm)
        if self.variant == "paper":
            return MIMBlock(*size, layer_norm=layer_norm, ablation=ablation)
        if grid is None:
            raise ValueError("variant='released' has weights for every cell: pass grid=(rows, columns).")
        rows, columns = (-(-side // self.patch_size) for side in grid)
        return ReleasedMIMBlock(*size, rows, columns, layer_norm=layer_norm, ablation=ablation)

    def _segments(self, steps: int) -> list[range]:
        """The steps in ``checkpoint_segments`` parts of nearly equal length."""
        n = min(max(1, self.checkpoint_segments), steps)
        bounds = [steps * i // n for i in range(n + 1)]
        return [range(start, stop) for start, stop in pairwise(bounds)]

    def _convolution(self, frames: Float[Tensor, "batch time channel rows columns"]) -> Convolution:
        """How the convolutions of a batch are computed."""
        wanted = self.convolution == "winograd" or (
            self.convolution == "auto" and self._winograd_pays(frames)
        )
        if wanted and self._winograd_can(frames):
            return WinogradConvolution(frames, self.kernel_size)
        return DirectConvolution(frames)

    def _winograd_can(self, frames: Float[Tensor, "batch time channel rows columns"]) -> bool:
        """Whether there are Winograd's convolutions for such frames: on the processor, in full precision."""
        return (
            frames.device.type == "cpu"
            and frames.dtype in (torch.float32, torch.float64)
            and self.kernel_size in KERNELS
            and not torch.is_autocast_enabled("cpu")
            and not torch.compiler.is_compiling()
        )

    def _winograd_pays(self, frames: Float[Tensor, "batch time channel rows columns"]) -> bool:
        """Whether Winograd's convolutions are the faster ones; docs/performance.md has the measurements.

        Who asks for segments wants less memory, not less time, and does without them.
        """
        batch, _, _, rows, columns = frames.shape
        tiles = batch * -(-rows // TILE) * -(-columns // TILE)
        enough = self.hidden >= 16 and tiles >= 16
        return enough and uses_all_threads() and not self.checkpoint_segments

    def initial_state(self, conv: Convolution) -> MIMState:
        """Zero memories."""
        zero = conv.zeros(self.hidden)
        above = (zero,) * len(self.blocks)
        return MIMState(H=(zero, *above), C=(zero, *above), N=above, S=above, D=above, M=zero, first=True)

    def step(self, conv: Convolution, frame: Field, state: MIMState) -> tuple[Field, MIMState]:
        """One frame through all layers [Wang2019, eq. 4]; M runs upwards and on to the next step."""
        H, C, M = self.first(conv, frame, state.H[0], state.C[0], state.M)
        hidden, memories, inner = [H], [C], []
        differences = not (state.first or self.ablation == "without_mim")
        dX = conv.field(H.values - state.H[0].values) if differences else None
        for l, block in enumerate(self.blocks):
            N, S, D = state.N[l], state.S[l], state.D[l]
            if self.ablation == "without_mim":
                H, C, M = block(conv, H, state.H[l + 1], state.C[l + 1], M)
            else:
                H, C, N, S, D, M = block(conv, H, dX, state.H[l + 1], state.C[l + 1], N, S, D, M)
            if differences:
                # Row R4: the released program differences once and hands D up; the paper, every layer.
                dX = D if self.variant == "released" else conv.field(H.values - state.H[l + 1].values)
            hidden.append(H)
            memories.append(C)
            inner.append((N, S, D))
        N, S, D = zip(*inner, strict=True)
        return H, MIMState(H=tuple(hidden), C=tuple(memories), N=N, S=S, D=D, M=M, first=False)

    def _fed_back(
        self, generated: Float[Tensor, "batch folded rows columns"]
    ) -> Float[Tensor, "batch channel rows columns"]:
        """The frame that a generated one feeds to the next step."""
        if self.feedback is None:
            return generated
        batch, _, rows, columns = generated.shape
        split = generated.reshape(batch, -1, self.n_parameters, rows, columns)
        return self.feedback(split.movedim(2, -1))

    def _unfold(
        self, generated: Float[Tensor, "batch steps folded rows columns"], height: int, width: int
    ) -> Tensor:
        """Generated patches back on the grid, with the parameters last where there are any."""
        if self.n_parameters == 1:
            return from_patches(generated, self.patch_size, height, width)
        batch, steps, _, rows, columns = generated.shape
        split = generated.reshape(batch, steps, -1, self.n_parameters, rows, columns)
        return torch.stack(
            [
                from_patches(split[:, :, :, k], self.patch_size, height, width)
                for k in range(self.n_parameters)
            ],
            dim=-1,
        )


def require_kernel(convolution: ConvolutionChoice, kernel_size: int) -> None:
    """Check that there is such a convolution for the kernel.

    Raises:
        ValueError: If there is not.
    """
    if convolution == "winograd" and kernel_size not in KERNELS:
        raise ValueError(
            f"convolution='winograd' has kernels of {KERNELS} cells a side, and kernel_size is "
            f"{kernel_size}. Use convolution='auto'."
        )
