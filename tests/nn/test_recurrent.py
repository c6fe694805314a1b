from dataclasses import replace

import numpy as np
import pytest
import torch
from nn import reference
from nn.paper_names import assert_gradients, network_weights, rand, random_weights

from darts_mim.nn.convolution import DirectConvolution
from darts_mim.nn.patches import from_patches, to_patches
from darts_mim.nn.recurrent import MIMNetwork

CHANNELS, HIDDEN, KNOWN, HORIZON, GRID = 2, 3, 3, 4, (5, 4)
VARIANTS = ["paper", "released"]
ABLATIONS = [None, "without_mim_n", "without_mim_s"]
TEACHER_MASK = torch.tensor([[1.0, 0.0, 1.0], [0.0, 1.0, 1.0]]).double()


def build(layers=3, kernel_size=3, *, channels=CHANNELS, grid=GRID, **kwargs):
    return random_weights(MIMNetwork(channels, HIDDEN, layers, kernel_size, grid=grid, **kwargs))


def frames(*, seed=1, batch=2, time=KNOWN, grid=GRID):
    return rand(batch, time, CHANNELS, *grid, seed=seed)


def by_the_paper(network, *tensors, covariates=None):
    """The reference's frames, from observed frames, then truth and teacher mask if they are given."""
    observed, *teacher = [tensor.detach().numpy() for tensor in tensors]
    known = None if covariates is None else covariates.numpy()
    return reference.network(network_weights(network), observed, HORIZON, *teacher, covariates=known)


def assert_close(ours, theirs, *, tolerance=1e-10):
    torch.testing.assert_close(ours, torch.as_tensor(theirs), rtol=tolerance, atol=tolerance)


@pytest.mark.parametrize("ablation", ABLATIONS)
@pytest.mark.parametrize("kernel_size", [3, 5])
@pytest.mark.parametrize("layers", [2, 3, 4, 5])
def test_equals_the_paper(layers, kernel_size, ablation):
    network = build(layers, kernel_size, ablation=ablation)
    observed, truth = frames(), frames(seed=2, time=HORIZON)
    assert_close(network(observed, HORIZON), by_the_paper(network, observed))
    assert_close(
        network(observed, HORIZON, truth, TEACHER_MASK), by_the_paper(network, observed, truth, TEACHER_MASK)
    )


def test_one_observed_frame_equals_the_paper():
    network, observed = build(), frames(time=1)
    assert_close(network(observed, HORIZON), by_the_paper(network, observed))


def test_gradients_equal_the_paper():
    """Back through layers, time, the zigzag memory and the frames fed back."""
    network = build(layers=3)
    observed, truth = frames().requires_grad_(), frames(seed=2, time=HORIZON)
    target = frames(seed=3, time=KNOWN - 1 + HORIZON)

    def loss():
        return ((network(observed, HORIZON, truth, TEACHER_MASK) - target) ** 2).mean()

    def reference_loss():
        return ((by_the_paper(network, observed, truth, TEACHER_MASK) - target.numpy()) ** 2).mean()

    some = ["first.conv_x", "first.conv_m", "blocks.0.mim_n.conv_n", "blocks.1.mim_s.conv_so", "to_frame"]
    weights = {name: weight for name, weight in network.named_parameters() if name.startswith(tuple(some))}
    assert_gradients(loss, reference_loss, {"observed": observed} | weights)


def test_covariates_equal_the_paper():
    network = build(covariates=2)
    observed, covariates = frames(), rand(2, KNOWN - 1 + HORIZON, 2, *GRID, seed=4)
    assert_close(
        network(observed, HORIZON, covariates=covariates),
        by_the_paper(network, observed, covariates=covariates),
    )


@pytest.mark.parametrize("variant", VARIANTS)
def test_a_covariate_is_read_at_its_step_and_not_before(variant):
    network = build(variant=variant, covariates=1)
    observed, covariates = frames(), rand(2, KNOWN - 1 + HORIZON, 1, *GRID, seed=4)
    before = network(observed, HORIZON, covariates=covariates)
    covariates[:, 3] += 1
    after = network(observed, HORIZON, covariates=covariates)
    assert_close(after[:, :3], before[:, :3], tolerance=0)
    assert (after[:, 3:] != before[:, 3:]).all()


@pytest.mark.parametrize("variant", VARIANTS)
def test_first_step_reads_no_difference(variant):
    network = build(variant=variant)
    conv = DirectConvolution(frames())
    frame = conv.fold(frames()[:, 0])
    _, state = network.step(conv, frame, network.initial_state(conv))
    for D, N, S in zip(state.D, state.N, state.S, strict=True):
        assert (D.values == 0).all()
        assert (N.values == 0).all()
        assert (S.values != 0).all()
    _, state = network.step(conv, frame, state)
    for D, N in zip(state.D, state.N, strict=True):
        assert (D.values != 0).all()
        assert (N.values != 0).all()


