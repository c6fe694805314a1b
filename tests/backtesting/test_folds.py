"""Refits: who is fitted on what, and asked for which origins."""

import numpy as np
import pandas as pd
import pytest
import xarray as xr
from sklearn.base import BaseEstimator

from darts_mim import GridPipeline, GridScaler, MIMModel, SeasonalAnomaly
from darts_mim.backtesting.backtest import backtest
from darts_mim.baselines import Autoregression, Climatology, DampedAnomaly, Drift, Persistence
from darts_mim.errors import GapError, TooShortError
from darts_mim.grid.transformer import GridTransformer

QUIET = {"enable_progress_bar": False, "enable_model_summary": False, "accelerator": "cpu"}
SEEN: list[tuple] = []  # of every recorder: what was fitted on, and shown with how many frames wanted


def flow(n=60, *, seed=0, dtype="f8"):
    time = pd.date_range("2024-01-01", periods=n, freq="3h")
    values = np.random.default_rng(seed).gamma(2.0, 5.0, (n, 2, 3, 4)).astype(dtype)
    return xr.DataArray(
        values, {"time": time, "channel": ["in", "out"]}, ("time", "channel", "y", "x"), attrs={"units": "mm"}
    )


def mim(**options):
    small = {"hidden": 4, "layers": 2, "kernel_size": 3, "n_epochs": 1, "random_state": 0}
    return MIMModel(4, 2, **small, pl_trainer_kwargs=QUIET, **options)


class Recorder(BaseEstimator):
    """Notes what it is shown."""

    def __init__(self, label="recorder"):
        self.label = label

    def fit(self, series):
        self.number_ = len([one for one in SEEN if one[0] == "fit"])
        SEEN.append(("fit", *series.time.values[[0, -1]], series.sizes["time"]))
        return self

    def predict(self, n, series):
        SEEN.append(("predict", self.number_, series.time.values[-1], n))
        return Persistence().fit(series).predict(n)


@pytest.fixture(autouse=True)
def forget():
    SEEN.clear()


@pytest.mark.parametrize("stride", [1, 3])
@pytest.mark.parametrize("gap", [0, 2])
@pytest.mark.parametrize("train_length", [None, 12])
def test_no_frame_that_is_scored_was_fitted_on(stride, gap, train_length):
    series = flow()
    axis = series.time.values
    ask = {"refit_every": 4, "train_length": train_length, "gap": gap, "stride": stride}
    result = backtest(Recorder(), series, start=axis[40], horizon=3, **ask)
    rows = list(range(39, 57, stride))
    parts = [rows[k : k + 4] for k in range(0, len(rows), 4)]
    fits = [one[1:] for one in SEEN if one[0] == "fit"]
    asked = [one[1:] for one in SEEN if one[0] == "predict"]
    assert len(fits) == len(result.folds) == len(parts)
    for number, (part, (first, last, n)) in enumerate(zip(parts, fits, strict=True)):
        end = part[0] - gap
        begin = 0 if train_length is None else end - train_length + 1
        assert (first, last, n) == (axis[begin], axis[end], end - begin + 1)
        origins = [time for fit, time, _ in asked if fit == number]
        np.testing.assert_array_equal(origins, axis[part])  # each sees the series up to it, and no more
        row = result.folds.loc[number + 1]
        said = row[["train_start", "train_end", "first_origin", "last_origin"]].to_numpy("M8[ns]")
        np.testing.assert_array_equal(said, axis[[begin, end, part[0], part[-1]]])
        assert row["n_origins"] == len(part)
        forecast = result.forecasts["Recorder"].sel(init_time=axis[part])
        assert last + gap * np.timedelta64(3, "h") < forecast["valid_time"].values.min()
    assert result.n_origins == len(rows)


