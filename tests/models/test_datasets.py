import numpy as np
import pytest

from darts_mim.errors import GapError, TimeAxisError, TooShortError
from darts_mim.models.datasets import GridTrainingDataset
from darts_mim.models.timeseries import covariates_to_timeseries, to_timeseries


def windows(series, past=None, future=None, **kwargs):
    several = series if isinstance(series, list) else [series]
    chunks = {"input_chunk_length": 4, "output_chunk_length": 2} | kwargs
    return GridTrainingDataset([to_timeseries(s) for s in several], past, future, **chunks)


def drawn(dataset):
    """Every window as (input and output frames), sorted by its first value."""
    samples = [dataset[index] for index in range(len(dataset))]
    arrays = [np.concatenate([s.past_target, s.future_target]) for s in samples]
    return sorted(arrays, key=lambda a: a[0, 0])


def expected(series, starts, length=6):
    flat = series.values.reshape(len(series), -1)
    return sorted((flat[start : start + length] for start in starts), key=lambda a: a[0, 0])


def test_every_window_once(series):
    np.testing.assert_array_equal(drawn(windows(series)), expected(series, range(35)))


def test_windows_that_touch_a_gap_or_nan_are_left_out_and_counted(frames):
    broken = frames(30)
    broken[20, 0, 1, 1] = np.nan  # touches the windows that start at 15..20
    broken = broken.isel(time=[*range(7), *range(8, 30)])  # 7 is missing: 2..7
    dataset = windows(broken)
    starts = [start for start in range(25) if start not in (*range(2, 8), *range(15, 21))]
    assert (dataset.count.total, dataset.count.used, dataset.count.gap, dataset.count.nan) == (25, 13, 6, 6)
    np.testing.assert_array_equal(drawn(dataset), expected(frames(30), starts))


def test_series_of_unequal_length_one_shorter_than_a_window(frames):
    series = [frames(12, seed=1), frames(5, seed=2), frames(6, seed=3)]
    dataset = windows(series)
    assert len(dataset) == 7 + 0 + 1
    parts = [*expected(series[0], range(7)), *expected(series[2], [0])]
    np.testing.assert_array_equal(drawn(dataset), sorted(parts, key=lambda a: a[0, 0]))
    assert str(dataset.count) == "8 of 8 windows used"


def test_stride_counts_from_the_end(series):
    dataset = windows(series, stride=4)
    np.testing.assert_array_equal(drawn(dataset), expected(series, range(2, 35, 4)))


def test_stride_past_a_gap(frames):
    broken = frames(20).isel(time=[t for t in range(20) if t != 9])
    dataset = windows(broken, stride=3)  # of 2, 5, 8, 11, 14 the second and third touch frame 9
    np.testing.assert_array_equal(drawn(dataset), expected(frames(20), [2, 11, 14]))
    assert (dataset.count.total, dataset.count.used, dataset.count.gap) == (5, 3, 2)


def test_the_latest_windows_alone(series):
    dataset = windows(series, max_samples_per_ts=3)
    np.testing.assert_array_equal(drawn(dataset), expected(series, [32, 33, 34]))
    assert dataset.count.used == 3


def test_masked_cells_do_not_count_and_a_missing_time_is_a_gap(masked):
    holes = masked.isel(time=[t for t in range(40) if t != 20]).copy()
    holes[30, 1, 0, 0] = np.nan  # frame 31
    mask = np.isnan(masked.values).all(axis=0).ravel()
    target = to_timeseries(holes)
    values = target.all_values()
    values[:, mask] = 0.0
    zeroed = [target.with_values(values)]
    dataset = GridTrainingDataset(
        zeroed, None, None, masked=mask, input_chunk_length=4, output_chunk_length=2
    )
    assert (dataset.count.used, dataset.count.gap, dataset.count.nan) == (35 - 6 - 6, 6, 6)


def test_covariates_are_asked_for_where_they_are_read(series):
    hour = series.time.dt.hour.astype("float32")
    short = covariates_to_timeseries(hour[3:30])  # frames 3..29
    # past: the four frames read lie in 3..29, so starts 3..26; future: all six, so 3..24
    past, future = windows(series, past=[short]), windows(series, future=[short])
    np.testing.assert_array_equal(drawn(past), expected(series, range(3, 27)))
    np.testing.assert_array_equal(drawn(future), expected(series, range(3, 25)))
    assert (past.count.used, past.count.nan) == (24, 11)
    for dataset, field, span in ((past, "past_covariates", 4), (future, "historic_future_covariates", 4)):
        sample = dataset[0]
        first = sample.past_target[0, 0]
        start = int(np.flatnonzero(series.values[:, 0, 0, 0] == first)[0])
        np.testing.assert_array_equal(getattr(sample, field)[:, 0], hour.values[start : start + span])


def test_nan_in_covariates_is_never_drawn(series):
    hour = series.time.dt.hour.astype("float32").copy()
    hour[10] = np.nan
    dataset = windows(series, future=[covariates_to_timeseries(hour)])
    np.testing.assert_array_equal(
        drawn(dataset), expected(series, [s for s in range(35) if not s <= 10 < s + 6])
    )


def test_covariates_on_another_step(series):
    hour = series.time.dt.hour.astype("float32")[::2]
    with pytest.raises(TimeAxisError, match="step of 2h, the series of h"):
        windows(series, future=[covariates_to_timeseries(hour)])


def test_time_reversal_draws_each_window_a_second_time_backwards(series):
    hour = covariates_to_timeseries(series.time.dt.hour.astype("float32"))
    weight = to_timeseries(series)
    dataset = windows(series, future=[hour], time_reversal=True, sample_weight=[weight])
    n = len(dataset) // 2
    assert n == 35
    for index in (0, 17, 34):
        there, back = dataset[index], dataset[n + index]
        forwards = np.concatenate([there.past_target, there.future_target])
        np.testing.assert_array_equal(np.concatenate([back.past_target, back.future_target]), forwards[::-1])
        hours = np.concatenate([there.historic_future_covariates, there.future_covariates])
        np.testing.assert_array_equal(
            np.concatenate([back.historic_future_covariates, back.future_covariates]), hours[::-1]
        )
        # a weight hangs on the forecast frames, which are other frames backwards: their mean
        np.testing.assert_allclose(back.sample_weight[0], there.sample_weight.mean(axis=0), rtol=1e-6)


def test_too_short_and_broken_series_are_told_so(frames):
    with pytest.raises(TooShortError, match=r"longest series has 5 frames; one window needs 6 .*longer"):
        windows([frames(5), frames(4)])
    holes = frames(12)
    holes[::3] = np.nan
    with pytest.raises(GapError, match=r"0 of 7 windows used; 7 left out.*interpolate_na"):
        windows(holes)
