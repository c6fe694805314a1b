"""Formulas in one pass, and their derivatives, against torch in float64."""

import pytest
import torch
from nn.paper_names import rand

from darts_mim.nn import memory
from darts_mim.nn.fused import PART

FORMULAS = {
    "remember": 4,
    "take_in": 3,
    "give_out": 3,
    "remember_as_released": 7,
    "take_in_as_released": 5,
    "give_out_as_released": 2,
    "remember_by_cell": 6,
    "give_out_by_cell": 3,
}
BY_CELL = {"remember_by_cell": (3, 4), "give_out_by_cell": (1,)}  # weights that all of a batch share
SHAPES = [(4, 4, 3, 2, 3, 5), (4, 4, 1, 1, 1, 1), (4, 4, 2, 5, 5, PART // 20)]


def tensors(name, shape):
    shared = (*shape[:2], 1, *shape[3:])
    shapes = [shared if n in BY_CELL.get(name, ()) else shape for n in range(FORMULAS[name])]
    return [2 * rand(*one, seed=n) for n, one in enumerate(shapes)]


def test_every_formula_is_here():
    formulas = {name for name, value in vars(memory).items() if value.__class__.__name__ == "function"}
    assert {
        name for name in formulas if getattr(memory, name).__module__ == memory.__name__
    } == FORMULAS.keys()


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("name", FORMULAS)
def test_value_and_derivatives(name, shape):
    doubles = [x.requires_grad_() for x in tensors(name, shape)]
    singles = [x.detach().float().requires_grad_() for x in doubles]
    formula, gradient = getattr(memory, name), rand(*shape, seed=9)
    theirs, ours = formula(*doubles), formula(*singles)
    assert "Fused" in type(ours.grad_fn).__name__
    assert "Fused" not in type(theirs.grad_fn).__name__
    torch.testing.assert_close(ours.double(), theirs, rtol=1e-6, atol=2e-6)
    expected = torch.autograd.grad(theirs, doubles, gradient)
    found = torch.autograd.grad(ours, singles, gradient.float())
    for one, other in zip(found, expected, strict=True):
        torch.testing.assert_close(one.double(), other, rtol=1e-5, atol=4e-5)


@pytest.mark.parametrize("changed", ["double", "flat", "strided", "one number"])
def test_what_is_not_tiles_in_float32_is_left_to_torch(changed):
    x, y = (rand(4, 4, 2, 3, 2, 6, seed=seed).float().requires_grad_() for seed in (1, 2))
    change = {
        "double": lambda x: x.double(),
        "flat": lambda x: x.flatten(3),
        "strided": lambda x: x[..., ::2],
        "one number": lambda x: x[0, 0, 0, 0, 0, 0],
    }[changed]
    x, y = change(x), y if changed == "one number" else change(y)
    result = memory.give_out_as_released(x, y)
    assert "Fused" not in type(result.grad_fn).__name__
    assert (result == torch.sigmoid(x) * torch.tanh(y)).all()


def test_gates_far_out():
    """Saturated gates are 0 and 1 to float32, infinite ones too, and NaN is not lost."""
    far = torch.tensor([-torch.inf, -1e30, -40, -10, 0, 10, 40, 1e30, torch.inf, torch.nan])
    x = far.expand(4, 4, 1, 1, 1, 10).contiguous()
    found = memory.give_out_as_released(torch.full_like(x, 100.0), x)[0, 0, 0, 0, 0]
    torch.testing.assert_close(found, torch.tanh(far), rtol=3e-7, atol=0, equal_nan=True)
    assert found[0] == -1
    assert found[-2] == 1
    found = memory.give_out_as_released(x, torch.full_like(x, 100.0))[0, 0, 0, 0, 0]
    torch.testing.assert_close(found, torch.sigmoid(far), rtol=0, atol=2e-7, equal_nan=True)


def test_tanh_is_right_to_float32():
    x = torch.linspace(-9, 9, 4 * 4 * 5000).reshape(4, 4, 1, 1, 1, 5000)
    found = memory.give_out_as_released(torch.full_like(x, 100.0), x)
    assert (found.double() - torch.tanh(x.double())).abs().max() < 3e-7
    assert found.abs().max() <= 1
