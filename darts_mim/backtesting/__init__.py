"""Forecast again and again, score every forecast, and say which forecaster to trust."""
