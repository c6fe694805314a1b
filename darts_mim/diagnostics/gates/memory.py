"""How far back a network's memories reach: gradients through C, N, S, M and H."""

from collections.abc import Generator
from contextlib import contextmanager

import numpy as np
import torch
import xarray as xr
from torch import Tensor

from darts_mim.diagnostics.gates.recording import LayerStep, Windows, watching
from darts_mim.diagnostics.gates.subject import labelled
from darts_mim.nn.recurrent import MIMNetwork

MEMORIES = ("C", "N", "S", "M", "H")
FADED = 0.1  # of the gain at lag 0, below which a memory is said to have faded


def memory_reach(
    network: MIMNetwork,
    observed: Tensor,
    horizon: int,
    covariates: Tensor | None = None,
    *,
    cells: Tensor | None = None,
    seed: int = 0,
) -> xr.Dataset:
    """How much of a change in a memory is left some steps later, by memory, layer and lag.

    Let X_R be one of C, N, S, M, H of one layer after the last step R of the roll-out, and J_k the Jacobian
    of X_R with respect to the same memory k steps before, by every path that backpropagation sees: through
    the gates, the other states, and, past the observed frames, the generated frame that is fed back. Given
    is |J_k' v| / |v|, the root mean square over windows and random signs v: in expectation the root mean
    square of J_k's singular values, and 1 at lag 0. ``forecast_reach`` has the last generated frame in the
    place of X_R, and is divided by its own value at lag 0. The horizon is the first lag with less than a
    tenth left.

    Args:
        network: In any dtype and on any device.
        observed: (batch, time, channel, height, width), whole windows on the network's scale; each draws a
            v of its own.
        horizon: Frames to forecast.
        covariates: As in ``MIMNetwork.forward``.
        cells: Cells of the patched grid that count, in v and in the norm; None if all do.
        seed: Of the random signs.

    Returns:
        ``memory_reach`` and ``forecast_reach`` (memory, layer, lag), NaN where there is no such memory or
        nothing was written to it yet; ``memory_horizon`` and ``forecast_horizon`` (memory, layer), in steps,
        NaN where a tenth is still left at the longest lag.

    >>> network = MIMNetwork(channels=1, hidden=2, layers=2, kernel_size=3)
    >>> reach = memory_reach(network, torch.rand(3, 4, 1, 4, 3), horizon=2)
    >>> reach["memory_reach"].sel(memory="C", lag=0).values
    array([1., 1.])
    """
    layers, steps = 1 + len(network.blocks), observed.shape[1] - 1 + horizon
    kept = _KeptMemories()
    with differentiable(network), watching(network, [kept]):
        last = network(observed, horizon, covariates=covariates)[:, -1]
    generator = torch.Generator().manual_seed(seed)
    # of memory and of forecast, by memory, layer and lag
    squares = np.full((2, len(MEMORIES), layers, steps), np.nan)
    v = _signs(last, generator)
    for (letter, layer), fields in kept.found.items():
        counted = _counted(fields[-1], cells)
        for n, (target, towards) in enumerate(
            [(fields[-1], counted * _signs(fields[-1], generator)), (last, v)]
        ):
            gradients = torch.autograd.grad(
                target, fields, towards, retain_graph=True, materialize_grads=True
            )
            found = [float((each * counted).double().square().sum()) for each in reversed(gradients)]
            squares[n, MEMORIES.index(letter), layer - 1, : len(found)] = found
    with np.errstate(divide="ignore", invalid="ignore"):
        of_memory, of_forecast = np.sqrt(squares / squares[..., :1])
    return _dataset(of_memory, of_forecast)


@contextmanager
def differentiable(network: MIMNetwork) -> Generator[None]:
    """Torch's own convolutions and every inner value kept, so that states are plain nodes of the graph.

    Frozen weights have gradients meanwhile: states that hang on biases alone would be no nodes without.
    """
    kept = network.convolution, network.checkpoint_segments
    frozen = [weight for weight in network.parameters() if not weight.requires_grad]
    network.convolution, network.checkpoint_segments = "direct", 0
    try:
        for weight in frozen:
            weight.requires_grad_()
        with torch.inference_mode(False), torch.enable_grad():
            yield
    finally:
        network.convolution, network.checkpoint_segments = kept
        for weight in frozen:
            weight.requires_grad_(False)


class _KeptMemories:
    """Keeps the memories of one pass, as nodes of its graph, from when something is written to them."""

    def __init__(self) -> None:
        self.found: dict[tuple[str, int], list[Tensor]] = {}

    def begin(self, windows: Windows) -> None:
        """Nothing is known yet."""

    def see(self, step: LayerStep) -> None:
        """Keep what is a memory."""
        for letter in MEMORIES:
            if letter in step.states and not step.states[letter].zero:
                self.found.setdefault((letter, step.layer), []).append(step.states[letter].values)


def _signs(like: Tensor, generator: torch.Generator) -> Tensor:
    return torch.randint(0, 2, like.shape, generator=generator).to(like) * 2 - 1


def _counted(like: Tensor, cells: Tensor | None) -> Tensor:
    """1 in the cells that count, (row, column)."""
    rows, columns = like.shape[-2:]
    if cells is None:
        return like.new_ones(rows, columns)
    return like.new_zeros(rows * columns).index_fill(0, cells.to(like.device), 1.0).view(rows, columns)


def _dataset(of_memory: np.ndarray, of_forecast: np.ndarray) -> xr.Dataset:
    dims, said = ("memory", "layer", "lag"), "relative to lag 0"
    return xr.Dataset(
        {
            "memory_reach": labelled(
                of_memory, dims, f"Gain from a memory to itself, some steps later, {said}"
            ),
            "forecast_reach": labelled(of_forecast, dims, f"Gain from a memory to the last forecast, {said}"),
            "memory_horizon": labelled(
                _horizon(of_memory), dims[:2], "First lag with a gain under 0.1", "steps"
            ),
            "forecast_horizon": labelled(
                _horizon(of_forecast),
                dims[:2],
                "First lag with a gain to the last forecast under 0.1",
                "steps",
            ),
        },
        {
            "memory": ("memory", list(MEMORIES), {"long_name": "Memory"}),
            "layer": ("layer", np.arange(1, of_memory.shape[1] + 1), {"long_name": "Layer, from below"}),
            "lag": ("lag", np.arange(of_memory.shape[2]), {"long_name": "Lag", "units": "steps"}),
        },
    )


def _horizon(reach: np.ndarray) -> np.ndarray:
    """The first lag under a tenth, NaN if there is none."""
    faded = reach < FADED
    return np.where(faded.any(axis=-1), faded.argmax(axis=-1), np.nan)