@pytest.mark.parametrize("variant", VARIANTS)
def test_every_layer_reads_the_memory_from_below(variant):
    """M zigzags: what the top layer leaves reaches the first layer at the next step, and goes up again."""
    network = build(variant=variant)
    conv = DirectConvolution(frames())
    frame, zero = conv.fold(frames()[:, 0]), network.initial_state(conv)
    moved = replace(zero, M=conv.field(zero.M.values + 1))
    (_, from_zero), (_, from_moved) = network.step(conv, frame, zero), network.step(conv, frame, moved)
    for H, H_moved in zip(from_zero.H, from_moved.H, strict=True):
        assert (H_moved.values != H.values).all()
    assert (from_zero.M.values != from_moved.M.values).all()


@pytest.mark.parametrize("variant", VARIANTS)
def test_same_input_gives_the_same_answer(variant):
    """One sequence never sees another: no memory stays on a module between calls."""
    network, observed = build(variant=variant), frames()
    alone = network(observed, HORIZON)
    network(frames(seed=9), HORIZON)
    assert_close(network(observed, HORIZON), alone, tolerance=0)


@pytest.mark.parametrize("variant", VARIANTS)
def test_a_sequence_never_sees_its_batch(variant):
    network = build(variant=variant, layer_norm=True)
    observed = frames(batch=3)
    together = network(observed, HORIZON)
    for n in range(3):
        assert_close(network(observed[n : n + 1], HORIZON), together[n : n + 1], tolerance=1e-12)


@pytest.mark.parametrize("variant", VARIANTS)
def test_a_longer_forecast_begins_with_the_shorter(variant):
    network, observed = build(variant=variant), frames()
    shorter, longer = network(observed, 4), network(observed, 6)
    assert longer.shape[1] == KNOWN - 1 + 6
    assert_close(longer[:, : KNOWN - 1 + 4], shorter, tolerance=0)


@pytest.mark.parametrize("variant", VARIANTS)
def test_no_frame_sees_what_comes_after(variant):
    network, observed = build(variant=variant), frames()
    before = network(observed, HORIZON)
    observed[:, 1] += 1
    after = network(observed, HORIZON)
    assert_close(after[:, :1], before[:, :1], tolerance=0)
    assert (after[:, 1:] != before[:, 1:]).all()


@pytest.mark.parametrize("variant", VARIANTS)
def test_feeding_only_true_frames_is_observing_them(variant):
    network, observed, truth = build(variant=variant), frames(), frames(seed=2, time=HORIZON)
    fed = network(observed, HORIZON, truth, torch.ones(2, HORIZON - 1).double())
    assert_close(fed, network(torch.cat([observed, truth[:, :-1]], dim=1), 1), tolerance=0)


@pytest.mark.parametrize("variant", VARIANTS)
def test_feeding_no_true_frame_is_forecasting(variant):
    network, observed, truth = build(variant=variant), frames(), frames(seed=2, time=HORIZON)
    fed = network(observed, HORIZON, truth, torch.zeros(2, HORIZON - 1).double())
    assert_close(fed, network(observed, HORIZON), tolerance=0)


@pytest.mark.parametrize("grid", [(6, 4), (5, 3)])
@pytest.mark.parametrize("variant", VARIANTS)
def test_patches_equal_frames_patched_by_hand(variant, grid):
    """Observed frames, true frames and generated frames are folded alike, on a grid that 2 divides or not."""
    observed, truth = frames(grid=grid), frames(seed=2, time=HORIZON, grid=grid)
    network = build(variant=variant, grid=grid, patch_size=2)
    coarse = build(variant=variant, grid=(3, 2), channels=4 * CHANNELS)
    by_hand = coarse(to_patches(observed, 2), HORIZON, to_patches(truth, 2), TEACHER_MASK)
    assert_close(
        network(observed, HORIZON, truth, TEACHER_MASK), from_patches(by_hand, 2, *grid), tolerance=0
    )


