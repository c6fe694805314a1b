"""Parts of a grid to train on: cut where they should be, and a model that never notices."""

import numpy as np
import pandas as pd
import pytest
import torch
import torchmetrics
import xarray as xr
from darts import TimeSeries
from darts.utils.likelihood_models import torch as likelihoods
from sklearn.base import clone
from torch.testing import assert_close

from darts_mim import MIMModel, ShareAbove
from darts_mim.errors import GridMismatchError
from darts_mim.models._compat import (
    ModuleStage,
    PLModuleInput,
    TorchTrainingBatch,
    TorchTrainingSample,
)
from darts_mim.models.crops import Crops, summed
from darts_mim.models.mim import MIMModule
from darts_mim.models.parts import Layout
from darts_mim.models.timeseries import to_timeseries

SHAPE = CHANNELS, HEIGHT, WIDTH = 2, 5, 7
GRID = Layout(shape=SHAPE)
SIZE = 3, 4
CELLS = CHANNELS * HEIGHT * WIDTH


def numbered(*lead, channels=CHANNELS, numbers=0, offset=0.0):
    """Values that say where they stand; numbers a time behind them are negative."""
    frames = offset + np.arange(np.prod(lead) * channels * HEIGHT * WIDTH, dtype="float32").reshape(*lead, -1)
    behind = -1.0 - np.arange(numbers, dtype="float32")
    return np.concatenate([frames, np.broadcast_to(behind, (*lead, numbers))], axis=-1)


def window(**kwargs):
    return TorchTrainingSample(
        **({"past_target": numbered(3), "future_target": numbered(2, offset=1e4)} | kwargs)
    )


def places(crops, n=400, sample=None):
    """Where crops began, from the numbers in their first cell: (n, 2)."""
    first = [
        crops.cut(sample or window(), np.random.default_rng([1, seed])).future_target[0, 0] - 1e4
        for seed in range(n)
    ]
    return np.stack(np.unravel_index(np.array(first, dtype=int), (HEIGHT, WIDTH)), axis=1)


# Cutting


def test_everything_is_cut_at_the_same_place():
    static = np.stack([numbered(channels=CHANNELS), numbered(channels=CHANNELS, offset=500)], axis=1)
    sample = window(
        past_covariates=numbered(3, channels=1, numbers=2),
        historic_future_covariates=numbered(3, channels=3, numbers=1),
        future_covariates=numbered(2, channels=3, numbers=1),
        static_covariates=static,
        sample_weight=numbered(2, offset=7),
    )
    crops = Crops(size=SIZE, layout=Layout(shape=SHAPE, gridded_past=1, gridded_future=3))
    for seed in range(20):
        cut = crops.cut(sample, np.random.default_rng(seed))
        row, column = divmod(int(cut.past_target[0, 0]), WIDTH)

        def by_loop(values, channels, row=row, column=column):
            """Components are picked one by one."""
            wanted = [
                (c * HEIGHT + i) * WIDTH + j
                for c in range(channels)
                for i in range(row, row + SIZE[0])
                for j in range(column, column + SIZE[1])
            ]
            return np.concatenate([values[..., wanted], values[..., channels * HEIGHT * WIDTH :]], axis=-1)

        np.testing.assert_array_equal(cut.past_target, by_loop(sample.past_target, CHANNELS))
        np.testing.assert_array_equal(cut.future_target, by_loop(sample.future_target, CHANNELS))
        np.testing.assert_array_equal(cut.past_covariates, by_loop(sample.past_covariates, 1))
        np.testing.assert_array_equal(
            cut.historic_future_covariates, by_loop(sample.historic_future_covariates, 3)
        )
        np.testing.assert_array_equal(cut.future_covariates, by_loop(sample.future_covariates, 3))
        np.testing.assert_array_equal(cut.static_covariates, by_loop(static.T, CHANNELS).T)
        np.testing.assert_array_equal(cut.sample_weight, by_loop(sample.sample_weight, CHANNELS))
        assert all(array.dtype == np.float32 for array in cut.iter_arrays())


def test_what_holds_for_the_whole_grid_stays():
    sample = window(static_covariates=np.ones((1, 3)), sample_weight=np.ones((2, 1)))
    cut = Crops(size=SIZE, layout=GRID).cut(sample, np.random.default_rng(0))
    assert cut.static_covariates is sample.static_covariates
    assert cut.sample_weight is sample.sample_weight
    assert cut.past_covariates is cut.future_covariates is cut.historic_future_covariates is None


