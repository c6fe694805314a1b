"""Many forecasts as one array, each of them a TimeSeries only once it is asked for."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, cast, overload

import numpy as np
import pandas as pd

from darts_mim.models._compat import TimeSeries, series_from_schema


@dataclass(frozen=True, kw_only=True, eq=False)
class Forecasts(Sequence[TimeSeries]):
    """Equally long forecasts. To make a TimeSeries of each takes longer than a small network to forecast it.

    A schema is what darts calls so: all that a TimeSeries has besides values and times.
    """

    values: np.ndarray  # (forecast, time, component, sample)
    schemas: Sequence[dict[str, Any]]  # of each
    starts: Sequence[Any]  # the first time of each

    @classmethod
    def of(cls, several: Sequence[TimeSeries]) -> "Forecasts":
        """The same forecasts, where they came as TimeSeries."""
        if isinstance(several, Forecasts):
            return several
        return cls(
            values=np.stack([np.asarray(one.all_values(copy=False)) for one in several]),
            schemas=[one.schema(copy=False) for one in several],
            starts=[one.start_time() for one in several],
        )

    def __len__(self) -> int:
        return len(self.values)

    @overload
    def __getitem__(self, index: int) -> TimeSeries: ...
    @overload
    def __getitem__(self, index: slice) -> "Forecasts": ...
    def __getitem__(self, index: int | slice) -> "TimeSeries | Forecasts":
        if isinstance(index, slice):
            return self.take(range(len(self))[index])
        return series_from_schema(
            values=self.values[index],
            schema=self.schemas[index],
            pred_start=self.starts[index],
            predict_likelihood_parameters=False,  # their names are in the schema already
        )

    def take(self, indices: Iterable[int]) -> "Forecasts":
        """Some of the forecasts."""
        chosen = list(indices)
        return Forecasts(
            values=self.values[chosen],
            schemas=[self.schemas[index] for index in chosen],
            starts=[self.starts[index] for index in chosen],
        )

    def times_of(self, index: int) -> pd.DatetimeIndex:
        """The times of one forecast."""
        schema = self.schemas[index]
        return pd.date_range(
            self.starts[index],
            periods=self.values.shape[1],
            freq=schema["time_freq"],
            name=schema["time_name"],
        )

    def times(self) -> np.ndarray:
        """The times of all forecasts of one series, (forecast, time)."""
        length, step = self.values.shape[1], self.schemas[0]["time_freq"]
        starts = pd.DatetimeIndex(cast(Any, self.starts))
        axis = pd.date_range(starts.min(), starts.max() + (length - 1) * step, freq=step)
        return axis.values[axis.get_indexer(starts)[:, np.newaxis] + np.arange(length)]
