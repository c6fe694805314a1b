"""HTML pages that need nothing else: styles and pictures are inside."""

import os
import platform
from base64 import b64encode
from collections.abc import Iterable, Mapping
from html import escape
from importlib.metadata import PackageNotFoundError, version
from io import BytesIO
from pathlib import Path

import pandas as pd
from matplotlib.figure import Figure

PACKAGES = ("darts-mim", "darts", "torch", "numpy", "pandas", "xarray", "matplotlib")


def write_page(path: str | Path, title: str, body: str) -> Path:
    """Write a page, whole or not at all; one that is there is replaced, folders that are not are made."""
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    beside = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        beside.write_text(_PAGE.format(title=escape(title), style=_STYLE, body=body), encoding="utf-8")
        os.replace(beside, path)
    finally:
        beside.unlink(missing_ok=True)
    return path


def headline(title: str, verdict: str, evidence: str) -> str:
    """What the page is, what it says, and why."""
    return (
        f'<header><p class="eyebrow">{escape(title)}</p><h1>{escape(verdict)}</h1>'
        f'<p class="lead">{escape(evidence)}</p></header>'
    )


def cards(facts: Iterable[tuple[str, str]]) -> str:
    """Numbers, large, and what they are."""
    each = (f"<li><b>{escape(value)}</b>{escape(label)}</li>" for value, label in facts)
    return f'<ul class="facts">{"".join(each)}</ul>'


def listed(items: Mapping[str, str]) -> str:
    """Names and what they are set to."""
    rows = (f"<dt>{escape(k)}</dt><dd>{escape(v)}</dd>" for k, v in items.items())
    return f"<dl>{''.join(rows)}</dl>"


def picture(figure: Figure, alt: str) -> str:
    """A figure inside the page; ``alt`` says in words what it shows."""
    png = BytesIO()
    figure.savefig(png, format="png")
    data = b64encode(png.getvalue()).decode()
    return f'<img alt="{escape(alt)}" src="data:image/png;base64,{data}">'


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


_PAGE = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{title}</title>
<style>{style}</style>
</head>
<body><main>
{body}
</main></body>
</html>
"""

_STYLE = """
:root { --ink: #1f2933; --muted: #616e7c; --rule: #e4e7eb; --accent: #0072b2; --paper: #fff; }
* { box-sizing: border-box; }
body { margin: 0; background: #f5f7fa; color: var(--ink);
  font: 16px/1.55 system-ui, -apple-system, "Segoe UI", Roboto, "Helvetica Neue", Arial,
  "Liberation Sans", sans-serif; }
main { max-width: 1120px; margin: 0 auto; padding: clamp(20px, 5vw, 56px) clamp(16px, 4vw, 40px); }
h1 { font-size: clamp(1.6rem, 1.1rem + 2.4vw, 2.5rem); line-height: 1.15; margin: 0 0 .6em;
  letter-spacing: -.02em; text-wrap: balance; }
h2 { font-size: 1.2rem; letter-spacing: -.01em; margin: 0 0 .6em; }
.eyebrow { margin: 0 0 .6em; color: var(--accent); font-weight: 600; font-size: .9rem; }
.lead { font-size: 1.1rem; color: var(--muted); max-width: 46em; margin: 0; }
.note { color: var(--muted); margin: -.4em 0 1em; }
section, .facts { margin: 28px 0 0; }
section { background: var(--paper); border-radius: 14px; padding: clamp(16px, 3vw, 28px);
  box-shadow: 0 1px 2px rgb(31 41 51 / 8%); }
.facts { display: grid; grid-template-columns: repeat(auto-fit, minmax(150px, 1fr)); gap: 14px;
  padding: 0; list-style: none; }
.facts li { background: var(--paper); border-radius: 14px; padding: 18px 20px; color: var(--muted);
  font-size: .9rem; box-shadow: 0 1px 2px rgb(31 41 51 / 8%); }
.facts b { display: block; font-size: 1.7rem; line-height: 1.2; color: var(--ink);
  letter-spacing: -.02em; }
.pair { display: grid; grid-template-columns: repeat(auto-fit, minmax(min(100%, 420px), 1fr));
  gap: 24px; align-items: start; }
img { width: 100%; height: auto; display: block; }
img:only-child { max-width: 720px; }
.scroll { overflow-x: auto; }
table { border-collapse: collapse; width: 100%; font-variant-numeric: tabular-nums; }
caption { text-align: left; color: var(--muted); padding-bottom: 8px; }
th, td { padding: 9px 12px; text-align: right; border-bottom: 1px solid var(--rule);
  white-space: nowrap; }
thead th { color: var(--muted); font-weight: 500; font-size: .9rem; }
tbody th { text-align: left; font-weight: 400; padding-left: 0; position: sticky; left: 0;
  background: var(--paper); }
td:last-child, thead th:last-child { padding-right: 4px; }
td:nth-child(2) { border-right: 1px solid var(--rule); }
tr.own th { color: var(--accent); font-weight: 600; }
td.best { font-weight: 700; }
details { margin-top: 18px; }
details table { margin-top: 18px; }
summary { cursor: pointer; color: var(--accent); }
dl { display: grid; grid-template-columns: minmax(9em, max-content) 1fr; gap: 8px 24px; margin: 0; }
dt { color: var(--muted); }
dd { margin: 0; overflow-wrap: anywhere; }
footer { margin: 28px 0 0; color: var(--muted); font-size: .85rem; }
@media (max-width: 560px) { dl { grid-template-columns: 1fr; gap: 0; } dd { margin-bottom: 12px; }
  th, td { padding: 8px 7px; } table { font-size: .92rem; } }
@media print { body { background: #fff; } section { break-inside: avoid; box-shadow: none; } }
"""
