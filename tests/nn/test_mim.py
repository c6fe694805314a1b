import pytest
from nn import reference
from nn.paper_names import (
    arithmetics,
    assert_gradients,
    assert_same_step,
    cell_weights,
    in_layout,
    out_of_layout,
    rand,
    random_weights,
    score,
)

from darts_mim.nn.mim import MIMBlock, MIMNCell, MIMSCell

ABLATIONS = [None, "without_mim_n", "without_mim_s"]
HIDDEN = 3
INNER = [(MIMNCell, reference.mim_n, ["dH", "N"]), (MIMSCell, reference.mim_s, ["D", "C", "S"])]


def draw(names):
    """Tensors by name, on a grid that is not square."""
    return {name: rand(2, HIDDEN, 5, 3, seed=n).requires_grad_() for n, name in enumerate(names)}


def in_numpy(tensors):
    return [tensor.detach().numpy() for tensor in tensors.values()]


def step_of(cell, states, arithmetic="direct"):
    conv, fields = in_layout(arithmetic, states)
    return out_of_layout(conv, cell(conv, **fields))


def step_of_block(block, states, arithmetic="direct", *, first=False):
    """The block's step, given what the equations name: H[l-1,t-1] in place of the difference."""
    conv, fields = in_layout(arithmetic, states)
    before = fields.pop("X_before")
    dH = None if first else conv.field(fields["X"].values - before.values)
    return out_of_layout(conv, block(conv, dH=dH, D=conv.zeros(HIDDEN), **fields))


def block_by_the_paper(block, states, *, first=False):
    X, X_before, *others = in_numpy(states)
    return reference.mim_block(cell_weights(block), X, None if first else X_before, *others)


def block_states():
    return draw(["X", "X_before", "H", "C", "N", "S", "M"])


@pytest.mark.parametrize(("kernel_size", "arithmetic"), arithmetics(1, 3, 5))
@pytest.mark.parametrize(("cell_class", "equation", "names"), INNER)
def test_inner_step_equals_the_paper(cell_class, equation, names, kernel_size, arithmetic):
    cell = random_weights(cell_class(HIDDEN, kernel_size))
    states = draw(names)
    assert_same_step(step_of(cell, states, arithmetic), equation(cell_weights(cell), *in_numpy(states)))


@pytest.mark.parametrize(("kernel_size", "arithmetic"), arithmetics(3))
@pytest.mark.parametrize(("cell_class", "equation", "names"), INNER)
def test_inner_gradients_equal_the_paper(cell_class, equation, names, kernel_size, arithmetic):
    cell = random_weights(cell_class(HIDDEN, kernel_size))
    states = draw(names)
    assert_gradients(
        lambda: score(step_of(cell, states, arithmetic)),
        lambda: score(equation(cell_weights(cell), *in_numpy(states))),
        dict(cell.named_parameters()) | states,
    )


@pytest.mark.parametrize("first", [False, True])
@pytest.mark.parametrize("ablation", ABLATIONS)
@pytest.mark.parametrize(("kernel_size", "arithmetic"), arithmetics(3, 5))
def test_block_equals_the_paper(kernel_size, arithmetic, ablation, first):
    block = random_weights(MIMBlock(HIDDEN, kernel_size, ablation=ablation))
    states = block_states()
    assert_same_step(
        step_of_block(block, states, arithmetic, first=first), block_by_the_paper(block, states, first=first)
    )


@pytest.mark.parametrize(("kernel_size", "arithmetic"), arithmetics(3))
@pytest.mark.parametrize("ablation", ABLATIONS)
def test_block_gradients_equal_the_paper(ablation, kernel_size, arithmetic):
    block = random_weights(MIMBlock(HIDDEN, kernel_size, ablation=ablation))
    states = block_states()
    assert_gradients(
        lambda: score(step_of_block(block, states, arithmetic)),
        lambda: score(block_by_the_paper(block, states)),
        dict(block.named_parameters()) | states,
    )


def test_first_step_reads_no_difference():
    """D is 0 and N is handed on as it came, but MIM-S runs."""
    block = random_weights(MIMBlock(HIDDEN, 3))
    states = block_states()
    step = step_of_block(block, states, first=True)
    assert (step.D == 0).all()
    assert (states["N"] == step.N).all()
    assert (states["S"] != step.S).all()


@pytest.mark.parametrize("ablation", ["without_mim_n", "without_mim_s"])
def test_ablation_takes_the_weights_out(ablation):
    names = {name for name, _ in MIMBlock(HIDDEN, 3).named_parameters()}
    left = {name for name, _ in MIMBlock(HIDDEN, 3, ablation=ablation).named_parameters()}
    taken = {name for name in names if name.startswith(ablation.removeprefix("without_"))}
    assert taken
    assert left == names - taken
