"""What holds for every metric, whatever it counts."""

import numpy as np
import pytest
import xarray as xr
from metrics.fields import DIMS, LEVELS, SPACE, field, gappy

from darts_mim.errors import GridMismatchError
from darts_mim.metrics import (
    AnomalyCorrelation,
    CriticalSuccessIndex,
    MeanSquaredError,
    SummedSquaredError,
    blocks,
    latitude_weights,
    named,
    sum_statistics,
)
from darts_mim.metrics.names import NUMBERED, PLAIN

NUMBERS = {"fss": "0.5_3", "power_ratio": "4", "coverage": "0.8", "ssim": "1", "psnr": "1"}
BY_NAME = [*map(named, PLAIN), *(named(f"{stem}_{NUMBERS.get(stem, '0.5')}") for stem in NUMBERED)]
WITH_FIELDS = [
    AnomalyCorrelation(climatology=field(9).mean(("init_time", "lead_time"))),
    MeanSquaredError(weights=latitude_weights(field(0).y)),
    CriticalSuccessIndex(threshold=0.5, weights=latitude_weights(field(0).y)),
]
METRICS = [*BY_NAME, *WITH_FIELDS]
CASES = [(metric, own) for metric in METRICS for own in (metric.reads or (None,))]
every_metric = pytest.mark.parametrize(
    ("metric", "own"), CASES, ids=[f"{metric} {own}" if own else str(metric) for metric, own in CASES]
)

# What a perfect forecast scores where that is not the metric's ``perfect``, by name.
OWN_PERFECT = {
    "sharpness_released": lambda m: m(field(1), field(1), dims=DIMS),
    "coverage_0.8": lambda m: 1.0,
    "reliability_0.5": lambda m: 1.0,
    "rank_histogram": lambda m: 1 / 6,
}
OF_UNITS = ("rmse", "mae", "bias", "sae", "crps", "crps_fair", "quantile_score_0.5", "wis")
POWERS = {"mse": 2, "sse": 2, **dict.fromkeys(OF_UNITS, 1)}
DECIBELS = {"psnr_1", "psnr_openstl", "sharpness_difference_0.5"}


def forecast_for(own, *, dtype=np.float64):
    """With samples, or quantiles, or neither."""
    several = {"realization": {"samples": 5}, "quantile": {"levels": LEVELS}}.get(own, {})
    return field(0, dtype=dtype, **several)


@every_metric
def test_perfect_forecast(metric, own):
    if metric.name == "spread_skill":
        pytest.skip("is 0 / 0 without an error")
    truth = field(1)
    forecast = truth if own is None else truth * xr.ones_like(forecast_for(own))
    expected = OWN_PERFECT.get(metric.name, lambda m: m.perfect)(metric)
    np.testing.assert_allclose(metric(forecast, truth, dims=DIMS), expected, rtol=0, atol=1e-12)


@every_metric
def test_another_forecast_is_worse(metric, own):
    if metric.name in {"coverage_0.8", "rank_histogram", "sharpness_released"}:
        pytest.skip("has no better and worse")
    score = metric(0.7 * forecast_for(own), field(1), dims=DIMS)
    assert (score.notnull() & (abs(score - metric.perfect) > 1e-3)).all()


@every_metric
def test_pooled_over_random_splits_equals_the_whole(metric, own):
    forecast, truth = forecast_for(own), gappy()
    rng = np.random.default_rng(len(metric.title))
    order = rng.permutation(6)
    parts = np.split(order, np.sort(rng.choice(np.arange(1, 6), 2, replace=False)))
    split = [(forecast.isel(init_time=part), truth.isel(init_time=part)) for part in parts]
    pooled = sum_statistics(metric.statistic(f, o, DIMS) for f, o in split)
    whole = metric(forecast, truth, dims=DIMS)
    assert whole.notnull().all()
    xr.testing.assert_allclose(metric.score(pooled), whole, rtol=1e-12)
    windows = metric.statistic(forecast, truth, SPACE).sum(("init_time", "lead_time", "channel"))
    xr.testing.assert_allclose(metric.score(windows), whole, rtol=1e-12)


@every_metric
def test_small_blocks_change_nothing(metric, own, monkeypatch):
    forecast, truth = forecast_for(own), gappy()
    whole = metric.statistic(forecast, truth, ("init_time", *SPACE))
    monkeypatch.setattr(blocks, "BLOCK", 5 * 1400 if own else 1400)
    cut = metric.statistic(forecast, truth, ("init_time", *SPACE))
    xr.testing.assert_allclose(cut.value, whole.value, rtol=1e-12)
    xr.testing.assert_identical(cut.weight, whole.weight)


@every_metric
@pytest.mark.parametrize("dims", [SPACE, DIMS])
def test_lazy_equals_in_memory(metric, own, dims):
    forecast, truth = forecast_for(own), gappy()
    lazy = metric(forecast.chunk(init_time=2, y=5), truth.chunk(init_time=3, x=6), dims=dims)
    xr.testing.assert_allclose(lazy, metric(forecast, truth, dims=dims), rtol=1e-12)


