"""HTML pages that need nothing else: styles, script and pictures are inside."""

from darts_mim.page.html import cards as cards
from darts_mim.page.html import headline as headline
from darts_mim.page.html import listed as listed
from darts_mim.page.html import picture as picture
from darts_mim.page.html import section as section
from darts_mim.page.html import tabs as tabs
from darts_mim.page.table import Cell as Cell
from darts_mim.page.table import table as table
from darts_mim.page.write import footer as footer
from darts_mim.page.write import write_page as write_page
