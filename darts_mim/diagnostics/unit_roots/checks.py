"""What a test of many series was given, checked once: the series' shape and numbers, and each choice."""

from collections.abc import Collection
from typing import Any

import numpy as np
import torch

from darts_mim.diagnostics.unit_roots.blocks import Series
from darts_mim.errors import TooShortError


def as_series(series: Series) -> Series:
    """The series as an array or a tensor of real numbers, (cell, time).

    Raises:
        ValueError: If it is not (cell, time), or holds no real numbers.
    """
    array = series if isinstance(series, torch.Tensor) else np.asarray(series)
    if array.ndim != 2:
        raise ValueError(
            f"series has shape {tuple(array.shape)}; wanted (cell, time). One series: series[None]; "
            f"a grid whose time comes first: series.reshape(len(series), -1).T."
        )
    real = not array.is_complex() if isinstance(array, torch.Tensor) else array.dtype.kind in "fiub"
    if not real:
        raise ValueError(f"series holds {array.dtype}; wanted real numbers. Convert it to float64.")
    return array


def one_of(name: str, given: Any, choices: Collection[Any]) -> Any:
    """The choice that was given.

    Raises:
        ValueError: If it is none of the choices.

    >>> one_of("regression", "ct", ("c", "ct"))
    'ct'
    """
    if not any(given is choice or (isinstance(given, str) and given == choice) for choice in choices):
        raise ValueError(f"{name}={given!r}; wanted one of {', '.join(map(repr, choices))}.")
    return given


def count(name: str, given: Any) -> int:
    """A number of lags: an integer, not negative.

    Raises:
        ValueError: If it is neither.
    """
    if isinstance(given, bool) or not isinstance(given, int | np.integer) or given < 0:
        raise ValueError(f"{name}={given!r}; wanted an integer that is not negative.")
    return int(given)


def long_enough(steps: int, wanted: int, what: str, remedy: str) -> None:
    """Raise unless there are so many steps.

    Raises:
        TooShortError: If there are fewer.
    """
    if steps < wanted:
        raise TooShortError(f"The series have {steps} steps; {what} wants at least {wanted}. {remedy}")
