"""The cost of random windows is what one counts by reading all of them."""

from itertools import product

import dask.array as da
import numpy as np
import pandas as pd
import pytest
import xarray as xr
import zarr

from darts_mim.errors import CostlyStoreWarning
from darts_mim.stores.read_cost import read_factor, warn_if_costly


def series(shape, chunks, dims=("time", "y", "x"), **settings):
    array = zarr.create_array({}, shape=shape, chunks=chunks, dtype="f4", **settings)
    times = {"time": pd.date_range("2024", periods=dict(zip(dims, shape, strict=True))["time"], freq="h")}
    return xr.DataArray(da.from_zarr(array), dims=dims, coords=times)


def counted(shape, chunks, sizes):
    """Cells of all chunks that a window touches, over its own, in the mean over all windows."""
    factors = []
    for start in product(*(range(n - size + 1) for n, size in zip(shape, sizes, strict=True))):
        touched = [
            {cell // chunk for cell in range(first, first + size)}
            for first, size, chunk in zip(start, sizes, chunks, strict=True)
        ]
        factors.append(np.prod([len(t) * c for t, c in zip(touched, chunks, strict=True)]) / np.prod(sizes))
    return np.mean(factors)


@pytest.mark.parametrize("chunks", [(1, 6, 9), (4, 6, 9), (7, 2, 5), (23, 1, 1), (23, 6, 9)])
@pytest.mark.parametrize("crop", [None, {"y": 3, "x": 4}, {"x": 2}])
def test_equals_what_is_counted(chunks, crop):
    sizes = (5, *((crop or {}).get(dim, n) for dim, n in (("y", 6), ("x", 9))))
    factor = read_factor(series((23, 6, 9), chunks), "time", 5, crop)
    np.testing.assert_allclose(factor, counted((23, 6, 9), chunks, sizes), rtol=1e-12)


def test_of_shards_the_chunks_in_them_count():
    sharded = series((24, 6, 9), (2, 6, 9), shards=(12, 6, 9))
    np.testing.assert_allclose(read_factor(sharded, "time", 5), counted((24, 6, 9), (2, 6, 9), (5, 6, 9)))


def test_of_two_variables_each_counts_by_its_size():
    both = xr.Dataset({"a": series((24, 6, 9), (2, 6, 9)), "b": series((24, 6, 9), (8, 6, 9))})
    each = [counted((24, 6, 9), (c, 6, 9), (5, 6, 9)) for c in (2, 8)]
    np.testing.assert_allclose(read_factor(both, "time", 5), np.mean(each))


def test_what_is_not_from_zarr_costs_nothing_more():
    assert read_factor(series((24, 6, 9), (8, 6, 9)).compute(), "time", 5) == 1


def test_a_warning_where_the_chunks_of_a_window_do_not_fit():
    long = series((400, 6, 9), (200, 6, 9))
    two_chunks = 2 * 200 * 6 * 9 * 4  # bytes: what a window of 5 touches at most
    assert warn_if_costly(long, "time", 5, cache=two_chunks) == 1
    with pytest.warns(CostlyStoreWarning, match="makes the store decode 4[0-9] times its size.*rechunk_for"):
        factor = warn_if_costly(long, "time", 5, cache=two_chunks - 1)
    np.testing.assert_allclose(factor, counted((400, 6, 9), (200, 6, 9), (5, 6, 9)))


def test_no_warning_where_other_chunks_would_not_help():
    frames = series((400, 6, 9), (1, 6, 9))
    assert warn_if_costly(frames, "time", 5, cache=1) == 1
    with pytest.warns(CostlyStoreWarning, match="crop="):
        assert warn_if_costly(frames, "time", 5, crop={"y": 3, "x": 3}, cache=1) == 6