@pytest.mark.parametrize("dtype", ["f4", "f8"])
@pytest.mark.parametrize("train_length", [None, 24])
def test_refits_equal_a_loop(train_length, dtype):
    """Each origin by hand: cut, fit, predict."""
    series = flow(dtype=dtype)
    makers = {
        "damped": lambda: DampedAnomaly("1D"),
        "drift": lambda: Drift(),
        "scaled": lambda: GridPipeline(
            [("day", SeasonalAnomaly("1D")), ("scale", GridScaler()), ("ar", Autoregression(2, ridge=0.1))]
        ),
    }
    ask = {"start": series.time[40], "horizon": 2, "refit_every": 5, "train_length": train_length, "gap": 1}
    result = backtest({name: make() for name, make in makers.items()}, series, **ask)
    for name, make in makers.items():
        made = result.forecasts[name]
        assert made.dtype == dtype and made.dims == ("init_time", "lead_time", "channel", "y", "x")
        for index, row in enumerate(range(39, 58)):
            end = row - index % 5 - 1
            begin = 0 if train_length is None else end - train_length + 1
            by_hand = make().fit(series[begin : end + 1]).predict(2, series[: row + 1])
            np.testing.assert_allclose(made[index], by_hand, rtol=2e-5 if dtype == "f4" else 1e-10)
    assert result.settings["fitted anew"].startswith("every 5 origins, on ")
    assert result.settings["gap"] == "1 frame between training and the first frame forecast"


def test_what_came_stays_as_it_was():
    series = flow()
    model = Climatology("1D")
    backtest(model, series, start=series.time[40], horizon=1, refit_every=10)
    assert not hasattr(model, "climatology_")
    fixed = Climatology("1D").fit(series)  # on all of it: no leak, as it is fitted anew
    backtest(fixed, series, start=series.time[40], horizon=1, refit_every=10)
    assert fixed.training_.sizes["time"] == 60


def test_forecasts_given_stay_and_are_no_fold():
    series = flow()
    last = (
        Persistence().fit(series[:40]).historical_forecasts(series, forecast_horizon=2, start=series.time[40])
    )
    models = {"given": last, "normal": Climatology("1D")}
    result = backtest(models, series, start=series.time[40], horizon=2, refit_every=7)
    xr.testing.assert_identical(result.forecasts["given"], last)
    assert result.models == ["given", "normal"] and len(result.folds) == 3
    assert backtest({"given": last}, series, start=series.time[40], horizon=2).folds is None


class TellTale(GridTransformer):
    """Multiplies by how many frames it was fitted on, and takes that off by what it was told first."""

    def _learn(self, arrays):
        (array,) = arrays
        self.last_ = array["time"].values[-1]
        self.largest_ = float(array.max())
        SEEN.append(("scaler", self.last_))

    def _forward(self, array):
        return array / self.largest_

    def _backward(self, array, history):
        return array * 0 + self.largest_


def test_a_scaler_is_fitted_inside_each_fold():
    """Its forecast is the largest value it saw: on all data it would be that of the whole series."""
    series = flow()
    series[-1, 0, 0, 0] = 1e4
    pipeline = GridPipeline([("tell", TellTale()), ("last", Persistence())]).fit(series)
    result = backtest(pipeline, series, start=series.time[40], horizon=1, refit_every=6)
    made = result.forecasts["GridPipeline"]
    for index, row in enumerate(range(39, 59)):
        assert (made[index] == float(series[: row - index % 6 + 1].max())).all()
    assert [one[1] for one in SEEN[1:] if one[0] == "scaler"] == list(result.folds["train_end"].values)


@pytest.mark.parametrize("train_length", [None, 20])
def test_gaps_are_left_out_and_counted(train_length):
    whole = flow()
    series = whole.drop_isel(time=[30, 44, 45, 52])
    series = series.where(series.time != whole.time.values[48])
    ask = {"start": whole.time[40], "horizon": 2, "refit_every": 4, "train_length": train_length}
    result = backtest({"last": Persistence(), "normal": Climatology("1D")}, series, **ask)
    left = [row for row in range(39, 58) if row not in (44, 45, 48, 52)]
    np.testing.assert_array_equal(result.observed["init_time"], whole.time.values[left])
    assert result.origins_offered == {"last": len(left), "normal": 19} and result.origins_wanted == 19
    assert result.folds["n_origins"].sum() == 19  # wanted
    for index, row in enumerate(left):
        fold = (row - 39) // 4
        end = 39 + 4 * fold
        begin = whole.time.values[0 if train_length is None else end - 19]
        past = series.sel(time=slice(begin, whole.time.values[end]))
        by_hand = Climatology("1D").fit(past).predict(2, whole[: row + 1])
        np.testing.assert_allclose(result.forecasts["normal"][index], by_hand, rtol=1e-12)