@every_metric
def test_each_chunk_is_read_once(metric, own):
    read = []

    def reading(block):
        read.append(block.shape)
        return block

    forecast, truth = forecast_for(own), gappy()
    lazy = truth.chunk(init_time=2, channel=1)
    lazy = lazy.copy(data=lazy.data.map_blocks(reading, dtype=float, meta=np.array((), float)))
    metric.statistic(forecast, lazy, SPACE)
    assert sorted(set(read)) == [(2, 3, 1, 12, 14)]
    assert len(read) == 6


@every_metric
def test_order_of_dims_does_not_matter(metric, own):
    forecast, truth = forecast_for(own), gappy()
    turned = metric(forecast.transpose("x", "lead_time", ...), truth, dims=("lead_time", *SPACE))
    straight = metric(forecast, truth, dims=("lead_time", *SPACE))
    xr.testing.assert_allclose(turned.transpose(*straight.dims), straight, rtol=1e-12)


@every_metric
def test_dims_that_are_not_named_are_kept_with_their_coordinates(metric, own):
    score = metric(forecast_for(own), gappy(), dims=("init_time", *SPACE))
    assert {"lead_time", "channel"} <= set(score.dims) and not {"init_time", *SPACE} & set(score.dims)
    xr.testing.assert_identical(score["lead_time"], field(0)["lead_time"])
    assert score.name == metric.name and score.attrs["long_name"] == metric.title


@every_metric
def test_what_is_forecast_where_nothing_was_observed_does_not_matter(metric, own):
    forecast, truth = forecast_for(own), gappy()
    expected = metric(forecast, truth, dims=("lead_time", *SPACE))
    for value in (np.nan, -1e6):
        other = forecast.where(truth.notnull(), value)
        xr.testing.assert_identical(metric(other, truth, dims=("lead_time", *SPACE)), expected)


@every_metric
def test_nothing_observed_is_nan(metric, own):
    truth = field(1) * np.nan
    assert metric(forecast_for(own), truth, dims=DIMS).isnull().all()


@every_metric
def test_nan_forecast_of_an_observed_cell_is_an_error(metric, own):
    forecast = forecast_for(own)
    forecast[{"init_time": 3, "lead_time": 0, "channel": 1, "y": 2, "x": 1}] = np.nan
    with pytest.raises(ValueError, match="NaN at cells that were observed, in 1 of 36 windows"):
        metric.statistic(forecast, field(1), SPACE)
    with pytest.raises(ValueError, match="in 1 of 2 windows"):
        metric.statistic(forecast.chunk(init_time=1), field(1), [dim for dim in DIMS if dim != "channel"])


@every_metric
def test_float32_is_as_good(metric, own):
    forecast, truth = forecast_for(own, dtype=np.float32), gappy(dtype=np.float32)
    score = metric(forecast, truth, dims=DIMS)
    assert score.dtype == float
    if metric.name != "sharpness_released":  # whose whole numbers are cut in the fields' own type
        double = metric(forecast.astype(float), truth.astype(float), dims=DIMS)
        xr.testing.assert_allclose(score, double, rtol=1e-12)


@every_metric
def test_another_grid_is_an_error(metric, own):
    forecast, truth = forecast_for(own), field(1)
    for other in (forecast.assign_coords(y=forecast.y + 1), forecast.isel(x=slice(1, None))):
        with pytest.raises(GridMismatchError):
            metric(other, truth, dims=DIMS)
    other = forecast.isel({own: 0}, drop=True) if own else forecast.expand_dims(realization=2)
    with pytest.raises(GridMismatchError, match=metric.reads[0] if own else "realization"):
        metric(other, truth, dims=DIMS)


@every_metric
def test_units(metric, own):
    expected = ["", "mm", "mm^2"][POWERS.get(metric.name, 0)] if metric.name not in DECIBELS else "dB"
    assert metric.units("mm") == expected


@pytest.mark.parametrize("metric", BY_NAME, ids=str)
def test_a_name_gives_the_metric_that_has_it(metric):
    assert named(metric.name).name == metric.name
    assert type(named(metric.name)) is type(metric) and named(metric.name).title == metric.title


def test_losses_that_are_means_are_sums_over_counts():
    """What a test of equal accuracy reads: the values of origins add up to the score."""
    for metric, own in CASES:
        if metric.is_mean_loss:
            statistic = metric.statistic(forecast_for(own), gappy(), (*SPACE, "lead_time", "channel"))
            share = statistic.value.sum() / statistic.weight.sum()
            np.testing.assert_allclose(share, metric(forecast_for(own), gappy(), dims=DIMS), rtol=1e-12)
    assert SummedSquaredError.is_mean_loss
