"""P-values of unit-root statistics, from MacKinnon's response surfaces, for arrays of any shape."""

from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from scipy.special import ndtr


class _Surface(NamedTuple):
    """Phi of a polynomial in the statistic: one polynomial left of ``split``, one right of it."""

    lowest: float  # below it the p-value is 0
    split: float
    highest: float  # above it the p-value is 1
    left: tuple[float, ...]  # coefficients, the constant first
    right: tuple[float, ...]


_TAU = {
    "n": _Surface(-19.04, -1.04, np.inf, (0.6344, 1.2378, 0.032496), (0.4797, 0.93557, -0.06999, 0.033066)),
    "c": _Surface(-18.83, -1.61, 2.74, (2.1659, 1.4412, 0.038269), (1.7339, 0.93202, -0.12745, -0.010368)),
    "ct": _Surface(-16.18, -2.89, 0.7, (3.2512, 1.6047, 0.049588), (2.5261, 0.61654, -0.37956, -0.060285)),
    "ctt": _Surface(-17.17, -3.21, 0.54, (4.0003, 1.658, 0.048288), (3.0778, 0.49529, -0.41477, -0.059359)),
}

_RHO = {  # left of the split the polynomial is in log(-statistic)
    "n": _Surface(
        -np.inf,
        -1.79146,
        np.inf,
        (0.05872, -0.69633, 0.02471, -0.04283),
        (0.56681, 0.67544, 0.06881, 0.00235),
    ),
    "c": _Surface(
        -np.inf,
        -5.04709,
        np.inf,
        (1.94205, -1.47677, 0.21163, -0.06288),
        (1.70059, 0.49465, 0.02636, 0.00055),
    ),
    "ct": _Surface(
        -np.inf,
        -9.22766,
        np.inf,
        (4.05596, -2.34128, 0.41403, -0.08312),
        (2.60323, 0.39217, 0.01321, 0.00019),
    ),
    "ctt": _Surface(
        -np.inf, -12.88512, np.inf, (5.68974, -2.98948, 0.55752, -0.09629), (3.2269, 0.34323, 0.00887, 0.0001)
    ),
}


def tau_pvalue(statistic: npt.ArrayLike, *, regression: str) -> npt.NDArray[np.float64]:
    """P-value of a t-type unit-root statistic, such as the augmented Dickey-Fuller test's.

    Args:
        statistic: Dimensionless, any shape; NaN gives NaN.
        regression: Deterministic terms of the test's regression: ``"n"`` none, ``"c"`` a constant,
            ``"ct"`` and a trend, ``"ctt"`` and its square.

    Returns:
        In [0, 1], of the statistic's shape.

    Source:
        MacKinnon (1994), J. Bus. Econ. Stat. 12, 167-176, tables 3 and 4, one series.

    >>> tau_pvalue([-2.86, -3.43, float("nan")], regression="c").round(3)
    array([0.05, 0.01,  nan])
    """
    return _pvalue(np.asarray(statistic, dtype=float), _TAU[regression], logarithm=False)


def rho_pvalue(statistic: npt.ArrayLike, *, regression: str) -> npt.NDArray[np.float64]:
    """P-value of a coefficient-type unit-root statistic, such as Phillips and Perron's Z-alpha.

    Args and result are those of :func:`tau_pvalue`.

    Source:
        The form is MacKinnon's (1994), J. Bus. Econ. Stat. 12, 167-176; the coefficients were
        simulated anew for the Python package arch (Sheppard, version 8.0), 500 runs of 250 000 draws.

    >>> rho_pvalue([-14.1, -20.6], regression="c").round(2)
    array([0.05, 0.01])
    """
    return _pvalue(np.asarray(statistic, dtype=float), _RHO[regression], logarithm=True)


def _pvalue(
    statistic: npt.NDArray[np.float64], surface: _Surface, *, logarithm: bool
) -> npt.NDArray[np.float64]:
    # Each polynomial is evaluated on its own side alone, and not where it overflows: elsewhere it is no use.
    near = np.clip(statistic, -1e6, 1e6)
    left = np.clip(near, surface.lowest, surface.split)
    right = np.clip(near, surface.split, surface.highest)
    low = np.polynomial.polynomial.polyval(np.log(-left) if logarithm else left, surface.left)
    high = np.polynomial.polynomial.polyval(right, surface.right)
    pvalue = ndtr(np.where(near <= surface.split, low, high))
    pvalue = np.where(near < surface.lowest, 0.0, pvalue)
    return np.where(near > surface.highest, 1.0, pvalue)
