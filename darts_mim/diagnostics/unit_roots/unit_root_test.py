"""What a test of many series gives."""

from typing import NamedTuple

import numpy as np
import numpy.typing as npt


class UnitRootTest(NamedTuple):
    """One test of every cell. Arrays over cells, in NumPy wherever the series was."""

    statistic: npt.NDArray[np.float64]  # dimensionless; NaN where the cell cannot be tested
    pvalue: npt.NDArray[np.float64]  # of the test's own null hypothesis; NaN where the statistic is
    lags: npt.NDArray[np.int64]  # used by the cell; -1 where the statistic is NaN
    n_obs: npt.NDArray[np.int64]  # rows of the cell's regression; 0 where the statistic is NaN
