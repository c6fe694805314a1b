"""Elementwise formulas of the cells, each in one pass over memory, forward and backward.

A formula is written once, as a function of tensors. On the processor, for tiles in float32, it is written out
as machine code, with its derivatives; anywhere else torch computes it as it stands.
"""

import inspect
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache, wraps
from typing import Any, no_type_check

import numpy as np
import torch
from llvmlite import ir
from numba import carray, types
from torch import Tensor
from torch.autograd.function import once_differentiable

from darts_mim.nn.machine_code import Loop, count_up, intrinsic, splat

ITEMSIZE = 4  # bytes of a float32
LANES = 32  # numbers at a time
PART = 8192  # numbers that a thread takes at a time
FORMULAS: dict[str, Callable[..., Any]] = {}
_INT64 = ir.IntType(64)


@dataclass(eq=False)
class Node:
    """A step of a formula: what it does, and what it does it to."""

    operation: str
    arguments: tuple["Node", ...] = ()
    constant: float = 0.0

    def __add__(self, other: "Node | float") -> "Node":
        return Node("add", (self, _node(other)))

    def __sub__(self, other: "Node | float") -> "Node":
        return Node("subtract", (self, _node(other)))

    def __rsub__(self, other: float) -> "Node":
        return Node("subtract", (_node(other), self))

    def __mul__(self, other: "Node | float") -> "Node":
        return Node("multiply", (self, _node(other)))


def _node(value: "Node | float") -> Node:
    return value if isinstance(value, Node) else Node("constant", constant=float(value))


def _read(n: int) -> list[Node]:
    return [Node("read", constant=float(number)) for number in range(n)]


def sigmoid(x: Any) -> Any:
    """Of a tensor, or as a step of a formula."""
    return Node("sigmoid", (x,)) if isinstance(x, Node) else torch.sigmoid(x)


def tanh(x: Any) -> Any:
    """Of a tensor, or as a step of a formula."""
    return Node("tanh", (x,)) if isinstance(x, Node) else torch.tanh(x)


def addcmul(x: Any, y: Any, z: Any) -> Any:
    """The sum x + y * z."""
    return x + y * z if isinstance(x, Node) else torch.addcmul(x, y, z)


def fused(formula: Callable[..., Any]) -> Callable[..., Tensor]:
    """A formula in sums, differences, products, ``sigmoid`` and ``tanh``, in one pass where it can be."""
    n = len(inspect.signature(formula).parameters)
    key = repr(formula(*_read(n)))  # all that it says: compiled code is kept under it
    FORMULAS[key] = formula

    @wraps(formula)
    def compute(*tensors: Tensor) -> Tensor:
        return _Fused.apply(key, *tensors) if _in_one_pass(tensors) else formula(*tensors)  # pyright: ignore

    return compute


def _in_one_pass(tensors: Sequence[Tensor]) -> bool:
    """Whether all are tiles (4, 4, batch, R, C, channel) in float32, or the same for all of the batch."""
    if any(x.dim() != 6 or x.dtype != torch.float32 or x.device.type != "cpu" for x in tensors):
        return False
    planes, batch, others = _parts(_largest(tensors))
    return not torch.compiler.is_compiling() and all(
        x.is_contiguous() and _parts(x) in ((planes, batch, others), (planes, 1, others)) for x in tensors
    )


def _parts(x: Tensor) -> tuple[torch.Size, int, torch.Size]:
    return x.shape[:2], x.shape[2], x.shape[3:]


def _largest(tensors: Sequence[Tensor]) -> Tensor:
    return max(tensors, key=Tensor.numel)


class _Fused(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, key: str, *tensors: Tensor) -> Tensor:
        ctx.save_for_backward(*tensors)
        ctx.key = key
        result = torch.empty_like(_largest(tensors))
        _run(key, tensors, [result], backward=False)
        return result

    @staticmethod
    @once_differentiable
    def backward(  # pyright: ignore[reportIncompatibleMethodOverride]
        ctx: Any, *gradient: Tensor
    ) -> tuple[Any, ...]:
        tensors: tuple[Tensor, ...] = ctx.saved_tensors
        found = [torch.empty_like(x) for x in tensors]
        _run(ctx.key, tensors, [gradient[0].contiguous(), *found], backward=True)
        return None, *found


