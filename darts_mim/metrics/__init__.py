"""How far a forecast is from what happened: a statistic per window, pooled, then one final step."""

from darts_mim.metrics.categorical import CriticalSuccessIndex as CriticalSuccessIndex
from darts_mim.metrics.categorical import FalseAlarmRatio as FalseAlarmRatio
from darts_mim.metrics.categorical import FrequencyBias as FrequencyBias
from darts_mim.metrics.categorical import HeidkeSkillScore as HeidkeSkillScore
from darts_mim.metrics.categorical import ProbabilityOfDetection as ProbabilityOfDetection
from darts_mim.metrics.correlation import AnomalyCorrelation as AnomalyCorrelation
from darts_mim.metrics.frames import FieldMetric as FieldMetric
from darts_mim.metrics.metric import Metric as Metric
from darts_mim.metrics.names import named as named
from darts_mim.metrics.normalised import NormalisedMeanAbsoluteError as NormalisedMeanAbsoluteError
from darts_mim.metrics.normalised import NormalisedRootMeanSquaredError as NormalisedRootMeanSquaredError
from darts_mim.metrics.normalised import nmae as nmae
from darts_mim.metrics.normalised import nrmse as nrmse
from darts_mim.metrics.pointwise import Bias as Bias
from darts_mim.metrics.pointwise import MeanAbsoluteError as MeanAbsoluteError
from darts_mim.metrics.pointwise import MeanSquaredError as MeanSquaredError
from darts_mim.metrics.pointwise import RootMeanSquaredError as RootMeanSquaredError
from darts_mim.metrics.pointwise import bias as bias
from darts_mim.metrics.pointwise import mae as mae
from darts_mim.metrics.pointwise import mse as mse
from darts_mim.metrics.pointwise import rmse as rmse
from darts_mim.metrics.probabilistic import (
    ContinuousRankedProbabilityScore as ContinuousRankedProbabilityScore,
)
from darts_mim.metrics.probabilistic import IntervalCoverage as IntervalCoverage
from darts_mim.metrics.probabilistic import RankHistogram as RankHistogram
from darts_mim.metrics.probabilistic import SpreadSkillRatio as SpreadSkillRatio
from darts_mim.metrics.probabilistic import crps as crps
from darts_mim.metrics.probabilistic import crps_fair as crps_fair
from darts_mim.metrics.probabilistic import rank_histogram as rank_histogram
from darts_mim.metrics.probabilistic import spread_skill as spread_skill
from darts_mim.metrics.quantiles import QuantileScore as QuantileScore
from darts_mim.metrics.quantiles import Reliability as Reliability
from darts_mim.metrics.quantiles import WeightedIntervalScore as WeightedIntervalScore
from darts_mim.metrics.quantiles import wis as wis
from darts_mim.metrics.sharpness import ReleasedSharpness as ReleasedSharpness
from darts_mim.metrics.sharpness import SharpnessDifference as SharpnessDifference
from darts_mim.metrics.sharpness import sharpness_released as sharpness_released
from darts_mim.metrics.spatial import FractionsSkillScore as FractionsSkillScore
from darts_mim.metrics.spectrum import PowerRatio as PowerRatio
from darts_mim.metrics.spectrum import PowerSpectrumRatio as PowerSpectrumRatio
from darts_mim.metrics.statistic import Statistic as Statistic
from darts_mim.metrics.statistic import sum_statistics as sum_statistics
from darts_mim.metrics.structure import OpenSTLPeakSignalToNoiseRatio as OpenSTLPeakSignalToNoiseRatio
from darts_mim.metrics.structure import OpenSTLStructuralSimilarity as OpenSTLStructuralSimilarity
from darts_mim.metrics.structure import PeakSignalToNoiseRatio as PeakSignalToNoiseRatio
from darts_mim.metrics.structure import StructuralSimilarity as StructuralSimilarity
from darts_mim.metrics.structure import psnr_openstl as psnr_openstl
from darts_mim.metrics.structure import ssim_openstl as ssim_openstl
from darts_mim.metrics.summed import SummedAbsoluteError as SummedAbsoluteError
from darts_mim.metrics.summed import SummedSquaredError as SummedSquaredError
from darts_mim.metrics.summed import sae as sae
from darts_mim.metrics.summed import sse as sse
from darts_mim.metrics.weights import latitude_weights as latitude_weights
