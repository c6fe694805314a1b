"""Windows from a store are shuffled, each is drawn once, and each block is read once an epoch."""

import numpy as np
import pandas as pd
import pytest
import torch
import xarray as xr
from torch.utils.data import DataLoader

from darts_mim.grid.grid import Grid
from darts_mim.models.batches import WindowBatches
from darts_mim.models.datasets import GridTrainingDataset
from darts_mim.models.lazy_series import LazyTimeSeries
from darts_mim.models.reading import shuffled, shuffled_by_block
from darts_mim.models.timeseries import to_timeseries
from darts_mim.stores import frames as frames_module
from darts_mim.stores.frames import LazyFrames


def test_in_memory_the_order_is_torchs():
    torch.manual_seed(7)
    wanted = list(torch.utils.data.RandomSampler(range(20)))
    torch.manual_seed(7)
    seed = int(torch.empty((), dtype=torch.int64).random_().item())
    assert shuffled(20, seed).tolist() == wanted


@pytest.mark.parametrize("lanes", [1, 3, 8])
@pytest.mark.parametrize("sizes", [[5] * 12, [1, 7, 0, 30, 2, 2], [9]])
def test_each_window_once_and_few_blocks_at_a_time(lanes, sizes):
    blocks = np.repeat(np.arange(len(sizes)), sizes)
    order = shuffled_by_block(blocks, lanes, seed=5)
    assert sorted(order) == list(range(len(blocks)))
    assert order.tolist() == shuffled_by_block(blocks, lanes, seed=5).tolist()
    uses = {block: np.flatnonzero(blocks[order] == block) for block in np.unique(blocks)}
    in_use = sum(
        (np.arange(len(blocks)) >= at[0]) & (np.arange(len(blocks)) <= at[-1]) for at in uses.values()
    )
    assert in_use.max() <= lanes
    if len(blocks) > 20 and lanes > 1:
        assert order.tolist() != shuffled_by_block(blocks, lanes, seed=6).tolist()


def test_lanes_take_turns():
    blocks = np.repeat(np.arange(8), 6)
    order = shuffled_by_block(blocks, 4, seed=2)
    for lane in range(4):
        assert len(np.unique(blocks[order[lane::4]])) == 2, "every fourth draw is from the same two blocks"


def stored(n=400, chunk=10):
    values = np.arange(n, dtype="float32")[:, None, None] + np.zeros((n, 2, 3), dtype="float32")
    series = xr.DataArray(values, {"time": pd.date_range("2024", periods=n, freq="h")}, ("time", "y", "x"))
    return series, series.chunk(time=chunk)


def dataset_of(lazy, cache_bytes, **options):
    entered = LazyTimeSeries.of(LazyFrames(lazy, Grid.of(lazy), cache_bytes=cache_bytes), *_names(lazy))
    return GridTrainingDataset([entered], None, None, input_chunk_length=4, output_chunk_length=3, **options)


def _names(lazy):
    like = to_timeseries(lazy)
    return like.components, like.metadata


@pytest.fixture(autouse=True)
def blocks_of_one_chunk(monkeypatch):
    monkeypatch.setattr(frames_module, "BLOCK_BYTES", 1)


@pytest.mark.parametrize("options", [{}, {"time_reversal": True}, {"stride": 3}])
def test_an_epoch_reads_each_block_once(options):
    _, lazy = stored()
    dataset = dataset_of(lazy, 8 * 4 * 10 * 24, **options)  # eight lanes of four blocks of a chunk
    cache = dataset.reading.frames[0].cache
    assert dataset.reading.lanes == 8 and len(cache.sizes) == 40
    loader = DataLoader(dataset, batch_sampler=WindowBatches(dataset, 16, shuffle=True), collate_fn=list)
    for _ in range(2):
        before, first = cache.n_read, []
        for batch in loader:
            for sample in batch:
                run = np.concatenate([sample.past_target, sample.future_target])[:, 0]
                assert set(np.abs(np.diff(run))) == {1.0}
                first.append(min(run))
            assert sum(cache.sizes[number] for number in cache._held) <= 8 * 4 * 10 * 24
        assert cache.n_read - before == 40
        each = 2 if dataset.time_reversal else 1
        assert sorted(first) == sorted([float(s) for s in range(0, 394)][:: options.get("stride", 1)] * each)
        assert len(np.unique(np.array(first[:16]) // 50)) > 4, "a batch has windows of many times"


def test_two_devices_read_different_blocks():
    _, lazy = stored()
    order = dataset_of(lazy, 8 * 4 * 10 * 24).order(seed=3)
    blocks = [{index // 10 for index in order[rank:300:2]} for rank in (0, 1)]
    assert len(blocks[0] & blocks[1]) <= 4
