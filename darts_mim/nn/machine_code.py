"""Loops over plain memory: compiled at first use, run by the threads that torch computes with.

Addresses are whole numbers here, distances are bytes, and tables of addresses tell where vectors lie.
"""

import ctypes
import json
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
from llvmlite import ir
from numba import cfunc, types
from numba.extending import intrinsic as numba_intrinsic

from darts_mim.nn.cpu import openmp

VECTOR = 64  # bytes of a vector register, or of a few
ROWS, VECTORS = 6, 4  # of a product that ``multiply`` keeps in registers
_INT64, _INT32 = ir.IntType(64), ir.IntType(32)
START = "GOMP_parallel"  # what has a team of OpenMP's threads run a function
_FUNCTION = ctypes.CFUNCTYPE(None, ctypes.c_void_p)
_CONTRACT = ["contract"]  # a * b + c may be rounded once


class Loop:
    """A loop over items that do not depend on each other.

    Args:
        body: Numba code on the address of the arguments, whole numbers, the first two of which are counters
            that begin at 0 (see ``count_up``). It works on item after item until there are no more.
    """

    def __init__(self, body: Callable[[Any], None]) -> None:
        signature = types.void(types.CPointer(types.int64))
        try:
            self._code = cfunc(signature, cache=True)(body)
        except RuntimeError:  # nowhere to keep the code for the next process
            self._code = cfunc(signature)(body)

    def __call__(self, arguments: Sequence[int]) -> None:
        """Work on all items."""
        memory = np.array([0, 0, *arguments], dtype=np.int64)
        address: Any = self._code.address
        code, data = ctypes.c_void_p(address), ctypes.c_void_p(memory.ctypes.data)
        start = openmp(START)
        if start is None:
            _FUNCTION(address)(data)
        else:
            start(code, data, ctypes.c_uint(torch.get_num_threads()), ctypes.c_uint(0))


def uses_all_threads() -> bool:
    """Whether loops run on as many threads as torch computes with."""
    return openmp(START) is not None or torch.get_num_threads() == 1


def intrinsic(code: Callable[..., Any]) -> Callable[..., Any]:
    """What numba's code calls, and writes machine code itself."""
    return numba_intrinsic(code)


@intrinsic
def count_up(typing: Any, arguments: Any, counter: Any) -> Any:
    """How often a counter, the first argument or the second, was counted up by any thread before."""

    def generate(context: Any, builder: Any, signature: Any, values: Sequence[Any]) -> Any:
        return builder.atomic_rmw("add", builder.gep(values[0], [values[1]]), _INT64(1), "monotonic")

    return types.int64(arguments, types.int64), generate


@intrinsic
def combine(
    typing: Any,
    matrix: Any,
    lanes: Any,
    itemsize: Any,
    add: Any,
    read: Any,
    read_offset: Any,
    write: Any,
    write_offset: Any,
) -> Any:
    """Multiply a constant matrix with vectors that lie apart in memory.

    Loops in numba are not made vector code where they read or write at more than a few places; this is.

    Args:
        typing: Numba's.
        matrix: Its rows as JSON, a literal.
        lanes: Numbers of a vector, a literal.
        itemsize: 4 for float32, 8 for float64, a literal.
        add: 1 to add to what is there, 0 to overwrite it, a literal.
        read: Address of the addresses of the vectors read, one a column.
        read_offset: Bytes to go on from each.
        write: Address of the addresses of the vectors written, one a row.
        write_offset: Bytes to go on from each.
    """
    if not all(isinstance(value, types.Literal) for value in (matrix, lanes, itemsize, add)):
        return None  # numba asks again with literals
    rows: list[list[float]] = json.loads(matrix.literal_value)
    align = itemsize.literal_value
    vector = ir.VectorType(_scalar(align), lanes.literal_value)

    def generate(context: Any, builder: Any, signature: Any, values: Sequence[Any]) -> Any:
        read, read_offset, write, write_offset = values[4:]

        def place(table: Any, n: int, offset: Any) -> Any:
            entry = builder.inttoptr(builder.add(table, _INT64(8 * n)), _INT64.as_pointer())
            return builder.inttoptr(builder.add(builder.load(entry), offset), vector.as_pointer())

        x = [builder.load(place(read, n, read_offset), align=align) for n in range(len(rows[0]))]
        for n, row in enumerate(rows):
            there = place(write, n, write_offset)
            terms = [
                x[m] if factor == 1 else builder.fmul(x[m], splat(vector, factor), flags=_CONTRACT)
                for m, factor in enumerate(row)
                if factor
            ]
            if add.literal_value:
                terms.append(builder.load(there, align=align))
            total = terms[0]
            for term in terms[1:]:
                total = builder.fadd(total, term, flags=_CONTRACT)
            builder.store(total, there, align=align)
        return context.get_dummy_value()

    return types.void(matrix, lanes, itemsize, add, *(types.int64,) * 4), generate


