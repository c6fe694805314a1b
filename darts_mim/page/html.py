"""The pieces of a page. Text goes through ``html.escape``."""

from base64 import b64encode
from collections.abc import Iterable, Mapping
from html import escape
from io import BytesIO

from matplotlib.figure import Figure

PIXELS = 104  # of the page to an inch of a figure, so that words in all figures have one size


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


def section(heading: str, *inside: str, note: str = "", anchor: str = "") -> str:
    """A part of the page.

    Args:
        heading: As text.
        inside: As HTML.
        note: Under the heading, as text.
        anchor: What a link within the page calls it; letters alone.
    """
    named = f' id="{anchor}"' if anchor else ""
    below = f'<p class="note">{escape(note)}</p>' if note else ""
    return f"<section{named}><h2>{escape(heading)}</h2>{below}{''.join(inside)}</section>"


def tabs(parts: Mapping[str, str], label: str) -> str:
    """Parts of which the page's script shows one at a time; without it, or on paper, one below the other.

    Args:
        parts: HTML by what its tab says.
        label: What the tabs are, for who does not see them.
    """
    panels = (f'<div class="panel" data-tab="{escape(name)}">{part}</div>' for name, part in parts.items())
    return f'<div class="tabs" data-label="{escape(label)}">{"".join(panels)}</div>'


def listed(items: Mapping[str, str]) -> str:
    """Names and what they are set to."""
    rows = (f"<dt>{escape(k)}</dt><dd>{escape(v)}</dd>" for k, v in items.items())
    return f"<dl>{''.join(rows)}</dl>"


def picture(figure: Figure, alt: str) -> str:
    """A figure inside the page; ``alt`` says in words what it shows."""
    png = BytesIO()
    figure.savefig(png, format="png")
    width, height = (round(PIXELS * inches) for inches in figure.get_size_inches())
    return (
        f'<img alt="{escape(alt)}" width="{width}" height="{height}" style="max-width:{width}px" '
        f'src="data:image/png;base64,{b64encode(png.getvalue()).decode()}">'
    )
