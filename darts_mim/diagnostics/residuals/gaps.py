"""Series with the same gaps share whatever hangs on the gaps alone, which then is computed once."""

import numpy as np


def gap_patterns(present: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The distinct rows, and which of them each row is.

    Args:
        present: (series, time), whether there is a value.

    Returns:
        (pattern, time) and (series).

    >>> present = np.array([[True, True], [True, False], [True, True]])
    >>> patterns, of_row = gap_patterns(present)
    >>> bool((patterns[of_row] == present).all()), len(patterns)
    (True, 2)
    """
    if (present == present[:1]).all():  # most often, and then there is nothing to sort
        return present[:1], np.zeros(len(present), dtype=int)
    patterns, of_row = np.unique(present, axis=0, return_inverse=True)
    return patterns, of_row.ravel()
