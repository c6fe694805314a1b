import numpy as np
import pytest
import xarray as xr
from metrics.fields import DIMS, SPACE, field

from darts_mim.errors import GridDimsError
from darts_mim.metrics import FieldMetric, Metric, StructuralSimilarity
from darts_mim.metrics.frames import rows_and_columns, time_dims

SSIM = StructuralSimilarity(data_range=1)


def test_times_are_known_by_name_or_by_what_they_hold():
    assert time_dims(field(0)) == ["init_time", "lead_time"]
    renamed = field(0).rename(init_time="when", lead_time="ahead")
    assert time_dims(renamed) == ["when", "ahead"]
    assert rows_and_columns(renamed, renamed.dims) == SPACE


@pytest.mark.parametrize("dims", ["init_time", ("y",), ("init_time", "x"), ()])
def test_rows_and_columns_that_cannot_be_told_are_an_error(dims):
    with pytest.raises(GridDimsError, match=r"Rows and columns .* cannot be told"):
        SSIM(field(0), field(1), dims=dims)


def test_rows_and_columns_may_be_named():
    banded = [field(seed).rename(channel="band") for seed in (0, 1)]
    dims = [*banded[0].dims]
    with pytest.raises(GridDimsError, match="spatial_dims="):
        SSIM(*banded, dims=dims)
    score = StructuralSimilarity(data_range=1, spatial_dims=SPACE)(*banded, dims=dims)
    np.testing.assert_allclose(score, SSIM(field(0), field(1), dims=DIMS), rtol=1e-12)
    with pytest.raises(GridDimsError, match="are not in dims"):
        StructuralSimilarity(data_range=1, spatial_dims=SPACE)(*banded, dims=["init_time"])


class LargestMiss(FieldMetric):
    """A metric of one's own that is no sum over cells."""

    name = "largest_miss"
    title = "Largest miss of a field"

    def fields(self, forecast, observed, seen):
        return (abs(forecast - observed) * seen).max((1, 2)), seen.any((1, 2))


class ErrorOverSpread(Metric):
    """A metric of one's own of several sums."""

    name = "error_over_spread"
    title = "Error over the truth's mean square"
    power = 0

    def cell(self, forecast, observed):
        return {"error": (forecast - observed) ** 2, "truth": observed**2}

    def final(self, mean):
        return mean.sel(part="error", drop=True) / mean.sel(part="truth", drop=True)


def test_a_metric_of_fields_of_ones_own():
    forecast, truth = field(0), field(1)
    expected = abs(forecast - truth).max(SPACE).mean(("init_time", "channel"))
    score = LargestMiss()(forecast, truth, dims=("init_time", "channel", *SPACE))
    np.testing.assert_allclose(score, expected, rtol=1e-12)


def test_a_metric_of_several_sums_of_ones_own():
    forecast, truth = field(0), field(1)
    expected = ((forecast - truth) ** 2).sum() / (truth**2).sum()
    xr.testing.assert_allclose(
        ErrorOverSpread()(forecast, truth, dims=DIMS), expected.reset_coords(drop=True), rtol=1e-12
    )


@pytest.mark.parametrize("base", [Metric, FieldMetric])
def test_a_metric_that_says_nothing_is_an_error(base):
    nothing = type("Nothing", (base,), {"name": "nothing", "title": "Nothing"})()
    with pytest.raises(NotImplementedError, match="Nothing does not"):
        nothing(field(0), field(1), dims=DIMS)
