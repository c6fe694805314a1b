import numpy as np
import pytest
from metrics.fields import DIMS, SPACE, field, gappy

from darts_mim.metrics import mae, mse, sae, sse

LOSS = {"sse": lambda e: e**2, "sae": abs}
both = pytest.mark.parametrize("metric", [sse, sae], ids=str)


@both
def test_equals_the_convention_of_video_prediction(metric):
    """Mean over sequences of the error summed over channel and cells, as the authors' programs count."""
    forecast, truth = field(0), field(1)
    loss = LOSS[metric.name]((forecast - truth).values)
    expected = [loss[:, lead].sum() / len(loss) for lead in range(3)]
    by_lead = metric.statistic(forecast, truth, SPACE).sum(("init_time", "channel"))
    np.testing.assert_allclose(metric.score(by_lead), expected, rtol=1e-12)
    at_once = metric(forecast, truth, dims=("init_time", "channel", *SPACE))
    np.testing.assert_allclose(at_once, expected, rtol=1e-12)
    np.testing.assert_allclose(metric(forecast, truth, dims=DIMS), np.mean(expected), rtol=1e-12)


@both
def test_channels_add_up(metric):
    by_channel = metric(field(0), field(1), dims=("init_time", "lead_time", *SPACE))
    whole = metric(field(0), field(1), dims=DIMS)
    np.testing.assert_allclose(by_channel.sum(), whole, rtol=1e-12)


def test_over_the_cells_of_a_frame_it_is_the_mean():
    forecast, truth = field(0), field(1)
    np.testing.assert_allclose(
        sse(forecast, truth, dims=DIMS), 336 * mse(forecast, truth, dims=DIMS), rtol=1e-12
    )
    np.testing.assert_allclose(
        sae(forecast, truth, dims=DIMS), 336 * mae(forecast, truth, dims=DIMS), rtol=1e-12
    )


@both
def test_a_frame_counts_if_some_cell_was_observed(metric):
    forecast, truth = field(0), gappy()
    loss = LOSS[metric.name]((forecast - truth).values)
    np.testing.assert_allclose(metric(forecast, truth, dims=DIMS), np.nansum(loss) / 17, rtol=1e-12)


@both
def test_time_may_have_any_name(metric):
    forecast, truth = (
        one.isel(lead_time=0, drop=True).rename(init_time="when") for one in (field(0), field(1))
    )
    expected = LOSS[metric.name]((forecast - truth).values).sum() / 6
    np.testing.assert_allclose(
        metric(forecast, truth, dims=("when", "channel", *SPACE)), expected, rtol=1e-12
    )
