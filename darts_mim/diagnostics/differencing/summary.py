"""What a differencing diagnosis says of the grid as a whole."""

from typing import TYPE_CHECKING

import numpy as np
import xarray as xr

from darts_mim.diagnostics.differencing.cell_tests import MASKED, TESTED
from darts_mim.diagnostics.differencing.treatment import Treatment

if TYPE_CHECKING:
    from darts_mim.diagnostics.differencing.diagnose import DifferencingDiagnosis


def summarise(diagnosis: "DifferencingDiagnosis") -> str:
    """What was found, in a few sentences."""
    data = diagnosis.dataset
    status = data["status"].values
    tested = status == TESTED
    lines = [f"{tested.sum():,} of {(status != MASKED).sum():,} cells tested, at level {diagnosis.alpha:g}."]
    if not tested.any():
        return f"{lines[0]} The series is constant or too short to tell."
    for label in data["seasonal"].values:
        for order in data["order"].values[:2]:
            at = {"seasonal": label, "order": order}
            if not np.isfinite(data["adf_pvalue"].sel(at)).any():
                continue
            treatment = Treatment.of(str(label), int(order))
            what = "As it is" if treatment == Treatment() else treatment.name[0].upper() + treatment.name[1:]
            unit_root, moving, over = (
                float(which.sel(at).values[tested].mean())
                for which in (~data["adf_rejected"], data["kpss_rejected"], data["overdifferenced"] >= 2)
            )
            lines.append(
                f"{what}: a unit root cannot be rejected in {unit_root:.0%} of the cells, stationarity is "
                f"rejected in {moving:.0%}{f'; over-differenced in {over:.0%}' if over >= 0.05 else ''}."
            )
    for period in data["period"].values:
        lines.append(
            f"Season of {period}: strength {season_strength(data, str(period)):.2f}, cells by their variance."
        )
    coherence = float(data["morans_i"].mean())
    if np.isfinite(coherence):
        lines.append(f"Neighbouring cells need alike (Moran's I {coherence:.2f}; 0: no relation).")
    return "\n".join(lines)


def strongest_season(dataset: xr.Dataset) -> tuple[str, float] | None:
    """The period with the greatest strength, cells counted by their variance; None without periods."""
    strength = {str(period): season_strength(dataset, str(period)) for period in dataset["period"].values}
    known = {period: value for period, value in strength.items() if np.isfinite(value)}
    return max(known.items(), key=lambda item: item[1]) if known else None


def season_strength(dataset: xr.Dataset, period: str) -> float:
    """Of a season over all cells; they count by their variance."""
    strength = dataset["seasonal_strength"].sel(period=period)
    variance = dataset["variance"].sel(seasonal="none", order=0).where(np.isfinite(strength))
    whole = float(variance.sum())
    return float((strength * variance).sum()) / whole if whole > 0 else np.nan


def share_of_variance(data: xr.Dataset, which: xr.DataArray) -> float:
    """The share of the tested cells' variance that lies in these."""
    variance = data["variance"].sel(seasonal="none", order=0)
    whole = float(variance.sum())
    return float(variance.where(which).sum()) / whole if whole > 0 else 0.0
