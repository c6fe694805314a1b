"""Watched, a network computes the same bits, and what is seen is what the equations say."""

import numpy as np
import pytest
import torch
from nn import reference
from nn.paper_names import rand, random_weights

from darts_mim.diagnostics.gates.recording import watching
from darts_mim.nn.convolution import DirectConvolution
from darts_mim.nn.recurrent import MIMNetwork

CHANNELS, HIDDEN, KNOWN, HORIZON, GRID = 2, 3, 3, 3, (5, 6)  # Winograd's tiles do not divide it
ABLATIONS = [None, "without_mim_n", "without_mim_s", "without_mim"]
CONVOLUTIONS = ["direct", "winograd"]
VARIANTS = ["paper", "released"]


class Seen(list):
    """Every layer's every step, with its units already out of the layout."""

    def begin(self, windows):
        self.windows = windows

    def see(self, step):
        states = {name: step.units(field.values) for name, field in step.states.items()}
        before = {name: step.units(field.values) for name, field in step.before.items()}
        gates = {name: step.units(f) for name, f in step.gates.items()}
        self.append((step.layer, step.step, states, before, gates))


def build(dtype=torch.float64, **kwargs):
    network = random_weights(MIMNetwork(CHANNELS, HIDDEN, 3, 3, grid=GRID, **kwargs))
    return network.to(dtype)


def frames(batch=2, dtype=torch.float64):
    return rand(batch, KNOWN, CHANNELS, *GRID, seed=1).to(dtype)


def seen_in(network, observed, **kwargs):
    seen = Seen()
    with torch.no_grad(), watching(network, [seen], **kwargs):
        network(observed, HORIZON)
    return seen


def carried(network, observed):
    """The network's states after each step, by its own public parts."""
    conv = DirectConvolution(observed)
    states, fed = [network.initial_state(conv)], None
    for t in range(KNOWN - 1 + HORIZON):
        frame = observed[:, t] if t < KNOWN else fed
        H, state = network.step(conv, conv.fold(frame), states[-1])
        fed = conv.pointwise(network.to_frame, H)
        states.append(state)
    return states


@pytest.mark.parametrize("layer_norm", [False, True])
@pytest.mark.parametrize("convolution", CONVOLUTIONS)
@pytest.mark.parametrize("variant", VARIANTS)
@pytest.mark.parametrize("ablation", ABLATIONS)
def test_forecasts_are_the_same_to_the_last_bit(ablation, variant, convolution, layer_norm):
    settings = {"ablation": ablation, "variant": variant, "layer_norm": layer_norm}
    for dtype in (torch.float32, torch.float64):
        network, observed = build(dtype, convolution=convolution, **settings), frames(dtype=dtype)
        with torch.no_grad():
            alone = network(observed, HORIZON)
        with torch.no_grad(), watching(network, [Seen()]):
            assert torch.equal(network(observed, HORIZON), alone)


@pytest.mark.parametrize("convolution", CONVOLUTIONS)
@pytest.mark.parametrize("variant", VARIANTS)
@pytest.mark.parametrize("ablation", ABLATIONS)
def test_states_are_those_that_the_network_carries(ablation, variant, convolution):
    network, observed = build(ablation=ablation, variant=variant, convolution=convolution), frames()
    states = carried(network, observed)
    seen = seen_in(network, observed)
    assert [(layer, step) for layer, step, *_ in seen] == [(l, t) for t in range(1, 6) for l in (1, 2, 3)]
    for layer, step, after, before, _ in seen:
        for letter in set(after) - {"T", "M"} if layer < 3 else set(after) - {"T"}:
            if letter in "HC":
                expected = [getattr(states[t], letter)[layer - 1] for t in (step - 1, step)]
            elif letter == "M":
                expected = [states[t].M for t in (step - 1, step)]
            else:
                expected = [getattr(states[t], letter)[layer - 2] for t in (step - 1, step)]
            earlier, later = (field.values.flatten(2) for field in expected)
            torch.testing.assert_close(after[letter], later, rtol=1e-9, atol=1e-10)
            if letter in "CNS":
                torch.testing.assert_close(before[letter], earlier, rtol=1e-9, atol=1e-10)


def terms(gate_conv, field, gate):
    """One gate's term of a convolution, slowly."""
    n, hidden = gate_conv.gates.index(gate), HIDDEN
    kernel = gate_conv.conv.weight.detach().numpy()[n * hidden : (n + 1) * hidden]
    z = reference.conv(kernel, field.reshape(*field.shape[:2], *GRID))
    if gate_conv.conv.bias is not None:
        z = z + gate_conv.conv.bias.detach().numpy()[n * hidden : (n + 1) * hidden, None, None]
    return z.reshape(*z.shape[:2], -1)


def inner_gate(cell, x, h, memory):
    """The forget gate of the released program's inner cells (docs/paper.md, rows R5, R6, R8)."""
    weight = cell.weight_f.detach().numpy().reshape(1, HIDDEN, -1)
    z = terms(cell.conv_x, x, "f") + terms(cell.conv_h, h, "f")
    return reference.sigmoid(z + weight * memory + 1)


