"""Training on two processes is training on one with twice the batch; forecasts are made in each, whole.

Run as a script, this file is what the two processes execute: Lightning starts it a second time.
"""

import os
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from models.conftest import make_frames, make_model
from pytorch_lightning import Callback, Trainer
from pytorch_lightning.callbacks import EarlyStopping
from pytorch_lightning.strategies import SingleDeviceStrategy

from darts_mim.models import batches
from darts_mim.models.data_module import GridDataModule
from darts_mim.models.datasets import GridTrainingDataset
from darts_mim.models.light_trainer import on_one_device
from darts_mim.models.mim import MIMModel
from darts_mim.models.timeseries import to_timeseries

DEVICES = 2
SPREAD = {"accelerator": "cpu", "devices": DEVICES, "strategy": "ddp"}
VAL_WINDOWS = 31  # other than any number of training windows
TESTS = Path(__file__).parents[1]


@dataclass(frozen=True)
class Case:
    windows: int
    batch_size: int  # of one process of two
    dtype: str = "float64"
    masked: bool = False
    model: dict[str, Any] = field(default_factory=dict)
    dataloader: dict[str, Any] = field(default_factory=dict)

    @property
    def series(self):
        series = make_frames(self.windows + 5)  # a window has 6 frames
        if self.masked:
            series[:, 0, 1, 2] = np.nan
        return to_timeseries(series).astype(self.dtype)

    @property
    def val_series(self):
        return to_timeseries(make_frames(VAL_WINDOWS + 5, seed=1)).astype(self.dtype)

    def drawn(self, windows):
        """Of so many, those that an epoch sees."""
        whole = DEVICES * self.batch_size
        return windows // whole * whole if "drop_last" in self.dataloader else windows


CASES = {
    "whole batches": Case(24, 3, dtype="float32"),
    "an uneven rest": Case(27, 3),
    "an even rest": Case(22, 3, dtype="float32", masked=True),
    "a rest of one": Case(25, 3),
    "batches of one": Case(7, 1),
    "a single batch": Case(3, 4, model={"lr_schedule": "cosine", "n_epochs": 5}),
    "the last dropped": Case(21, 3, dataloader={"drop_last": True, "shuffle": False}),
    "true frames": Case(25, 3, model={"sampling_steps": 30, "n_epochs": 3}),
    "learnt cells": Case(27, 3, model={"cell_channels": 2, "use_reversible_instance_norm": True}),
}


class Recorded(Callback):
    """What was read and how the loss went."""

    def __init__(self):
        self.reads: list[tuple[int, int]] = []  # of a dataset of so many windows, which
        self.losses: list[float] = []
        self.val_losses: list[float] = []

    def on_train_start(self, *_):
        del self.reads[:]  # darts looks at the first window, Lightning tries two batches of validation

    def on_train_batch_end(self, trainer, *_):
        self.losses.append(float(trainer.callback_metrics["train_loss"]))

    def on_validation_end(self, trainer, *_):
        if not trainer.sanity_checking:
            self.val_losses.append(float(trainer.callback_metrics["val_loss"]))


def fitted(case, recorded, batch_size, trainer):
    """A model trained for some epochs, every window that was read for it recorded."""
    options = {"n_epochs": 2, "batch_size": batch_size} | case.model
    model = make_model(pl_trainer_kwargs=trainer | {"callbacks": [recorded]}, **options)
    read = GridTrainingDataset.__getitem__

    def reading(dataset, index):
        recorded.reads.append((len(dataset), index))
        return read(dataset, index)

    GridTrainingDataset.__getitem__ = reading
    try:
        return model.fit(case.series, val_series=case.val_series, dataloader_kwargs=dict(case.dataloader))
    finally:
        GridTrainingDataset.__getitem__ = read


def results(case, model, recorded):
    weights = [value.numpy().ravel() for value in model.model.state_dict().values()]
    past = model.historical_forecasts(
        case.series, start=-9, forecast_horizon=2, retrain=False, last_points_only=False
    )
    return {
        "losses": recorded.losses,
        "val_losses": recorded.val_losses,
        "reads": recorded.reads,
        "weights": np.concatenate(weights),
        "forecast": model.predict(3).values(),
        "past": np.stack([one.values() for one in past]),
        "starts": np.array([one.start_time() for one in past], dtype="datetime64[ns]"),
    }


