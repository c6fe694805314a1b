import inspect

import numpy as np
import pandas as pd
import pytest
import torch
import torchmetrics
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
from darts_mim.nn.patches import from_patches

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
    return module.network(batch.past_target.unflatten(-1, module.shape), horizon)


def spied(module, monkeypatch):
    """The calls of the network, as its arguments."""
    calls = []
    forward = type(module.network).forward

    def spy(observed, horizon, truth, mask, covariates):
        calls.append((observed, horizon, truth, mask, covariates))
        return forward(module.network, observed, horizon, truth, mask, covariates)

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


def test_a_masked_cell_is_fed_back_as_0(module, masked):
    net = module(series=masked, patch_size=2)
    fed = net.feedback(torch.ones(1, 8, 3, 2, 1))  # 5 x 4 cells are 3 x 2 patches of 2 x 2 x 2 channels
    cells = from_patches(fed[:, None], 2, 5, 4)[0, 0]
    np.testing.assert_array_equal(cells == 0, np.isnan(masked.values[0]))


# Scheduled sampling


def test_true_frames_are_fed_in_training_alone(module, series, monkeypatch):
    net = module(sampling_steps=10**9)
    monkeypatch.setattr(type(net), "global_step", 0)
    calls, batch = spied(net, monkeypatch), batch_of(series)
    loss_of(net, batch, monkeypatch)
    loss_of(net, batch, monkeypatch, "validation_step")
    net(PLModuleInput(past_target=batch.past_target, stage=ModuleStage.PREDICT))
    (_, _, truth, mask, _), *others = calls
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
    observed, _, truth, _, _ = calls[0]
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
    net.network.convolution = "direct"  # its fields are frames as they are
    read = []
    step = net.network.step
    monkeypatch.setattr(
        net.network, "step", lambda conv, frame, state: step(conv, read.append(frame) or frame, state)
    )
    net.pred_n = 2
    batch = batch_of(series, starts=[0])
    output = net(PLModuleInput(past_target=batch.past_target)).prediction
    assert output.shape == (1, 2, 40, 3)
    fed = from_patches(read[-1].values[:, None], 2, 5, 4).flatten()
    assert_close(fed, output[0, 0, :, 1], rtol=0, atol=0)


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
