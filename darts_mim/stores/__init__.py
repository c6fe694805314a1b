"""Series that lie on a disk: what is read from there, and forecasts that are written there."""