def resumed(folder, batch_size, devices):
    """Four epochs in two goes, early stopping and the best checkpoint: as darts keeps them."""
    series, val = (to_timeseries(make_frames(n, seed=n)).astype("float64") for n in (40, 14))
    trainer = devices | {"enable_checkpointing": True}

    def model(name, **kwargs):
        options = {"lr_schedule": "cosine", "n_epochs": 4, "batch_size": batch_size, "lr": 0.02}
        return make_model(
            model_name=name,
            save_checkpoints=True,
            work_dir=str(folder),
            pl_trainer_kwargs=trainer | kwargs,
            **options,
        )

    stopping = EarlyStopping("val_loss", patience=1, min_delta=0.02)
    best = model("best", callbacks=[stopping]).fit(series, val_series=val, load_best=True)
    model("half").fit(series, val_series=val, epochs=2)
    again = MIMModel.load_from_checkpoint("half", work_dir=str(folder), best=False)
    epochs = again.fit(series, val_series=val).epochs_trained
    return {
        "best": best.predict(2, series).values(),
        "stopped": stopping.stopped_epoch,
        "resumed": again.predict(2, series).values(),
        "epochs": epochs,
    }


def main(folder):
    """What both processes do."""
    folder = Path(folder)
    for name, case in CASES.items():
        recorded = Recorded()
        model = fitted(case, recorded, case.batch_size, SPREAD)
        rank = model.trainer.global_rank
        np.savez(folder / f"{name}_{rank}.npz", **results(case, model, recorded))
    np.savez(folder / f"resumed_{rank}.npz", **resumed(folder / "checkpoints", 3, SPREAD))
    half = make_model(pl_trainer_kwargs=SPREAD | {"precision": "bf16-mixed"}).fit(make_frames())
    past = half.historical_forecasts(make_frames(), start=-9, forecast_horizon=2)
    half.save(str(folder / f"saved_{rank}"))
    np.savez(folder / f"half_{rank}.npz", past=past.values, devices=half.trainer.world_size)


@pytest.fixture(scope="module")
def ranks(tmp_path_factory):
    """Both processes' files."""
    folder = tmp_path_factory.mktemp("devices")
    environment = os.environ | {
        "PYTHONPATH": os.pathsep.join([str(TESTS), str(TESTS.parent), os.environ.get("PYTHONPATH", "")]),
        "OMP_NUM_THREADS": "1",
    }
    ran = subprocess.run(
        [sys.executable, __file__, str(folder)],
        env=environment,
        cwd=folder,
        timeout=240,
        capture_output=True,
        text=True,
    )
    assert ran.returncode == 0, ran.stderr[-4000:]

    def read(name):
        return [np.load(folder / f"{name}_{rank}.npz") for rank in range(DEVICES)]

    read.folder = folder
    return read


