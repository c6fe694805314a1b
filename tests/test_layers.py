"""Imports point one way, and each layer imports only the packages it may."""

import ast
import sys
from pathlib import Path
from typing import NamedTuple

import pytest

PACKAGE = Path(__file__).parents[1] / "darts_mim"
FILES = sorted(path.relative_to(PACKAGE) for path in PACKAGE.rglob("*.py"))
MODULES = [path for path in FILES if path != Path("__init__.py")]  # the top is the table of contents

RANKS = [
    {"errors"},
    {"nn", "grid", "metrics"},
    {"stores"},
    {"models", "baselines", "pipeline"},
    {"backtesting"},
    {"page", "report", "plotting", "diagnostics", "datasets", "demo", "cli"},
]
RANK = {layer: rank for rank, layers in enumerate(RANKS) for layer in layers}
STRANGERS = RANKS[1]  # of one rank, and never import each other

OUTSIDE = {
    "errors": set(),
    "nn": {"jaxtyping", "torch"},
    "grid": {"cf_xarray", "dask", "numpy", "pandas", "sklearn", "xarray"},
    "metrics": {"dask", "numpy", "scipy", "xarray"},
    "stores": {"dask", "numpy", "pandas", "rich", "sklearn", "xarray", "zarr"},
}
MACHINE_CODE = {"llvmlite", "numba", "numpy"}
OUTSIDE_OF_ONE_FILE = {
    "nn/released.py": {"numpy"},  # checkpoints are NumPy arrays
    "nn/machine_code.py": MACHINE_CODE,
    "nn/tile_code.py": MACHINE_CODE,
    "nn/fused.py": MACHINE_CODE,
}
DARTS = {"darts", "lightning", "pytorch_lightning"}
WITH_DARTS = {"models"}


class Import(NamedTuple):
    name: str  # dotted, with what is taken from it: "darts_mim.grid.grid.Grid"
    inside: bool  # of a function, so that nothing is imported before it is called
    line: int


def imports(tree):
    """Every import of a module, in its functions too."""
    pending = [(tree, False)]
    while pending:
        node, inside = pending.pop()
        if isinstance(node, ast.Import):
            yield from (Import(alias.name, inside, node.lineno) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"line {node.lineno}: write a relative import from darts_mim down"
            yield from (Import(f"{node.module}.{alias.name}", inside, node.lineno) for alias in node.names)
        inside = inside or isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda)
        pending += [(child, inside) for child in ast.iter_child_nodes(node)]


def layer_of(parts):
    """Layer of a module, from its path inside the package or its dotted name behind ``darts_mim.``."""
    layer = parts[0].removesuffix(".py") if parts else None
    assert layer in RANK, (
        f"{layer!r} is no layer. A new module gets one in {Path(__file__).name}; what the package lists "
        f"at its top is imported from its own module."
    )
    return layer


def may_import(importer, imported, *, inside):
    if importer == imported:
        return True
    if importer == "backtesting" and imported in {"report", "plotting"}:
        return inside  # a result draws itself, and scores without matplotlib
    if importer == "backtesting" and imported == "models":
        return inside  # it scores whatever can fit and predict; a darts model that comes is lent to grids
    if {importer, imported} <= STRANGERS:
        return False
    return RANK[imported] <= RANK[importer]


def found_in(module):
    return list(imports(ast.parse((PACKAGE / module).read_text())))


@pytest.mark.parametrize("module", MODULES, ids=str)
def test_imports_point_one_way(module):
    layer = layer_of(module.parts)
    for name, inside, line in found_in(module):
        package, *parts = name.split(".")
        if package == PACKAGE.name:
            imported = layer_of(parts)
            assert may_import(layer, imported, inside=inside), f"{module}:{line} imports {name}"


@pytest.mark.parametrize("module", MODULES, ids=str)
def test_a_layer_imports_only_what_it_may(module):
    layer = layer_of(module.parts)
    ours = {*sys.stdlib_module_names, PACKAGE.name}
    outside = {name.split(".")[0] for name, _, _ in found_in(module)} - ours
    if layer in OUTSIDE:
        assert outside <= OUTSIDE[layer] | OUTSIDE_OF_ONE_FILE.get(module.as_posix(), set())
    if layer not in WITH_DARTS:
        assert not outside & DARTS


def test_the_walk_sees_what_it_should():
    source = """
import os, darts.models
from darts_mim import plotting
def draw():
    from darts_mim.report import write as w
class Result:
    def draw(self):
        if True:
            import torch
"""
    found = {(name, inside) for name, inside, _ in imports(ast.parse(source))}
    assert found == {
        ("os", False),
        ("darts.models", False),
        ("darts_mim.plotting", False),
        ("darts_mim.report.write", True),
        ("torch", True),
    }


@pytest.mark.parametrize(
    ("importer", "imported", "inside", "allowed"),
    [
        ("nn", "errors", False, True),
        ("errors", "nn", False, False),
        ("nn", "grid", False, False),
        ("metrics", "grid", True, False),
        ("grid", "models", True, False),
        ("backtesting", "baselines", False, True),
        ("baselines", "backtesting", True, False),
        ("backtesting", "plotting", False, False),
        ("backtesting", "report", True, True),
        ("backtesting", "datasets", True, False),
        ("backtesting", "models", True, True),
        ("backtesting", "models", False, False),
        ("cli", "report", False, True),
    ],
)
def test_the_rule_is_the_one_meant(importer, imported, inside, allowed):
    assert may_import(importer, imported, inside=inside) == allowed
