"""Many least-squares fits at once, each with all the fits to its first columns.

Two ways to the same numbers: Cholesky's, from sums of products, which is fast, and Householder's,
from the columns themselves, which is exact where columns are nearly collinear.
"""

from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]


class Fit(NamedTuple):
    """Least-squares fits of a target on m columns, after one another made orthonormal."""

    effects: Floats  # (m, cell): the target's part along each
    unexplained: Floats  # (cell,): the sum of squares of the residuals
    left: Floats  # (m + 1, cell): what the columns before left of each column and the target, of its square

    def nested(self) -> Floats:
        """Sum of squares of the residuals on the first 0, 1, ..., m columns: (m + 1, cell)."""
        squares = np.concatenate([self.effects**2, self.unexplained[None]])
        return np.cumsum(squares[::-1], axis=0)[::-1]


def by_cholesky(gram: Floats) -> Fit:
    """From sums of products (column, column, cell), target last; the lower triangle is overwritten.

    An error of rounding in a result is 1e-16 by the least of ``left``.
    """
    left = np.empty(gram.shape[1:])
    for j in range(len(gram)):
        column = gram[j:, j]
        whole = column[0].copy()
        if j:
            column -= np.einsum("rkc,kc->rc", gram[j:, :j], gram[j, :j])
        left[j] = column[0] / whole
        column[1:] /= np.sqrt(column[0])
    return Fit(gram[-1, :-1], gram[-1, -1], left)


def by_householder(design: Floats) -> Fit:
    """From the columns (cell, time, column), target last.

    An error of rounding in a result is 1e-16 by the root of the least of ``left``.
    """
    columns = design.shape[2]
    whole = np.einsum("csk,csk->kc", design, design)
    triangle = np.zeros((columns, columns, len(design)))
    reduced: Any = np.linalg.qr(design, mode="r")
    triangle[: reduced.shape[1]] = reduced.transpose(1, 2, 0)
    diagonal = np.einsum("kkc->kc", triangle)
    effects = triangle[:-1, -1] * np.where(diagonal[:-1] < 0, -1.0, 1.0)
    return Fit(effects, diagonal[-1] ** 2, diagonal**2 / whole)
