"""Every window once an epoch, whatever the number of devices."""

import numpy as np
import pytest
import torch
from darts.models import NLinearModel
from torch.utils.data import BatchSampler, RandomSampler, SequentialSampler

from darts_mim.models.batches import Share, WindowBatches, batch_sizes
from darts_mim.models.data_module import GridDataModule
from darts_mim.models.timeseries import to_timeseries


class FromTheFirst:
    """As a strategy: all devices get what the first one has."""

    def __init__(self):
        self.told = None

    def broadcast(self, value):
        self.told = value if self.told is None else self.told
        return self.told


def on_all(dataset, batch_size, devices, **kwargs):
    strategy = FromTheFirst()
    return [
        list(
            WindowBatches(
                dataset, batch_size, share=Share(rank=rank, devices=devices), strategy=strategy, **kwargs
            )
        )
        for rank in range(devices)
    ]


@pytest.mark.parametrize("n", [1, 6, 7, 23])
@pytest.mark.parametrize("drop_last", [False, True])
def test_on_one_device_the_order_is_torch_s(n, drop_last):
    data = range(n)
    torch.manual_seed(5)
    expected = [list(BatchSampler(RandomSampler(data), 3, drop_last)) for _ in range(2)]
    after = torch.rand(1)
    torch.manual_seed(5)
    batches = WindowBatches(data, 3, shuffle=True, drop_last=drop_last)
    assert [list(batches) for _ in range(2)] == expected
    assert torch.equal(torch.rand(1), after)
    assert len(batches) == len(expected[0])
    in_order = WindowBatches(data, 3, shuffle=False, drop_last=drop_last)
    assert list(in_order) == list(BatchSampler(SequentialSampler(data), 3, drop_last))


@pytest.mark.parametrize("devices", [1, 2, 3, 4])
@pytest.mark.parametrize("batch_size", [1, 2, 5])
@pytest.mark.parametrize("shuffle", [False, True])
def test_every_window_is_drawn_once_and_no_device_is_idle(devices, batch_size, shuffle):
    for n in range(devices, 5 * devices * batch_size):
        ranks = on_all(range(n), batch_size, devices, shuffle=shuffle)
        assert sorted(index for rank in ranks for batch in rank for index in batch) == list(range(n))
        assert len({len(rank) for rank in ranks}) == 1
        for parts in zip(*ranks, strict=True):
            sizes = [len(part) for part in parts]
            assert min(sizes) >= 1 and max(sizes) - min(sizes) <= 1
            assert max(sizes) <= batch_size + (batch_size == 1)


