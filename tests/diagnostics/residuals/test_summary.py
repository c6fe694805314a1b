import numpy as np
import pytest
import xarray as xr
from diagnostics.residuals.cases import forecasts, series

from darts_mim.diagnostics.residuals.diagnose import diagnose_residuals


@pytest.fixture(scope="module")
def observed():
    return series(channels=1).isel(channel=0, drop=True)


def lines(made, observed):
    head, *said = diagnose_residuals(made, observed, model="MIM").summary().splitlines()
    return head, {line.split(":")[0]: line for line in said}


def made_from(observed, **options):
    return forecasts(observed.expand_dims(channel=["in"], axis=1), **options).isel(channel=0, drop=True)


def truth_of(made, observed):
    return observed.sel(time=made["valid_time"]).drop_vars("time")


def test_the_best_forecast(observed):
    head, said = lines(made_from(observed), observed)
    assert head == "Errors of MIM, forecast minus observed: 397 origins, 1 h to 3 h ahead"
    assert "in 0 % of the cells: they pass as white" in said["In time"]
    assert "no more than by chance" in said["In space"]
    assert "nothing says that the model is getting worse or better" in said["Trend"]


def test_figures_are_those_of_the_dataset(observed):
    poor = made_from(observed, persistence=0.2)
    truth = truth_of(poor, observed)
    made = truth + (poor - truth) * xr.DataArray(np.linspace(1, 4, 397), dims="init_time") + 5
    diagnosis = diagnose_residuals(made, observed, model="MIM")
    _, said = lines(made, observed)
    share = diagnosis["share_rejected"].values
    assert (share == 1).all()
    assert "in 100 % of the cells: there is something left to learn from past errors" in said["In time"]
    r = diagnosis["lag1_autocorrelation"].mean(["y", "x"]).values
    assert f"is {r[0]:.2f} (3 h: {r[-1]:.2f}) on average: errors tend to last" in said["In time"]
    assert "too high on average in 100 % of the cells and too low in 0 %" in said["Bias"]
    relative = diagnosis["squared_error_trend"] / diagnosis["mean_squared_error"].mean("init_time")
    first, last = (f"{relative[lead].item():+.1%}".replace("%", " %") for lead in (0, -1))
    assert f"changes by {first} (3 h: {last}) of its mean a day" in said["Trend"]
    assert "the model is getting worse" in said["Trend"]


def test_errors_that_turn_round(observed):
    white = observed.copy(data=np.random.default_rng(0).normal(size=observed.shape))
    _, said = lines(made_from(white, persistence=0.5), white)
    assert "errors tend to turn round" in said["In time"]


def test_channels_are_told_one_by_one():
    observed = series()
    text = diagnose_residuals(forecasts(observed, horizon=1), observed).summary()
    assert text.count("In time: 1 h ahead") == 2
    assert "channel in\n" in text
    assert "channel out\n" in text
    assert "(1 h" not in text


def test_perfect_forecasts_tell_nothing(observed):
    made = made_from(observed)
    _, said = lines(truth_of(made, observed), observed)
    assert said["In time"] == "In time: too few origins, or no errors, to tell."
    assert all("to tell" in line for line in said.values())
