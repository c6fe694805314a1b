import numpy as np
import pandas as pd
import pytest

from darts_mim import CyclicPosition


def test_a_turn_is_a_period():
    times = pd.date_range("2024-01-01", periods=21 * 24, freq="h")  # a Monday
    waves = CyclicPosition("1D", "7D")(times)
    hours = np.arange(len(times))
    for columns, period in (((0, 1), 24), ((2, 3), 168)):
        angle = 2 * np.pi * hours / period
        np.testing.assert_allclose(waves[:, columns], np.stack([np.sin(angle), np.cos(angle)], 1), atol=1e-9)


def test_it_moves_between_two_hours():
    half_hours = CyclicPosition("1D")(pd.date_range("2024-01-01", periods=2, freq="30min"))
    assert half_hours[1, 0] == pytest.approx(np.sin(2 * np.pi / 48))


@pytest.mark.parametrize("period", ["1YE", "soon", "-1D"])
def test_a_period_that_is_no_fixed_length_is_an_error(period):
    with pytest.raises(ValueError):
        CyclicPosition(period)


def test_no_period_is_an_error():
    with pytest.raises(ValueError, match="at least one"):
        CyclicPosition()
