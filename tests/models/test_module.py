import inspect

import numpy as np
import pandas as pd
import pytest
import torch
import torchmetrics
import xarray as xr
from darts.utils.likelihood_models import torch as likelihoods
from torch.testing import assert_close

from darts_mim.models._compat import (
    ModuleStage,
    PLModuleInput,
    TorchLikelihood,
    TorchTrainingBatch,
)
from darts_mim.models.module import centre
from darts_mim.models.timeseries import covariates_to_timeseries, to_timeseries
from darts_mim.nn.patches import from_patches, to_patches
from darts_mim.nn.tiling import Tiling

LIKELIHOODS = [
    cls
    for _, cls in inspect.getmembers(likelihoods, inspect.isclass)
    if issubclass(cls, TorchLikelihood) and not inspect.isabstract(cls)
]


def batch_of(series, starts=(0, 7, 20), n_in=4, n_out=2, **kwargs):
    """Windows as darts collates them."""
    flat = torch.tensor(np.nan_to_num(series.values)).flatten(1)
    past = torch.stack([flat[s : s + n_in] for s in starts])
    future = torch.stack([flat[s + n_in : s + n_in + n_out] for s in starts])
    return TorchTrainingBatch(past_target=past, future_target=future, **kwargs)


def loss_of(module, batch, monkeypatch, stage="training_step"):
    monkeypatch.setattr(module, "log", lambda *args, **kwargs: None)
    return getattr(module, stage)(batch, 0)


def generated_by(module, batch, horizon=2):
    """What the network itself gives for the batch's frames: (batch, 3 rebuilt + 2 forecast, ...)."""
    seen = None if module.observed is None else module.seen
    return module.network(batch.past_target.unflatten(-1, module.shape), horizon, seen=seen)


def spied(module, monkeypatch):
    """The calls of the network, as its arguments."""
    calls = []
    forward = type(module.network).forward

    def spy(observed, horizon, truth, mask, covariates, seen):
        calls.append((observed, horizon, truth, mask, covariates, seen))
        return forward(module.network, observed, horizon, truth, mask, covariates, seen)

    monkeypatch.setattr(module.network, "forward", spy)
    return calls


@pytest.fixture
def module(tiny, series):
    """A fitted module whose parts a test may replace."""

    def build(**kwargs):
        fit = kwargs.pop("fit", {})
        given = kwargs.pop("series", series)
        return tiny(**kwargs).fit(given, **fit).model

    return build


# The loss


@pytest.mark.parametrize("loss_frames", ["all", "forecast"])
def test_loss_of_the_generated_frames(module, series, monkeypatch, loss_frames):
    net, batch = module(loss_frames=loss_frames), batch_of(series)
    truth = torch.cat([batch.past_target[:, 1:], batch.future_target], dim=1)
    error = generated_by(net, batch).flatten(2) - truth
    wanted = (error if loss_frames == "all" else error[:, -2:]).square().mean()
    assert_close(loss_of(net, batch, monkeypatch), wanted, rtol=1e-6, atol=0)


def test_validation_and_forecast_read_the_forecast_alone(module, series, monkeypatch):
    net, batch = module(loss_frames="all"), batch_of(series)
    forecast = generated_by(net, batch).flatten(2)[:, -2:]
    wanted = (forecast - batch.future_target).square().mean()
    assert_close(loss_of(net, batch, monkeypatch, "validation_step"), wanted, rtol=1e-6, atol=0)
    net.pred_n = None
    output = net(PLModuleInput(past_target=batch.past_target, stage=ModuleStage.PREDICT))
    assert_close(output.prediction[..., 0], forecast, rtol=0, atol=0)


def test_weights_of_rebuilt_frames_are_the_mean_of_the_forecast_s(module, series, monkeypatch):
    net = module(fit={"sample_weight": to_timeseries(series)})
    weight = torch.rand(3, 2, 40)
    batch = batch_of(series, sample_weight=weight)
    net.train_criterion = torch.nn.MSELoss(reduction="none")
    truth = torch.cat([batch.past_target[:, 1:], batch.future_target], dim=1)
    error = (generated_by(net, batch).flatten(2) - truth).square()
    wanted = torch.cat([error[:, :3] * weight.mean(1, keepdim=True), error[:, 3:] * weight], 1).mean()
    assert_close(loss_of(net, batch, monkeypatch), wanted, rtol=1e-6, atol=0)


