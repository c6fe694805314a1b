import numpy as np
import pandas as pd
import pytest
import xarray as xr

from darts_mim.backtesting.backtest import backtest
from darts_mim.baselines import Climatology, Persistence


@pytest.fixture(scope="module")
def result():
    time = pd.date_range("2024-01-04", periods=96, freq="h")
    values = np.random.default_rng(0).gamma(2.0, 5.0, (96, 2, 12, 13))
    rain = xr.DataArray(
        values, {"time": time, "channel": ["in", "out"]}, ("time", "channel", "y", "x"), attrs={"units": "mm"}
    )
    fitted = {"last": Persistence().fit(rain[:30]), "normal": Climatology("1D").fit(rain[:30])}
    return backtest(
        fitted, rain, start=rain.time[30], horizon=2, metrics=["mae", "csi_8", "power_spectrum_ratio"]
    )


def test_a_row_for_each_model_metric_and_place(result):
    frame = result.to_dataframe("lead_time", "weekend")
    assert list(frame.columns) == ["model", "metric", "lead_time", "weekend", "wavelength", "score"]
    scores = result.scores_by("lead_time", "weekend")
    assert len(frame) == sum(score.size for score in scores.values())
    table = frame[frame["metric"] != "power_spectrum_ratio"]
    assert table["wavelength"].isna().all()
    for row in table.itertuples():
        expected = scores[row.metric].sel(model=row.model, lead_time=row.lead_time, weekend=row.weekend)
        assert row.score == expected.item()
    for row in frame[frame["metric"] == "power_spectrum_ratio"].itertuples():
        at = {
            "model": row.model,
            "lead_time": row.lead_time,
            "weekend": row.weekend,
            "wavelength": row.wavelength,
        }
        assert row.score == scores["power_spectrum_ratio"].sel(at).item()


def test_everything_pooled_is_a_row_for_each_model_and_metric(result):
    frame = result.to_dataframe()
    frame = frame[frame["metric"] != "power_spectrum_ratio"]
    assert frame["score"].tolist() == [
        result.scores_by()[metric].sel(model=model).item()
        for metric in ("mae", "csi_8")
        for model in ("last", "normal")
    ]


def test_labels_are_a_column(result):
    busy = xr.where(result.observed["init_time"].dt.hour > 12, "late", "early").rename("part_of_day")
    frame = result.to_dataframe(busy, "channel")
    assert list(frame.columns[:4]) == ["model", "metric", "part_of_day", "channel"]
    wide = frame[frame["metric"] == "mae"].pivot(
        index=["part_of_day", "channel"], columns="model", values="score"
    )
    expected = result.scores_by(busy, "channel")["mae"].sel(part_of_day="late", channel="out")
    assert wide.loc[("late", "out"), "last"] == expected.sel(model="last").item()
    with pytest.raises(ValueError, match="no dim 'day'"):
        result.to_dataframe("day")