@pytest.mark.parametrize("convolution", CONVOLUTIONS)
@pytest.mark.parametrize("variant", VARIANTS)
@pytest.mark.parametrize("ablation", [None, "without_mim"])
def test_forget_gates_equal_the_equations(ablation, variant, convolution):
    network, observed = build(ablation=ablation, variant=variant, convolution=convolution), frames()
    seen = {(layer, step): rest for layer, step, *rest in seen_in(network, observed)}
    sigmoid = reference.sigmoid
    for (layer, step), (after, before, gates) in seen.items():
        cell = [network.first, *network.blocks][layer - 1]
        if layer == 1 and step > KNOWN:
            continue  # reads a generated frame, which is not at hand here
        X = observed[:, step - 1].flatten(2).numpy() if layer == 1 else seen[layer - 1, step][0]["H"].numpy()
        M = before["M"].numpy()
        H = seen[layer, step - 1][0]["H"].numpy() if step > 1 else np.zeros_like(M)
        if variant == "paper":
            f = {"M": terms(cell.conv_x, X, "f'") + terms(cell.conv_m, M, "f'")}
            if "C" in gates:
                f["C"] = terms(cell.conv_x, X, "f") + terms(cell.conv_h, H, "f")
        else:
            f = {"M": terms(cell.conv_x, X, "x_f") + terms(cell.conv_m, M, "m_f") + 1}
            if "C" in gates:
                f["C"] = terms(cell.conv_x, X, "x_f") + terms(cell.conv_h, H, "h_f") + 1
        expected = {name: sigmoid(z) for name, z in f.items()}
        if "S" in gates:
            D, C, S, N = after["D"].numpy(), before["C"].numpy(), before["S"].numpy(), before["N"].numpy()
            if variant == "paper":
                expected["S"] = sigmoid(terms(cell.mim_s.conv_d, D, "f") + terms(cell.mim_s.conv_c, C, "f"))
            else:
                expected["S"] = inner_gate(cell.mim_s, D, C, S)
        if "N" in gates:
            below = seen[layer - 1, step][0]["H"] - seen[layer - 1, step - 1][0]["H"]
            if variant == "paper":
                z = terms(cell.mim_n.conv_x, below.numpy(), "f") + terms(cell.mim_n.conv_n, N, "f")
                expected["N"] = sigmoid(z)
            else:
                dX = below if layer == 2 else seen[layer - 1, step][0]["D"]
                D_before = seen[layer, step - 1][0]["D"].numpy()
                expected["N"] = inner_gate(cell.mim_n, dX.numpy(), D_before, N)
        assert set(gates) == set(expected)
        for name, values in expected.items():
            np.testing.assert_allclose(gates[name], values, rtol=1e-9, atol=1e-10)


@pytest.mark.parametrize("variant", VARIANTS)
def test_what_takes_the_forget_gates_place_is_seen(variant):
    """C[t] - T is i . g, and so between -1 and 1; without MIM-S T is D."""
    network = build(variant=variant)
    for layer, _, after, *_ in seen_in(network, frames()):
        assert ("T" in after) == (layer > 1)
        if layer > 1:
            assert ((after["C"] - after["T"]).abs() < 1).all()
            assert (after["T"] != after["D"]).all()
    for layer, _, after, *_ in seen_in(build(variant=variant, ablation="without_mim_s"), frames()):
        assert layer == 1 or torch.equal(after["T"], after["D"])


@pytest.mark.parametrize("convolution", CONVOLUTIONS)
def test_broken_sequences_and_masked_cells_do_not_count(convolution):
    network, observed = build(convolution=convolution), frames(batch=3)
    whole = seen_in(network, observed)
    observed[1, 0, 0, 2, 3] = torch.nan
    cells = torch.tensor([0, 7, 29])
    some = seen_in(network, observed, cells=cells)
    assert some.windows.whole.tolist() == [True, False, True]
    for (*_, states, _, gates), (*_, states_some, _, gates_some) in zip(whole, some, strict=True):
        for name, values in (states | {f"{name}, gate": f for name, f in gates.items()}).items():
            found = (states_some | {f"{name}, gate": f for name, f in gates_some.items()})[name]
            torch.testing.assert_close(found, values[[0, 2]][:, :, cells], rtol=1e-9, atol=1e-10)


def test_nan_covariates_break_a_sequence_too():
    network = build(covariates=1)
    covariates = rand(2, KNOWN - 1 + HORIZON, 1, *GRID)
    covariates[0, -1] = torch.nan
    seen = Seen()
    with torch.no_grad(), watching(network, [seen]):
        network(frames(), HORIZON, covariates=covariates)
    assert seen.windows.whole.tolist() == [False, True]
    assert seen[-1][2]["H"].isfinite().all()


def test_hooks_are_removed_whatever_happens():
    network = build()

    class Stumbles(Seen):
        def see(self, step):
            raise RuntimeError("stumbled")

    with pytest.raises(RuntimeError, match="stumbled"), watching(network, [Stumbles()]):
        network(frames(), HORIZON)
    for module in network.modules():
        assert not module._forward_hooks and not module._forward_pre_hooks
    assert len(seen_in(network, frames())) == 3 * (KNOWN - 1 + HORIZON)
