import numpy as np
import pandas as pd
import pytest

from darts_mim.grid import windows
from darts_mim.grid.windows import WindowCount, fill_axis, row_kinds, whole_windows


def test_kinds_of_frames_by_hand():
    values = np.ones((5, 3), dtype=np.float32)
    values[1, 0] = np.nan
    values[2] = np.nan
    values[3, 2] = np.inf
    np.testing.assert_array_equal(row_kinds(values), [0, 1, 2, 1, 0])
    mask = np.array([True, False, False])
    np.testing.assert_array_equal(row_kinds(values, mask), [0, 0, 2, 1, 0])
    np.testing.assert_array_equal(row_kinds(np.ones((4, 3), dtype=int)), np.zeros(4))


def test_kinds_do_not_depend_on_the_block(monkeypatch):
    rng = np.random.default_rng(0)
    values = np.where(rng.random((50, 6)) < 0.4, np.nan, 1.0)
    whole = row_kinds(values)
    monkeypatch.setattr(windows, "BLOCK", 13)
    np.testing.assert_array_equal(row_kinds(values), whole)


@pytest.mark.parametrize("stride", [1, 3])
@pytest.mark.parametrize("length", [1, 4, 9])
def test_windows_and_counts_equal_a_slow_loop(length, stride):
    kinds = np.random.default_rng(1).choice([0, 0, 0, 0, 1, 2], 200).astype(np.int8)
    starts, count = whole_windows(kinds, length, stride=stride)
    expected, gap, nan, total = [], 0, 0, 0
    for start in range(0, len(kinds) - length + 1, stride):
        window = kinds[start : start + length]
        total += 1
        if 2 in window:
            gap += 1
        elif 1 in window:
            nan += 1
        else:
            expected.append(start)
    np.testing.assert_array_equal(starts, expected)
    assert count == WindowCount(total=total, used=len(expected), gap=gap, nan=nan)


def test_too_short_is_no_window():
    starts, count = whole_windows(np.zeros(3), 4)
    assert len(starts) == 0
    assert count == WindowCount(total=0, used=0, gap=0, nan=0)


def test_count_in_words():
    count = WindowCount(total=1137, used=1109, gap=28, nan=0)
    assert str(count) == ("1109 of 1137 windows used; 28 left out: 28 touch a missing time, 0 hold NaN")
    assert str(WindowCount(total=3, used=3, gap=0, nan=0)) == "3 of 3 windows used"


def test_fill_axis_equals_pandas_reindex():
    times = pd.date_range("2024-01-01", periods=20, freq="30min").delete([4, 5, 11])
    values = np.random.default_rng(2).integers(0, 9, (17, 3))
    filled, axis = fill_axis(values, times)
    expected = pd.DataFrame(values, index=times).reindex(axis)
    np.testing.assert_array_equal(filled, expected.values)
    assert filled.dtype == np.float32
    assert len(axis) == 20


def test_fill_axis_copies_nothing_without_a_gap():
    times = pd.date_range("2024-01-01", periods=4, freq="MS")
    values = np.zeros((4, 2))
    assert fill_axis(values, times)[0] is values
