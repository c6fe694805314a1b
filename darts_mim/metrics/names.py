"""Metrics by the names they have in tables: ``"mse"``, and ``"csi_30"`` where a number belongs to it."""

from collections.abc import Callable, Mapping

from darts_mim.metrics.categorical import (
    CriticalSuccessIndex,
    FalseAlarmRatio,
    FrequencyBias,
    HeidkeSkillScore,
    ProbabilityOfDetection,
)
from darts_mim.metrics.metric import Metric
from darts_mim.metrics.normalised import nmae, nrmse
from darts_mim.metrics.pointwise import bias, mae, mse, rmse
from darts_mim.metrics.probabilistic import (
    IntervalCoverage,
    crps,
    crps_fair,
    rank_histogram,
    spread_skill,
)
from darts_mim.metrics.quantiles import QuantileScore, Reliability, wis
from darts_mim.metrics.sharpness import SharpnessDifference, sharpness_released
from darts_mim.metrics.spatial import FractionsSkillScore
from darts_mim.metrics.spectrum import PowerRatio, PowerSpectrumRatio
from darts_mim.metrics.structure import (
    PeakSignalToNoiseRatio,
    StructuralSimilarity,
    psnr_openstl,
    ssim_openstl,
)
from darts_mim.metrics.summed import sae, sse

PLAIN: Mapping[str, Metric] = {
    metric.name: metric
    for metric in (
        *(mse, rmse, mae, bias, nrmse, nmae, sse, sae),
        *(ssim_openstl, psnr_openstl, sharpness_released, PowerSpectrumRatio()),
        *(crps, crps_fair, spread_skill, rank_histogram, wis),
    )
}
NUMBERED: Mapping[str, tuple[Callable[..., Metric], tuple[str, ...]]] = {
    "ssim": (StructuralSimilarity, ("data_range",)),
    "psnr": (PeakSignalToNoiseRatio, ("data_range",)),
    "sharpness_difference": (SharpnessDifference, ("data_range",)),
    "csi": (CriticalSuccessIndex, ("threshold",)),
    "pod": (ProbabilityOfDetection, ("threshold",)),
    "far": (FalseAlarmRatio, ("threshold",)),
    "hss": (HeidkeSkillScore, ("threshold",)),
    "frequency_bias": (FrequencyBias, ("threshold",)),
    "fss": (FractionsSkillScore, ("threshold", "scale")),
    "power_ratio": (PowerRatio, ("wavelength",)),
    "coverage": (IntervalCoverage, ("level",)),
    "quantile_score": (QuantileScore, ("level",)),
    "reliability": (Reliability, ("level",)),
}


def named(name: str) -> Metric:
    """The metric that has this name in tables.

    Args:
        name: A name alone, or with its numbers behind it, in the order of the names that the error
            lists: ``"csi_30"`` at a threshold of 30, ``"fss_0.5_9"`` at 0.5 and 9 cells.

    Raises:
        ValueError: If there is none.

    >>> named("rmse"), named("csi_30").title
    (rmse, 'Critical success index, events of at least 30')
    """
    if name in PLAIN:
        return PLAIN[name]
    for stem, (metric, wanted) in NUMBERED.items():
        before, _, given = str(name).partition(f"{stem}_")
        if before or not given:
            continue
        try:
            numbers = dict(zip(wanted, map(float, given.split("_")), strict=True))
        except ValueError:
            break
        return metric(**numbers)
    known = [*PLAIN, *("_".join([stem, *map(str.upper, wanted)]) for stem, (_, wanted) in NUMBERED.items())]
    raise ValueError(
        f"metric={name!r} is not known. Choose from {known}, with numbers for what is in capitals, e.g. "
        f"'csi_30', or pass a Metric."
    )
