import pytest

from darts_mim.page import write


def test_the_old_page_stays_until_the_new_one_is_whole(tmp_path, monkeypatch):
    path = tmp_path / "report.html"
    path.write_text("old")
    monkeypatch.setattr(write.os, "replace", lambda *_: (_ for _ in ()).throw(OSError("disk full")))
    with pytest.raises(OSError, match="disk full"):
        write.write_page(path, "New", "<p>new</p>")
    assert path.read_text() == "old" and list(tmp_path.iterdir()) == [path]


def test_style_and_script_are_inside_and_nothing_else_is_let_in(tmp_path):
    html = write.write_page(tmp_path / "new" / "page.html", "<title>", "<p>{body}</p>").read_text()
    assert "<title>&lt;title&gt;</title>" in html and "<p>{body}</p>" in html
    assert "border-collapse" in html and "addEventListener" in html
    assert "default-src 'none'" in html