@intrinsic
def multiply(
    typing: Any,
    vectors: Any,
    itemsize: Any,
    add: Any,
    steps: Any,
    a: Any,
    a_row: Any,
    a_step: Any,
    b: Any,
    b_step: Any,
    c: Any,
    c_row: Any,
) -> Any:
    """The product c = a @ b, or c += a @ b, for ``ROWS`` rows and a few vectors of columns.

    The product stays in registers while the steps go by: each takes a row of b, and one number of each row
    of a.

    Args:
        typing: Numba's.
        vectors: Columns of b and c, in vectors of ``VECTOR`` bytes, a literal.
        itemsize: 4 for float32, 8 for float64, a literal.
        add: 1 to add to c, 0 to overwrite it.
        steps: Columns of a and rows of b, at least 1.
        a: Address of a.
        a_row: Bytes from row to row.
        a_step: Bytes from column to column.
        b: Address of b.
        b_step: Bytes from row to row.
        c: Address of c.
        c_row: Bytes from row to row.
    """
    if not all(isinstance(value, types.Literal) for value in (vectors, itemsize)):
        return None
    align = itemsize.literal_value
    scalar, vector = _scalar(align), ir.VectorType(_scalar(align), VECTOR // align)
    places = [(row, column) for row in range(ROWS) for column in range(vectors.literal_value)]

    def generate(context: Any, builder: Any, signature: Any, values: Sequence[Any]) -> Any:
        add, steps, a, a_row, a_step, b, b_step, c, c_row = values[2:]
        undefined = ir.Constant(vector, ir.Undefined)
        first_lane = ir.Constant(ir.VectorType(_INT32, vector.count), [0] * vector.count)

        def at(address: Any, kind: Any) -> Any:
            return builder.inttoptr(address, kind.as_pointer())

        def go_on(start: Any, distance: Any, times: Any) -> Any:
            return builder.add(start, builder.mul(distance, times))

        def columns(row: Any) -> list[Any]:
            return [builder.add(row, _INT64(VECTOR * n)) for n in range(vectors.literal_value)]

        targets = [columns(go_on(c, c_row, _INT64(row))) for row in range(ROWS)]
        begin, load, ready, step, done = (
            builder.block,
            *(builder.append_basic_block(name) for name in ("load", "ready", "step", "done")),
        )
        builder.cbranch(builder.icmp_signed("!=", add, _INT64(0)), load, ready)

        builder.position_at_end(load)
        there = {(r, n): builder.load(at(targets[r][n], vector), align=align) for r, n in places}
        builder.branch(ready)

        builder.position_at_end(ready)
        start = {}
        for place in places:
            start[place] = builder.phi(vector)
            start[place].add_incoming(splat(vector, 0.0), begin)
            start[place].add_incoming(there[place], load)
        builder.branch(step)

        builder.position_at_end(step)
        number = builder.phi(_INT64)
        number.add_incoming(_INT64(0), ready)
        sums = {}
        for place in places:
            sums[place] = builder.phi(vector)
            sums[place].add_incoming(start[place], ready)
        row_of_b = [
            builder.load(at(address, vector), align=align) for address in columns(go_on(b, b_step, number))
        ]
        column_of_a = go_on(a, a_step, number)
        new = {}
        for row in range(ROWS):
            one = builder.load(at(go_on(column_of_a, a_row, _INT64(row)), scalar), align=align)
            lane = builder.insert_element(undefined, one, _INT32(0))
            everywhere = builder.shuffle_vector(lane, undefined, first_lane)
            for n, right in enumerate(row_of_b):
                product = builder.fmul(everywhere, right, flags=_CONTRACT)
                new[row, n] = builder.fadd(sums[row, n], product, flags=_CONTRACT)
        following = builder.add(number, _INT64(1))
        number.add_incoming(following, step)
        for place in places:
            sums[place].add_incoming(new[place], step)
        builder.cbranch(builder.icmp_signed("<", following, steps), step, done)

        builder.position_at_end(done)
        for row, n in places:
            builder.store(new[row, n], at(targets[row][n], vector), align=align)
        return context.get_dummy_value()

    return types.void(vectors, itemsize, *(types.int64,) * 9), generate


@intrinsic
def transpose(typing: Any, itemsize: Any, read: Any, read_row: Any, write: Any, write_row: Any) -> Any:
    """Turn a square around whose rows are one vector of ``VECTOR`` bytes.

    Args:
        typing: Numba's.
        itemsize: 4 for float32, 8 for float64, a literal.
        read: Address of the square.
        read_row: Bytes from row to row.
        write: Address of where it goes.
        write_row: Bytes from row to row there.
    """
    if not isinstance(itemsize, types.Literal):
        return None
    align, lanes = itemsize.literal_value, VECTOR // itemsize.literal_value
    vector = ir.VectorType(_scalar(align), lanes)

    def generate(context: Any, builder: Any, signature: Any, values: Sequence[Any]) -> Any:
        read, read_row, write, write_row = values[1:]

        def place(start: Any, distance: Any, n: int) -> Any:
            address = builder.add(start, builder.mul(distance, _INT64(n)))
            return builder.inttoptr(address, vector.as_pointer())

        def choose(one: Any, other: Any, lane_of: Callable[[int], int]) -> Any:
            chosen = [lane_of(lane) for lane in range(lanes)]
            return builder.shuffle_vector(one, other, ir.Constant(ir.VectorType(_INT32, lanes), chosen))

        rows = [builder.load(place(read, read_row, n), align=align) for n in range(lanes)]
        half = lanes // 2
        while half:  # swap the two quarters off the diagonal, of the square, then of its quarters
            for n in (n for n in range(lanes) if not n & half):
                upper, lower = rows[n], rows[n + half]
                rows[n] = choose(upper, lower, lambda l, h=half: l + lanes - h if l & h else l)
                rows[n + half] = choose(upper, lower, lambda l, h=half: l + lanes if l & h else l + h)
            half //= 2
        for n, row in enumerate(rows):
            builder.store(row, place(write, write_row, n), align=align)
        return context.get_dummy_value()

    return types.void(itemsize, *(types.int64,) * 4), generate


def _scalar(itemsize: int) -> ir.FloatType | ir.DoubleType:
    return ir.FloatType() if itemsize == 4 else ir.DoubleType()


def splat(vector: ir.VectorType, value: float) -> ir.Constant:
    """A vector of one number."""
    return ir.Constant(vector, [value] * vector.count)
