"""How far a forecast is from what happened: a statistic per window, pooled, then one final step."""
