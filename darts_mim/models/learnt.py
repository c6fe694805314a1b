"""The grids that a model was fitted on: of its series and of its covariates."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np

from darts_mim.errors import GridMismatchError, TimeAxisError
from darts_mim.grid.grid import METADATA_KEY, Grid
from darts_mim.models._compat import TimeSeries, add_safe_globals
from darts_mim.models.lazy_series import LazyTimeSeries

SERIES, PAST, FUTURE = "series", "past_covariates", "future_covariates"


@dataclass(frozen=True)
class LearntGrids:
    """What every series and covariate of a fitted model must lie on.

    ``encoded`` holds the grids as ``Grid.to_metadata`` writes them, plain types that darts' safe loading
    takes; a role is absent where a TimeSeries came without a grid.
    """

    encoded: Mapping[str, dict[str, Any]]
    step: str | None = None  # between frames; None where the series has no datetimes

    @classmethod
    def of(cls, several: Mapping[str, Sequence[TimeSeries] | None]) -> "LearntGrids":
        """Learn the grids of the series and the covariates that a model is fitted on.

        Raises:
            GridMismatchError: If covariates and series differ in rows or columns.
        """
        grids = {role: _common_grid(each) for role, each in several.items()}
        encoded = {role: grid.to_metadata() for role, grid in grids.items() if grid is not None}
        learnt = cls(encoded, _step((several[SERIES] or [])[0]))
        series = grids[SERIES]
        rows, columns = (1, 1) if series is None else (series.height, series.width)
        for role, grid in grids.items():
            if grid is not None and (grid.height, grid.width) != (rows, columns):
                raise GridMismatchError(
                    f"The {role} lie on {grid.height} x {grid.width} cells, the series on {rows} x "
                    f"{columns}. Bring them onto the series' grid, e.g. .interp_like(series)."
                )
        return learnt

    def grid(self, role: str) -> Grid | None:
        """The grid of the series or of covariates; None where they lie on none."""
        return self._decoded.get(role)

    @cached_property
    def _decoded(self) -> dict[str, Grid]:
        return {role: Grid.from_metadata(encoded) for role, encoded in self.encoded.items()}

    def __getstate__(self) -> dict[str, Any]:
        return {"encoded": self.encoded, "step": self.step}  # plain types alone

    def masked(self, role: str) -> np.ndarray | None:
        """True for the components that are never observed; None if there are none."""
        grid = self.grid(role)
        return None if grid is None or grid.mask is None else grid.mask.ravel()

    def n_channels(self, role: str) -> int:
        """How many channels lie on the grid."""
        grid = self.grid(role)
        return 0 if grid is None else grid.n_channels

    def require(self, several: Sequence[TimeSeries], role: str) -> None:
        """Check that series have the step and the grid that were learnt.

        Behind the frames of covariates there may be numbers a time.

        Raises:
            GridMismatchError: If they lie on another grid.
            TimeAxisError: If they have another step.
        """
        grid = self.grid(role)
        for series in several:
            step = _step(series)
            if None not in (step, self.step) and step != self.step:
                raise TimeAxisError(
                    f"The {role} have a step of {step}, and the model was fitted on {self.step}: frames "
                    f"would be taken for others. Bring them to it, e.g. .resample(time='{self.step}').mean()."
                )
            encoded = (series.metadata or {}).get(METADATA_KEY)
            if grid is not None and encoded is not None and encoded != self.encoded[role]:
                grid.require_same(Grid.from_metadata(encoded), f"The {role}")
            if grid is not None and (role == SERIES or series.n_components < grid.n_components):
                grid.require_width(series.n_components, f"The {role}")

    def admit(self, several: Sequence[TimeSeries], role: str) -> list[TimeSeries]:
        """The series, checked as in ``require``, with 0 where the grid that was learnt is masked."""
        self.require(several, role)
        masked = self.masked(role)
        return list(several) if masked is None else [_zeroed(series, masked) for series in several]


def _common_grid(several: Sequence[TimeSeries] | None) -> Grid | None:
    """The first series' grid, if it has one; masked are the cells that none of the series observes."""
    encoded = [(series.metadata or {}).get(METADATA_KEY) for series in several or ()]
    if not encoded or encoded[0] is None:
        return None
    grids = [Grid.from_metadata(one) for one in encoded if one is not None]
    masks = [grid.mask for grid in grids if grid.mask is not None]
    mask = np.logical_and.reduce(masks) if len(masks) == len(grids) else None
    return replace(grids[0], mask=mask if mask is not None and mask.any() else None)


def _step(series: TimeSeries) -> str | None:
    return series.freq_str if series.has_datetime_index else None


def _zeroed(series: TimeSeries, masked: np.ndarray) -> TimeSeries:
    if isinstance(series, LazyTimeSeries):
        return series.on(series.frames.with_zero(masked))
    values = series.all_values(copy=True)
    values[:, np.flatnonzero(masked)] = 0.0  # numbers a time may stand behind the frames
    return series.with_values(values)


add_safe_globals([LearntGrids])