def test_masked_cells_do_not_count(module, masked, monkeypatch):
    net, batch = module(series=masked), batch_of(masked)
    seen = ~np.isnan(masked.values[0]).ravel()
    assert net.observed.tolist() == np.flatnonzero(seen).tolist()
    truth = torch.cat([batch.past_target[:, 1:], batch.future_target], dim=1)
    error = (generated_by(net, batch).flatten(2) - truth)[..., torch.tensor(seen)]
    wanted = error.square().mean()
    assert_close(loss_of(net, batch, monkeypatch), wanted, rtol=1e-6, atol=0)
    # per-component weights are of all components, masked ones included
    weight = torch.rand(3, 2, 40)
    net.train_criterion = torch.nn.MSELoss(reduction="none")
    both = torch.cat([weight.mean(1, keepdim=True).expand(-1, 3, -1), weight], 1)[..., torch.tensor(seen)]
    weighted = (error.square() * both).mean()
    batch = batch_of(masked, sample_weight=weight)
    assert_close(loss_of(net, batch, monkeypatch), weighted, rtol=1e-6, atol=0)


def frames_read(net, monkeypatch):
    """The frames that the network's steps read, patched."""
    net.network.convolution = "direct"  # its fields are frames as they are
    read, step = [], net.network.step
    monkeypatch.setattr(
        net.network, "step", lambda conv, frame, state: step(conv, read.append(frame.values) or frame, state)
    )
    return read


def test_a_masked_cell_is_fed_back_as_0(module, masked, monkeypatch):
    net = module(series=masked, patch_size=2)
    read = frames_read(net, monkeypatch)
    net.pred_n = 3
    net(PLModuleInput(past_target=batch_of(masked, starts=[0]).past_target))
    for fed in read[4:]:  # 5 x 4 cells are 3 x 2 patches of 2 x 2 x 2 channels
        cells = from_patches(fed[:, None], 2, 5, 4)[0, 0]
        np.testing.assert_array_equal(cells == 0, np.isnan(masked.values[0]))
    assert len(read) == 6


# Scheduled sampling


def test_true_frames_are_fed_in_training_alone(module, series, monkeypatch):
    net = module(sampling_steps=10**9)
    monkeypatch.setattr(type(net), "global_step", 0)
    calls, batch = spied(net, monkeypatch), batch_of(series)
    loss_of(net, batch, monkeypatch)
    loss_of(net, batch, monkeypatch, "validation_step")
    net(PLModuleInput(past_target=batch.past_target, stage=ModuleStage.PREDICT))
    (_, _, truth, mask, _, _), *others = calls
    assert_close(truth.flatten(2), batch.future_target, rtol=0, atol=0)
    assert_close(mask, torch.ones(3, 1))  # at the first step the chance is 1
    assert [call[2:4] for call in others] == [(None, None)] * 2


def test_no_true_frame_is_fed_once_the_steps_are_over(module, series, monkeypatch):
    net = module(sampling_steps=10)
    calls = spied(net, monkeypatch)
    for step in (0, 9, 10, 11):
        monkeypatch.setattr(type(net), "global_step", step)
        loss_of(net, batch_of(series), monkeypatch)
    assert [call[2] is None for call in calls] == [False, False, True, True]


def test_half_of_the_true_frames_are_fed_half_way(module, series, monkeypatch):
    net = module(sampling_steps=100)
    monkeypatch.setattr(type(net), "global_step", 50)
    calls = spied(net, monkeypatch)
    loss_of(net, batch_of(series, starts=[0] * 2000), monkeypatch)
    assert calls[0][3].mean().item() == pytest.approx(0.5, abs=0.05)


def test_true_frames_are_scaled_as_the_observed_ones(module, series, monkeypatch):
    net = module(sampling_steps=10**9, use_reversible_instance_norm={"affine": False})
    monkeypatch.setattr(type(net), "global_step", 0)
    calls, batch = spied(net, monkeypatch), batch_of(series)
    loss_of(net, batch, monkeypatch)
    observed, _, truth, *_ = calls[0]
    past = batch.past_target
    mean, scale = past.mean(1, keepdim=True), (past.var(1, keepdim=True, unbiased=False) + 1e-5).sqrt()
    assert_close(observed.flatten(2), (past - mean) / scale)
    assert_close(truth.flatten(2), (batch.future_target - mean) / scale)


# Covariates