def _run(key: str, read: Sequence[Tensor], others: Sequence[Tensor], *, backward: bool) -> None:
    whole = _largest(read).shape
    planes, batch, inner = whole[0] * whole[1], whole[2], whole[3:].numel()
    shared = "".join(str(int(x.shape[2] < batch)) for x in read)
    places = [number for x in (*read, *others) for number in (x.data_ptr(), x.shape[2])]
    _loop(key, shared, len(places) // 2, int(backward))([planes, batch, inner, *places])


@cache
@no_type_check
def _loop(key: str, shared: str, n: int, backward: int) -> Loop:
    """Over the samples, which may share a tensor, within parts of what a sample has of a plane of cells."""

    def body(arguments: Any) -> None:
        a = carray(arguments, 5 + 2 * n)
        planes, batch, inner = a[2], a[3], a[4]
        table = np.empty(n, np.int64)
        at = np.int64(table.ctypes.data)
        parts = -(-inner // PART)
        item = count_up(arguments, 0)
        while item < planes * parts:
            plane, first = item // parts, item % parts * PART
            last = min(first + PART, inner)
            whole = first + (last - first) // LANES * LANES
            for b in range(batch):
                for k in range(n):
                    samples = a[6 + 2 * k]
                    sample = plane * samples + (b if samples == batch else 0)
                    table[k] = a[5 + 2 * k] + sample * inner * ITEMSIZE
                for place in range(first, whole, LANES):
                    evaluate(key, shared, backward, LANES, at, place * ITEMSIZE, b)
                for place in range(whole, last):
                    evaluate(key, shared, backward, 1, at, place * ITEMSIZE, b)
            item = count_up(arguments, 0)
        table[0] = 0  # kept until here

    return Loop(body)


@intrinsic
def evaluate(
    typing: Any, key: Any, shared: Any, backward: Any, lanes: Any, table: Any, offset: Any, sample: Any
) -> Any:
    """A formula, or its derivatives times a gradient, on one vector of each tensor.

    Args:
        typing: Numba's.
        key: Of the formula, a literal.
        shared: For each tensor read, 1 if all samples share it, 0 if not; a literal.
        backward: 1 for the derivatives, 0 for the formula; a literal.
        lanes: Numbers of a vector, a literal.
        table: Address of the addresses of what is read, then of the result; backward, of its gradient and of
            the gradients of what was read. Those of what is shared are added up over the samples.
        offset: Bytes to go on from each.
        sample: Number of the sample.
    """
    if not all(isinstance(value, types.Literal) for value in (key, shared, backward, lanes)):
        return None
    read = _read(len(shared.literal_value) + backward.literal_value)
    of = [one == "1" for one in shared.literal_value]
    result = FORMULAS[key.literal_value](*read[: len(of)])
    written = _derivatives(result, read[:-1], read[-1]) if backward.literal_value else [result]
    vector = ir.VectorType(ir.FloatType(), lanes.literal_value)

    def generate(context: Any, builder: Any, signature: Any, values: Sequence[Any]) -> Any:
        table, offset, sample = values[4:]
        known: dict[Node, Any] = {}

        def place(n: int) -> Any:
            entry = builder.inttoptr(builder.add(table, _INT64(8 * n)), _INT64.as_pointer())
            return builder.inttoptr(builder.add(builder.load(entry), offset), vector.as_pointer())

        def value_of(node: Node) -> Any:
            if node not in known:
                known[node] = _emit(builder, vector, node, place, [value_of(one) for one in node.arguments])
            return known[node]

        for node in read:
            value_of(node)
        results = [value_of(node) for node in written]
        for n, value in enumerate(results):
            there = place(len(read) + n)
            if backward.literal_value and of[n]:
                before = builder.load(there, align=ITEMSIZE)
                begun = builder.icmp_signed("!=", sample, _INT64(0))
                value = builder.fadd(value, builder.select(begun, before, splat(vector, 0.0)))
            builder.store(value, there, align=ITEMSIZE)
        return context.get_dummy_value()

    return types.void(key, shared, backward, lanes, *(types.int64,) * 3), generate


def _emit(
    builder: Any, vector: ir.VectorType, node: Node, place: Callable[[int], Any], values: list[Any]
) -> Any:
    """The vector that a step of a formula gives."""
    match node.operation:
        case "read":
            return builder.load(place(int(node.constant)), align=ITEMSIZE)
        case "constant":
            return splat(vector, node.constant)
        case "add":
            return builder.fadd(*values, flags=["contract"])
        case "subtract":
            return builder.fsub(*values, flags=["contract"])
        case "multiply":
            return builder.fmul(*values, flags=["contract"])
        case "tanh":
            return _tanh(builder, vector, values[0])
        case "sigmoid":
            half = splat(vector, 0.5)
            t = _tanh(builder, vector, builder.fmul(values[0], half))
            return builder.fadd(builder.fmul(t, half, flags=["contract"]), half, flags=["contract"])
        case _:
            raise ValueError(f"No operation {node.operation!r}.")


# Of x times the even powers of x, and of even powers: their quotient is tanh to float32 [Eigen's fast tanh].
_ABOVE = (4.89352455891786e-03, 6.37261928875436e-04, 1.48572235717979e-05, 5.12229709037114e-08)
_ABOVE += (-8.60467152213735e-11, 2.00018790482477e-13, -2.76076847742355e-16)
_BELOW = (4.89352518554385e-03, 2.26843463243900e-03, 1.18534705686654e-04, 1.19825839466702e-06)
_ONE_FROM = 7.90531110763549805  # on, float32 has no number nearer to tanh than 1


def _tanh(builder: Any, vector: ir.VectorType, x: Any) -> Any:
    above = builder.fcmp_ordered(">", x, splat(vector, _ONE_FROM))
    below = builder.fcmp_ordered("<", x, splat(vector, -_ONE_FROM))
    square = builder.fmul(x, x)

    def polynomial(coefficients: Sequence[float]) -> Any:
        total = splat(vector, coefficients[-1])
        for coefficient in reversed(coefficients[:-1]):
            product = builder.fmul(total, square, flags=["contract"])
            total = builder.fadd(product, splat(vector, coefficient), flags=["contract"])
        return total

    between = builder.fdiv(builder.fmul(x, polynomial(_ABOVE)), polynomial(_BELOW))
    one, minus_one = splat(vector, 1.0), splat(vector, -1.0)
    return builder.select(above, one, builder.select(below, minus_one, between))


def _derivatives(result: Node, read: Sequence[Node], gradient: Node) -> list[Node]:
    """What the gradient of the result says of each of what is read."""
    found: dict[Node, Node] = {result: gradient}

    def add(node: Node, value: Node) -> None:
        found[node] = found[node] + value if node in found else value

    for node in reversed(_in_order(result)):
        d = found[node]
        match node.operation:
            case "add":
                add(node.arguments[0], d)
                add(node.arguments[1], d)
            case "subtract":
                add(node.arguments[0], d)
                add(node.arguments[1], d * -1.0)
            case "multiply":
                add(node.arguments[0], d * node.arguments[1])
                add(node.arguments[1], d * node.arguments[0])
            case "sigmoid":
                add(node.arguments[0], d * node * (1.0 - node))
            case "tanh":
                add(node.arguments[0], d * (1.0 - node * node))
            case _:  # read, or a constant
                pass
    return [found[node] for node in read]


def _in_order(result: Node) -> list[Node]:
    """The steps of a formula, each after what it is made of."""
    order: dict[Node, None] = {}

    def visit(node: Node) -> None:
        if node not in order:
            for argument in node.arguments:
                visit(argument)
            order[node] = None

    visit(result)
    return list(order)
