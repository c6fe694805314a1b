"""Do neighbouring cells err alike? Moran's I of many fields at once."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy import stats

NEIGHBOURS = {"rook": ((0, 1), (1, 0)), "queen": ((0, 1), (1, 0), (1, 1), (1, -1))}  # (rows, columns) apart


@dataclass(frozen=True, kw_only=True)
class MoransI:
    """Moran's I of each field and what it would be by chance; NaN where it cannot be told."""

    value: np.ndarray  # dimensionless; positive: neighbours are alike, negative: they alternate
    expected: np.ndarray  # if every arrangement of the cells were as likely, -1 / (cells - 1)
    variance: np.ndarray  # of the value by chance, if the cells are normal
    z: np.ndarray  # by how many standard deviations the value lies above what is expected
    p_value: np.ndarray  # two-sided


def morans_i(fields: np.ndarray, *, neighbours: str = "rook", mask: np.ndarray | None = None) -> MoransI:
    """Moran's I: the covariance of neighbouring cells by the variance of all cells.

    I = (n / W) sum_ij w_ij (x_i - m)(x_j - m) / sum_i (x_i - m)^2, where w_ij is 1 for neighbours
    and 0 else, W the sum of all w_ij, n the number of cells and m their mean. A cell that is NaN is left out
    with its links; one without neighbours counts among the n.

    Args:
        fields: (..., row, column); NaN is missing.
        neighbours: ``"rook"``: cells that share an edge; ``"queen"``: those that share a corner too.
        mask: (row, column) or as ``fields``, True = left out.

    Returns:
        Value, expectation, variance and p-value of each field, on the dims in front; NaN where
        all cells are alike, fewer than 3 are left, or no two of them are neighbours.

    Raises:
        ValueError: If ``fields`` has fewer than two dims, the mask does not fit them, or
            ``neighbours`` is not known.

    Source:
        Moran (1950), Biometrika 37, 17-23; moments under normality: Cliff and Ord (1981),
        Spatial Processes, section 2.3.

    >>> row = np.arange(6.0)
    >>> slope, board = np.tile(row, (4, 1)), (np.indices((4, 6)).sum(axis=0) % 2).astype(float)
    >>> morans_i(np.stack([slope, board])).value.round(2)
    array([ 0.79, -1.  ])
    """
    present = _present(fields, neighbours, mask)
    n = present.sum(axis=(-2, -1))
    # float64: the sums of large float32 fields lose digits.
    x = np.where(present, fields, 0.0).astype(float)
    top = x.max(axis=(-2, -1), where=present, initial=-np.inf)
    alike = top <= x.min(axis=(-2, -1), where=present, initial=np.inf)
    x = np.where(present, x - (x.sum(axis=(-2, -1)) / np.maximum(n, 1))[..., None, None], 0.0)
    products, degree = np.zeros(n.shape), np.zeros(x.shape)
    for step in NEIGHBOURS[neighbours]:
        one, other = _linked(x.shape, step)
        products += (x[one] * x[other]).sum(axis=(-2, -1))
        both = present[one] & present[other]
        degree[one] += both
        degree[other] += both
    weight = degree.sum(axis=(-2, -1))
    known = ~alike & (n >= 3) & (weight > 0)
    n, weight = np.where(known, n, np.nan), np.where(known, weight, np.nan)
    value = n / weight * 2 * products / np.where(known, (x * x).sum(axis=(-2, -1)), np.nan)
    expected = -1 / (n - 1)
    s1, s2 = 2 * weight, 4 * (degree**2).sum(axis=(-2, -1))
    square = (n**2 * s1 - n * s2 + 3 * weight**2) / ((n**2 - 1) * weight**2)
    variance = square - expected**2
    with np.errstate(divide="ignore", invalid="ignore"):  # where each cell is each one's neighbour, it is 0
        z = (value - expected) / np.sqrt(variance)
    return MoransI(
        value=value, expected=expected, variance=variance, z=z, p_value=2 * stats.norm.sf(np.abs(z))
    )


def _present(fields: np.ndarray, neighbours: str, mask: np.ndarray | None) -> np.ndarray:
    """Which cells count, once what came is checked."""
    if neighbours not in NEIGHBOURS:
        raise ValueError(f"neighbours={neighbours!r} is not known. Choose from {list(NEIGHBOURS)}.")
    if fields.ndim < 2:
        raise ValueError(f"Fields of shape {fields.shape} came, where (..., row, column) is wanted.")
    if mask is None:
        return np.isfinite(fields)
    if mask.shape not in (fields.shape, fields.shape[-2:]):
        raise ValueError(
            f"The mask has the shape {mask.shape}; wanted is {fields.shape[-2:]}, the rows and columns of "
            f"the fields."
        )
    return np.isfinite(fields) & ~mask.astype(bool)


def _linked(shape: tuple[int, ...], step: tuple[int, int]) -> tuple[Any, Any]:
    """Where the first and where the second of all cells that lie ``step`` apart are."""
    (down, right), (height, width) = step, shape[-2:]
    rows = slice(0, height - down), slice(down, height)
    left, far = slice(0, width - abs(right)), slice(abs(right), width)
    columns = (left, far) if right >= 0 else (far, left)
    return (..., rows[0], columns[0]), (..., rows[1], columns[1])
