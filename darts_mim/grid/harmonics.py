"""A smooth cycle through the means of a period's positions."""

import numpy as np
import pandas as pd
from pandas.tseries.frequencies import to_offset
from pandas.tseries.offsets import BaseOffset

from darts_mim.grid.times import fixed_step, positive


def smooth_cycle(
    means: np.ndarray, counts: np.ndarray, harmonics: int, *, period: str, step: BaseOffset
) -> np.ndarray:
    """The mean and so many pairs of sine and cosine, by least squares through all values behind the means.

    Over the year, steps shorter than a day have a curve for each time of day. A curve bridges positions
    where a cell has no value, in stretches shorter than half its shortest wave; longer ones stay NaN.

    Args:
        means: (position, component); NaN where ``counts`` is 0.
        counts: (position, component): of how many values each is the mean.
        harmonics: Pairs of sine and cosine, fewer than half the positions of a curve.
        period: A pandas offset.
        step: From one position to the next.

    Raises:
        ValueError: If ``harmonics`` is no number that the positions can tell apart.

    Source:
        Narapusetty, DelSole and Tippett (2009), J. Climate 22, 4845-4859.

    >>> noisy = np.array([[2.0], [7.0], [6.0], [1.0]])
    >>> smooth_cycle(noisy, np.ones((4, 1)), 1, period="1D", step=pd.offsets.Hour(6)).ravel().round(6)
    array([2., 7., 6., 1.])
    """
    n = len(means)
    curves = n // 365 if _is_year(period) and fixed_step(step) is not None else 1
    n //= curves
    if 2 * positive(harmonics, "harmonics") >= n:
        raise ValueError(
            f"harmonics={harmonics} came for the {n} positions of a curve over period={period!r}, "
            f"which tell at most {(n - 1) // 2} apart. Pass fewer, or None for the mean at each position."
        )
    return _smooth(means, counts, harmonics, curves)


def _is_year(period: str) -> bool:
    """Whether the period is the year, whose positions are days or months.

    >>> _is_year("1YE"), _is_year("365D")
    (True, False)
    """
    return isinstance(to_offset(period), pd.offsets.YearBegin | pd.offsets.YearEnd)


def _smooth(means: np.ndarray, counts: np.ndarray, harmonics: int, curves: int) -> np.ndarray:
    """(position, component): the curves of least squares through all values that the means are of.

    A weighted fit to the means, by how many values each is of, has the same solution as one to the values.

    Args:
        means: (position, component); NaN where ``counts`` is 0.
        counts: (position, component).
        harmonics: Pairs of sine and cosine.
        curves: Every so many positions belong to one curve: the times of the day.
    """
    n = len(means) // curves
    phases = 2 * np.pi * np.outer(np.arange(n) / n, np.arange(1, harmonics + 1))
    basis = np.concatenate([np.ones((n, 1)), np.cos(phases), np.sin(phases)], axis=1)
    products = (basis[:, :, None] * basis[:, None, :]).reshape(n, -1)
    smooth = np.empty_like(means)
    for curve in range(curves):
        weights = counts[curve::curves]
        values = np.where(weights > 0, means[curve::curves], 0.0)
        alike = (weights == weights[:, :1]).all()  # without missing values one inverse serves all cells
        gram = (weights[:, : 1 if alike else None].T @ products).reshape(-1, basis.shape[1], basis.shape[1])
        moments = (weights * values).T @ basis
        # the pseudo-inverse: of cells with few positions it takes the smallest coefficients
        coefficients = (np.linalg.pinv(gram, hermitian=True) @ moments[:, :, None])[..., 0]
        bridged = _stretches(weights == 0) < n / (2 * harmonics)
        smooth[curve::curves] = np.where(bridged, basis @ coefficients.T, np.nan)
    return smooth


def _stretches(unseen: np.ndarray) -> np.ndarray:
    """(position, component): how many positions the stretch has that an unseen one is in; 0 for a seen one.

    The first position follows the last.

    >>> _stretches(np.array([[True], [False], [False], [True], [True]])).ravel()
    array([3, 0, 0, 3, 3])
    """
    n = len(unseen)
    rows = np.arange(3 * n)[:, None]
    seen = ~np.tile(unseen, (3, 1))
    before = np.maximum.accumulate(np.where(seen, rows, -n), axis=0)
    after = np.minimum.accumulate(np.where(seen, rows, 4 * n)[::-1], axis=0)[::-1]
    return np.where(unseen, (after - before - 1)[n : 2 * n], 0)
