"""The file itself, and what made it."""

import os
import platform
from html import escape
from importlib.metadata import PackageNotFoundError, version
from importlib.resources import files
from pathlib import Path

import pandas as pd

PACKAGES = ("darts-mim", "darts", "torch", "numpy", "pandas", "xarray", "scipy", "matplotlib")


def write_page(path: str | Path, title: str, body: str) -> Path:
    """Write a page, whole or not at all; one that is there is replaced, folders that are not are made."""
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    beside = path.with_name(f".{path.name}.{os.getpid()}")
    style, script = (files("darts_mim.page").joinpath(name).read_text() for name in ("page.css", "page.js"))
    page = _PAGE.format(title=escape(title), style=style, body=body, script=script)
    try:
        beside.write_text(page, encoding="utf-8")
        os.replace(beside, path)
    finally:
        beside.unlink(missing_ok=True)
    return path


def footer() -> str:
    """Versions, and when the page was written."""
    versions = {"Python": platform.python_version()} | {
        name: version(name) for name in PACKAGES if _is_installed(name)
    }
    written = f"{pd.Timestamp.now('UTC'):%Y-%m-%d %H:%M} UTC"
    return (
        f"<footer>{escape(', '.join(f'{k} {v}' for k, v in versions.items()))}. Written {written}.</footer>"
    )


def _is_installed(name: str) -> bool:
    try:
        version(name)
    except PackageNotFoundError:
        return False
    return True


# The policy lets the page load nothing from anywhere.
_PAGE = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta http-equiv="Content-Security-Policy"
content="default-src 'none'; img-src data:; style-src 'unsafe-inline'; script-src 'unsafe-inline'">
<title>{title}</title>
<style>
{style}</style>
</head>
<body><main>
{body}
</main>
<script>
{script}</script>
</body>
</html>
"""
