import numpy as np
import pytest
from arch.unitroot.unitroot import mackinnonp as arch_pvalue
from statsmodels.tsa.adfvalues import mackinnonp as statsmodels_pvalue

from darts_mim.diagnostics.unit_roots.mackinnon import rho_pvalue, tau_pvalue

TAU = np.concatenate([np.linspace(-30, 5, 701), [-1.61, -2.89, -3.21, -1.04, 2.74, 0.7, 0.54]])
RHO = np.concatenate([np.linspace(-300, 10, 1001), [-1.79146, -5.04709, -9.22766, -12.88512]])


@pytest.mark.parametrize("regression", ["n", "c", "ct", "ctt"])
def test_tau_is_that_of_statsmodels(regression):
    expected = [statsmodels_pvalue(each, regression=regression, N=1) for each in TAU]
    np.testing.assert_allclose(tau_pvalue(TAU, regression=regression), expected, rtol=1e-12, atol=1e-300)


@pytest.mark.parametrize("regression", ["n", "c", "ct", "ctt"])
def test_rho_is_that_of_arch(regression):
    expected = [arch_pvalue(each, regression=regression, dist_type="adf-z") for each in RHO]
    np.testing.assert_allclose(rho_pvalue(RHO, regression=regression), expected, rtol=1e-12, atol=1e-300)


def test_any_shape_and_no_number_without_a_warning():
    statistic = np.array([[-np.inf, -3.0, np.nan], [0.0, 1e200, np.inf]])
    for pvalue in (tau_pvalue(statistic, regression="c"), rho_pvalue(statistic, regression="c")):
        assert pvalue.shape == (2, 3)
        assert np.isnan(pvalue[0, 2])
        assert pvalue[0, 0] == 0
        np.testing.assert_allclose(pvalue[1, 1:], 1)