def test_what_is_known_beside_each_frame(tiny, frames, monkeypatch):
    """Against loops: frames and numbers, past and future, on a grid that patches do not divide."""
    series, heat, hour = frames(40), frames(60, channels=1, seed=1), frames(60).time.dt.hour / 24
    past = covariates_to_timeseries(heat).stack(covariates_to_timeseries(hour))
    future = covariates_to_timeseries(hour)
    net = tiny(patch_size=2).fit(series, past_covariates=past, future_covariates=future).model
    calls = spied(net, monkeypatch)
    p, f = torch.tensor(past.values())[None], torch.tensor(future.values())[None]
    x_in = PLModuleInput(
        past_target=torch.tensor(series.values[:4]).flatten(1)[None],
        past_covariates=p[:, :4],
        historic_future_covariates=f[:, :4],
        future_covariates=f[:, 4:9],
    )
    net.pred_n = 5
    net(x_in)
    known = calls[0][4]
    assert known.shape == (1, 8, 4 + 1 + 1, 3, 2)
    height, width = heat.shape[-2:]
    for t in range(8):
        beside = min(t, 3)  # past covariates are held past the observed frames
        for i, j, di, dj in np.ndindex(3, 2, 2, 2):
            row, column = min(2 * i + di, height - 1), min(2 * j + dj, width - 1)
            assert known[0, t, 2 * di + dj, i, j] == heat.values[beside, 0, row, column]
        assert (known[0, t, 4] == hour.values[beside].astype("float32")).all()
        assert (known[0, t, 5] == hour.values[t + 1].astype("float32")).all()  # of the frame to generate


@pytest.mark.parametrize("components", [1, 40])
def test_static_covariates_of_the_grid_and_of_its_cells(tiny, series, monkeypatch, components):
    table = pd.DataFrame({"height": np.arange(components, dtype="float32"), "one": np.float32(1.0)})
    target = to_timeseries(series).with_static_covariates(table if components > 1 else table.iloc[0])
    net = tiny().fit(target).model
    calls = spied(net, monkeypatch)
    x_in = PLModuleInput(
        past_target=torch.tensor(series.values[:4]).flatten(1)[None],
        static_covariates=torch.tensor(table.values)[None],
    )
    net.pred_n = 2
    net(x_in)
    known = calls[0][4]
    if components == 1:
        assert known.shape == (1, 5, 2, 5, 4)
        assert (known[0, :, 0] == 0).all() and (known[0, :, 1] == 1).all()
    else:
        height = torch.arange(40.0).reshape(2, 5, 4)
        assert known.shape == (1, 5, 4, 5, 4)
        assert all(torch.equal(known[0, t, :2], height) for t in range(5))
        assert (known[0, :, 2:] == 1).all()


# Distributions


@pytest.mark.parametrize("cls", LIKELIHOODS, ids=lambda cls: cls.__name__)
def test_the_centre_of_every_distribution_is_one_finite_value_a_component(cls):
    likelihood = cls()
    output = torch.randn(2, 1, 6, likelihood.num_parameters, generator=torch.Generator().manual_seed(0))
    middle = centre(likelihood, output)
    assert middle.shape == (2, 1, 6)
    assert middle.isfinite().all()


def test_the_centre_of_quantiles_is_the_median_and_of_a_normal_its_mean():
    output = torch.randn(2, 1, 6, 3)
    quantiles = likelihoods.QuantileRegression([0.1, 0.5, 0.9])
    assert_close(centre(quantiles, output), output[..., 1])
    assert_close(centre(likelihoods.GaussianLikelihood(), output[..., :2]), output[..., 0])


def test_the_median_is_fed_back(module, series, monkeypatch):
    net = module(likelihood=likelihoods.QuantileRegression([0.1, 0.5, 0.9]), patch_size=2)
    read = frames_read(net, monkeypatch)
    net.pred_n = 2
    batch = batch_of(series, starts=[0])
    output = net(PLModuleInput(past_target=batch.past_target)).prediction
    assert output.shape == (1, 2, 40, 3)
    fed = from_patches(read[-1][:, None], 2, 5, 4).flatten()
    assert_close(fed, output[0, 0, :, 1], rtol=0, atol=0)


# Tiles

TILES = {"tile_size": (4, 2), "tile_overlap": 1}  # of 5 x 4 cells: two rows of three tiles


