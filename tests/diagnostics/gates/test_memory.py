"""Gradients through the memories, held against finite differences of single units."""

from itertools import product

import numpy as np
import pytest
import torch
from nn.paper_names import rand, random_weights

from darts_mim.diagnostics.gates.memory import memory_reach
from darts_mim.nn.recurrent import MIMNetwork

KNOWN, HORIZON, STEPS = 3, 2, 4
# which of a cell's fields is the memory, in the order in which the cells make them
PLACES = {
    "first": ["C", "M", "H"],
    "block": ["N", "D", "S", "T", "C", "M", "H"],
    "block, first step": ["S", "T", "C", "M", "H"],
}


class Nudged:
    """A convolution that moves one unit of one field as it is made."""

    def __init__(self, conv, place, unit, by):
        self.conv, self.left, self.unit, self.by = conv, place, unit, by

    def __call__(self, *terms):
        return self.conv(*terms)

    def field(self, values):
        if self.left == 0:
            values = values.clone()
            values[(slice(None), *self.unit)] += self.by
        self.left -= 1
        return self.conv.field(values)

    def pointwise(self, conv, *fields):
        return self.conv.pointwise(conv, *fields)

    def zeros(self, channels):
        return self.conv.zeros(channels)

    def elementwise(self, weight):
        return self.conv.elementwise(weight)

    def fold(self, frame):
        return self.conv.fold(frame)

    def unfold(self, values):
        return self.conv.unfold(values)


def run(network, observed, letter, layer, at, unit, by):
    """The memory after the last step, and the last frame; a unit of it was moved as it was made at ``at``."""
    cell = [network.first, *network.blocks][layer - 1]
    step, last = 0, None

    def nudge(module, args):
        nonlocal step
        step += 1
        if step != at:
            return args
        kind = "first" if layer == 1 else "block, first step" if step == 1 else "block"
        return Nudged(args[0], PLACES[kind].index(letter), unit, by), *args[1:]

    def keep(module, args, made):
        nonlocal last
        last = getattr(made, letter).values

    handles = [cell.register_forward_pre_hook(nudge), cell.register_forward_hook(keep)]
    with torch.no_grad():
        frames = network(observed, HORIZON)
    for handle in handles:
        handle.remove()
    return last, frames[:, -1]


def slopes(network, observed, letter, layer, at, unit, eps=1e-5):
    """Central differences of (memory, frame) with respect to the unit."""
    up, down = (run(network, observed, letter, layer, at, unit, side) for side in (eps, -eps))
    return [(one - other) / (2 * eps) for one, other in zip(up, down, strict=True)]


@pytest.mark.parametrize(("letter", "layer"), [*product("CM", (1, 2)), ("H", 2), ("S", 2), ("N", 2)])
def test_one_unit_equals_finite_differences(letter, layer):
    """One channel and one cell that counts: the sign of v does not matter, and the gain is one derivative."""
    network = random_weights(MIMNetwork(1, 1, 2, 3, convolution="winograd", checkpoint_segments=2))
    observed, unit = rand(2, KNOWN, 1, 3, 2), (0, 1, 1)
    found = memory_reach(network, observed, HORIZON, cells=torch.tensor([3]))["memory_reach"]
    ours = found.sel(memory=letter, layer=layer).values
    assert ours[0] == 1
    assert (network.convolution, network.checkpoint_segments) == ("winograd", 2)
    network.convolution = "direct"  # whose layout the unit is named in
    for lag in range(1, STEPS - (letter == "N")):
        slope, _ = slopes(network, observed, letter, layer, STEPS - lag, unit)
        expected = float(slope[:, 0, 1, 1].square().mean().sqrt())
        assert ours[lag] == pytest.approx(expected, rel=1e-6)
    assert np.isnan(ours[STEPS - (letter == "N") :]).all()


@pytest.mark.parametrize(("letter", "layer"), [("C", 1), ("C", 2), ("M", 1), ("H", 2), ("S", 2), ("N", 2)])
def test_reach_of_a_forecast_equals_finite_differences(letter, layer):
    """On one cell everything is one number."""
    network, observed = random_weights(MIMNetwork(1, 1, 2, 3)), rand(3, KNOWN, 1, 1, 1)
    found = memory_reach(network, observed, HORIZON)["forecast_reach"].sel(memory=letter, layer=layer).values
    lags = STEPS - (letter == "N")
    gains = [
        float(slopes(network, observed, letter, layer, STEPS - lag, (0, 0, 0))[1].square().mean().sqrt())
        for lag in range(lags)
    ]
    np.testing.assert_allclose(found[:lags], np.array(gains) / gains[0], rtol=1e-6)


def test_many_random_signs_give_the_norm_of_the_jacobian():
    network, grid = random_weights(MIMNetwork(1, 2, 2, 3)), (3, 2)
    observed = rand(1, KNOWN, 1, *grid)
    columns = [
        slopes(network, observed, "C", 2, STEPS - 2, (channel, row, column))[0]
        for channel, row, column in product(range(2), range(3), range(2))
    ]
    singular = torch.linalg.svdvals(torch.stack([column.flatten() for column in columns], dim=1))
    repeated = observed.expand(1000, -1, -1, -1, -1)
    found = memory_reach(network, repeated, HORIZON)["memory_reach"].sel(memory="C", layer=2, lag=2)
    # 1000 draws of 12 signs: a few per cent of noise at most
    assert found.item() == pytest.approx(float(singular.square().mean().sqrt()), rel=0.05)


@pytest.mark.parametrize("variant", ["paper", "released"])
@pytest.mark.parametrize("ablation", [None, "without_mim_n", "without_mim_s", "without_mim"])
def test_memories_that_are_not_there_are_nan(ablation, variant):
    settings = {"ablation": ablation, "variant": variant, "grid": (4, 3)}
    reach = memory_reach(random_weights(MIMNetwork(1, 2, 2, 3, **settings)), rand(2, KNOWN, 1, 4, 3), HORIZON)
    there = reach["memory_reach"].sel(layer=2, lag=1).notnull()
    expected = {"C", "M", "H"}
    expected |= {"N"} if ablation not in ("without_mim_n", "without_mim") else set()
    expected |= {"S"} if ablation not in ("without_mim_s", "without_mim") else set()
    assert {name for name in "CNSMH" if there.sel(memory=name)} == expected


def test_the_horizon_is_the_first_lag_under_a_tenth():
    network = random_weights(MIMNetwork(1, 2, 3, 3), scale=0.3)
    reach = memory_reach(network, rand(2, 4, 1, 4, 3), 4)
    for memory, layer in product("CNSMH", (1, 2, 3)):
        values = reach["memory_reach"].sel(memory=memory, layer=layer).values
        horizon = reach["memory_horizon"].sel(memory=memory, layer=layer).item()
        under = [lag for lag, value in enumerate(values) if value < 0.1]
        assert horizon == under[0] if under else np.isnan(horizon)
    assert reach["memory_horizon"].notnull().any()


def test_frozen_weights_and_inference_mode_change_nothing():
    network, observed = random_weights(MIMNetwork(1, 2, 2, 3)), rand(2, KNOWN, 1, 4, 3)
    expected = memory_reach(network, observed, HORIZON)
    network.requires_grad_(False)
    with torch.inference_mode():
        assert memory_reach(network, observed, HORIZON).identical(expected)
    assert not any(weight.requires_grad for weight in network.parameters())