def test_masked_cells_are_nan_in_frames_alone_and_the_window_stays_as_it_was():
    masked = np.zeros(SHAPE, bool)
    masked[0, 2, 3] = True
    masked[1, 4, 1:5] = True
    sample = window(past_covariates=numbered(3, channels=1), sample_weight=np.ones((2, CELLS)))
    before = sample.past_target.copy()
    crops = Crops(size=SIZE, layout=Layout(shape=SHAPE, gridded_past=1), masked=masked.ravel())
    for seed in range(20):
        cut = crops.cut(sample, np.random.default_rng(seed))
        row, column = divmod(int(cut.past_covariates[0, 0]), WIDTH)
        wanted = masked[:, row : row + SIZE[0], column : column + SIZE[1]].ravel()
        for frames in (*cut.past_target, *cut.future_target):
            np.testing.assert_array_equal(np.isnan(frames), wanted)
        assert not np.isnan(cut.past_covariates).any() and (cut.sample_weight == 1).all()
        assert cut.past_target.dtype == np.float32
    np.testing.assert_array_equal(sample.past_target, before)


# Where


def test_places_are_drawn_alike_and_all_of_them():
    found = places(Crops(size=SIZE, layout=GRID), n=1200)
    counts = np.bincount(found[:, 0] * 4 + found[:, 1], minlength=12).reshape(3, 4)
    assert counts.sum() == 1200  # none begins where a crop would not fit
    assert (abs(counts - 100) < 5 * np.sqrt(100)).all()


def test_places_are_drawn_by_weight_with_a_floor_everywhere():
    """Held against the chances of a loop over all places."""
    cells = np.zeros((HEIGHT, WIDTH))
    cells[4, 6], cells[2, 2] = 6.0, 3.0
    crops = Crops(size=SIZE, layout=GRID, weight=lambda frames: cells)
    chance = np.array([[cells[i : i + 3, j : j + 4].sum() for j in range(4)] for i in range(3)])
    chance += 0.05 * chance.mean()
    chance /= chance.sum()
    found = places(crops, n=4000)
    counts = np.bincount(found[:, 0] * 4 + found[:, 1], minlength=12).reshape(3, 4)
    assert (abs(counts - 4000 * chance) < 5 * np.sqrt(4000 * chance)).all()
    assert (counts > 0).all()


def test_the_weight_sees_the_window_s_frames():
    frames = []
    masked = np.zeros(CELLS, bool)
    masked[8] = True
    crops = Crops(
        size=SIZE, layout=GRID, masked=masked, weight=lambda f: frames.append(f) or np.zeros((HEIGHT, WIDTH))
    )
    sample = window()
    crops.cut(sample, np.random.default_rng(0))
    wanted = np.concatenate([sample.past_target, sample.future_target])
    wanted[:, 8] = np.nan
    np.testing.assert_array_equal(frames[0], wanted.reshape(5, *SHAPE))


def test_a_crop_holds_an_observed_cell():
    masked = np.ones(SHAPE, bool)
    masked[1, 4, 6] = False  # in the last crop of each row and column alone
    found = places(Crops(size=SIZE, layout=GRID), n=5)
    assert len({tuple(place) for place in found}) > 1
    crops = Crops(size=SIZE, layout=GRID, masked=masked.ravel())
    for seed in range(30):
        cut = crops.cut(window(), np.random.default_rng(seed))
        assert np.isfinite(cut.past_target).sum() == 3


def test_share_above():
    frames = np.zeros((4, 2, 3, 5))
    frames[0, 0, 1, 2] = frames[3, 1, 1, 2] = 0.6
    frames[:, :, 2, 4] = np.nan
    wanted = np.zeros((3, 5))
    wanted[1, 2] = 0.25
    np.testing.assert_array_equal(ShareAbove(0.5)(frames), wanted)


@pytest.mark.parametrize("wrong", [np.ones((2, 2)), -np.ones((5, 7)), np.full((5, 7), np.nan)])
def test_a_weight_that_is_none(wrong):
    crops = Crops(size=SIZE, layout=GRID, weight=lambda frames: wrong)
    with pytest.raises(ValueError, match=r"crop_weight gave .* Return one finite number"):
        crops.cut(window(), np.random.default_rng(0))


