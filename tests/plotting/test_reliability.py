import numpy as np
import pandas as pd
import pytest
import xarray as xr
from plotting.backtests import four_models, names

from darts_mim.backtesting.backtest import backtest
from darts_mim.plotting import panel, plot_coverage, plot_ranks
from darts_mim.plotting.reliability import LEVELS, coverages, ranks, sampled_models

SAMPLES = 9


@pytest.fixture(scope="module")
def result():
    """Truth is noise; samples are of the same noise, of half its spread, or none."""
    time = pd.date_range("2024-01-01", periods=140, freq="h")
    rng = np.random.default_rng(0)
    series = xr.DataArray(rng.normal(size=(140, 6, 5)), {"time": time}, ("time", "y", "x"))
    coords = {"init_time": time.values[10:139], "lead_time": pd.to_timedelta(["1h"])}
    coords["valid_time"] = (("init_time", "lead_time"), time.values[11:140][:, None])
    drawn = xr.DataArray(
        rng.normal(size=(SAMPLES, 129, 1, 6, 5)), coords, ("realization", "init_time", "lead_time", "y", "x")
    )
    given = {"right": drawn, "sure": 0.5 * drawn, "mean": 0 * drawn[0]}
    return backtest(given, series, start=time[11], horizon=1)


def of(result, name):
    """Samples and truth, sample by cell."""
    return result.forecasts[name].values.reshape(SAMPLES, -1), result.observed.values.ravel()


def test_coverage_is_the_share_between_quantiles(result):
    assert sampled_models(result) == ["right", "sure"]
    for name in ("right", "sure"):
        samples, truth = of(result, name)
        for level, found in coverages(result, name).items():
            low, high = np.quantile(samples, [(1 - level) / 2, (1 + level) / 2], axis=0)
            assert found == pytest.approx(((low <= truth) & (truth <= high)).mean(), abs=1e-12)
    right = np.array(list(coverages(result, "right").values()))
    np.testing.assert_allclose(right, np.array(LEVELS) * (SAMPLES - 1) / (SAMPLES + 1), atol=0.03)


def test_ranks_are_counted(result):
    samples, truth = of(result, "sure")
    expected = np.bincount((samples < truth).sum(0), minlength=SAMPLES + 1) / truth.size
    np.testing.assert_allclose(ranks(result, "sure"), expected, rtol=1e-12)
    assert expected[0] > 2 / (SAMPLES + 1)  # a bowl


def test_pictures_show_sampled_models_alone(result):
    _, axes = panel()
    plot_coverage(result, ax=axes)
    dashed, right, sure = axes.get_lines()
    np.testing.assert_allclose(dashed.get_ydata(), [0, 0.8])
    np.testing.assert_array_equal(right.get_ydata(), list(coverages(result, "right").values()))
    np.testing.assert_array_equal(sure.get_ydata(), list(coverages(result, "sure").values()))
    assert "mean" not in names(axes)
    _, axes = panel()
    plot_ranks(result, ax=axes)
    heights = [patch.get_data().values for patch in axes.patches]
    np.testing.assert_allclose(heights[1], ranks(result, "sure") * (SAMPLES + 1))


def test_without_samples_there_is_nothing_to_draw():
    with pytest.raises(ValueError, match="num_samples=100"):
        plot_coverage(four_models())