def test_a_network_is_fitted_anew_over_gaps():
    whole = flow(70, dtype="f4") / 50
    series = whole.drop_isel(time=[20, 21, 61])
    ask = {"start": whole.time[56], "horizon": 2, "refit_every": 5, "metrics": ["mse"]}
    models = {"scaled": GridPipeline([("scale", GridScaler()), ("mim", mim())]), "mim": mim()}
    with pytest.warns(UserWarning, match="origins are left out"):
        result = backtest(models, series, **ask)
    left = [row for row in range(55, 68) if not {61} & set(range(row - 3, row + 1))]
    np.testing.assert_array_equal(result.observed["init_time"], whole.time.values[left])
    for number, rows in ((0, range(55, 60)), (2, range(65, 68))):
        model = mim().fit(series.sel(time=slice(None, whole.time.values[55 + 5 * number])))
        for row in rows:
            by_hand = model.predict(2, series.sel(time=slice(None, whole.time.values[row])))
            made = result.forecasts["mim"].sel(init_time=whole.time.values[row])
            np.testing.assert_allclose(made, by_hand, rtol=1e-4, atol=1e-6)


class Unclonable:
    def fit(self, series):
        return self

    def predict(self, n, series):
        return Persistence().fit(series).predict(n)


class OnlyPredicts(BaseEstimator):
    predict = Unclonable.predict


class Step(Unclonable):
    transform = inverse_transform = None


def test_what_cannot_be_fitted_anew_is_refused_before_anything_is_fitted():
    series = flow()
    ask = {"start": series.time[40], "horizon": 2, "refit_every": 5}
    with pytest.raises(
        TypeError, match=r"'strange' cannot be fitted anew: Unclonable has neither get_params"
    ):
        backtest({"good": Recorder(), "strange": Unclonable()}, series, **ask)
    with pytest.raises(TypeError, match="Step has neither get_params"):
        pipeline = GridPipeline([("step", Step()), ("last", Persistence())])
        backtest({"good": Recorder(), "strange": pipeline}, series, **ask)
    with pytest.raises(TypeError, match="it has no fit"):
        backtest({"good": Recorder(), "strange": OnlyPredicts()}, series, **ask)
    assert SEEN == []


def test_too_few_frames_are_an_error_early():
    series = flow()
    ask = {"horizon": 2, "refit_every": 5}
    with pytest.raises(
        TooShortError, match=r"'mim' cannot be fitted for fold 1 of 4, on the 5 frames .* at least 6"
    ):
        backtest({"good": Recorder(), "mim": mim()}, series, start=series.time[40], train_length=5, **ask)
    with pytest.raises(TooShortError, match=r"has 40 frames before it; wanted are train_length=50 and gap=3"):
        backtest(Recorder(), series, start=series.time[40], train_length=50, gap=3, **ask)
    with pytest.raises(TooShortError, match="at least one frame to fit on and gap=40"):
        backtest(Recorder(), series, start=series.time[40], gap=40, **ask)
    empty = series.drop_isel(time=range(10, 40))
    with pytest.raises(TooShortError, match="and there are 0 from the first to the last observed"):
        backtest(Recorder(), empty, start=series.time[40], train_length=20, **ask)
    assert SEEN == []


def test_those_who_may_fail_are_fitted_before_networks():
    series = flow()
    with pytest.raises(TooShortError, match=r"'ar' cannot be fitted for fold 1 of 11, .* Start later"):
        models = {"mim": GridPipeline([("tell", TellTale()), ("mim", mim())]), "ar": Autoregression(4)}
        backtest(models, series, start=series.time[7], horizon=1, refit_every=5)
    assert SEEN == []


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"refit_every": 0}, "refit_every=0"),
        ({"refit_every": 2, "train_length": 0}, "train_length=0"),
        ({"refit_every": 2, "gap": -1}, "gap=-1"),
        ({"train_length": 20}, "train_length=20 came without refit_every"),
    ],
)
def test_numbers_are_checked(wrong, message):
    series = flow()
    with pytest.raises(ValueError, match=message):
        backtest(Recorder(), series, start=series.time[40], horizon=2, **wrong)


def test_a_fold_without_an_origin_is_no_error_but_no_fold_at_all_is():
    whole = flow()
    series = whole.drop_isel(time=[42, 43, 44, 45, 46])
    ask = {"horizon": 1, "refit_every": 2}
    result = backtest(Drift(window=3), series, start=whole.time[43], **ask)
    assert result.origins_offered["Drift"] == 59 - 49  # a window of 3 is whole from 49 on
    with pytest.raises(GapError, match="could forecast from none of 4 origins"):
        backtest(Drift(window=3), series[:45], start=whole.time[43], stride=2, **ask)