def one_process(case, monkeypatch):
    """The same global batches on one device, with whatever torch draws there."""
    sizes = batches.batch_sizes

    def of_two(n, batch_size, devices, *, drop_last):
        return sizes(n, batch_size // DEVICES, DEVICES, drop_last=drop_last)

    monkeypatch.setattr(batches, "batch_sizes", of_two)
    recorded = Recorded()
    model = fitted(case, recorded, case.batch_size * DEVICES, {})
    return results(case, model, recorded)


@pytest.mark.parametrize("name", CASES)
def test_two_processes_train_as_one(ranks, monkeypatch, name):
    case = CASES[name]
    first, second = ranks(name)
    alone = one_process(case, monkeypatch)
    close = {"rtol": 1e-4, "atol": 1e-6} if case.dtype == "float32" else {"rtol": 1e-9, "atol": 1e-12}
    for rank in (first, second):
        for what in ("losses", "val_losses", "weights", "forecast", "past"):
            np.testing.assert_allclose(rank[what], alone[what], err_msg=what, **close)
        assert (rank["starts"] == alone["starts"]).all()
    assert len(alone["starts"]) == min(8, case.windows)


@pytest.mark.parametrize("name", CASES)
def test_every_window_is_read_once_an_epoch_by_one_of_them(ranks, name):
    case = CASES[name]
    of_each = [rank["reads"] for rank in ranks(name)]
    epochs = case.model.get("n_epochs", 2)
    for n in (case.windows, VAL_WINDOWS):
        parts = [np.split(reads[reads[:, 0] == n][:, 1], epochs) for reads in of_each]
        for epoch in range(epochs):
            together = np.concatenate([part[epoch] for part in parts])
            assert sorted(together) == list(range(case.drawn(n)))


@pytest.mark.filterwarnings("ignore:`ModelCheckpoint", "ignore:Checkpoint directory")  # darts' callbacks
def test_checkpoints_early_stopping_and_a_fit_that_goes_on(ranks, tmp_path):
    alone = resumed(tmp_path, 6, {})
    assert 0 < alone["stopped"] < 3
    for rank in ranks("resumed"):
        assert rank["epochs"] == alone["epochs"] == 4
        assert rank["stopped"] == alone["stopped"]
        for what in ("best", "resumed"):
            np.testing.assert_allclose(rank[what], alone[what], rtol=1e-9, err_msg=what)


def test_in_half_precision_all_forecasts_come_too(ranks):
    """There Lightning's own loop forecasts, which shares the origins among the devices if it is let."""
    first, second = ranks("half")
    assert first["past"].shape == (8, 2, 2, 5, 4)
    np.testing.assert_array_equal(first["past"], second["past"])
    assert first["devices"] == second["devices"] == DEVICES  # the trainer that saves is still theirs


def test_what_two_processes_saved_one_loads(ranks):
    loaded = MIMModel.load(str(ranks.folder / "saved_0"), pl_trainer_kwargs=SPREAD)
    past = loaded.historical_forecasts(make_frames(), start=-9, forecast_horizon=2)
    np.testing.assert_allclose(past.values, ranks("half")[0]["past"], rtol=0.02, atol=0.01)  # bf16


# What is refused


def spread(**kwargs):
    quiet = {"logger": False, "enable_progress_bar": False, "enable_checkpointing": False}
    return Trainer(**(SPREAD | quiet | kwargs))


def test_a_trainer_that_would_draw_windows_twice_is_refused(tiny, series):
    with pytest.raises(ValueError, match="use_distributed_sampler=False"):
        tiny().fit(series, trainer=spread())
    with pytest.raises(ValueError, match="use_distributed_sampler=False"):
        tiny(pl_trainer_kwargs=SPREAD | {"use_distributed_sampler": True}).fit(series)


def test_forecasts_in_parts_are_refused(fitted, series):
    for ask in (fitted.predict, fitted.historical_forecasts):
        arguments = {"n": 2} if ask == fitted.predict else {"series": series, "start": -9}
        extra = {"predict_kwargs": {"trainer": spread()}} if "series" in arguments else {"trainer": spread()}
        with pytest.raises(ValueError, match=r"of 2 devices.*Trainer\(devices=1\)"):
            ask(**arguments, **extra)


def test_a_sampler_of_one_s_own_needs_one_device():
    module = GridDataModule(train_dataset=[1, 2, 3], dataloader_kwargs={"sampler": range(3)})
    module.trainer = spread()
    with pytest.raises(ValueError, match="on each of 2 devices"):
        module.train_dataloader()


# On one device


def test_what_is_kept_of_a_trainer_s_arguments_for_forecasting():
    given = {"strategy": SingleDeviceStrategy(torch.device("cpu")), "precision": "64-true"}
    assert on_one_device(given) == given
    spread_out = SPREAD | {"num_nodes": 3, "sync_batchnorm": True, "use_distributed_sampler": False}
    assert on_one_device(spread_out) == {"accelerator": "cpu", "devices": 1}


@pytest.mark.parametrize(
    ("devices", "own"),
    [("auto", 1), (-1, 1), (4, 1), ("4", 1), ([2, 3], 2), ([3, 1], 1), ("3,", 3), ("0,1", 1)],
)
def test_a_process_forecasts_on_its_own_gpu(monkeypatch, devices, own):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "current_device", lambda: 1)  # as Lightning sets it in each process
    asked = {"accelerator": "gpu", "devices": devices, "strategy": "ddp"}
    assert on_one_device(asked) == {"accelerator": "gpu", "devices": [own]}
    assert on_one_device(asked | {"accelerator": "cpu"})["devices"] == 1


def test_a_model_for_two_devices_forecasts_before_and_after_it_is_saved(tiny, series, tmp_path):
    """Loaded on a machine with one device: nothing of the others is asked for."""
    model = tiny().fit(series)
    model.save(str(tmp_path / "model"))
    loaded = MIMModel.load(str(tmp_path / "model"), pl_trainer_kwargs=SPREAD)
    assert loaded.predict(3, series).identical(model.predict(3))


def test_mixed_precision_fits_and_forecasts(tiny, series):
    half = tiny(pl_trainer_kwargs={"precision": "bf16-mixed"}, n_epochs=3).fit(series)
    assert {value.dtype for value in half.model.state_dict().values()} == {torch.float32}
    whole = tiny(n_epochs=3).fit(series)
    forecast = half.predict(3)
    assert forecast.dtype == np.float32
    error = float(abs(forecast - whole.predict(3)).max())
    assert 0 < error < 0.02  # a bf16 has 8 bits


if __name__ == "__main__":
    main(sys.argv[1])