@pytest.mark.parametrize("devices", [2, 3])
def test_dropping_the_last_leaves_whole_batches_of_the_same_order(devices):
    whole = on_all(range(29), 2, devices, shuffle=False, drop_last=True)
    assert all(len(batch) == 2 for rank in whole for batch in rank)
    assert [len(rank) for rank in whole] == [29 // (2 * devices)] * devices
    drawn = sorted(index for rank in whole for batch in rank for index in batch)
    assert drawn == list(range(29 // (2 * devices) * 2 * devices))


def test_a_batch_of_all_devices_is_one_batch_of_one_device():
    torch.manual_seed(1)
    (one,) = on_all(range(22), 6, 1, shuffle=True)
    torch.manual_seed(1)
    ranks = on_all(range(22), 2, 3, shuffle=True)
    for k, batch in enumerate(one):
        assert [rank[k] for rank in ranks] == [batch[0::3], batch[1::3], batch[2::3]]


def test_sizes_by_hand():
    assert batch_sizes(13, 3, 2, drop_last=False) == [6, 5, 2]
    assert batch_sizes(13, 3, 2, drop_last=True) == [6, 6]
    assert batch_sizes(14, 3, 4, drop_last=False) == [10, 4]
    assert batch_sizes(7, 1, 3, drop_last=False) == [3, 4]
    assert batch_sizes(3, 8, 3, drop_last=False) == [3]
    assert batch_sizes(3, 8, 3, drop_last=True) == []


def test_fewer_windows_than_devices_are_an_error():
    with pytest.raises(ValueError, match=r"2 windows to be shared among 3 devices.*fewer devices"):
        WindowBatches(range(2), 4, shuffle=True, share=Share(rank=0, devices=3))


class LaidOut:
    """Has an order of its own, and is told what will be read."""

    def __init__(self):
        self.announced = []

    def __len__(self):
        return 7

    def order(self, seed):
        return np.roll(np.arange(7), seed % 7)

    def announce(self, indices):
        self.announced.append(indices)


def test_a_dataset_s_own_order_and_what_it_is_told():
    data = LaidOut()
    torch.manual_seed(2)
    seed = int(torch.empty((), dtype=torch.int64).random_().item())
    torch.manual_seed(2)
    first, second = on_all(data, 2, 2, shuffle=True)
    order = np.roll(np.arange(7), seed % 7).tolist()
    assert (first, second) == ([order[0:4:2], order[4:7:2]], [order[1:4:2], order[5:7:2]])
    assert data.announced == [order[0::2], order[1::2]]
    list(WindowBatches(data, 2, shuffle=True, announce=False))
    assert len(data.announced) == 2


def test_a_generator_draws_the_seed():
    def drawn():
        return list(WindowBatches(range(9), 2, shuffle=True, generator=torch.Generator().manual_seed(3)))

    before = torch.get_rng_state()
    assert drawn() == drawn()
    assert torch.equal(torch.get_rng_state(), before)


# As the model uses them


def loader_of(model, series, **dataloader_kwargs):
    module = model._setup_for_train(
        model._build_train_dataset(series, None, None, None, None), dataloader_kwargs=dataloader_kwargs
    )["datamodule"]
    assert isinstance(module, GridDataModule)
    return module


@pytest.mark.parametrize(
    ("asked", "sizes"),
    [({}, [8, 8, 8, 8, 3]), ({"drop_last": True}, [8] * 4), ({"batch_size": 16}, [16, 16, 3])],
)
def test_the_loader_is_as_asked(fitted, series, asked, sizes):
    module = loader_of(fitted.untrained_model(), [to_timeseries(series)], **({"batch_size": 8} | asked))
    assert [len(batch.past_target) for batch in module.train_dataloader()] == sizes


def test_batch_size_may_be_set_anew(fitted, series):
    """As darts' ``scale_batch_size`` does."""
    module = loader_of(fitted.untrained_model(), [to_timeseries(series)], shuffle=False, num_workers=0)
    module.batch_size = 30
    assert [len(batch.past_target) for batch in module.train_dataloader()] == [30, 5]
    assert module.val_dataloader() == []


def test_unshuffled_and_with_a_sampler_of_the_user_s(fitted, series):
    given = [to_timeseries(series)]
    module = loader_of(fitted.untrained_model(), given, shuffle=False)
    windows = module.train_dataset
    in_order = torch.cat([batch.future_target for batch in module.train_dataloader()])
    targets = [torch.as_tensor(windows[k].future_target) for k in range(len(windows))]
    assert torch.equal(in_order, torch.stack(targets))
    backwards = range(len(windows))[::-1]
    own = loader_of(fitted.untrained_model(), given, shuffle=False, sampler=backwards)
    assert torch.equal(torch.cat([b.future_target for b in own.train_dataloader()]), in_order.flip(0))


def test_a_fit_is_bit_for_bit_that_of_darts_own_loader(tiny, series, monkeypatch):
    def fit():
        return tiny(n_epochs=2, batch_size=6, sampling_steps=20).fit(series, val_series=series)

    ours = fit().model.state_dict()
    with monkeypatch.context() as patch:
        patch.setattr(GridDataModule, "like", classmethod(lambda _, module: module))
        theirs = fit().model.state_dict()
    assert all(torch.equal(ours[name], theirs[name]) for name in theirs)


def test_scale_batch_size(tiny, series, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)  # Lightning keeps a checkpoint where it is run
    model = tiny(batch_size=4)
    assert model.scale_batch_size(series, max_trials=2, steps_per_trial=1, init_val=5) >= 5


def test_a_dataset_of_darts_is_shuffled_as_by_torch(series):
    """``fit_from_dataset`` takes datasets that lay out no order."""
    linear = NLinearModel(4, 2)
    windows = linear._build_train_dataset([to_timeseries(series)], None, None, None, None)
    assert not hasattr(windows, "order")
    torch.manual_seed(9)
    expected = list(RandomSampler(windows))
    torch.manual_seed(9)
    (drawn,) = on_all(windows, len(windows), 1, shuffle=True)
    assert drawn == [expected]
