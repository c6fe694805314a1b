import numpy as np
import pandas as pd
import pytest
import xarray as xr

from darts_mim.diagnostics.differencing import cells


def slow_longest_run(seen, follows):
    best, start = (0, 0), None
    for t in range(len(seen)):
        if not seen[t]:
            start = None
            continue
        if start is None or not follows[t]:
            start = t
        if t + 1 - start > best[1] - best[0]:
            best = (start, t + 1)
    return best


def test_longest_runs_equal_a_walk_through_time():
    rng = np.random.default_rng(0)
    seen = rng.random((200, 40)) > 0.2
    seen[0], seen[1] = False, True
    follows = rng.random(40) > 0.15
    found = np.stack(cells.longest_runs(seen, follows), axis=1)
    assert [tuple(run) for run in found.tolist()] == [slow_longest_run(row, follows) for row in seen]


def test_cells_with_one_run_come_together():
    values = np.arange(18.0).reshape(3, 6)
    values[1, 2] = np.inf
    follows = np.array([False, True, True, True, True, True])
    found = {tuple(which.tolist()): run for which, run in cells.runs_of(values, follows)}
    assert set(found) == {(0, 2), (1,)}
    np.testing.assert_array_equal(found[0, 2], values[[0, 2]])
    np.testing.assert_array_equal(found[1,], values[1:2, 3:])


def test_a_cell_never_seen_has_no_steps():
    ((which, run),) = cells.runs_of(np.full((2, 5), np.nan), np.ones(5, dtype=bool))
    assert which.tolist() == [0, 1] and run.shape == (2, 0)


@pytest.mark.parametrize(("size", "most", "chunks"), [(10, 4, ()), (10, 4, (3, 3, 3, 1)), (10, 4, (6, 4))])
def test_cuts_cover_everything_once(size, most, chunks):
    cuts = cells._cuts(size, most, chunks)
    assert np.concatenate([np.arange(size)[cut] for cut in cuts]).tolist() == list(range(size))
    assert max(cut.stop - cut.start for cut in cuts) <= most


def test_cuts_end_where_chunks_do():
    assert [cut.stop for cut in cells._cuts(12, 7, (3, 3, 3, 3))] == [6, 12]
    assert [cut.stop for cut in cells._cuts(12, 5, (8, 4))] == [5, 8, 12]


def test_blocks_stay_small(monkeypatch):
    monkeypatch.setattr(cells, "BLOCK", 60)
    array = xr.DataArray(np.zeros((10, 2, 3, 4)), dims=("time", "channel", "y", "x"))
    covered = np.zeros((2, 3, 4), dtype=int)
    for where in cells.blocks(array):
        covered[where] += 1
        assert 10 * covered[where].size <= 60
    assert (covered == 1).all()


def test_months_follow_each_other():
    months = pd.to_datetime(["2024-01-01", "2024-02-01", "2024-03-01", "2024-05-01"])
    assert cells.follows(months).tolist() == [False, True, True, False]
