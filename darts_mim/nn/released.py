"""Weights of the published program into our modules."""

import re
from collections.abc import Mapping

import numpy as np
import torch
from numpy.typing import ArrayLike
from torch import Tensor, nn

from darts_mim.nn.gates import GateConv
from darts_mim.nn.recurrent import MIMNetwork
from darts_mim.nn.released_cells import ReleasedMIMBlock, ReleasedMIMNCell, ReleasedMIMSCell

# Our modules name what they read; the program names where it came from.
_CONVS = {"conv_x": "input_to_state", "conv_h": "time_state_to_state", "conv_m": "spatio_state_to_state"}
_INNER_CONVS = {"conv_x": "input_to_state", "conv_h": "state_to_state"}


def mim_from_variables(variables: Mapping[str, ArrayLike]) -> MIMNetwork:
    """The published program's network, from the variables of one of its checkpoints.

    Layers, channels, kernel size, layer norm and grid are read from the shapes. Names may carry any
    prefix before ``stlstm_1/...`` and ``back_to_pixel/...``; optimiser slots beside them are ignored.

    Args:
        variables: Arrays by the program's variable names, kernels as TensorFlow stores them,
            (kernel rows, kernel columns, channels in, channels out); e.g. ``tf.train.load_checkpoint``.

    Returns:
        A network of ``variant="released"`` on frames that are already patched as the program patches
        them (``darts_mim.nn.patches.to_patches``).

    Raises:
        KeyError: If a variable that the network needs is not there.
        ValueError: If one has another shape than the network gives it, or stands under two prefixes.

    Source:
        The program behind [Wang2019]; docs/paper.md lists how it departs from the equations.
    """
    arrays = _without_prefix(variables)
    first = _get(arrays, "stlstm_1/input_to_state/kernel")
    kernel_size, _, channels, gates = first.shape
    layers = max(int(m[1]) for name in arrays if (m := re.match(r"stlstm_(\d+)/", name)))
    rows, columns, _ = _get(arrays, "stlstm_2/stlstm_2/oc_weight").shape
    network = MIMNetwork(
        channels,
        gates // 4,
        layers,
        kernel_size,
        variant="released",
        grid=(rows, columns),
        layer_norm="stlstm_1/input_to_states" in arrays,
    )
    _load_cell(network.first, "stlstm_1", _CONVS, arrays)
    _load_conv(network.first.conv_cm, "stlstm_1/cell_reduce", arrays)
    for layer, block in enumerate(network.blocks, start=2):
        assert isinstance(block, ReleasedMIMBlock)
        name = f"stlstm_{layer}"
        _load_cell(block, name, _CONVS, arrays)
        _load_conv(block.conv_cm, f"{name}/cell_reduce", arrays)
        _load_inner(block.mim_n, f"stlstm_diff{layer - 1}", arrays)
        _load_inner(block.mim_s, f"{name}/{name}", arrays)
    _load_conv(network.to_frame, "back_to_pixel", arrays)
    return network


def _without_prefix(variables: Mapping[str, ArrayLike]) -> dict[str, np.ndarray]:
    arrays: dict[str, np.ndarray] = {}
    for full_name, value in variables.items():
        if match := re.search(r"(?:^|/)((?:stlstm_(?:diff)?\d+|back_to_pixel)/.*)", full_name):
            if match[1] in arrays:
                raise ValueError(
                    f"Two variables end in {match[1]!r}, {full_name!r} and one before it. "
                    f"Pass those of one network."
                )
            arrays[match[1]] = np.asarray(value)
    return arrays


def _load_inner(
    cell: ReleasedMIMNCell | ReleasedMIMSCell | None, name: str, arrays: Mapping[str, np.ndarray]
) -> None:
    assert cell is not None
    _load_cell(cell, name, _INNER_CONVS, arrays)
    weight_i, weight_f = np.split(_get(arrays, f"{name}/c_t_weight"), 2, axis=-1)
    weights = {"weight_i": weight_i, "weight_f": weight_f, "weight_o": _get(arrays, f"{name}/oc_weight")}
    for ours, value in weights.items():
        _copy(getattr(cell, ours), value.transpose(2, 0, 1), name)


def _load_cell(
    cell: nn.Module, name: str, convs: Mapping[str, str], arrays: Mapping[str, np.ndarray]
) -> None:
    for ours, theirs in convs.items():
        gate_conv: GateConv = getattr(cell, ours)
        _load_conv(gate_conv.conv, f"{name}/{theirs}", arrays)
        if gate_conv.norm is not None:
            _copy(gate_conv.norm.weight, _get(arrays, f"{name}/{theirs}s"), name)
            _copy(gate_conv.norm.bias, _get(arrays, f"{name}/{theirs}b"), name)


def _load_conv(conv: nn.Conv2d, name: str, arrays: Mapping[str, np.ndarray]) -> None:
    _copy(conv.weight, _get(arrays, f"{name}/kernel").transpose(3, 2, 0, 1), f"{name}/kernel")
    assert conv.bias is not None
    _copy(conv.bias, _get(arrays, f"{name}/bias"), f"{name}/bias")


def _get(arrays: Mapping[str, np.ndarray], name: str) -> np.ndarray:
    if name not in arrays:
        raise KeyError(
            f"No variable ends in {name!r} among the {len(arrays)} given, and MIM has one. Is this a "
            f"checkpoint of MIM? Its variables are named like 'predrnn/stlstm_1/input_to_state/kernel'."
        )
    return arrays[name]


def _copy(parameter: Tensor, value: np.ndarray, name: str) -> None:
    if tuple(parameter.shape) != value.shape:
        raise ValueError(
            f"{name} has shape {value.shape}; the network read from the other shapes has "
            f"{tuple(parameter.shape)} there. The variables are not all of one network."
        )
    with torch.no_grad():
        parameter.copy_(torch.from_numpy(np.array(value)))
