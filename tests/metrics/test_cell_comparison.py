import numpy as np
import pytest
import xarray as xr
from statsmodels.stats.multitest import multipletests

from darts_mim.metrics.cell_comparison import compare_cells
from darts_mim.metrics.comparison import compare_losses
from darts_mim.metrics.origins import Origins


def losses(n=150, *, better=(1.0, 0.5), seed=0):
    """(init_time, y, x); the first forecast's are smaller in the right half."""
    rng = np.random.default_rng(seed)
    fields = rng.gamma(2.0, size=(2, n, 3, 4))
    fields[0] *= np.repeat(better, 2)
    return [xr.DataArray(field, dims=("init_time", "y", "x")) for field in fields]


def compared(fields, n=150, *, parts=1):
    step = -(-n // parts)
    several = [tuple(field[i : i + step] for field in fields) for i in range(0, n, step)]
    return compare_cells(several, dim="init_time", origins=Origins(places=np.arange(n), overlap=2))


def test_every_cell_has_its_own_test():
    loss, reference = losses()
    loss[20:50, 0, 1] = np.nan
    reference[[3, 90], 2, 2] = np.nan
    result = compared([loss, reference], parts=3)
    assert result["skill"].dims == ("y", "x")
    alone = compare_losses(loss, reference, dim="init_time", horizon=2, n_resamples=20)
    for name in ("skill", "p_value"):
        xr.testing.assert_allclose(result[name], alone[name], rtol=1e-10)


@pytest.mark.parametrize("parts", [2, 7])
def test_parts_are_pooled_exactly(parts):
    fields = losses()
    fields[0][20:50, 0, 1] = np.nan
    xr.testing.assert_allclose(compared(fields, parts=parts), compared(fields), rtol=1e-9)


def test_discoveries_are_those_of_statsmodels():
    result = compared(losses(better=(0.95, 0.8)))
    p_values = result["p_value"].values.ravel()
    expected = multipletests(p_values, 0.05, method="fdr_bh")[0]
    np.testing.assert_array_equal(result["significant"].values.ravel(), expected)
    assert expected.any() and (p_values < 0.05).sum() > expected.sum()


def test_cells_never_observed_are_nan_and_no_test():
    fields = losses()
    bare = compared(fields)
    for field in fields:
        field[:, 1, 3] = np.nan
    result = compared(fields)
    assert result[["skill", "p_value"]].isnull().to_dataarray().sum() == 2
    assert np.isnan(result["skill"][1, 3]) and not result["significant"][1, 3]
    xr.testing.assert_allclose(
        result["p_value"].fillna(0), bare["p_value"].where(result["skill"].notnull(), 0), rtol=1e-9
    )
    nothing = compared([field * np.nan for field in fields])
    assert nothing["skill"].isnull().all() and not nothing["significant"].any()


def test_an_infinite_loss_tells_nothing_in_its_cell_alone():
    fields = losses()
    bare = compared(fields)
    fields[0][7, 2, 0] = np.inf
    result = compared(fields, parts=2)
    assert result["skill"][2, 0] == -np.inf and np.isnan(result["p_value"][2, 0])
    fields[1][7, 2, 0] = np.inf
    result = compared(fields)
    assert np.isnan(result["skill"][2, 0]) and result["p_value"].isnull().sum() == 1
    xr.testing.assert_allclose(result["skill"][:2], bare["skill"][:2])


def test_of_equal_forecasts_few_maps_find_anything():
    """With no difference anywhere any discovery is false: in 5 % of maps; of bare p-values, in half."""
    maps = [compared(losses(better=(1.0, 1.0), seed=seed)) for seed in range(150)]
    assert np.mean([one["significant"].any() for one in maps]) < 0.1
    assert np.mean([(one["p_value"] < 0.05).any() for one in maps]) > 0.3
