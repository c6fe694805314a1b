"""Calendar covariates for darts' ``add_encoders``."""

import numpy as np
import pandas as pd

from darts_mim.models._compat import add_safe_globals


class CyclicPosition:
    """Where a time stands in one or more periods, each as a sine and a cosine.

    A custom encoder for darts: ``add_encoders={"custom": {"future": [CyclicPosition("1D", "7D")]}}``. darts'
    own cyclic encoders read a calendar attribute, such as the hour, and are blind between two hours; this
    one turns without steps.

    Args:
        *periods: Fixed lengths as pandas has them, e.g. "1D", "7D", "12h". A day begins at midnight, a
            week on Monday.

    Raises:
        ValueError: If a period is not a fixed, positive length; a month or a year is not.

    >>> CyclicPosition("1D")(pd.date_range("2024-01-01", periods=2, freq="6h")).round(3)
    array([[0., 1.],
           [1., 0.]])
    """

    def __init__(self, *periods: str) -> None:
        if not periods:
            raise ValueError("No period came. Pass at least one, e.g. CyclicPosition('1D', '7D').")
        self.periods = periods
        for period in periods:
            if pd.Timedelta(period) <= pd.Timedelta(0):
                raise ValueError(f"The period {period!r} is not positive. Pass a length such as '7D'.")

    def __call__(self, index: pd.DatetimeIndex) -> np.ndarray:
        """(time, 2 per period): sine, cosine."""
        since_monday = index - pd.Timestamp("1970-01-05")
        lengths = [pd.Timedelta(period) for period in self.periods]
        turns = [2 * np.pi * np.asarray((since_monday % length) / length) for length in lengths]
        return np.stack([wave(turn) for turn in turns for wave in (np.sin, np.cos)], axis=1)

    def __repr__(self) -> str:
        return f"CyclicPosition({', '.join(map(repr, self.periods))})"


add_safe_globals([CyclicPosition])