def test_sums_over_crops():
    cells = np.random.default_rng(0).random((6, 9))
    for size in [(1, 1), (2, 5), (6, 9)]:
        wanted = np.lib.stride_tricks.sliding_window_view(cells, size).sum(axis=(2, 3))
        np.testing.assert_allclose(summed(cells, size), wanted, rtol=1e-12)


# A model trained on crops

CROP = 3, 3


def loss_of(module, batch, monkeypatch, stage="training_step"):
    monkeypatch.setattr(module, "log", lambda *args, **kwargs: None)
    return getattr(module, stage)(batch, 0)


def cropped(series, rows, columns, start=0, n_in=4, n_out=2):
    flat = torch.tensor(series.values[:, :, rows, columns]).flatten(1)
    return flat[None, start : start + n_in], flat[None, start + n_in : start + n_in + n_out]


@pytest.mark.parametrize("patch_size", [1, 2])
def test_a_crop_is_trained_on_as_a_grid_of_its_own(tiny, series, monkeypatch, patch_size):
    """The same weights on the cropped series give the same loss, in training and validation."""
    net = tiny(crop_size=CROP, patch_size=patch_size).fit(series).model
    rows, columns = slice(1, 4), slice(0, 3)
    small = tiny(patch_size=patch_size).fit(series[:, :, rows, columns]).model
    small.load_state_dict(net.state_dict())
    past, future = cropped(series, rows, columns)
    batch = TorchTrainingBatch(past_target=past, future_target=future)
    for stage in ("training_step", "validation_step"):
        ours, theirs = (loss_of(each, batch, monkeypatch, stage) for each in (net, small))
        assert_close(ours, theirs, rtol=0, atol=0)


@pytest.mark.parametrize("loss_frames", ["all", "forecast"])
@pytest.mark.parametrize("likelihood", [None, likelihoods.GaussianLikelihood()])
@pytest.mark.parametrize("weighted", [False, True])
def test_masked_cells_of_a_crop_are_read_and_fed_back_as_0_and_do_not_count(
    tiny, masked, monkeypatch, loss_frames, likelihood, weighted
):
    """Held against a model on the cropped series, whose mask is known beforehand."""
    arguments = {"loss_frames": loss_frames, "likelihood": likelihood}
    rows, columns = slice(0, 3), slice(1, 4)
    inside = masked[:, :, rows, columns]
    assert 0 < np.isnan(inside.values[0]).sum() < np.isnan(masked.values[0]).sum()
    net = tiny(crop_size=CROP, **arguments).fit(masked).model
    small = tiny(**arguments).fit(inside).model
    small.load_state_dict(net.state_dict())
    past, future = cropped(masked, rows, columns)
    weight = torch.rand(1, 2, 18) if weighted else None
    if weighted:
        net.train_criterion.reduction = small.train_criterion.reduction = "none"
    ours = loss_of(net, TorchTrainingBatch(past, future_target=future, sample_weight=weight), monkeypatch)
    zeroed = TorchTrainingBatch(past.nan_to_num(0), future_target=future.nan_to_num(0), sample_weight=weight)
    theirs = loss_of(small, zeroed, monkeypatch)
    assert_close(ours, theirs, rtol=1e-6, atol=1e-7)
    ours.backward()
    theirs.backward()
    found = dict(net.named_parameters())
    for name, wanted in small.named_parameters():
        assert_close(found[name].grad, wanted.grad, rtol=1e-4, atol=1e-6)


def test_each_crop_of_a_batch_has_a_mask_of_its_own(tiny, masked, monkeypatch):
    net = tiny(crop_size=CROP, patch_size=2).fit(masked).model
    places = [(slice(0, 3), slice(1, 4)), (slice(2, 5), slice(0, 3))]
    past, future = (torch.cat(parts) for parts in zip(*(cropped(masked, *p) for p in places), strict=True))
    together = loss_of(net, TorchTrainingBatch(past, future_target=future), monkeypatch)
    single = [
        loss_of(net, TorchTrainingBatch(past[k : k + 1], future_target=future[k : k + 1]), monkeypatch)
        for k in range(2)
    ]
    counted = torch.isfinite(past[:, 0]).sum(dim=1)
    assert counted[0] != counted[1]
    pooled = (torch.stack(single) * counted).sum() / counted.sum()
    assert_close(together, pooled, rtol=1e-6, atol=0)