def blended_by_hand(small, parts):
    """The mean of what ``small(rows, columns)`` gives for six tiles, weighted as a tiling says."""
    tiling = Tiling(grid=(5, 4), size=(4, 2), overlap=1)
    total = 0
    for tile, (rows, columns) in zip(tiling, parts, strict=True):
        assert (tile.rows, tile.columns) == (rows, columns)
        weight = np.zeros((5, 4), "float32")
        weight[rows, columns] = tiling.weight(tile, torch.zeros(())).numpy()
        part = small(rows, columns)
        whole = np.zeros((*part.shape[:2], 5, 4, *part.shape[4:]), "float32")
        whole[:, :, rows, columns] = part
        total = total + whole * weight.reshape(5, 4, *[1] * (part.ndim - 4))
    return total


PARTS = [
    (rows, columns)
    for rows in (slice(0, 4), slice(1, 5))
    for columns in (slice(0, 2), slice(1, 3), slice(2, 4))
]


@pytest.mark.parametrize("likelihood", [None, likelihoods.GaussianLikelihood()])
def test_tiles_are_rolled_out_alone_and_blended(tiny, masked, likelihood):
    """Six models with the same weights, on cropped series, masks and covariates."""
    heat = masked[:, 0].fillna(0).rename("heat")
    both = xr.Dataset({"heat": heat, "hour": heat.time.dt.hour / 24})
    model = tiny(likelihood=likelihood, **TILES).fit(masked, past_covariates=both)
    parameters = {"predict_likelihood_parameters": likelihood is not None}

    def small(rows, columns):
        place = {"lat": rows, "lon": columns}
        one = tiny(likelihood=likelihood, n_epochs=0)
        one.fit(masked.isel(place), past_covariates=both.isel(place))
        one.model.load_state_dict(model.model.state_dict())
        return np.nan_to_num(one.predict(2, **parameters).values)

    found = model.predict(2, **parameters)
    wanted = blended_by_hand(small, PARTS)
    if likelihood is not None:  # the network's own output is blended: mu is that, sigma a softplus of it
        found, wanted = found[..., 0], wanted[..., 0]
    assert np.array_equal(np.isnan(found[0]), np.isnan(masked[0]))
    np.testing.assert_allclose(found.fillna(0), wanted, rtol=1e-5, atol=1e-6)


def test_a_tile_of_static_covariates_and_of_those_to_come(tiny, series, monkeypatch):
    table = pd.DataFrame({"height": np.arange(40, dtype="float32")})
    target = to_timeseries(series).with_static_covariates(table)
    future = covariates_to_timeseries(series[:, :1])
    model = tiny(tile_size=(4, 2), tile_overlap=0, patch_size=2).fit(target, future_covariates=future)
    calls = spied(model.model, monkeypatch)
    model.predict(2, target[:10], future_covariates=future)
    cells = np.arange(40, dtype="float32").reshape(1, 1, 2, 5, 4)
    read = series.values[7:12, :1][None]  # the frame to generate, for those of hours 6 to 10
    assert [tuple(call[0].shape[-2:]) for call in calls] == [(4, 2), (4, 2), (3, 2), (3, 2)]
    for call, (rows, columns) in zip(calls, [(0, 0), (0, 2), (2, 0), (2, 2)], strict=True):
        place = slice(rows, rows + 4), slice(columns, columns + 2)
        known = call[4]
        for values, channels in ((read, slice(0, 4)), (np.repeat(cells, 5, axis=1), slice(4, 12))):
            wanted = to_patches(torch.tensor(values[..., place[0], place[1]]), 2)
            assert_close(known[:, :, channels], wanted, rtol=0, atol=0)


def test_a_tile_as_large_as_the_grid_changes_nothing(tiny, series):
    plain, tiled = tiny().fit(series), tiny(tile_size=(5, 4), tile_overlap=3).fit(series)
    assert tiled.predict(3).identical(plain.predict(3))


def test_training_and_validation_know_no_tiles(tiny, series):
    plain, tiled = (tiny(**tiles).fit(series, val_series=series) for tiles in ({}, TILES))
    for ours, theirs in zip(tiled.model.parameters(), plain.model.parameters(), strict=True):
        assert_close(ours, theirs, rtol=0, atol=0)
    assert tiled.trainer.logged_metrics["val_loss"] == plain.trainer.logged_metrics["val_loss"]


def test_samples_spread_as_much_where_tiles_meet_as_elsewhere(tiny, series):
    """A mean of two samples would spread less than one."""
    model = tiny(likelihood=likelihoods.GaussianLikelihood(), **TILES).fit(series)
    samples = model.predict(2, num_samples=400, random_state=0)
    sigma = model.predict(2, predict_likelihood_parameters=True)[..., 1]
    np.testing.assert_allclose(samples.std("realization") / sigma, 1, atol=0.2)


