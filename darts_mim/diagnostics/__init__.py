"""What a series is before it is modelled: unit roots and stationarity, every cell of a grid at once."""
