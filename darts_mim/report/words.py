"""Numbers as a reader says them."""

from collections.abc import Sequence
from typing import Any, cast

import numpy as np
import pandas as pd

MOST_DIGITS = 1e5  # of the largest number, decimals counted
UNBROKEN = "\u00a0"  # a space at which no line ends


def decimals(values: np.ndarray) -> int:
    """So many that the smallest value shows three digits."""
    sizes = np.abs(values[np.isfinite(values) & (values != 0)])
    return max(0, 2 - int(np.floor(np.log10(sizes.min())))) if sizes.size else 0


def number(value: float) -> str:
    """Three digits at least.

    >>> [number(x) for x in (0.01234, 4.2591, 191.02, 14791.3, 0.0)]
    ['0.0123', '4.26', '191', '14,791', '0']
    """
    if not np.isfinite(value):
        return "unknown"
    return f"{value:,.{decimals(np.array([value]))}f}".replace("-", "−")


def column(values: np.ndarray) -> list[str]:
    """Numbers that stand below each other: as many decimals each, unless they are too far apart.

    >>> column(np.array([1.5, 20.25])), column(np.array([0.00199, 8.03])), column(np.array([np.nan, 2.0]))
    (['1.50', '20.25'], ['0.00199', '8.03'], ['none', '2.00'])
    """
    known, places = np.abs(values[np.isfinite(values)]), decimals(values)
    apart = bool(known.size) and places > 2 and known.max() * 10**places >= MOST_DIGITS
    said = [number(one) if apart else f"{one:,.{places}f}".replace("-", "−") for one in values.tolist()]
    return ["none" if np.isnan(one) else text for one, text in zip(values.tolist(), said, strict=True)]


def percent(share: Any) -> str:
    r"""Two digits where there is more than nothing to show.

    >>> [percent(x) for x in (0.124, -0.034, 0.0004, 1.0, 0.0)]
    ['12\xa0%', '−3.4\xa0%', '0.04\xa0%', '100\xa0%', '0\xa0%']
    """
    value = 100 * float(share)
    if not np.isfinite(value):
        return "unknown"
    places = 0 if abs(value) >= 9.5 or abs(value) < 0.005 else 1 if abs(value) >= 0.95 else 2
    text = f"{value:.{places}f}"
    text = text.lstrip("-") if float(text) == 0 else text
    return f"{text}{UNBROKEN}%".replace("-", "−")


def p_value(p: float) -> str:
    """A p-value with its sign.

    >>> p_value(0.0312), p_value(0.00002), p_value(float("nan"))
    ('p = 0.031', 'p < 0.001', 'p unknown')
    """
    if not np.isfinite(p):
        return "p unknown"
    return "p < 0.001" if p < 0.001 else f"p = {p:.2g}"


def day(when: Any) -> str:
    """A date.

    >>> day("2016-01-23 14:30")
    '23 Jan 2016'
    """
    time = cast(pd.Timestamp, pd.Timestamp(when))
    return f"{time.day} {time:%b %Y}"


def in_a_row(words: Sequence[str]) -> str:
    """As a sentence lists them.

    >>> in_a_row(["a"]), in_a_row(["a", "b", "c"])
    ('a', 'a, b and c')
    """
    return " and ".join(filter(None, (", ".join(words[:-1]), words[-1]))) if words else ""


def counted(n: int, thing: str) -> str:
    """So many of a thing.

    >>> counted(1, "fold"), counted(1293, "fold")
    ('1 fold', '1,293 folds')
    """
    return f"{n:,} {thing}{'' if n == 1 else 's'}"
