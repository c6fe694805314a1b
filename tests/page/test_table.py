import re

import pytest

from darts_mim.page import Cell, table


@pytest.mark.parametrize(
    ("cell", "html"),
    [
        (Cell(text="<1", value=0.5), '<td data-value="0.5">&lt;1</td>'),
        (Cell(text="unknown", value=float("nan")), '<td data-value="">unknown</td>'),
        (Cell(text="b"), "<td>b</td>"),
        (
            Cell(text="", value=1, html="<svg></svg>", best=True),
            '<td data-value="1.0" class="best"><svg></svg></td>',
        ),
    ],
)
def test_cells_carry_what_they_are_sorted_by(cell, html):
    assert str(cell) == html


def test_heads_rows_and_the_row_of_interest():
    html = table("in <mm>", ["Model", "a & b"], [("<x>", [Cell(text="1")]), ("y", [Cell(text="2")])], own="y")
    assert "<caption>in &lt;mm&gt;</caption>" in html
    assert re.findall(r'<th scope="(\w+)">([^<]*)<', html) == [
        ("col", "Model"),
        ("col", "a &amp; b"),
        ("row", "&lt;x&gt;"),
        ("row", "y"),
    ]
    assert re.findall(r'<tr class="own"><th scope="row">(\w+)', html) == ["y"]