def test_a_program_of_tiles_forecasts_the_whole_grid(tiny, series):
    model = tiny(2, 1, crop_size=(3, 3), tile_size=(3, 3), tile_overlap=1).fit(series)
    program = model.to_program(n=2)
    frames = torch.from_numpy(np.stack([series.values[:2], series.values[5:7], series.values[9:11]]))
    forecast = program.module()(frames).detach().numpy()
    wanted = [each.values for each in model.predict(2, [series[:2], series[5:7], series[9:11]])]
    np.testing.assert_allclose(forecast, np.stack(wanted), rtol=1e-5, atol=1e-5)


# Optimisation


def test_the_learning_rate_falls_to_0_along_a_cosine(tiny, series):
    model = tiny(lr=0.01, lr_schedule="cosine", n_epochs=3, batch_size=10).fit(series)
    (optimizer,) = model.trainer.optimizers
    assert optimizer.defaults["lr"] == 0.01
    assert model.trainer.global_step == 12
    assert optimizer.param_groups[0]["lr"] == pytest.approx(0.0, abs=1e-8)


def test_optimizer_kwargs_win_over_lr(tiny, series):
    def lr(**kwargs):
        return tiny(**kwargs).fit(series).trainer.optimizers[0].param_groups[0]["lr"]

    assert lr(lr=0.5) == 0.5
    assert lr(lr=0.5, optimizer_kwargs={"lr": 0.25}) == 0.25
    assert lr(lr=0.5, optimizer_kwargs={"weight_decay": 0.1}) == 0.5


@pytest.mark.filterwarnings("ignore:You called `self.log")  # without a logger
def test_metrics_read_observed_cells_alone(tiny, masked):
    model = tiny(torch_metrics=torchmetrics.MeanSquaredError()).fit(masked, val_series=masked)
    logged = model.trainer.logged_metrics
    assert logged["val_MeanSquaredError"].item() == pytest.approx(logged["val_loss"].item(), rel=1e-5)


# One answer


def test_a_batch_of_one_equals_its_row_in_a_batch_of_many(module, series):
    net = module()
    past = batch_of(series, starts=range(16)).past_target
    net.pred_n = 3
    together = net(PLModuleInput(past_target=past)).prediction
    for k in (0, 7, 15):
        alone = net(PLModuleInput(past_target=past[k : k + 1])).prediction
        # a convolution may add up in another order for another batch size: the last bit may differ
        assert_close(alone, together[k : k + 1], rtol=1e-6, atol=1e-7)


def test_nothing_is_kept_between_calls(module, series):
    net = module()
    past = batch_of(series, starts=[0, 9]).past_target
    first = net(PLModuleInput(past_target=past[:1])).prediction
    net(PLModuleInput(past_target=past[1:]))
    assert_close(net(PLModuleInput(past_target=past[:1])).prediction, first, rtol=0, atol=0)


# What is learnt of cells


def test_learnt_cells_stand_beside_every_frame(tiny, series, monkeypatch):
    net = tiny(cell_channels=3, patch_size=2).fit(series).model
    calls = spied(net, monkeypatch)
    net.pred_n = 2
    net(PLModuleInput(past_target=torch.tensor(series.values[:8]).flatten(1).unflatten(0, (2, 4))))
    known = calls[0][4]
    assert known.shape == (2, 5, 3, 3, 2)  # 5 x 4 cells in patches of 2 x 2
    assert net.cells.shape == (3, 3, 2) and (known == net.cells).all()


def test_learnt_cells_tell_places_apart(tiny, frames):
    """A level of its own in every cell, under noise of twice its size: two frames hardly show it."""
    places, noise = (np.random.default_rng(seed) for seed in (0, 1))
    levels = places.normal(size=(2, 5, 4))
    noisy = frames(200).copy(data=levels + 2 * noise.normal(size=(200, 2, 5, 4))).astype("float32")

    def loss(cell_channels):
        model = tiny(2, 1, cell_channels=cell_channels, kernel_size=1, lr=1e-2, n_epochs=15).fit(noisy)
        forecasts = model.historical_forecasts(noisy, forecast_horizon=1)
        return float(((forecasts - levels) ** 2).mean())

    assert loss(8) < 0.4 * loss(0)
