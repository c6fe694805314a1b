"""What happens inside a MIM network while it forecasts, watched without changing a bit of the forecast."""

from collections.abc import Generator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Protocol

import torch
from torch import Tensor, nn

from darts_mim.nn.convolution import Convolution, Field
from darts_mim.nn.gates import GateConv
from darts_mim.nn.memory import FORGET_BIAS
from darts_mim.nn.recurrent import MIMNetwork
from darts_mim.nn.released_cells import (
    ReleasedMIMBlock,
    ReleasedMIMNCell,
    ReleasedMIMSCell,
    ReleasedSTLSTMCell,
)
from darts_mim.nn.st_lstm import STLSTMCell

ST_LSTM = (STLSTMCell, ReleasedSTLSTMCell)
RELEASED_LAYER = (ReleasedSTLSTMCell, ReleasedMIMBlock)


@dataclass(frozen=True, kw_only=True)
class Windows:
    """The batch that one pass through the network begins with.

    Attributes:
        observed: (batch, time, channel, height, width), on the network's own scale.
        horizon: Frames to forecast.
        covariates: As in ``MIMNetwork.forward``.
        whole: Which sequences hold no NaN: a window that touches a gap says nothing of the network.
    """

    observed: Tensor
    horizon: int
    covariates: Tensor | None
    whole: Tensor


@dataclass(frozen=True, kw_only=True)
class LayerStep:
    """What one layer did at one step of one batch.

    Attributes:
        layer: From 1, the ST-LSTM, upwards.
        step: From 1, the first observed frame, on.
        states: What it handed on, by the paper's letters: H, C and M; in a MIM block N, S, D and T too.
        before: The memories that it was handed, C[t-1] and so on, by the same letters.
        gates: Its forget gates, by the memory that they rule; C has none in a MIM block, where T = MIM-S(D,
            C[t-1]) takes its place.
        conv: The layout of all of them.
        whole: Which sequences of the batch count.
        cells: Which cells of the patched grid count, as indices in row-major order; None if all do.
    """

    layer: int
    step: int
    states: Mapping[str, Field]
    before: Mapping[str, Field]
    gates: Mapping[str, Tensor]
    conv: Convolution
    whole: Tensor
    cells: Tensor | None

    def units(self, values: Tensor) -> Tensor:
        """Values out of the layout, (sequence, channel, cell), of what counts alone."""
        units = self.conv.unfold(values)[self.whole].flatten(2)
        return units if self.cells is None else units[:, :, self.cells]


class Watcher(Protocol):
    """Is told of every pass and of every layer's every step."""

    def begin(self, windows: Windows) -> None:
        """A pass begins."""
        ...

    def see(self, step: LayerStep) -> None:
        """A layer has done a step."""
        ...


@contextmanager
def watching(
    network: MIMNetwork, watchers: Sequence[Watcher], *, cells: Tensor | None = None
) -> Generator[None]:
    """Tell the watchers what the network does, as long as the context lasts.

    Hooks on the cells read what goes in and out; a cell's convolution is replaced by one that calls it and
    keeps the gates' terms. What the network computes is the same to the last bit.

    Args:
        network: In eager mode: hooks are not part of an exported or compiled program.
        watchers: Whom to tell, in this order.
        cells: Which cells of the patched grid count, as indices in row-major order; None if all do.

    >>> class Steps(list):
    ...     def begin(self, windows): self.append("begin")
    ...     def see(self, step): self.append((step.layer, step.step, *step.gates))
    >>> network, steps = MIMNetwork(channels=1, hidden=2, layers=2, kernel_size=3), Steps()
    >>> with watching(network, [steps]):
    ...     frames = network(torch.zeros(1, 2, 1, 4, 3), horizon=1)
    >>> steps
    ['begin', (1, 1, 'C', 'M'), (2, 1, 'M', 'S'), (1, 2, 'C', 'M'), (2, 2, 'M', 'N', 'S')]
    """
    recorder = _Recorder(watchers, cells)
    handles = [network.register_forward_pre_hook(recorder.begin, with_kwargs=True)]

    def attach(module: nn.Module, hook: Any) -> None:
        handles.append(module.register_forward_pre_hook(recorder.listen))
        handles.append(module.register_forward_hook(hook))

    try:
        for layer, cell in enumerate((network.first, *network.blocks), start=1):
            attach(cell, partial(recorder.after_layer, layer))
            for letter, inner in (("N", "mim_n"), ("S", "mim_s")):
                if (module := getattr(cell, inner, None)) is not None:
                    attach(module, partial(recorder.after_inner, letter))
        yield
    finally:
        for handle in handles:
            handle.remove()


