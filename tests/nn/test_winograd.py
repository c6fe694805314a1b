"""Winograd's convolutions give what torch's own give, in every setting that a network can have."""

import pytest
import torch
from nn.paper_names import rand, random_weights

from darts_mim.nn import recurrent, tile_loops
from darts_mim.nn.gates import GateConv
from darts_mim.nn.recurrent import MIMNetwork
from darts_mim.nn.winograd import WinogradConvolution

CHANNELS, KNOWN, HORIZON = 2, 3, 3
GRIDS = [(8, 4), (5, 9), (1, 1)]


def build(convolution, *, grid, **kwargs):
    return random_weights(MIMNetwork(CHANNELS, 3, grid=grid, convolution=convolution, **kwargs))


@pytest.mark.parametrize("grid", GRIDS)
@pytest.mark.parametrize("layer_norm", [False, True])
@pytest.mark.parametrize("kernel_size", [3, 5])
@pytest.mark.parametrize("variant", ["paper", "released"])
@pytest.mark.parametrize("ablation", [None, "without_mim_n", "without_mim_s"])
def test_frames_and_gradients_equal_the_direct_ones(variant, kernel_size, layer_norm, ablation, grid):
    settings = {
        "grid": grid,
        "layers": 3,
        "variant": variant,
        "kernel_size": kernel_size,
        "layer_norm": layer_norm,
        "ablation": ablation,
    }
    found = []
    for convolution in ("direct", "winograd"):
        network = build(convolution, **settings)
        observed = rand(2, KNOWN, CHANNELS, *grid).requires_grad_()
        generated = network(observed, HORIZON)
        (generated**2).mean().backward()
        gradients = {name: weight.grad for name, weight in network.named_parameters()}
        found.append({"frames": generated, "observed": observed.grad} | gradients)
    direct, winograd = found
    for name, theirs in direct.items():
        # float64; layer norm on few cells divides by small deviations, and enlarges the rounding
        torch.testing.assert_close(
            winograd[name], theirs, rtol=1e-7, atol=1e-9, msg=lambda t, n=name: f"{n}: {t}"
        )


@pytest.mark.parametrize("kernel_size", [1, 7])
def test_other_kernels_are_convolved_directly(kernel_size):
    network = build("auto", grid=(5, 4), layers=2, kernel_size=kernel_size)
    assert network(rand(1, KNOWN, CHANNELS, 5, 4), HORIZON).isfinite().all()
    with pytest.raises(ValueError, match=rf"\(3, 5\) cells a side, and kernel_size is {kernel_size}"):
        build("winograd", grid=(5, 4), layers=2, kernel_size=kernel_size)


@pytest.mark.parametrize("variant", ["paper", "released"])
def test_float32_is_close_to_float64(variant):
    network = MIMNetwork(CHANNELS, 16, 3, 5, variant=variant, grid=(10, 9), convolution="winograd").double()
    observed = rand(2, KNOWN, CHANNELS, 10, 9)
    double = network(observed, HORIZON)
    single = network.float()(observed.float(), HORIZON)
    torch.testing.assert_close(single.double(), double, rtol=0, atol=1e-5)


def test_one_convolution_and_its_bias():
    gate_conv = random_weights(GateConv(2, 3, "gi", 5))
    x = rand(2, 2, 6, 9)
    conv = WinogradConvolution(x[:, None], 5)
    for ours, theirs in zip(conv((gate_conv, conv.fold(x))), gate_conv(x), strict=True):
        torch.testing.assert_close(conv.unfold(ours), theirs, rtol=1e-11, atol=1e-11)


def test_gates_of_one_name_are_added():
    one, other = (random_weights(GateConv(2, 3, gates, 3)) for gates in ("gio", "xi"))
    x, y = rand(2, 2, 6, 9, seed=1), rand(2, 2, 6, 9, seed=2)
    conv = WinogradConvolution(x[:, None], 3)
    g, i, o, new = map(conv.unfold, conv((one, conv.fold(x)), (other, conv.fold(y))))
    (one_g, one_i, one_o), (other_x, other_i) = one(x), other(y)
    for ours, theirs in [(g, one_g), (i, one_i + other_i), (o, one_o), (new, other_x)]:
        torch.testing.assert_close(ours, theirs, rtol=1e-11, atol=1e-11)


def test_a_zero_field_is_its_bias_alone():
    gate_conv = random_weights(GateConv(3, 3, "gi", 5))
    conv = WinogradConvolution(rand(2, 1, 2, 6, 9), 5)
    zero = conv.zeros(3)
    for ours, theirs in zip(conv((gate_conv, zero)), gate_conv(rand(2, 3, 6, 9) * 0), strict=True):
        torch.testing.assert_close(conv.unfold(ours + zero.values), theirs, rtol=1e-12, atol=1e-12)


def test_tiles_hold_the_grid_and_zeros_around_it():
    x = rand(2, 3, 5, 9)
    conv = WinogradConvolution(x[:, None], 5)
    tiles = conv.fold(x).values
    assert tiles.shape == (4, 4, 2, 2, 3, 3)
    assert (conv.unfold(tiles) == x).all()


def test_a_network_that_forecast_first_can_be_trained():
    """What is kept between passes was not made for forecasting alone."""
    network, observed = (
        build("winograd", grid=(6, 11), layers=2, kernel_size=5),
        rand(1, KNOWN, CHANNELS, 6, 11),
    )
    with torch.inference_mode():
        forecast = network(observed, HORIZON)
    generated = network(observed, HORIZON)
    generated.mean().backward()
    assert (generated == forecast).all()


