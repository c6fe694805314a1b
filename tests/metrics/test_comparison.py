import numpy as np
import pandas as pd
import pytest
import xarray as xr
from scipy import signal, stats

from darts_mim.metrics.comparison import compare_losses


def losses(n=300, *, leads=3, seed=0, better=0.9, correlation=0.7):
    """Autocorrelated losses, as neighbouring forecasts have them."""
    noise = np.random.default_rng(seed).gamma(2.0, size=(3, n + 50, leads))
    shared, *own = signal.lfilter([1], [1, -correlation], noise, axis=1)[:, 50:]
    fields = (better * (shared + own[0]), shared + own[1])
    return [xr.DataArray(field, dims=("init_time", "lead_time")) for field in fields]


def at(coordinate, fields):
    return [field.assign_coords(init_time=coordinate) for field in fields]


def compared(fields, *, horizon=4, **options):
    return compare_losses(*fields, dim="init_time", horizon=horizon, n_resamples=200, **options)


def test_skill_interval_and_test_go_together():
    loss, reference = losses()
    result = compared([loss, reference])
    np.testing.assert_allclose(
        result["skill"], 1 - loss.sum("init_time") / reference.sum("init_time"), rtol=1e-12
    )
    assert ((result["low"] < result["skill"]) & (result["skill"] < result["high"])).all()
    assert ((result["low"] > 0) == (result["p_value"] < 0.05)).all() and (result["low"] > 0).any()
    assert (result["diebold_mariano"] < 0).all()


@pytest.mark.parametrize("correlation", [0.0, 0.5])
def test_equally_good_forecasts_are_told_apart_5_times_in_100(correlation):
    """The thousand runs of benchmarks/comparison_size.py, thinned."""
    outside, p_values, naive = [], [], []
    for seed in range(40):
        fields = losses(200, leads=10, seed=seed, better=1.0, correlation=correlation)
        result = compared(fields, random_state=seed)
        outside.append((result["low"] > 0) | (result["high"] < 0))
        p_values.append(result["p_value"])
        naive.append(stats.ttest_1samp(fields[0] - fields[1], 0)[1])
    assert 0.025 < np.mean(outside) < 0.08
    assert 0.025 < np.mean(np.array(p_values) < 0.05) < 0.08
    of_independent = np.mean(np.array(naive) < 0.05)
    assert of_independent > 0.2 if correlation else of_independent < 0.08


def test_forecasts_change_sides():
    loss, reference = losses()
    there, back = compared([loss, reference]), compared([reference, loss])
    xr.testing.assert_allclose(there["diebold_mariano"], -back["diebold_mariano"])
    xr.testing.assert_allclose(there["p_value"], back["p_value"])
    xr.testing.assert_allclose(1 - there["low"], 1 / (1 - back["high"]))


def test_leads_share_the_resamples():
    """So that their intervals, and that of all leads together, can be compared."""
    fields = losses()
    alike = [xr.concat([field[:, 0]] * 3, "lead_time") for field in fields]
    one = compared(alike)
    assert (one["low"] == one["low"][0]).all()
    pooled = compared([field.sum("lead_time") for field in alike])
    xr.testing.assert_allclose(pooled["low"], one["low"][0])


def test_the_seed_gives_the_same_interval():
    fields = losses()
    xr.testing.assert_identical(compared(fields), compared(fields))
    changed = compared(fields, random_state=1)
    assert (changed["low"] != compared(fields)["low"]).any()
    xr.testing.assert_identical(changed["p_value"], compared(fields)["p_value"])


@pytest.mark.parametrize("n", [1, 4, 15])
def test_too_few_origins_to_tell(n):
    result = compared(losses(n))
    assert result["skill"].notnull().all()
    assert result[["low", "high", "diebold_mariano", "p_value"]].isnull().to_dataarray().all()


def test_origins_stand_where_their_times_say():
    n = 300
    whole = losses(n)
    kept = np.delete(np.arange(n), np.r_[40:100, 150:290:3])
    missing = [field[kept] for field in whole]
    hours = pd.date_range("2024-01-01", periods=n, freq="3h")
    by_time = compared(at(hours[kept], missing))
    xr.testing.assert_identical(by_time, compared(at(kept, missing)))
    squeezed = compared(missing)
    xr.testing.assert_identical(by_time["skill"], squeezed["skill"])
    assert (abs(by_time["p_value"] / squeezed["p_value"] - 1) > 1e-3).all()


def test_a_stride_counts_the_overlap_in_origins():
    fields = losses()
    every_third = compared(at(3 * np.arange(300), fields), horizon=9)
    xr.testing.assert_identical(every_third, compared(fields, horizon=3))
    assert not compared(fields, horizon=30).identical(compared(fields, horizon=3))


@pytest.mark.parametrize("where", [0, 1])
def test_nan_leaves_an_origin_out_at_that_lead_alone(where):
    whole = losses()
    fields = [field.copy() for field in whole]
    fields[where][[5, 77, 78], 1] = np.nan
    result, full = compared(fields), compared(whole)
    kept = np.delete(np.arange(300), [5, 77, 78])
    alone = compared(at(kept, [field[kept, 1] for field in whole]))
    for name in ("skill", "diebold_mariano", "p_value"):
        np.testing.assert_allclose(result[name][[0, 2]], full[name][[0, 2]], rtol=1e-9)
    np.testing.assert_allclose(result["skill"][1], alone["skill"], rtol=1e-12)
    # three of 300 change the cosines a little, which then are not wholly orthogonal
    np.testing.assert_allclose(result["diebold_mariano"][1], alone["diebold_mariano"], rtol=0.01)
    np.testing.assert_allclose(result["low"][1], alone["low"], atol=0.02)


@pytest.mark.parametrize("where", [0, 1])
def test_an_infinite_loss_tells_nothing_at_its_lead_alone(where):
    fields = losses()
    fields[where][5, 1] = np.inf
    result = compared(fields)
    assert result["skill"][1] in (-np.inf, 1.0)
    assert result[["low", "high", "diebold_mariano", "p_value"]].to_dataarray().isnull().sum(
        "variable"
    ).values.tolist() == [0, 4, 0]
    fields[1 - where][5, 1] = np.inf
    assert compared(fields)["skill"].isnull().values.tolist() == [False, True, False]


def test_order_of_dims_and_number_type_do_not_matter():
    loss, reference = losses()
    result = compared([loss, reference])
    xr.testing.assert_identical(compared([loss.transpose(), reference]), result)
    single = compared([loss.astype("float32"), reference.astype("float32")])
    xr.testing.assert_allclose(single, result, rtol=1e-4)
    assert single["low"].dtype == float


def test_other_origins_are_refused():
    loss, reference = losses(50)
    with pytest.raises(ValueError, match="init_time"):
        compared([loss, reference[:40]])
