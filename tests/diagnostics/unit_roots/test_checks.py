import numpy as np
import pytest

from darts_mim.diagnostics.unit_roots.checks import as_series, count, long_enough, one_of
from darts_mim.errors import TooShortError


def test_lists_are_series():
    assert as_series([[1, 2, 3]]).shape == (1, 3)
    with pytest.raises(ValueError, match="holds <U1; wanted real numbers"):
        as_series([["a", "b"]])


def test_none_is_a_choice_only_where_it_is_listed():
    assert one_of("autolag", None, ("AIC", None)) is None
    with pytest.raises(ValueError, match=r"autolag=None; wanted one of 'AIC'\."):
        one_of("autolag", None, ("AIC",))


def test_counts_are_integers():
    assert count("lags", np.int64(3)) == 3
    for given in (True, "3", 3.0, None, -1):
        with pytest.raises(ValueError, match="wanted an integer that is not negative"):
            count("lags", given)


def test_long_enough():
    long_enough(5, 5, "it", "")
    with pytest.raises(TooShortError, match=r"have 4 steps; it wants at least 5\. Wait\."):
        long_enough(4, 5, "it", "Wait.")