def test_under_autocast_convolutions_are_direct():
    network, observed = (
        build("winograd", grid=(6, 8), layers=2, kernel_size=5).float(),
        rand(1, 3, 2, 6, 8).float(),
    )
    with torch.autocast("cpu", torch.bfloat16):
        ours = network(observed, HORIZON)
        network.convolution = "direct"
        assert (ours == network(observed, HORIZON)).all()


def gradients_of(network, observed, loss=lambda frames: (frames**2).mean()):
    """Of the observed frames and of every weight that has one."""
    weights = {name: weight for name, weight in network.named_parameters() if weight.requires_grad}
    found = torch.autograd.grad(
        loss(network(observed, HORIZON)), [observed, *weights.values()], allow_unused=True
    )
    return dict(zip(["observed", *weights], found, strict=True))


def assert_same_gradients(ours, theirs):
    assert ours.keys() == theirs.keys()
    for name, gradient in theirs.items():
        none = gradient is None
        assert (ours[name] is None or not ours[name].any()) if none else True
        if not none:
            torch.testing.assert_close(
                ours[name], gradient, rtol=1e-7, atol=1e-9, msg=lambda t, n=name: f"{n}: {t}"
            )


@pytest.mark.parametrize("chunk", [1, 36, 70])  # a sample has 6 tiles, of 3 channels
def test_the_backward_pass_takes_a_batch_in_parts(monkeypatch, chunk):
    monkeypatch.setattr(tile_loops, "CHUNK", chunk)
    settings = {"grid": (6, 9), "layers": 2, "kernel_size": 3, "variant": "released"}
    observed = rand(5, KNOWN, CHANNELS, 6, 9).requires_grad_()
    ours, theirs = (gradients_of(build(how, **settings), observed) for how in ("winograd", "direct"))
    assert_same_gradients(ours, theirs)


@pytest.mark.parametrize("frozen", ["conv_x.conv.weight", "conv.bias", "conv_h"])
def test_weights_may_be_frozen(frozen):
    found = []
    for how in ("winograd", "direct"):
        network = build(how, grid=(5, 6), layers=2, kernel_size=3)
        for name, weight in network.named_parameters():
            weight.requires_grad_(frozen not in name)
        found.append(gradients_of(network, rand(2, KNOWN, CHANNELS, 5, 6).requires_grad_()))
    assert_same_gradients(*found)


def test_a_loss_may_see_the_first_frame_alone():
    settings, observed = {"grid": (5, 6), "layers": 2, "kernel_size": 5}, rand(2, KNOWN, CHANNELS, 5, 6)
    ours, theirs = (
        gradients_of(build(how, **settings), observed.requires_grad_(), lambda frames: frames[:, 0].sum())
        for how in ("winograd", "direct")
    )
    assert_same_gradients(ours, theirs)


def test_gradients_may_be_asked_for_again():
    """First of the frames alone, which leaves the kernels' gradients half way; then of everything, twice."""
    network, observed = (
        build("winograd", grid=(5, 6), layers=2, kernel_size=5),
        rand(2, KNOWN, CHANNELS, 5, 6),
    )
    weights = list(network.parameters())
    loss = network(observed.requires_grad_(), HORIZON).square().mean()
    torch.autograd.grad(loss, observed, retain_graph=True)
    first = torch.autograd.grad(loss, weights, retain_graph=True, allow_unused=True)
    again = torch.autograd.grad(loss, weights, allow_unused=True)
    expected = torch.autograd.grad(network(observed, HORIZON).square().mean(), weights, allow_unused=True)
    for one, other, third in zip(first, again, expected, strict=True):
        if third is not None:
            assert (one == third).all()
            assert (other == third).all()


def test_there_is_no_second_derivative():
    network, observed = (
        build("winograd", grid=(5, 6), layers=2, kernel_size=5),
        rand(1, KNOWN, CHANNELS, 5, 6),
    )
    loss = network(observed.requires_grad_(), HORIZON).square().mean()
    (gradient,) = torch.autograd.grad(loss, observed, create_graph=True)
    with pytest.raises(RuntimeError, match="once_differentiable"):
        gradient.sum().backward()


@pytest.mark.parametrize("frames", [rand(1, 3, 2, 6, 8).half(), rand(1, 3, 2, 6, 8).bfloat16()])
def test_in_half_precision_convolutions_are_direct(frames):
    network = build("winograd", grid=(6, 8), layers=2, kernel_size=5).to(frames.dtype)
    ours = network(frames, HORIZON)
    network.convolution = "direct"
    assert (ours == network(frames, HORIZON)).all()


@pytest.mark.parametrize(
    "hidden, side, found",
    [(16, 16, "Winograd"), (15, 16, "Direct"), (16, 15, "Winograd"), (16, 12, "Direct")],
)
def test_auto_takes_tiles_where_they_pay(monkeypatch, hidden, side, found):
    """From 16 channels and 16 tiles of a batch on, and only where loops use all threads."""
    network = MIMNetwork(CHANNELS, hidden, 2, 5)
    assert (
        type(network._convolution(torch.zeros(1, 2, CHANNELS, side, side))).__name__ == f"{found}Convolution"
    )
    monkeypatch.setattr(recurrent, "uses_all_threads", lambda: False)
    assert type(network._convolution(torch.zeros(1, 2, CHANNELS, side, side))).__name__ == "DirectConvolution"
