import re
from base64 import b64decode

from matplotlib.figure import Figure

from darts_mim import page


def test_what_is_said_is_text_and_not_html():
    body = "".join(
        [
            page.headline("<e>", "5 < 6", "a & b"),
            page.cards([("<1", "<2")]),
            page.listed({"<k>": "<v>"}),
            page.section("<h>", note="<n>"),
            page.tabs({'"<t>': ""}, '"<l>'),
        ]
    )
    for said in ("e", "k", "v", "h", "n", "t", "l"):
        assert f"&lt;{said}&gt;" in body and f"<{said}>" not in body
    for said in ("5 &lt; 6", "a &amp; b", "&lt;1", "&lt;2", "&quot;&lt;t"):
        assert said in body


def test_a_picture_is_a_png_and_says_its_size():
    html = page.picture(Figure(figsize=(3, 2), dpi=50), 'a "map"')
    assert 'alt="a &quot;map&quot;" width="312" height="208" style="max-width:312px"' in html
    assert b64decode(re.search('base64,([^"]*)', html)[1]).startswith(b"\x89PNG")
