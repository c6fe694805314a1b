"""The matrices of fast correlation by evaluation at points [Toom1963, Cook1966, Winograd1980]."""

from fractions import Fraction

import torch
from torch import Tensor

Matrix = list[list[Fraction]]

# Finite points; the last one is infinity. Small ones and their reciprocals keep the rounding least: of all
# triples of fractions up to 5 these gave the smallest float32 error for m=4, r=5 (3e-6 of the output's size).
POINTS = tuple(Fraction(p) for p in (0, 1, -1, "1/2", "-1/2", 2, -2))


def toom_cook(m: int, r: int) -> tuple[Tensor, Tensor, Tensor]:
    """Matrices A, G, B with which ``m`` outputs of an ``r``-tap correlation take m + r - 1 products.

    ``A.T @ ((G @ g) * (B.T @ d))`` is the correlation of the ``r`` weights g with the m + r - 1 values d.

    Args:
        m: Outputs.
        r: Taps; m + r - 1 is at most 8.

    Returns:
        A (m + r - 1, m), G (m + r - 1, r) and B (m + r - 1, m + r - 1), in float64.

    Raises:
        ValueError: If m + r - 1 is above 8.

    Source:
        Winograd (1980), Arithmetic Complexity of Computations; as in Lavin and Gray (CVPR 2016), eq. 5.

    >>> A, G, B = toom_cook(2, 3)
    >>> A.T @ ((G @ torch.tensor([1.0, 2, 3]).double()) * (B.T @ torch.tensor([1.0, 1, 2, 0]).double()))
    tensor([9., 5.], dtype=torch.float64)
    """
    n = m + r - 1
    if n > len(POINTS) + 1:
        raise ValueError(
            f"m={m}, r={r} needs {n} points; at most {len(POINTS) + 1} are known. Use a smaller m."
        )
    points = POINTS[: n - 1]
    A, G, evaluate = (_vandermonde(points, columns) for columns in (m, r, n))
    interpolate = _inverse(evaluate)
    # Transposing the product of two polynomials gives the correlation.
    return _tensor(A), _tensor(G), _tensor(interpolate)


def _vandermonde(points: tuple[Fraction, ...], columns: int) -> Matrix:
    """A polynomial of ``columns`` coefficients at the points, and its leading one: its value at infinity."""
    at_infinity = [Fraction(int(column == columns - 1)) for column in range(columns)]
    return [[p**column for column in range(columns)] for p in points] + [at_infinity]


def _inverse(matrix: Matrix) -> Matrix:
    """By Gauss and Jordan, exactly."""
    size = len(matrix)
    rows = [[*row, *(Fraction(int(i == j)) for j in range(size))] for i, row in enumerate(matrix)]
    for i in range(size):
        pivot = next(k for k in range(i, size) if rows[k][i] != 0)
        rows[i], rows[pivot] = rows[pivot], rows[i]
        rows[i] = [value / rows[i][i] for value in rows[i]]
        for k in range(size):
            if k != i:
                factor = rows[k][i]
                rows[k] = [a - factor * b for a, b in zip(rows[k], rows[i], strict=True)]
    return [row[size:] for row in rows]


def _tensor(matrix: Matrix) -> Tensor:
    return torch.tensor([[float(value) for value in row] for row in matrix], dtype=torch.float64)
