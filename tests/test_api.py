import re
from pathlib import Path

import darts_mim

ROOT = Path(__file__).resolve().parent.parent


def public_names():
    table_of_contents = Path(darts_mim.__file__).read_text()
    return set(re.findall(r"import \w+ as (\w+)", table_of_contents))


def test_the_api_page_lists_what_is_public():
    rows = re.findall(r"^\| `(\w+)` \|", (ROOT / "docs" / "api.md").read_text(), flags=re.MULTILINE)
    assert len(rows) == len(set(rows))
    assert set(rows) == public_names()


def test_what_is_public_has_a_docstring():
    assert [name for name in public_names() if not (getattr(darts_mim, name).__doc__ or "").strip()] == []
