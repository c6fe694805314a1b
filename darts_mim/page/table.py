"""Tables whose rows the page's script sorts by any column."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from html import escape
from math import isnan


@dataclass(frozen=True, kw_only=True)
class Cell:
    """What a table says at one place."""

    text: str
    value: float | None = None  # what it is sorted by; None: its text. NaN is last, whichever way
    best: bool = False  # of its column, in bold
    html: str = ""  # shown after the text, as it is

    def __str__(self) -> str:
        """As HTML.

        >>> print(Cell(text="12 %", value=0.123, best=True))
        <td data-value="0.123" class="best">12 %</td>
        """
        key = "" if self.value is None or isnan(self.value) else repr(float(self.value))
        value = "" if self.value is None else f' data-value="{key}"'
        best = ' class="best"' if self.best else ""
        return f"<td{value}{best}>{escape(self.text)}{self.html}</td>"


def table(
    caption: str,
    heads: Sequence[str],
    rows: Iterable[tuple[str, Sequence[Cell]]],
    *,
    own: str | None = None,
    kind: str = "",
) -> str:
    """A table with a name at the head of each row.

    Args:
        caption: What the numbers are, and their units.
        heads: Of all columns, that of the names first.
        rows: The name of each, and its cells.
        own: The row that the page is about.
        kind: A class of its own, for the style.
    """
    first, *others = (f'<th scope="col">{escape(head)}</th>' for head in heads)
    lines: list[str] = []
    for name, cells in rows:
        mark = ' class="own"' if name == own else ""
        lines.append(f'<tr{mark}><th scope="row">{escape(name)}</th>{"".join(map(str, cells))}</tr>')
    said = f"<caption>{escape(caption)}</caption>" if caption else ""
    return (
        f'<div class="scroll"><table class="sortable {kind}">{said}<thead><tr>{first}{"".join(others)}</tr>'
        f"</thead><tbody>{''.join(lines)}</tbody></table></div>"
    )