def test_instance_norm_of_crops_with_a_mask_is_finite(tiny, masked):
    norm = {"affine": False}
    model = tiny(crop_size=CROP, use_reversible_instance_norm=norm, sampling_steps=10).fit(masked)
    assert all(value.isfinite().all() for value in model.model.parameters())
    assert np.isfinite(model.predict(2).where(masked[0].notnull(), 0)).all()


@pytest.mark.filterwarnings("ignore:You called `self.log")  # without a logger
def test_metrics_of_crops_read_observed_values_alone(tiny, masked):
    model = tiny(crop_size=CROP, torch_metrics=torchmetrics.MeanSquaredError()).fit(masked, val_series=masked)
    logged = model.trainer.logged_metrics
    assert np.isfinite(logged["val_loss"].item())
    # the loss is a mean over batches, of unlike numbers of values
    assert logged["val_MeanSquaredError"].item() == pytest.approx(logged["val_loss"].item(), rel=0.05)


# The model around it


def test_the_forecast_is_of_the_whole_grid_by_weights_learnt_on_crops(tiny, series, masked):
    model = tiny(crop_size=CROP, crops_per_window=3).fit(series, val_series=series)
    whole = tiny(n_epochs=0).fit(series)
    whole.model.load_state_dict(model.model.state_dict())
    assert model.predict(3).identical(whole.predict(3))
    options = {"start": 36, "forecast_horizon": 2}
    assert model.historical_forecasts(series, **options).identical(
        whole.historical_forecasts(series, **options)
    )
    assert len(model.trainer.train_dataloader.dataset) == 3 * model.windows_.used
    forecast = tiny(crop_size=CROP).fit(masked).predict(2)
    np.testing.assert_array_equal(np.isnan(forecast[0]), np.isnan(masked[0]))


def test_a_crop_of_the_whole_grid_trains_as_without(tiny, series):
    cropped, plain = tiny(crop_size=(5, 4)).fit(series), tiny().fit(series)
    for ours, theirs in zip(cropped.model.parameters(), plain.model.parameters(), strict=True):
        assert_close(ours, theirs, rtol=0, atol=0)


def test_everything_beside_frames_is_cut_too(tiny, frames):
    """Sizes alone: each kind of covariate, seasonal lags, static ones, weights, both ways in time."""
    series, heat = frames(40), frames(60, channels=1, seed=1).isel(channel=0, drop=True)
    both = xr.Dataset({"heat": heat, "hour": heat.time.dt.hour / 24})
    model = tiny(crop_size=CROP, patch_size=2, seasonal_lags=(6,), sampling_steps=10)
    model.fit(series, past_covariates=both, future_covariates=both, val_series=series,
              val_past_covariates=both, val_future_covariates=both)  # fmt: skip
    assert model.predict(2, series, past_covariates=both, future_covariates=both).dims == series.dims
    backwards = tiny(crop_size=CROP, time_reversal=True).fit(series, future_covariates=both)
    assert backwards.predict(2, series, future_covariates=both).dims == series.dims
    table = pd.DataFrame({"height": np.arange(40, dtype="float32"), "one": np.float32(1.0)})
    target = to_timeseries(series).with_static_covariates(table)
    weights = to_timeseries(abs(series))
    known = tiny(crop_size=CROP, patch_size=2).fit(target, sample_weight=weights)
    assert len(known.predict(2, target)) == 2


def test_saved_loaded_cloned_and_weights_handed_on(tiny, series, tmp_path):
    model = tiny(crop_size=CROP, crop_weight=ShareAbove(0.5), crops_per_window=2).fit(series)
    model.save(str(tmp_path / "mim.pt"))
    loaded = MIMModel.load(str(tmp_path / "mim.pt"))
    assert loaded.crop_weight == ShareAbove(0.5) and loaded.crop_size == CROP
    assert loaded.predict(2, series).identical(model.predict(2))
    loaded.fit(series)
    other = tiny(tile_size=(4, 4), tile_overlap=2)
    other.load_weights(str(tmp_path / "mim.pt"))
    np.testing.assert_allclose(other.predict(2, series), model_on_tiles(model, other, series), rtol=1e-5)
    assert clone(model).get_params() == model.get_params()
    assert clone(model).fit(series).predict(2).identical(model.predict(2))