@pytest.mark.parametrize("patch_size", [1, 2])
@pytest.mark.parametrize("variant", VARIANTS)
def test_one_of_two_parameters_is_fed_back(variant, patch_size):
    """The first is a plain network's frame, the second minus three times it, wherever it stands."""
    plain = build(variant=variant, patch_size=patch_size)
    fed_back = []

    def feedback(output):
        fed_back.append(output)
        return output[..., 0]

    network = build(variant=variant, patch_size=patch_size, n_parameters=2, feedback=feedback)
    weights = plain.state_dict()
    for name in ("to_frame.weight", "to_frame.bias"):
        weights[name] = torch.stack([weights[name], -3 * weights[name]], dim=1).flatten(0, 1)
    network.load_state_dict(weights)
    observed = frames()
    generated, expected = network(observed, HORIZON), plain(observed, HORIZON)
    assert_close(generated, torch.stack([expected, -3 * expected], dim=-1), tolerance=1e-12)
    rows, columns = (-(-side // patch_size) for side in GRID)
    assert len(fed_back) == HORIZON - 1
    assert fed_back[0].shape == (2, CHANNELS * patch_size**2, rows, columns, 2)


def test_feedback_may_clip_the_frame():
    """A frame is changed on its way back, and not on its way out."""
    observed = frames()
    plain, clipped = build(), build(feedback=lambda output: output[..., 0].clamp(0, 1))
    first = KNOWN  # frames of the roll-out that nothing generated was fed to
    free = plain(observed, HORIZON)
    assert_close(clipped(observed, HORIZON)[:, :first], free[:, :first], tolerance=0)
    truth = free[:, KNOWN - 1 :].clamp(0, 1)
    one_more = plain(torch.cat([observed, truth[:, :1]], dim=1), 1)
    assert_close(clipped(observed, HORIZON)[:, : first + 1], one_more, tolerance=0)


@pytest.mark.parametrize("layer_norm", [False, True])
@pytest.mark.parametrize("variant", VARIANTS)
def test_float32_keeps_up_with_float64(variant, layer_norm):
    network, observed = build(variant=variant, layer_norm=layer_norm), frames()
    double = network(observed, HORIZON)
    single = network.float()(observed.float(), HORIZON)
    assert single.dtype == torch.float32
    # 6 steps of 3 layers in float32, each rounding to 6e-8
    assert_close(single.double(), double.detach(), tolerance=2e-5)


@pytest.mark.parametrize("variant", VARIANTS)
def test_layer_norm_makes_every_gate_blind_to_its_kernels_scale(variant):
    network, observed = build(variant=variant, layer_norm=True), frames()
    before = network(observed, HORIZON)
    with torch.no_grad():
        for name, weight in network.named_parameters():
            if ".conv.weight" in name or ".conv.bias" in name:
                weight.mul_(100)
    # not exact: layer norm's epsilon is 1e-5, beside variances of some tenths
    assert_close(network(observed, HORIZON), before, tolerance=1e-2)


def test_weights_of_the_paper_fit_any_grid():
    network = build()
    for grid in [(5, 4), (4, 9), (1, 1)]:
        observed = frames(grid=grid)
        assert_close(network(observed, HORIZON), by_the_paper(network, observed))


def test_states_are_those_of_the_documented_layers():
    network = build(layers=4)
    conv = DirectConvolution(frames())
    _, state = network.step(conv, conv.fold(frames()[:, 0]), network.initial_state(conv))
    assert [len(states) for states in (state.H, state.C, state.N, state.S, state.D)] == [4, 4, 3, 3, 3]
    assert not state.first


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"layers": 1}, r"layers is 1; .* Use layers=2 or more"),
        ({"kernel_size": 4}, r"kernel_size is 4; .* Use 3 or 5"),
        ({"variant": "released"}, r"variant='released' .* pass grid=\(rows, columns\)"),
        ({"n_parameters": 2}, r"n_parameters is 2, .* Pass feedback="),
    ],
)
def test_what_cannot_be_built_is_an_error(arguments, message):
    with pytest.raises(ValueError, match=message):
        MIMNetwork(CHANNELS, HIDDEN, **arguments)


def test_a_mask_without_the_true_frames_is_an_error():
    network, mask = build(layers=2), torch.ones(len(frames()), HORIZON - 1, dtype=torch.float64)
    with pytest.raises(ValueError, match="Pass both or neither"):
        network(frames(), HORIZON, teacher_mask=mask)


def test_no_horizon_is_an_error():
    with pytest.raises(ValueError, match="horizon is 0"):
        build(layers=2)(frames(), 0)


@pytest.mark.parametrize("variant", VARIANTS)
def test_two_networks_of_one_seed_are_the_same(variant):
    """Every weight is drawn: none is whatever stood in memory."""
    weights = []
    for _ in range(2):
        torch.manual_seed(3)
        network = MIMNetwork(CHANNELS, HIDDEN, 3, 3, variant=variant, grid=GRID)
        weights.append([weight.detach().numpy().copy() for weight in network.parameters()])
        for weight in network.parameters():
            weight.data.fill_(torch.nan)  # what the next network finds, if it draws nothing
    for one, other in zip(*weights, strict=True):
        np.testing.assert_array_equal(one, other)


@pytest.mark.parametrize("convolution", ["direct", "winograd"])
@pytest.mark.parametrize("segments", [1, 2, 4, 99])
def test_checkpointing_changes_no_number(segments, convolution):
    """Forward and backward, with true frames fed, on more segments than steps too."""
    found = []
    for checkpoint_segments in (0, segments):
        network = build(convolution=convolution, checkpoint_segments=checkpoint_segments)
        observed, truth = frames().requires_grad_(), frames(seed=2, time=HORIZON)
        generated = network(observed, HORIZON, truth, TEACHER_MASK)
        (generated**2).mean().backward()
        found.append([generated, observed.grad, *(weight.grad for weight in network.parameters())])
    for ours, theirs in zip(*found, strict=True):
        assert_close(ours, theirs, tolerance=1e-12)


def test_checkpointing_keeps_less():
    def kept(checkpoint_segments):
        network, observed = build(checkpoint_segments=checkpoint_segments), frames(time=9)
        sizes = []

        def count(tensor):
            sizes.append(tensor.numel())
            return tensor

        with torch.autograd.graph.saved_tensors_hooks(count, lambda tensor: tensor):
            network(observed, HORIZON)
        return sum(sizes)

    assert kept(4) < kept(0) / 3
