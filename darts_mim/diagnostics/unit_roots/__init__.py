"""Unit-root and stationarity tests on many series at once, in NumPy or torch."""