class _Listening:
    """A ``Convolution`` that leaves the work to another and keeps the gates' terms, by name."""

    def __init__(self, conv: Convolution) -> None:
        self.conv = conv
        self.z: dict[str, Tensor] = {}

    def __call__(self, *terms: tuple[GateConv, Field]) -> tuple[Tensor, ...]:
        gates = self.conv(*terms)
        names = dict.fromkeys(name for gate_conv, _ in terms for name in gate_conv.gates)
        self.z |= dict(zip(names, gates, strict=True))
        return gates

    def pointwise(self, conv: nn.Conv2d, *fields: Field) -> Tensor:
        return self.conv.pointwise(conv, *fields)

    def field(self, values: Tensor) -> Field:
        return self.conv.field(values)

    def zeros(self, channels: int) -> Field:
        return self.conv.zeros(channels)

    def elementwise(self, weight: Tensor) -> Tensor:
        return self.conv.elementwise(weight)

    def fold(self, frame: Tensor) -> Field:
        return self.conv.fold(frame)

    def unfold(self, values: Tensor) -> Tensor:
        return self.conv.unfold(values)


@dataclass
class _Recorder:
    """What the hooks share during a pass."""

    watchers: Sequence[Watcher]
    cells: Tensor | None
    step: int = 0
    whole: Tensor = field(default_factory=lambda: torch.empty(0))
    heard: dict[nn.Module, _Listening] = field(default_factory=dict[nn.Module, _Listening])
    gates: dict[str, Tensor] = field(default_factory=dict[str, Tensor])  # of the inner cells, then the layer
    states: dict[str, Field] = field(default_factory=dict[str, Field])  # that only the inner cells give out

    def begin(self, network: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        names = ("observed", "horizon", "true_future", "teacher_mask", "covariates")
        given = dict(zip(names, args, strict=False)) | kwargs
        observed, covariates = given["observed"], given.get("covariates")
        whole = observed.isfinite().flatten(1).all(dim=1)
        if covariates is not None:
            whole &= covariates.isfinite().flatten(1).all(dim=1)
        self.step, self.whole = 0, whole
        windows = Windows(
            observed=observed, horizon=given["horizon"], covariates=covariates, whole=self.whole
        )
        for watcher in self.watchers:
            watcher.begin(windows)

    def listen(self, cell: nn.Module, args: tuple[Any, ...]) -> tuple[Any, ...]:
        conv, *fields = args
        # a block hands its own convolution on to the cells inside it
        listening = _Listening(conv.conv if isinstance(conv, _Listening) else conv)
        self.heard[cell] = listening
        return listening, *fields

    def after_inner(self, letter: str, cell: nn.Module, args: tuple[Any, ...], step: Any) -> None:
        listening, memory = self.heard.pop(cell), args[-1]
        f = listening.z["f"]
        if isinstance(cell, ReleasedMIMNCell | ReleasedMIMSCell):
            weight = listening.elementwise(cell.weight_f)
            f = torch.addcmul(f, weight, memory.values) + FORGET_BIAS
        self.gates[letter] = torch.sigmoid(f)
        if letter == "S":
            self.states["T"] = step.T

    def after_layer(self, layer: int, cell: nn.Module, args: tuple[Any, ...], step: Any) -> None:
        listening = self.heard.pop(cell)
        self.step += layer == 1
        if isinstance(cell, ST_LSTM):
            _, _, _, C, M = args
            before = {"C": C, "M": M}
        else:
            _, _, _, _, C, N, S, _, M = args
            before = {"C": C, "M": M, "N": N, "S": S}
        states: dict[str, Field] = step._asdict() | self.states
        if "D" in states and "T" not in states:
            states["T"] = states["D"]  # MIM-S is taken out
        gates = _forget_gates(cell, listening.z) | self.gates
        self.gates, self.states = {}, {}
        seen = LayerStep(
            layer=layer,
            step=self.step,
            states=states,
            before=before,
            # from zero memories alone a gate is one number a channel
            gates={name: f.expand_as(before[name].values) for name, f in gates.items()},
            conv=listening.conv,
            whole=self.whole,
            cells=self.cells,
        )
        for watcher in self.watchers:
            watcher.see(seen)


def _forget_gates(layer: nn.Module, z: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The forget gates of a layer itself, from their terms."""
    released = isinstance(layer, RELEASED_LAYER)
    f_ = torch.sigmoid(z["x_f"] + z["m_f"] + FORGET_BIAS if released else z["f'"])
    if not isinstance(layer, ST_LSTM):
        return {"M": f_}
    f = torch.sigmoid(z["x_f"] + z["h_f"] + FORGET_BIAS if released else z["f"])
    return {"C": f, "M": f_}
