"""What the cells do with their gates, cell by cell of the grid: the paper's formulas between convolutions."""

from typing import Any

from darts_mim.nn.fused import addcmul, fused, sigmoid, tanh

FORGET_BIAS = 1.0  # row R8: inside every forget gate's sigmoid of the released program


@fused
def remember(z_g: Any, z_i: Any, z_f: Any, memory: Any) -> Any:
    """The memory f * memory + i * g [Wang2019, eq. 1-3]."""
    return addcmul(sigmoid(z_f) * memory, sigmoid(z_i), tanh(z_g))


@fused
def take_in(z_g: Any, z_i: Any, kept: Any) -> Any:
    """Kept + i * g: C of a MIM block, whose T stands for the forget gate [Wang2019, eq. 1]."""
    return addcmul(kept, sigmoid(z_i), tanh(z_g))


@fused
def give_out(z_o: Any, z_more: Any, memory: Any) -> Any:
    """What is read of it, o * tanh(memory); the output gate comes in two parts [Wang2019, eq. 1-3]."""
    return sigmoid(z_o + z_more) * tanh(memory)


@fused
def remember_as_released(x_g: Any, x_i: Any, x_f: Any, z_g: Any, z_i: Any, z_f: Any, memory: Any) -> Any:
    """The same, the input's part of the gates apart (row R1), and the forget gate biased (R8)."""
    return addcmul(sigmoid(x_f + z_f + FORGET_BIAS) * memory, sigmoid(x_i + z_i), tanh(x_g + z_g))


@fused
def take_in_as_released(x_g: Any, x_i: Any, z_g: Any, z_i: Any, kept: Any) -> Any:
    """The same, the input's part of the gates apart (row R1)."""
    return addcmul(kept, sigmoid(x_i + z_i), tanh(x_g + z_g))


@fused
def give_out_as_released(z_o: Any, memory: Any) -> Any:
    """The same, the output gate in one part."""
    return sigmoid(z_o) * tanh(memory)


@fused
def remember_by_cell(z_g: Any, z_i: Any, z_f: Any, weight_i: Any, weight_f: Any, memory: Any) -> Any:
    """The memory f * memory + i * g, where i and f read the old memory by a weight a cell (rows R6, R8)."""
    forget = sigmoid(addcmul(z_f, weight_f, memory) + FORGET_BIAS)
    return addcmul(forget * memory, sigmoid(addcmul(z_i, weight_i, memory)), tanh(z_g))


@fused
def give_out_by_cell(z_o: Any, weight_o: Any, memory: Any) -> Any:
    """What is read of it, o * tanh(memory), where o reads the new memory by a weight a cell (row R7)."""
    return sigmoid(addcmul(z_o, weight_o, memory)) * tanh(memory)
