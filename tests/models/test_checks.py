import numpy as np
import pytest

from darts_mim.errors import GapError, NotScaledWarning
from darts_mim.models.checks import require_whole_input, warn_if_not_scaled
from darts_mim.models.timeseries import to_timeseries


def test_infinite_values_are_as_bad_as_nan(series):
    values = to_timeseries(series).all_values()
    values[38, 3] = np.inf
    with pytest.raises(GapError, match=r"1 of the 4 frames .* 2024-01-02 14:00"):
        require_whole_input(to_timeseries(series).with_values(values), 4, None)
    require_whole_input(to_timeseries(series).with_values(values), 1, None)


@pytest.mark.parametrize("several", [False, True])
def test_scale_is_the_root_mean_square_of_the_largest_series(series, several):
    large = to_timeseries(series * 0 + 10.5)
    with pytest.warns(NotScaledWarning, match=r"root mean square is 10\.5,"):
        warn_if_not_scaled([to_timeseries(series), large] if several else large)


def test_rare_peaks_and_gaps_are_no_other_scale(series):
    values = to_timeseries(series).all_values()
    values[5, 3] = 300.0  # of 1600 values one, root mean square 7.5
    values[9] = np.nan
    warn_if_not_scaled(to_timeseries(series).with_values(values))
    warn_if_not_scaled(to_timeseries(series).with_values(values * np.nan))
