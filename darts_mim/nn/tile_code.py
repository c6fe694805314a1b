"""The loops of Winograd's convolution, as numba compiles them; ``nn/tile_loops.py`` says what they are given.

Values are (4, 4, batch, R, C, channel). What is computed of a tile, its points, is (point, tile, channel)
with room for whole vectors of channels and for whole ``ROWS`` of tiles; what lies there is never read as a
number of the result. Rows of tiles are numbered through the batch. Numbers that belong together go as tuples:

- memory: a table of addresses, its address, zeros, a place for what lies outside the grid, a row of tiles.
- grid: address of the values, batch, height, width, channels.
- part: a row of tiles, and the first tile of it and the one after the last.
- points: their address, bytes from point to point, and from tile to tile.
"""

from functools import cache
from typing import Any, no_type_check

import numpy as np
from numba import carray, njit

from darts_mim.nn.machine_code import ROWS, VECTOR, VECTORS, Loop, combine, count_up, multiply, transpose

TILE = 4  # cells a side
PANEL = VECTORS * VECTOR  # bytes of channels at a time
HEAD = 16  # numbers that every loop is given before lists of them
COPY = "[[1.0]]"
# In a table of addresses, eight each: cells of a window, down a column of points, across a row of columns,
# points of a tile, rows of the grid; and where the kernels' parts of a group of gates lie.
COLUMN, ACROSS, POINTS, GRID, SOURCES, STEPS = 8, 16, 24, 32, 40, 48