def model_on_tiles(model, tiled, series):
    """The tiled forecast of ``model``'s weights, from another door: the module itself."""
    tiled.model.load_state_dict(model.model.state_dict())
    tiled.model.pred_n = 2
    past = torch.tensor(series.values[-4:]).flatten(1)[None]
    with torch.no_grad():
        output = tiled.model(PLModuleInput(past_target=past, stage=ModuleStage.PREDICT)).prediction
    return output[0, :, :, 0].reshape(2, 2, 5, 4).numpy()


@pytest.mark.filterwarnings("ignore:Checkpoint directory")  # darts' callbacks
def test_a_fit_on_crops_that_stops_and_resumes_is_as_one_that_did_not(tiny, series, tmp_path, monkeypatch):
    def model(name):
        return tiny(
            n_epochs=3,
            crop_size=CROP,
            crop_weight=ShareAbove(0.5),
            crops_per_window=2,
            save_checkpoints=True,
            model_name=name,
            work_dir=str(tmp_path),
            pl_trainer_kwargs={"enable_checkpointing": True},
        )

    def stop_at_epoch_1(module):
        if module.current_epoch == 1:
            raise KeyError("stopped")

    whole = model("whole").fit(series, val_series=series)
    with monkeypatch.context() as patch, pytest.raises(KeyError, match="stopped"):
        patch.setattr(MIMModule, "on_train_epoch_start", stop_at_epoch_1)
        model("stopped").fit(series, val_series=series)
    stopped = MIMModel.load_from_checkpoint("stopped", work_dir=str(tmp_path), best=False)
    stopped.fit(series, val_series=series)
    assert stopped.epochs_trained == 3
    assert stopped.predict(3).identical(whole.predict(3))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"crop_size": 3}, "crop_size is 3; it is rows and columns"),
        ({"crop_size": (3, 0)}, r"crop_size is \(3, 0\)"),
        ({"crop_size": (3.0, 2)}, r"crop_size is \(3.0, 2\)"),
        ({"tile_size": (3, 2, 1)}, r"tile_size is \(3, 2, 1\)"),
        ({"crop_size": CROP, "crops_per_window": 0}, "crops_per_window is 0. Use 1 or more"),
        ({"crop_weight": ShareAbove(0.5)}, "crop_size is None"),
        ({"crop_size": CROP, "crop_weight": 5}, "crop_weight is 5; it is a function"),
        ({"crops_per_window": 2}, "crop_size is None"),
        ({"tile_overlap": 2}, "tile_size is None"),
        ({"crop_size": CROP, "variant": "released"}, r"variant='released' .* crop_size=\(3, 3\)"),
        ({"tile_size": CROP, "cell_channels": 2}, r"cell_channels .* tile_size=\(3, 3\)"),
        ({"tile_size": CROP, "tile_overlap": 3}, "share 3, which leaves nothing of a tile"),
        ({"tile_size": CROP, "patch_size": 2}, r"no whole patches. Use multiples of 2 \(patch_size\)"),
        ({"crop_size": CROP, "use_reversible_instance_norm": True}, "'affine': False"),
    ],
)
def test_parts_that_cannot_be(tiny, arguments, message):
    with pytest.raises(ValueError, match=message):
        tiny(**arguments)


def test_tiles_share_five_kernels_and_half_a_tile_at_most(tiny):
    overlaps = [
        tiny(tile_size=tile, patch_size=patch).module_arguments["tile_overlap"]
        for tile, patch in [((64, 90), 1), ((64, 90), 2), ((64, 40), 2), ((21, 12), 3)]
    ]
    assert overlaps == [15, 30, 20, 6]


@pytest.mark.parametrize("name", ["crop_size", "tile_size"])
def test_parts_larger_than_the_grid(tiny, series, name):
    with pytest.raises(GridMismatchError, match=rf"{name} is 4 x 5 cells, .* has 5 x 4. Use .*\(4, 4\)"):
        tiny(**{name: (4, 5)}).fit(series)
    with pytest.raises(GridMismatchError, match=f"{name} is 2 x 2 cells, and the grid has 1 x 1"):
        tiny(**{name: (2, 2)}).fit(TimeSeries(series.time.to_index(), series.values[:, :, 0, :1]))
