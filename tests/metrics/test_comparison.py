import numpy as np
import pytest
import statsmodels.api as sm
import xarray as xr
from scipy import stats

from darts_mim.metrics.comparison import compare_losses


def losses(n=300, *, leads=3, seed=0, better=0.9):
    """Autocorrelated losses, as neighbouring forecasts have them."""
    rng = np.random.default_rng(seed)
    shared, own = (np.zeros((2, n, leads)) for _ in range(2))
    for noise in (shared, own):
        noise[:] = rng.gamma(2.0, size=noise.shape)
        for t in range(1, n):
            noise[:, t] += 0.7 * noise[:, t - 1]
    fields = (better * (shared[0] + own[0]), shared[0] + own[1])
    return [xr.DataArray(field, dims=("init_time", "lead_time")) for field in fields]


def test_standard_errors_are_those_of_statsmodels():
    loss, reference = losses()
    result = compare_losses(loss, reference, dim="init_time", horizon=4)
    lags = round(1.3 * 300**0.5)
    t = stats.t(1.5 * 300 / lags)
    for lead in range(3):
        a, b = loss[:, lead].values, reference[:, lead].values
        skill = 1 - a.mean() / b.mean()
        series = {"test": a - b, "skill": (a - (1 - skill) * b) / b.mean()}
        fits = {
            name: sm.OLS(values, np.ones(300)).fit(
                cov_type="HAC", cov_kwds={"maxlags": lags, "use_correction": False}
            )
            for name, values in series.items()
        }
        one = result.isel(lead_time=lead)
        np.testing.assert_allclose(one["skill"], skill, rtol=1e-12)
        np.testing.assert_allclose(one["diebold_mariano"], fits["test"].tvalues[0], rtol=1e-9)
        np.testing.assert_allclose(one["p_value"], 2 * t.sf(abs(fits["test"].tvalues[0])), rtol=1e-9)
        reach = t.ppf(0.975) * fits["skill"].bse[0]
        np.testing.assert_allclose([one["low"], one["high"]], [skill - reach, skill + reach], rtol=1e-9)


def test_intervals_cover_what_they_promise():
    covered = [
        result["low"].values <= 0 and result["high"].values >= 0
        for seed in range(300)
        for result in [
            compare_losses(*losses(leads=1, seed=seed, better=1.0), dim="init_time", horizon=4).squeeze()
        ]
    ]
    assert 0.91 < np.mean(covered) < 0.98


def test_models_change_sides():
    loss, reference = losses()
    there = compare_losses(loss, reference, dim="init_time", horizon=4)
    back = compare_losses(reference, loss, dim="init_time", horizon=4)
    xr.testing.assert_allclose(there["diebold_mariano"], -back["diebold_mariano"])
    xr.testing.assert_allclose(there["p_value"], back["p_value"])


@pytest.mark.parametrize("n", [1, 4])
def test_too_few_origins_to_tell(n):
    loss, reference = losses(n)
    result = compare_losses(loss, reference, dim="init_time", horizon=4)
    assert result["skill"].notnull().all()
    assert result[["low", "high", "p_value"]].isnull().to_dataarray().all()


def test_horizon_widens_the_neighbourhood():
    loss, reference = losses(n=50)
    assert compare_losses(loss, reference, dim="init_time", horizon=4).identical(
        compare_losses(loss, reference, dim="init_time", horizon=9)
    )
    assert not compare_losses(loss, reference, dim="init_time", horizon=4).identical(
        compare_losses(loss, reference, dim="init_time", horizon=24)
    )
