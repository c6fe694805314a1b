"""Pictures of a backtest.

A picture of one panel takes ``ax`` and returns it, drawn on; without it, that is a new figure of pyplot's,
which a notebook shows. A picture of several panels is a :class:`matplotlib.figure.Figure` that no global
state holds on to: save it with ``figure.savefig(...)``, or make it the last line of a notebook cell.
"""

from darts_mim.plotting.calendar import plot_calendar as plot_calendar
from darts_mim.plotting.calendar import plot_week as plot_week
from darts_mim.plotting.cells import plot_cells as plot_cells
from darts_mim.plotting.lines import FAR_WORSE as FAR_WORSE
from darts_mim.plotting.lines import plot_scores as plot_scores
from darts_mim.plotting.lines import plot_skill as plot_skill
from darts_mim.plotting.maps import MOST_FRAMES as MOST_FRAMES
from darts_mim.plotting.maps import colour_bar as colour_bar
from darts_mim.plotting.maps import draw_map as draw_map
from darts_mim.plotting.maps import plot_maps as plot_maps
from darts_mim.plotting.reliability import plot_coverage as plot_coverage
from darts_mim.plotting.reliability import plot_ranks as plot_ranks
from darts_mim.plotting.rivals import plot_rivals as plot_rivals
from darts_mim.plotting.slices import plot_slices as plot_slices
from darts_mim.plotting.spectra import plot_spectra as plot_spectra
from darts_mim.plotting.style import COLOURS as COLOURS
from darts_mim.plotting.style import INK as INK
from darts_mim.plotting.style import MARKERS as MARKERS
from darts_mim.plotting.style import MISSING as MISSING
from darts_mim.plotting.style import MOST_TICKS as MOST_TICKS
from darts_mim.plotting.style import MUTED as MUTED
from darts_mim.plotting.style import RULE as RULE
from darts_mim.plotting.style import in_print as in_print
from darts_mim.plotting.style import panel as panel
from darts_mim.plotting.style import said_time as said_time
