"""The networks as darts models. The only place that imports darts."""
