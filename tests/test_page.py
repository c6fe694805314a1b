import pytest

from darts_mim import page


def test_the_old_page_stays_until_the_new_one_is_whole(tmp_path, monkeypatch):
    path = tmp_path / "report.html"
    path.write_text("old")
    monkeypatch.setattr(page.os, "replace", lambda *_: (_ for _ in ()).throw(OSError("disk full")))
    with pytest.raises(OSError, match="disk full"):
        page.write_page(path, "New", "<p>new</p>")
    assert path.read_text() == "old" and list(tmp_path.iterdir()) == [path]


def test_what_is_said_is_text_and_not_html(tmp_path):
    body = page.headline("<b>", "5 < 6", "a & b") + page.cards([("<1", "<2")]) + page.listed({"<k>": "<v>"})
    html = page.write_page(tmp_path / "new" / "page.html", "<title>", body).read_text(encoding="utf-8")
    for said in ("&lt;b&gt;", "5 &lt; 6", "a &amp; b", "&lt;1", "&lt;k&gt;", "<title>&lt;title&gt;</title>"):
        assert said in html
