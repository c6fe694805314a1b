"""What may be done to a series before a model sees it."""

from dataclasses import dataclass
from typing import Any

from darts_mim.grid.anomaly import SeasonalAnomaly
from darts_mim.grid.differencing import GridDifferencer
from darts_mim.grid.scaling import GridScaler
from darts_mim.pipeline import GridPipeline


@dataclass(frozen=True, kw_only=True)
class Treatment:
    """What is done to a series before a model sees it.

    Attributes:
        period: Of the season that is taken off, or None.
        seasonal: How: ``"difference"`` or ``"anomaly"``.
        order: Differences taken besides.

    >>> Treatment(period="7D", seasonal="anomaly", order=1).name
    '7D anomaly, differenced'
    """

    period: str | None = None
    seasonal: str | None = None
    order: int = 0

    @classmethod
    def of(cls, label: str, order: int) -> "Treatment":
        """The one that a diagnosis has at this place of its dims ``seasonal`` and ``order``.

        >>> Treatment.of("7D anomaly", 1) == Treatment(period="7D", seasonal="anomaly", order=1)
        True
        """
        if label == "none":
            return cls(order=order)
        period = label.removesuffix(" anomaly")
        return cls(period=period, seasonal="difference" if period == label else "anomaly", order=order)

    @property
    def name(self) -> str:
        """In a table."""
        season = f"{self.period} {self.seasonal}" if self.period else ""
        ordinary = {0: "", 1: "differenced"}.get(self.order, f"differenced {self.order} times")
        return ", ".join(filter(None, (season, ordinary))) or "raw"

    @property
    def label(self) -> str:
        """On the dim ``seasonal`` of the diagnosis."""
        if self.period is None:
            return "none"
        return self.period if self.seasonal == "difference" else f"{self.period} anomaly"

    def steps(self, **dims: Any) -> list[tuple[str, Any]]:
        """Unfitted steps of a ``GridPipeline``; the dims are those of ``Grid.of``."""
        steps: list[tuple[str, Any]] = []
        if self.seasonal == "anomaly":
            steps.append(("season", SeasonalAnomaly(str(self.period), **dims)))
        lags = (self.period,) if self.period and self.seasonal == "difference" else ()
        if self.order or lags:
            steps.append(("difference", GridDifferencer(order=self.order, lags=lags, **dims)))
        return [*steps, ("scale", GridScaler("standard", deviations=3, **dims))]

    def pipeline(self, forecaster: Any, **dims: Any) -> GridPipeline:
        """These steps and a forecaster, all unfitted."""
        return GridPipeline([*self.steps(**dims), ("forecaster", forecaster)])
