"""Against the numbers of the published program; see tests/golden/README.md."""

from pathlib import Path

import numpy as np
import pytest
import torch

from darts_mim.nn.recurrent import MIMNetwork
from darts_mim.nn.released import mim_from_variables

GOLDEN = Path(__file__).parents[1] / "golden"
# The program's numbers are float32 and their sums run in another order, seven steps of four layers long.
CLOSE = {"rtol": 1e-4, "atol": 1e-5}


def load(name):
    with np.load(GOLDEN / f"released_mim_{name}.npz") as arrays:
        return dict(arrays)


@pytest.fixture(scope="module", params=["plain", "layernorm"])
def golden(request):
    return load(request.param)


@pytest.fixture(params=["direct", "winograd"])
def convolution(request):
    return request.param


def build(variables, convolution, dtype=torch.float32):
    network = mim_from_variables(variables).to(dtype)
    network.convolution = convolution
    return network


def under(golden, prefix):
    return {key.removeprefix(prefix): value for key, value in golden.items() if key.startswith(prefix)}


def channels_first(frames):
    return torch.from_numpy(frames).movedim(-1, 2)


def generate(network, golden):
    dtype = network.to_frame.weight.dtype
    frames = channels_first(golden["frames"]).to(dtype)
    mask = torch.from_numpy(golden["teacher_mask"]).to(dtype)
    horizon = mask.shape[1] + 1
    return network(frames[:, :-horizon], horizon, frames[:, -horizon:], mask)


def half_squared_error(generated, golden):
    return ((generated - channels_first(golden["frames"])[:, 1:]) ** 2).sum() / 2


def test_every_generated_frame(golden, convolution):
    generated = generate(build(under(golden, "var:"), convolution), golden)
    torch.testing.assert_close(generated, channels_first(golden["generated"]), **CLOSE)


def test_loss(golden, convolution):
    generated = generate(build(under(golden, "var:"), convolution), golden)
    torch.testing.assert_close(half_squared_error(generated, golden).item(), golden["loss"].item(), **CLOSE)


@pytest.mark.parametrize(
    ("name", "convolution", "dtype", "tolerance"),
    [
        ("plain", "direct", torch.float32, 1e-5),
        ("plain", "winograd", torch.float32, 1e-5),
        ("layernorm", "direct", torch.float32, 1e-5),
        ("layernorm", "winograd", torch.float64, 1e-5),
        # Layer norm divides by deviations far below 1 here, seven steps of four layers deep, and so enlarges
        # every rounding: torch's own convolutions are off by 3e-5 of the largest entry, Winograd's by 2e-4.
        ("layernorm", "winograd", torch.float32, 3e-4),
    ],
)
def test_every_gradient(name, convolution, dtype, tolerance):
    """The gradients have the weights' names, so they load as the weights of a second network."""
    golden = load(name)
    network = build(under(golden, "var:"), convolution, dtype)
    half_squared_error(generate(network, golden), golden).backward()
    expected = dict(mim_from_variables(under(golden, "grad:")).named_parameters())
    assert sum(gradient.size for gradient in under(golden, "grad:").values()) == sum(
        weight.numel() for weight in network.parameters()
    )
    for name, weight in network.named_parameters():
        gradient = expected[name].detach()
        # A gradient sums terms of the size of its largest entries, and is rounded as they are.
        atol = tolerance * max(1.0, gradient.abs().max().item())
        torch.testing.assert_close(
            weight.grad.float(), gradient, rtol=1e-4, atol=atol, msg=lambda text, name=name: f"{name}: {text}"
        )


def test_shape_of_the_network_is_read_from_the_variables(golden):
    network = mim_from_variables(under(golden, "var:"))
    assert (network.variant, network.channels, network.hidden, len(network.blocks)) == ("released", 3, 4, 3)
    assert network.first.conv_x.conv.kernel_size == (5, 5)
    assert network.blocks[0].mim_n.weight_o.shape == (4, 8, 6)
    has_norm = any("norm" in name for name, _ in network.named_parameters())
    assert has_norm == ("var:predrnn/stlstm_1/input_to_states" in golden)


def assert_same_weights(network: MIMNetwork, other: MIMNetwork):
    theirs = other.state_dict()
    assert network.state_dict().keys() == theirs.keys()
    for name, weight in network.state_dict().items():
        assert (weight == theirs[name]).all(), name


@pytest.mark.parametrize("prefix", ["", "model/", "tower_0/my_stlstm/predrnn/"])
def test_any_prefix_will_do(golden, prefix):
    variables = under(golden, "var:predrnn/")
    renamed = {prefix + name: value for name, value in variables.items()}
    assert_same_weights(mim_from_variables(renamed), mim_from_variables(variables))


def test_two_networks_at_once_are_an_error(golden):
    variables = under(golden, "var:")
    averages = {f"averages/{name}": np.zeros_like(value) for name, value in variables.items()}
    with pytest.raises(ValueError, match=r"end in 'stlstm_1/.*Pass those of one network"):
        mim_from_variables(variables | averages)


def test_optimiser_slots_are_ignored(golden):
    variables = under(golden, "var:")
    slots = {
        f"{name}/{slot}": np.full_like(value, np.nan)
        for name, value in variables.items()
        for slot in ("Adam", "Adam_1")
    }
    checkpoint = slots | variables | slots | {"beta1_power": np.float32(0.9), "global_step": np.int64(7)}
    assert_same_weights(mim_from_variables(checkpoint), mim_from_variables(variables))


@pytest.mark.parametrize(
    "name",
    [
        "stlstm_1/input_to_state/kernel",
        "stlstm_2/stlstm_2/oc_weight",
        "stlstm_3/stlstm_3/c_t_weight",
        "stlstm_4/cell_reduce/bias",
        "stlstm_diff3/state_to_state/bias",
        "back_to_pixel/kernel",
    ],
)
def test_a_missing_variable_is_named(golden, name):
    variables = under(golden, "var:")
    del variables[f"predrnn/{name}"]
    with pytest.raises(KeyError, match=f"{name}.*Is this a checkpoint of MIM"):
        mim_from_variables(variables)


def test_a_missing_scale_of_layer_norm_is_named():
    variables = under(load("layernorm"), "var:")
    del variables["predrnn/stlstm_3/stlstm_3/input_to_states"]
    with pytest.raises(KeyError, match="stlstm_3/stlstm_3/input_to_states"):
        mim_from_variables(variables)


@pytest.mark.parametrize(
    ("name", "shape"),
    [
        ("stlstm_3/input_to_state/kernel", (3, 3, 4, 16)),
        ("stlstm_3/input_to_state/bias", (12,)),
        ("stlstm_diff1/oc_weight", (6, 8, 4)),
        ("stlstm_4/stlstm_4/c_t_weight", (8, 6, 4)),
        ("back_to_pixel/kernel", (1, 1, 4, 2)),
    ],
)
def test_a_wrong_shape_is_named(golden, name, shape):
    variables = under(golden, "var:") | {f"predrnn/{name}": np.zeros(shape, np.float32)}
    with pytest.raises(ValueError, match=f"{name.rsplit('/', 1)[0]}.*not all of one network"):
        mim_from_variables(variables)


def test_variables_are_copied(golden):
    """What is loaded is the network's own: training it leaves the caller's arrays alone."""
    variables = under(golden, "var:")
    before = {name: value.copy() for name, value in variables.items()}
    network = mim_from_variables(variables)
    with torch.no_grad():
        for weight in network.parameters():
            weight.zero_()
    for name, value in variables.items():
        np.testing.assert_array_equal(value, before[name])
