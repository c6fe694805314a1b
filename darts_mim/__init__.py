"""Forecast gridded time series with Memory In Memory networks, in darts and xarray."""
