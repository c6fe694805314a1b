import numpy as np
import pytest
import xarray as xr
from metrics.fields import DIMS, SPACE, field, gappy

from darts_mim.errors import GridMismatchError
from darts_mim.metrics import AnomalyCorrelation, latitude_weights


def by_loop(forecast, truth, normal, weights):
    """Wilks (2019), eq. 9.96, cell by cell."""
    both = near = seen = 0.0
    for f, o, c, w in zip(*(a.ravel() for a in (forecast, truth, normal, weights)), strict=True):
        if not np.isnan(o):
            both += w * (f - c) * (o - c)
            near += w * (f - c) ** 2
            seen += w * (o - c) ** 2
    return both / np.sqrt(near * seen)


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("kept", [("channel", "y", "x"), ("init_time", "y"), DIMS])
def test_equals_a_loop(weighted, kept):
    forecast, truth = field(0), gappy()
    normal = field(3).mean([dim for dim in DIMS if dim not in kept])
    weights = latitude_weights(truth.y) if weighted else None
    score = AnomalyCorrelation(climatology=normal, weights=weights)(forecast, truth, dims=DIMS)
    whole = [a.broadcast_like(truth).transpose(*DIMS).values for a in (normal, 0 * truth.y + 1)]
    if weighted:
        whole[1] = weights.broadcast_like(truth).transpose(*DIMS).values
    np.testing.assert_allclose(score, by_loop(forecast.values, truth.values, *whole), rtol=1e-12)


def test_centred_fields_give_pearsons():
    forecast, truth = (
        one.isel(init_time=0, lead_time=0, channel=0, drop=True) for one in (field(0), field(1))
    )
    forecast = forecast - forecast.mean() + truth.mean()
    score = AnomalyCorrelation(climatology=truth.mean())(forecast, truth, dims=SPACE)
    np.testing.assert_allclose(
        score, np.corrcoef(forecast.values.ravel(), truth.values.ravel())[0, 1], rtol=1e-12
    )


def test_climatology_by_time_is_selected_for_some_origins():
    normal = field(3)
    metric = AnomalyCorrelation(climatology=normal)
    some = dict(init_time=[4, 1])
    expected = AnomalyCorrelation(climatology=normal[some])(field(0)[some], field(1)[some], dims=SPACE)
    xr.testing.assert_identical(metric(field(0)[some], field(1)[some], dims=SPACE), expected)


def test_cells_without_climatology_are_left_out():
    normal = field(3).mean(("init_time", "lead_time"))
    holes = normal.where(normal.x > 2) if "x" in normal.coords else normal.where(np.arange(14) > 2)
    score = AnomalyCorrelation(climatology=holes)(field(0), field(1), dims=DIMS)
    part = dict(x=slice(3, None))
    expected = AnomalyCorrelation(climatology=normal[part])(field(0)[part], field(1)[part], dims=DIMS)
    np.testing.assert_allclose(score, expected, rtol=1e-12)


def test_no_anomaly_is_nan():
    truth = field(1)
    assert AnomalyCorrelation(climatology=truth)(field(0), truth, dims=DIMS).isnull()


@pytest.mark.parametrize(
    ("normal", "said"),
    [
        (field(3).mean("y").expand_dims(hour=24), "dim hour"),
        (field(3)[:2], "lack some of the fields' labels along init_time"),
        (field(3).isel(x=slice(3)), "3 along x, the fields 14"),
    ],
)
def test_another_grid_is_an_error(normal, said):
    with pytest.raises(GridMismatchError, match=said):
        AnomalyCorrelation(climatology=normal)(field(0), field(1), dims=DIMS)
