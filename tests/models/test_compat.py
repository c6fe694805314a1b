import ast
from importlib.metadata import version
from pathlib import Path

import pytest

import darts_mim.models
from darts_mim.models import _compat

FILES = sorted(Path(darts_mim.models.__file__).parent.glob("*.py"))


def imported_from(path):
    tree = ast.parse(path.read_text())
    return {node.module for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)}


@pytest.mark.parametrize("path", [path for path in FILES if path.name != "_compat.py"], ids=lambda p: p.name)
def test_darts_is_imported_through_compat_alone(path):
    assert not {name for name in imported_from(path) if name and name.split(".")[0] == "darts"}


def test_the_darts_that_is_installed_is_the_one_whose_inside_is_known():
    assert version("darts").startswith("0.48.")
    assert all(getattr(_compat, name) is not None for name in vars(_compat) if not name.startswith("_"))
