"""Real grids that ship with the package."""

from darts_mim.datasets.nyc import nyc_bike as nyc_bike
from darts_mim.datasets.nyc import nyc_taxi as nyc_taxi
