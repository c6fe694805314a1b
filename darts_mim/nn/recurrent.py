"""The network: cells stacked over layers and time, and rolled on past the observed frames."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import torch
from jaxtyping import Float
from torch import Tensor, nn

from darts_mim.nn.mim import Ablation, MIMBlock
from darts_mim.nn.patches import from_patches, to_patches
from darts_mim.nn.released_cells import ReleasedMIMBlock, ReleasedSTLSTMCell
from darts_mim.nn.st_lstm import STLSTMCell

Variant = Literal["paper", "released"]


@dataclass(frozen=True, kw_only=True)
class MIMState:
    """What the network carries from one frame to the next; one entry a layer, bottom first.

    Layer 1 is an ST-LSTM, which has no N, S and D: theirs begin at layer 2. ``M`` is the zigzag memory as
    the top layer left it. ``first`` says that no frame was read yet, so there is no difference to read.
    """

    H: tuple[Float[Tensor, "batch hidden height width"], ...]
    C: tuple[Float[Tensor, "batch hidden height width"], ...]
    N: tuple[Float[Tensor, "batch hidden height width"], ...]
    S: tuple[Float[Tensor, "batch hidden height width"], ...]
    D: tuple[Float[Tensor, "batch hidden height width"], ...]
    M: Float[Tensor, "batch hidden height width"]
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
        ablation: The inner module to take out of every block (Table 3).
        covariates: Channels of what is known beside a frame.
        n_parameters: Numbers given out per channel and cell; more than 1 for a distribution.
        feedback: The frame to feed back, (batch, channel, rows, columns), patched, from what the network
            gives out for it, with ``n_parameters`` as a last axis.

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
        self.channels, self.hidden, self.patch_size = channels, hidden, patch_size
        self.kernel_size, self.layer_norm = kernel_size, layer_norm
        self.variant: Variant = variant
        self.n_parameters, self.feedback = n_parameters, feedback
        folded = channels * patch_size**2
        frame = folded + covariates
        if variant == "released":
            if grid is None:
                raise ValueError("variant='released' has weights for every cell: pass grid=(rows, columns).")
            rows, columns = (-(-side // patch_size) for side in grid)
            self.first = ReleasedSTLSTMCell(frame, hidden, kernel_size, layer_norm=layer_norm)
            self.blocks = nn.ModuleList(
                ReleasedMIMBlock(hidden, kernel_size, rows, columns, layer_norm=layer_norm, ablation=ablation)
                for _ in range(layers - 1)
            )
        else:
            self.first = STLSTMCell(frame, hidden, kernel_size, layer_norm=layer_norm)
            self.blocks = nn.ModuleList(
                MIMBlock(hidden, kernel_size, layer_norm=layer_norm, ablation=ablation)
                for _ in range(layers - 1)
            )
        self.to_frame = nn.Conv2d(hidden, folded * n_parameters, 1)

    def forward(
        self,
        observed: Float[Tensor, "batch time channel height width"],
        horizon: int,
        true_future: Float[Tensor, "batch {horizon} channel height width"] | None = None,
        teacher_mask: Float[Tensor, "batch {horizon-1}"] | None = None,
        covariates: Float[Tensor, "batch steps covariate rows columns"] | None = None,
    ) -> Tensor:
        """Every generated frame: observed frames 2..T rebuilt, then the forecast.

        Args:
            observed: T frames.
            horizon: Frames to forecast, at least 1.
            true_future: The frames to forecast, for scheduled sampling.
            teacher_mask: 1 where the true frame is fed in place of the generated one, at steps T+1 on.
            covariates: What is known when frame t is read, for t = 1..T-1+horizon, on the patched grid.

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
        state = self.initial_state(frames)
        generated: list[Tensor] = []
        for t in range(known - 1 + horizon):
            if t < known:
                frame = frames[:, t]
            else:
                frame = self._fed_back(generated[-1])
                if truth is not None and teacher_mask is not None:
                    fed = teacher_mask[:, t - known, None, None, None]
                    frame = fed * truth[:, t - known] + (1 - fed) * frame
            if covariates is not None:
                frame = torch.cat([frame, covariates[:, t]], dim=1)
            H, state = self.step(frame, state)
            generated.append(self.to_frame(H))
        return self._unfold(torch.stack(generated, dim=1), height, width)

    def initial_state(self, frames: Float[Tensor, "batch time channel rows columns"]) -> MIMState:
        """Zero memories for the (patched) frames to come."""
        zero = frames.new_zeros(frames.shape[0], self.hidden, *frames.shape[-2:])
        above = (zero,) * len(self.blocks)
        return MIMState(H=(zero, *above), C=(zero, *above), N=above, S=above, D=above, M=zero, first=True)

    def step(
        self, frame: Float[Tensor, "batch channel rows columns"], state: MIMState
    ) -> tuple[Float[Tensor, "batch hidden rows columns"], MIMState]:
        """One frame through all layers [Wang2019, eq. 4]; M runs upwards and on to the next step."""
        H, C, M = self.first(frame, state.H[0], state.C[0], state.M)
        hidden, memories, inner = [H], [C], []
        dX = None if state.first else H - state.H[0]
        for l, block in enumerate(self.blocks):
            step = block(H, dX, state.H[l + 1], state.C[l + 1], state.N[l], state.S[l], state.D[l], M)
            if not state.first:
                # Row R4: the released program differences once and hands D up; the paper, every layer.
                dX = step.D if self.variant == "released" else step.H - state.H[l + 1]
            H, M = step.H, step.M
            hidden.append(H)
            memories.append(step.C)
            inner.append((step.N, step.S, step.D))
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
