import numpy as np
import pandas as pd
import pytest
import xarray as xr
from diagnostics.residuals.cases import forecasts, series

from darts_mim.backtesting.backtest import backtest
from darts_mim.diagnostics.residuals.forecast_errors import errors_of_backtest, errors_of_forecasts
from darts_mim.errors import GapError, GridDimsError, GridMismatchError, TooShortError


def test_errors_are_forecast_minus_observed():
    observed = series(30)
    errors = errors_of_forecasts(forecasts(observed), observed, model="damped")
    for origin, lead in [(0, 1), (7, 3), (26, 2)]:
        expected = 0.8**lead * observed.values[origin] - observed.values[origin + lead]
        np.testing.assert_allclose(errors.values[origin, lead - 1], expected, rtol=1e-12)
    assert (errors.model, errors.units, errors.first_lags) == ("damped", "mm", (1, 2, 3))


def test_a_backtest_has_the_same():
    observed = series(40, dtype="float32")
    made = {"damped": forecasts(observed), "last": forecasts(observed, persistence=1.0)}
    result = backtest(made, observed, start=observed.time[1], horizon=3)
    for name, model in (("damped", None), ("damped", "damped"), ("last", "last")):
        ours = errors_of_backtest(result, model=model)
        theirs = errors_of_forecasts(made[name], observed)
        np.testing.assert_allclose(ours.values, theirs.values, rtol=1e-5, atol=1e-6)
        assert (ours.model, ours.units, ours.first_lags) == (name, "mm", (1, 2, 3))
        assert ours.axis.equals(theirs.axis)


def test_gaps_are_rows_of_nan():
    observed = series(30)
    made = forecasts(observed)
    whole = errors_of_forecasts(made, observed)
    errors = errors_of_forecasts(made.isel(init_time=[0, 1, 2, 5, 6, 9]), observed.drop_isel(time=7))
    assert errors.axis.equals(whole.axis[:10])
    kept = np.zeros((10, 3), dtype=bool)
    kept[[0, 1, 2, 5, 6, 9]] = True
    kept[[5, 6], [1, 0]] = False  # what happened at row 7 is unknown
    np.testing.assert_array_equal(errors.values[kept], whole.values[:10][kept])
    assert np.isnan(errors.values[~kept]).all()


@pytest.mark.parametrize(
    ("stride", "expected"), [(1, (1, 2, 3, 4)), (2, (1, 1, 2, 2)), (3, (1, 1, 1, 2)), (5, (1,) * 4)]
)
@pytest.mark.parametrize("freq", ["30min", "D", "MS", "ME"])
def test_overlap_is_counted_in_steps_of_the_origins(freq, stride, expected):
    observed = series(60, freq=freq)
    made = forecasts(observed, horizon=4, stride=stride)
    assert errors_of_forecasts(made, observed).first_lags == expected


def test_order_of_dims_samples_and_datasets():
    observed = series(20)
    made = forecasts(observed)
    expected = errors_of_forecasts(made, observed).values
    turned = made.transpose("x", "lead_time", "channel", "init_time", "y")
    np.testing.assert_array_equal(errors_of_forecasts(turned, observed).values, expected)
    sampled = xr.concat([made - 1, made + 1], pd.RangeIndex(2, name="realization"))
    np.testing.assert_allclose(errors_of_forecasts(sampled, observed).values, expected, atol=1e-12)
    split = errors_of_forecasts(made.to_dataset("channel"), observed.to_dataset("channel"))
    np.testing.assert_array_equal(split.values, expected)


def test_what_came_is_said():
    observed = series(20)
    made = forecasts(observed)
    result = backtest({"damped": made}, observed, start=observed.time[1], horizon=3)
    with pytest.raises(ValueError, match=r"no model 'MIM' here\. Choose from .'damped'."):
        errors_of_backtest(result, model="MIM")
    with pytest.raises(ValueError, match="Leave out observed"):
        errors_of_backtest(result, observed)
    with pytest.raises(ValueError, match="Pass what was observed"):
        errors_of_forecasts(made, None)
    with pytest.raises(GridDimsError, match="no 'lead_time'"):
        errors_of_forecasts(made.isel(lead_time=0), observed)
    with pytest.raises(GridDimsError, match="no 'valid_time'"):
        errors_of_forecasts(made.drop_vars("valid_time"), observed)
    with pytest.raises(GridMismatchError):
        errors_of_forecasts(made.isel(x=slice(3)), observed)
    with pytest.raises(TooShortError, match="1 origin came"):
        errors_of_forecasts(made[:1], observed)
    with pytest.raises(GapError, match="Check the times"):
        errors_of_forecasts(made, observed.assign_coords(time=observed.time + np.timedelta64(99, "D")))