@njit(inline="always")
@no_type_check
def rows_of_grid(table, lanes, itemsize, side, cells, memory, grid, row, block):
    """Put into the table where the rows that a row of tiles reaches begin, and the places between."""
    values, B, height, width, channels = grid
    R, C, rim, vector = -(-height // TILE), -(-width // TILE), (cells - TILE) // 2, lanes * itemsize
    for i in range(cells):
        y = TILE * (row % R) + i - rim
        place = (((y & 3) * TILE * B + row // R) * R + (y >> 2)) * C * channels * itemsize
        table[GRID + i] = values + place + block * vector if 0 <= y < height else 0
        table[ACROSS + i] = memory[4] + i * side * vector
    for u in range(side):
        table[COLUMN + u] = memory[4] + u * vector


@njit(inline="always")
@no_type_check
def window(table, itemsize, cells, grid, x, outside):
    """Put into the table where the cells of a column lie."""
    _, B, height, width, channels = grid
    R, C = -(-height // TILE), -(-width // TILE)
    place = ((x & 3) * B * R * C + (x >> 2)) * channels * itemsize
    for i in range(cells):
        table[i] = table[GRID + i] + place if table[GRID + i] != 0 and 0 <= x < width else outside


@njit(inline="always")
@no_type_check
def to_points(matrix, lanes, itemsize, side, cells, memory, grid, part, points):
    """M X M.T of the window X around each tile of a part of a row."""
    table, at, zeros = memory[0], memory[1], memory[2]
    row, start, stop = part
    vector, rim = lanes * itemsize, (cells - TILE) // 2
    for block in range(grid[4] // lanes):
        rows_of_grid(table, lanes, itemsize, side, cells, memory, grid, row, block)
        for j in range(TILE * (stop - start) + 2 * rim):
            window(table, itemsize, cells, grid, TILE * start + j - rim, zeros)
            combine(matrix, lanes, itemsize, 0, at, 0, at + 8 * COLUMN, j * side * vector)
        for u in range(side):
            for v in range(side):
                table[POINTS + v] = points[0] + (u * side + v) * points[1] + block * vector
            for c in range(stop - start):
                there = (TILE * c * side + u) * vector
                combine(matrix, lanes, itemsize, 0, at + 8 * ACROSS, there, at + 8 * POINTS, c * points[2])


@njit(inline="always")
@no_type_check
def from_points(matrix, lanes, itemsize, side, cells, add, memory, grid, part, points, blocks):
    """M P M.T of the points of each tile, into its window; added up, where windows overlap."""
    table, at, zeros, outside, _ = memory
    row, start, stop = part
    vector, rim = lanes * itemsize, (cells - TILE) // 2
    columns = TILE * (stop - start) + 2 * rim
    for block in range(blocks):
        rows_of_grid(table, lanes, itemsize, side, cells, memory, grid, row, block)
        if add:
            table[0] = zeros
            for n in range(columns * side):
                combine(COPY, lanes, itemsize, 0, at, 0, at + 8 * COLUMN, n * vector)
        for u in range(side):
            for v in range(side):
                table[POINTS + v] = points[0] + (u * side + v) * points[1] + block * vector
            for c in range(stop - start):
                there = (TILE * c * side + u) * vector
                combine(matrix, lanes, itemsize, add, at + 8 * POINTS, c * points[2], at + 8 * ACROSS, there)
        for j in range(columns):
            window(table, itemsize, cells, grid, TILE * start + j - rim, outside)
            combine(matrix, lanes, itemsize, add, at + 8 * COLUMN, j * side * vector, at, 0)


@njit(inline="always")
@no_type_check
def product(itemsize, add, rows, steps, width, a, a_row, a_step, b, b_step, c, c_row):
    """The product c = a @ b, or c += a @ b, of whole ``ROWS`` of rows and ``width`` bytes of columns."""
    for n in range(0, width, PANEL):
        vectors = min(width - n, PANEL) // VECTOR
        for row in range(0, rows, ROWS):
            left, right, out = a + row * a_row, b + n, c + row * c_row + n
            if vectors == 4:
                multiply(4, itemsize, add, steps, left, a_row, a_step, right, b_step, out, c_row)
            elif vectors == 3:
                multiply(3, itemsize, add, steps, left, a_row, a_step, right, b_step, out, c_row)
            elif vectors == 2:
                multiply(2, itemsize, add, steps, left, a_row, a_step, right, b_step, out, c_row)
            else:
                multiply(1, itemsize, add, steps, left, a_row, a_step, right, b_step, out, c_row)


@cache
@no_type_check
def read_loop(matrix: str, side: int, cells: int, lanes: int, itemsize: int) -> Loop:
    """Points of all tiles in some rows of them, of several tensors."""

    def body(arguments: Any) -> None:
        head = carray(arguments, HEAD)
        B, height, width, channels, first, count = head[2], head[3], head[4], head[5], head[6], head[7]
        zeros, scratch, size, tensors, point_step, tile_step = (
            head[8], head[9], head[10], head[11], head[12], head[13]
        )  # fmt: skip
        ends = carray(arguments, HEAD + 2 * tensors)
        table = np.empty(64, np.int64)
        own = scratch + count_up(arguments, 1) * size
        memory = (table, np.int64(table.ctypes.data), zeros, own, own + PANEL)
        C = -(-width // TILE)
        item = count_up(arguments, 0)
        while item < tensors * count:
            tensor, n = HEAD + item // count * 2, item % count
            grid = (ends[tensor], B, height, width, channels)
            points = (ends[tensor + 1] + n * C * tile_step, point_step, tile_step)
            to_points(matrix, lanes, itemsize, side, cells, memory, grid, (first + n, 0, C), points)
            item = count_up(arguments, 0)

    return Loop(body)


@cache
@no_type_check
def add_loop(matrix: str, side: int, lanes: int, itemsize: int) -> Loop:
    """Windows of all tiles of some samples, added up."""

    def body(arguments: Any) -> None:
        head = carray(arguments, HEAD + 2)
        B, height, width, channels, first, count = head[2], head[3], head[4], head[5], head[6], head[7]
        zeros, scratch, size, point_step, tile_step = head[8], head[9], head[10], head[12], head[13]
        table = np.empty(64, np.int64)
        own = scratch + count_up(arguments, 1) * size
        memory = (table, np.int64(table.ctypes.data), zeros, own, own + PANEL)
        R, C, blocks = -(-height // TILE), -(-width // TILE), channels // lanes
        item = count_up(arguments, 0)
        while item < count // R * blocks:
            begin = item % blocks * lanes * itemsize
            grid = (head[HEAD] + begin, B, height, width, channels)
            for n in range(item // blocks * R, (item // blocks + 1) * R):
                points = (head[HEAD + 1] + n * C * tile_step + begin, point_step, tile_step)
                part = (first + n, 0, C)
                from_points(matrix, lanes, itemsize, side, side, 1, memory, grid, part, points, 1)
            item = count_up(arguments, 0)

    return Loop(body)


@cache
@no_type_check
def gates_loop(read: str, write: str, side: int, lanes: int, itemsize: int) -> Loop:
    """All of a group of gates: what they read to points, products, and back, block by block of tiles."""

    def body(arguments: Any) -> None:
        head = carray(arguments, HEAD)
        B, height, width, hidden, rows, columns = head[2], head[3], head[4], head[5], head[6], head[7]
        zeros, scratch, size, sources, gates, terms = head[8], head[9], head[10], head[11], head[12], head[13]
        of_gates = HEAD + 3 * sources
        of_terms = of_gates + 4 * gates
        a = carray(arguments, of_terms + 2 * terms)
        table = np.empty(64, np.int64)
        at = np.int64(table.ctypes.data)
        own = scratch + count_up(arguments, 1) * size
        memory = (table, at, zeros, own, own + PANEL)
        spectra = own + PANEL + (TILE * columns + 2 * TILE) * side * PANEL
        R, C, in_vector = -(-height // TILE), -(-width // TILE), VECTOR // itemsize
        hidden_step = -(-hidden // in_vector) * VECTOR
        across = -(-C // columns)
        block = count_up(arguments, 0)
        while block < -(-B * R // rows) * across:
            first, start = block // across * rows, block % across * columns
            last, stop = min(first + rows, B * R), min(start + columns, C)
            tiles = (last - first) * (stop - start)
            room = -(-tiles // ROWS) * ROWS
            free = spectra
            for s in range(sources):
                values, channels, points = a[HEAD + 3 * s], a[HEAD + 3 * s + 1], a[HEAD + 3 * s + 2]
                step = -(-channels // in_vector) * VECTOR
                if points:  # there already
                    table[SOURCES + s] = points + (first * C + start) * step
                    table[STEPS + s] = -(-B * R * C // ROWS) * ROWS * step
                else:
                    table[SOURCES + s], table[STEPS + s] = free, room * step
                    grid = (values, B, height, width, channels)
                    for row in range(first, last):
                        into = (free + (row - first) * (stop - start) * step, room * step, step)
                        to_points(read, lanes, itemsize, side, side, memory, grid, (row, start, stop), into)
                    free += side * side * room * step
            for g in range(gates):
                gate = of_gates + 4 * g
                z, bias, term, n_terms = a[gate], a[gate + 1], of_terms + 2 * a[gate + 2], a[gate + 3]
                for panel in range(0, hidden * itemsize, PANEL):
                    wide = min(hidden_step - panel, PANEL)
                    blocks = min(hidden * itemsize - panel, PANEL) // (lanes * itemsize)
                    for p in range(side * side):
                        for k in range(n_terms):
                            s, kernel = a[term + 2 * k], a[term + 2 * k + 1] + panel
                            channels = a[HEAD + 3 * s + 1]
                            step = -(-channels // in_vector) * VECTOR
                            left, out = table[SOURCES + s] + p * table[STEPS + s], free + p * room * wide
                            right = kernel + p * step // itemsize * hidden_step
                            product(
                                itemsize, k, room, channels, wide,
                                left, step, itemsize, right, hidden_step, out, wide
                            )  # fmt: skip
                    if bias:  # every output of a tile counts the point (1, 1) once
                        table[0], table[COLUMN] = bias + panel, free + (side + 1) * room * wide
                        for t in range(tiles):
                            for n in range(0, blocks * lanes * itemsize, lanes * itemsize):
                                combine(COPY, lanes, itemsize, 1, at, n, at + 8 * COLUMN, t * wide + n)
                    grid = (z + panel, B, TILE * R, TILE * C, hidden)  # all cells: none is left unwritten
                    for row in range(first, last):
                        points = (free + (row - first) * (stop - start) * wide, room * wide, wide)
                        part = (row, start, stop)
                        from_points(write, lanes, itemsize, side, TILE, 0, memory, grid, part, points, blocks)
            block = count_up(arguments, 0)

    return Loop(body)


@cache
@no_type_check
def gradients_loop(itemsize: int) -> Loop:
    """What gates' gradients say of what the gates read and of their kernels, at all points, one by one."""

    def body(arguments: Any) -> None:
        head = carray(arguments, HEAD)
        n_points, tiles, hidden, sources, terms = head[2], head[3], head[4], head[5], head[6]
        a = carray(arguments, HEAD + 5 * sources + 3 * terms)
        turned = head[7] + count_up(arguments, 1) * head[8]  # a kernel, hidden channels first
        in_vector, room = VECTOR // itemsize, -(-tiles // ROWS) * ROWS
        hidden_step = -(-hidden // in_vector) * VECTOR
        p = count_up(arguments, 0)
        while p < n_points:
            term = HEAD + 5 * sources
            for s in range(HEAD, HEAD + 5 * sources, 5):
                points, channels, d_points, n_terms, add = a[s], a[s + 1], a[s + 2], a[s + 3], a[s + 4]
                step = -(-channels // in_vector) * VECTOR
                kernel_rows = step // itemsize
                for k in range(n_terms):
                    d_products, kernel, d_kernel = a[term], a[term + 1], a[term + 2]
                    d_products += p * room * hidden_step
                    if d_points:
                        kernel += p * kernel_rows * hidden_step
                        for c in range(0, kernel_rows, in_vector):
                            for h in range(0, hidden_step, VECTOR):
                                out = turned + h // itemsize * step + c * itemsize
                                transpose(itemsize, kernel + c * hidden_step + h, hidden_step, out, step)
                        product(
                            itemsize, k, room, hidden, step,
                            d_products, hidden_step, itemsize, turned, step, d_points + p * room * step, step
                        )  # fmt: skip
                    if d_kernel:
                        rows = -(-kernel_rows // ROWS) * ROWS
                        product(
                            itemsize, add, rows, tiles, hidden_step,
                            points + p * room * step, itemsize, step,
                            d_products, hidden_step, d_kernel + p * rows * hidden_step, hidden_step
                        )  # fmt: skip
                    term += 3
            p = count_up(arguments, 0)

    return Loop(body)
