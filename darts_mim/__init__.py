"""Forecast gridded time series with Memory In Memory networks, in darts and xarray."""

from darts_mim import datasets as datasets
from darts_mim.backtest import backtest as backtest
from darts_mim.backtest_result import BacktestResult as BacktestResult
from darts_mim.baselines import Climatology as Climatology
from darts_mim.baselines import DampedAnomaly as DampedAnomaly
from darts_mim.baselines import Persistence as Persistence
from darts_mim.baselines import SeasonalNaive as SeasonalNaive
from darts_mim.errors import GapError as GapError
from darts_mim.errors import GridDimsError as GridDimsError
from darts_mim.errors import GridMismatchError as GridMismatchError
from darts_mim.errors import NotScaledWarning as NotScaledWarning
from darts_mim.errors import TimeAxisError as TimeAxisError
from darts_mim.errors import TooShortError as TooShortError
from darts_mim.grid.anomaly import SeasonalAnomaly as SeasonalAnomaly
from darts_mim.grid.differencing import GridDifferencer as GridDifferencer
from darts_mim.grid.grid import Grid as Grid
from darts_mim.grid.scaling import GridScaler as GridScaler
from darts_mim.models.encoders import CyclicPosition as CyclicPosition
from darts_mim.models.mim import MIMModel as MIMModel
from darts_mim.models.timeseries import from_timeseries as from_timeseries
from darts_mim.models.timeseries import to_timeseries as to_timeseries
from darts_mim.nn.released import mim_from_variables as mim_from_variables
from darts_mim.pipeline import GridPipeline as GridPipeline
