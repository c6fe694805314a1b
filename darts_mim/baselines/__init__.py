"""Forecasts that need no network, and that a network has to beat."""

from darts_mim.baselines.autoregression import Autoregression as Autoregression
from darts_mim.baselines.climatology import Climatology as Climatology
from darts_mim.baselines.damped_anomaly import DampedAnomaly as DampedAnomaly
from darts_mim.baselines.drift import Drift as Drift
from darts_mim.baselines.optical_flow import OpticalFlow as OpticalFlow
from darts_mim.baselines.persistence import Persistence as Persistence
from darts_mim.baselines.seasonal import SeasonalNaive as SeasonalNaive
from darts_mim.baselines.smoothing import ExponentialSmoothing as ExponentialSmoothing
