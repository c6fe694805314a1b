"""PredRNN: a network whose layers are all ST-LSTMs, in both variants."""

import numpy as np
import pytest
import torch
from nn import reference
from nn.paper_names import assert_gradients, network_weights, rand, random_weights

from darts_mim.nn.convolution import DirectConvolution
from darts_mim.nn.initial import initialise_as_released
from darts_mim.nn.recurrent import MIMNetwork

CHANNELS, HIDDEN, KNOWN, HORIZON, GRID = 2, 3, 3, 3, (5, 4)
VARIANTS = ["paper", "released"]


def build(layers=3, kernel_size=3, **kwargs):
    settings = {"ablation": "without_mim", "grid": GRID, **kwargs}
    return random_weights(MIMNetwork(CHANNELS, HIDDEN, layers, kernel_size, **settings))


def frames(time=KNOWN, seed=1):
    return rand(2, time, CHANNELS, *GRID, seed=seed)


def released_st_lstm(cell, X, H, C, M):
    """docs/paper.md, rows R1, R2, R8, R11: shared input gates, M[t-1] in the output gate, forget bias 1."""

    def gates(gate_conv, field):
        kernel, bias = (value.detach().numpy() for value in (gate_conv.conv.weight, gate_conv.conv.bias))
        return np.split(reference.conv(kernel, field) + bias[:, None, None], 4, axis=1)

    x_i, x_g, x_f, x_o = gates(cell.conv_x, X)
    h_i, h_g, h_f, h_o = gates(cell.conv_h, H)
    m_i, m_g, m_f, m_o = gates(cell.conv_m, M)
    sigmoid = reference.sigmoid
    C = sigmoid(x_f + h_f + 1) * C + sigmoid(x_i + h_i) * np.tanh(x_g + h_g)
    M = sigmoid(x_f + m_f + 1) * M + sigmoid(x_i + m_i) * np.tanh(x_g + m_g)
    kernel, bias = (value.detach().numpy() for value in (cell.conv_cm.weight, cell.conv_cm.bias))
    both = reference.conv(kernel, np.concatenate([C, M], axis=1)) + bias[:, None, None]
    return sigmoid(x_o + h_o + m_o) * np.tanh(both), C, M


def released_predrnn(network, observed, horizon):
    """Every generated frame of the released program's PredRNN."""
    cells = [network.first, *network.blocks]
    M = np.zeros((len(observed), HIDDEN, *GRID))
    H, C = [M] * len(cells), [M] * len(cells)
    weight, bias = (value.detach().numpy() for value in network.to_frame.parameters())
    generated = []
    for t in range(observed.shape[1] - 1 + horizon):
        X = observed[:, t] if t < observed.shape[1] else generated[-1]
        for l, cell in enumerate(cells):
            H[l], C[l], M = released_st_lstm(cell, X if l == 0 else H[l - 1], H[l], C[l], M)
        generated.append(reference.conv(weight, H[-1]) + bias[:, None, None])
    return np.stack(generated, axis=1)


def assert_close(ours, theirs, *, tolerance=1e-10):
    torch.testing.assert_close(ours, torch.as_tensor(theirs), rtol=tolerance, atol=tolerance)


@pytest.mark.parametrize("convolution", ["direct", "winograd"])
@pytest.mark.parametrize("kernel_size", [3, 5])
@pytest.mark.parametrize("layers", [2, 4])
def test_equals_the_paper(layers, kernel_size, convolution):
    network, observed = build(layers, kernel_size, convolution=convolution), frames()
    expected = reference.network(network_weights(network), observed.numpy(), HORIZON)
    assert_close(network(observed, HORIZON), expected)


@pytest.mark.parametrize("convolution", ["direct", "winograd"])
@pytest.mark.parametrize("layers", [2, 4])
def test_released_equals_the_program(layers, convolution):
    network, observed = build(layers, variant="released", convolution=convolution), frames()
    assert_close(network(observed, HORIZON), released_predrnn(network, observed.numpy(), HORIZON))


def test_gradients_equal_the_paper():
    network, observed = build(layers=3), frames().requires_grad_()
    target = frames(seed=3, time=KNOWN - 1 + HORIZON)

    def reference_loss():
        generated = reference.network(network_weights(network), observed.detach().numpy(), HORIZON)
        return ((generated - target.numpy()) ** 2).mean()

    some = ("blocks.0.conv_h", "blocks.1.conv_x", "blocks.1.conv_m")
    weights = {name: weight for name, weight in network.named_parameters() if name.startswith(some)}
    assert_gradients(
        lambda: ((network(observed, HORIZON) - target) ** 2).mean(),
        reference_loss,
        {"observed": observed} | weights,
    )


@pytest.mark.parametrize("layer_norm", [False, True])
@pytest.mark.parametrize("variant", VARIANTS)
def test_both_convolutions_give_the_same_gradients(variant, layer_norm):
    found = []
    for convolution in ("direct", "winograd"):
        network = build(variant=variant, layer_norm=layer_norm, convolution=convolution)
        observed = frames().requires_grad_()
        (network(observed, HORIZON) ** 2).mean().backward()
        found.append([observed.grad, *(weight.grad for weight in network.parameters())])
    for direct, winograd in zip(*found, strict=True):
        assert_close(winograd, direct, tolerance=1e-8)


@pytest.mark.parametrize("segments", [2, 99])
def test_checkpointing_changes_no_number(segments):
    gradients = []
    for checkpoint_segments in (0, segments):
        network, observed = build(checkpoint_segments=checkpoint_segments), frames().requires_grad_()
        (network(observed, HORIZON) ** 2).mean().backward()
        gradients.append(observed.grad)
    assert_close(*gradients, tolerance=1e-12)


@pytest.mark.parametrize("variant", VARIANTS)
def test_the_memories_of_the_inner_modules_stay_zero(variant):
    network, observed = build(variant=variant), frames()
    conv = DirectConvolution(observed)
    state = network.initial_state(conv)
    for t in range(KNOWN):
        _, state = network.step(conv, conv.fold(observed[:, t]), state)
    assert all(field.zero for fields in (state.N, state.S, state.D) for field in fields)
    assert all((field.values != 0).all() for field in (*state.H, *state.C, state.M))


def test_the_released_program_has_no_weights_of_one_grid_then():
    network = MIMNetwork(CHANNELS, HIDDEN, 3, 3, variant="released", ablation="without_mim")
    initialise_as_released(network)
    for grid in [(5, 4), (4, 7)]:
        assert network(rand(1, 2, CHANNELS, *grid).float(), 2).shape[-2:] == grid
