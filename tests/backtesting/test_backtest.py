import os
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import xarray as xr

from darts_mim.backtesting import maps
from darts_mim.backtesting.backtest import backtest
from darts_mim.baselines import Climatology, DampedAnomaly, Persistence, SeasonalNaive
from darts_mim.errors import GapError, GridDimsError, GridMismatchError, TooShortError
from darts_mim.metrics.comparison import compare_losses
from darts_mim.metrics.pointwise import Metric, mse


def flow(n=60, *, seed=0):
    time = pd.date_range("2024-01-01", periods=n, freq="3h")
    values = np.random.default_rng(seed).gamma(2.0, 5.0, (n, 2, 3, 4))
    return xr.DataArray(
        values, {"time": time, "channel": ["in", "out"]}, ("time", "channel", "y", "x"), attrs={"units": "mm"}
    )


def models(train):
    return {
        "damped": DampedAnomaly("1D").fit(train),
        "yesterday": SeasonalNaive("1D").fit(train),
        "last": Persistence().fit(train),
    }


class OnlyPredicts:
    """The least a forecaster can be; it also notes what it was shown."""

    def __init__(self, model):
        self.model = model
        self.seen = []

    def predict(self, n, series=None):
        self.seen.append(series.time.values[-1])
        return self.model.predict(n, series)


@pytest.fixture
def result():
    series = flow()
    return backtest(
        models(series[:40]), series, start=series.time[40], horizon=3, metrics=["mse", "mae", "rmse", "bias"]
    )


def test_scores_by_hand(result):
    series = flow()
    forecasts = models(series[:40])["damped"].historical_forecasts(
        series, forecast_horizon=3, start=series.time[40]
    )
    assert result.n_origins == 60 - 40 - 3 + 1
    errors = np.array(
        [[forecasts[i, lead] - series[40 + i + lead] for lead in range(3)] for i in range(result.n_origins)]
    )
    scores = result.scores.sel(model="damped")
    np.testing.assert_allclose(scores["mse"], (errors**2).mean((0, 2, 3, 4)), rtol=1e-12)
    np.testing.assert_allclose(scores["rmse"], (errors**2).mean((0, 2, 3, 4)) ** 0.5, rtol=1e-12)
    np.testing.assert_allclose(scores["mae"], abs(errors).mean((0, 2, 3, 4)), rtol=1e-12)
    np.testing.assert_allclose(scores["bias"], errors.mean((0, 2, 3, 4)), atol=1e-12)
    by_channel = result.scores_by("channel").sel(model="damped")
    np.testing.assert_allclose(by_channel["rmse"], (errors**2).mean((0, 1, 3, 4)) ** 0.5, rtol=1e-12)
    assert by_channel["channel"].values.tolist() == ["in", "out"]
    by_origin = result.scores_by("init_time").sel(model="damped")
    np.testing.assert_allclose(by_origin["mae"], abs(errors).mean((1, 2, 3, 4)), rtol=1e-12)


def test_scores_have_their_coordinates_and_units(result):
    scores = result.scores
    assert scores["mse"].dims == ("model", "lead_time")
    assert scores["model"].values.tolist() == ["damped", "yesterday", "last"]
    assert [scores[name].attrs["units"] for name in ("mse", "mae")] == ["mm^2", "mm"]
    np.testing.assert_array_equal(scores["lead_time"], pd.to_timedelta(["3h", "6h", "9h"]))


def test_observed_is_what_happened_at_the_valid_times(result):
    series = flow()
    assert result.observed.dims == ("init_time", "lead_time", "channel", "y", "x")
    np.testing.assert_array_equal(result.observed, series.sel(time=result.observed["valid_time"]))
    assert result.observed["valid_time"].values[0, 0] == series.time.values[40]


def test_a_forecaster_that_only_predicts_is_scored_the_same(result):
    series = flow()
    plain = {name: OnlyPredicts(model) for name, model in models(series[:40]).items()}
    same = backtest(
        plain, series, start=series.time[40], horizon=3, metrics=["mse", "mae", "rmse", "bias"], stride=1
    )
    xr.testing.assert_allclose(same.scores, result.scores, rtol=1e-12)
    xr.testing.assert_allclose(same.forecasts["last"], result.forecasts["last"])
    np.testing.assert_array_equal(plain["last"].seen, series.time[39:57])  # never past the origin


def test_forecasts_that_exist_already_are_scored_the_same(result):
    series = flow()
    given = backtest(dict(result.forecasts), series, start=series.time[40], horizon=3)
    xr.testing.assert_identical(given.scores, result.scores[["mse", "mae", "rmse"]])
    later = backtest({"given": result.forecasts["last"]}, series, start=series.time[50], horizon=3, stride=2)
    np.testing.assert_array_equal(later.observed["init_time"], series.time[49:57:2])


def test_one_forecaster_is_named_by_its_class():
    series = flow()
    assert backtest(Persistence().fit(series), series, start=series.time[40], horizon=1).models == [
        "Persistence"
    ]


def test_only_common_origins_are_scored():
    series = flow().drop_isel(time=[44, 50])
    fitted = models(series[:40]) | {"normal": Climatology("1D").fit(series[:40])}
    result = backtest(fitted, series, start=series.time[40], horizon=2, metrics=["mae"])
    axis = pd.date_range("2024-01-01", periods=60, freq="3h")
    whole = set(range(39, 58)) - {44, 50}
    yesterday = {t for t in range(39, 58) if not {t + 1 - 8, t + 2 - 8} & {44, 50}}
    np.testing.assert_array_equal(result.observed["init_time"], axis[sorted(whole & yesterday)])
    assert result.origins_offered == {
        "damped": len(whole),
        "yesterday": len(yesterday),
        "last": len(whole),
        "normal": 19,
    }
    lone = backtest({"normal": fitted["normal"]}, series, start=axis[40], horizon=2, metrics=["mae"])
    assert lone.n_origins == 19
    np.testing.assert_array_equal(
        lone.observed.isnull().all(("channel", "y", "x")),
        np.isin(lone.observed["valid_time"], axis[[44, 50]]),
    )
    errors = (lone.forecasts["normal"] - lone.observed).values
    np.testing.assert_allclose(
        lone.scores["mae"][0], [np.nanmean(abs(errors[:, lead])) for lead in (0, 1)], rtol=1e-12
    )


def test_never_observed_cells_count_for_nobody():
    series = flow()
    land = series.copy()
    land[:, :, 0, 1] = np.nan
    fitted = {"last": Persistence().fit(land)}
    result = backtest(fitted, land, start=series.time[40], horizon=2)
    errors = (result.forecasts["last"] - result.observed).values
    np.testing.assert_allclose(result.scores["mse"][0], np.nanmean(errors**2, (0, 2, 3, 4)), rtol=1e-12)
    assert result.statistics["mse"].weight[0, 0, 0].values.tolist() == [11.0, 11.0]


def test_dataset_is_its_channels_stacked(result):
    dataset = flow().to_dataset("channel")
    stacked = backtest(models(dataset[{"time": slice(40)}]), dataset, start=dataset.time[40], horizon=3)
    xr.testing.assert_allclose(stacked.scores, result.scores[["mse", "mae", "rmse"]], rtol=1e-12)
    assert stacked.scores_by("channel")["channel"].values.tolist() == ["in", "out"]
    assert isinstance(stacked.observed, xr.Dataset)


def test_order_and_names_of_dims_do_not_matter(result):
    series = flow().rename(channel="c", y="a", x="b").transpose("b", "time", "c", "a")
    names = {"spatial_dims": ("a", "b"), "channel_dim": "c"}
    fitted = {name: model.set_params(**names).fit(series[:, :40]) for name, model in models(flow()).items()}
    turned = backtest(fitted, series, start=series.time[40], horizon=3, **names)
    xr.testing.assert_allclose(turned.scores, result.scores[["mse", "mae", "rmse"]], rtol=1e-12)


def test_samples_are_scored_by_their_mean(result):
    series = flow()
    last = result.forecasts["last"]
    samples = xr.concat([last - 1, last + 3], "realization")
    given = backtest({"samples": samples, "mean": last + 1}, series, start=series.time[40], horizon=3)
    xr.testing.assert_allclose(
        given.scores.sel(model="samples", drop=True), given.scores.sel(model="mean", drop=True)
    )


def test_skill(result):
    mse_of = result.scores["mse"]
    skill = result.skill("last")
    np.testing.assert_allclose(skill, 1 - mse_of / mse_of.sel(model="last", drop=True), rtol=1e-12)
    assert (skill.sel(model="last") == 0).all()
    pooled = result.scores_by()["mae"]
    np.testing.assert_allclose(
        result.skill("last", "mae", by=None).sel(model="damped"),
        1 - pooled.sel(model="damped") / pooled.sel(model="last"),
    )


class Agreement(Metric):
    """Share of cells within 5: higher is better."""

    name = "agreement"
    title = "Agreement"
    power = 0
    perfect = 1.0

    def cell(self, forecast, observed):
        return (abs(forecast - observed) < 5).astype(float)


def test_a_metric_of_ones_own_where_higher_is_better():
    series = flow()
    result = backtest(
        models(series[:40]), series, start=series.time[40], horizon=3, metrics=[Agreement(), mse]
    )
    score = result.scores["agreement"]
    expected = (score - score.sel(model="last", drop=True)) / (1 - score.sel(model="last", drop=True))
    np.testing.assert_allclose(result.skill("last"), expected, rtol=1e-12)
    assert result.scores["agreement"].attrs["units"] == ""


def test_compare_agrees_with_skill(result):
    compared = result.compare("damped", "last")
    np.testing.assert_allclose(compared["skill"], result.skill("last").sel(model="damped"), rtol=1e-12)
    assert (compared["low"] < compared["skill"]).all() and (compared["skill"] < compared["high"]).all()
    pooled = result.compare("damped", "last", by=None)
    np.testing.assert_allclose(pooled["skill"], result.skill("last", by=None).sel(model="damped"), rtol=1e-12)
    with pytest.raises(ValueError, match=r"Compare one of \['mse', 'mae'\]"):
        result.compare("damped", "last", "rmse")
    with pytest.raises(ValueError, match="no model 'first'"):
        result.compare("first", "last")


@pytest.mark.parametrize("by", ["lead_time", "channel", None])
def test_compare_knows_where_origins_stand(result, by):
    """Every second step, some left out; frames that were not observed leave their lead's origin out."""
    series = flow(200)
    base = Climatology("1D").fit(series[:40])
    kept = series.drop_isel(time=[70, 71, 140])
    fitted = {"normal": base, "last": Persistence().fit(series[:40])}
    several = backtest(fitted, kept, start=series.time[40], horizon=3, stride=2)
    steps = (several.observed["init_time"].values - series.time.values[39]) // np.timedelta64(3, "h")
    assert set(np.diff(steps)) == {2, 4}
    weight = several.statistics["mse"].weight
    assert (weight == 0).any() and (weight > 0).any("lead_time").all()
    pooled = [dim for dim in ("channel", "lead_time") if dim != by]
    losses = several.statistics["mse"].sum(pooled)
    ours, theirs = (
        losses.value.where(losses.weight > 0).sel(model=name, drop=True).assign_coords(init_time=steps)
        for name in fitted
    )
    expected = compare_losses(ours, theirs, dim="init_time", horizon=3)
    xr.testing.assert_allclose(several.compare("normal", "last", by=by), expected)


def test_compare_counts_months():
    months = pd.date_range("2000-01-01", periods=120, freq="MS")
    values = np.random.default_rng(0).gamma(2.0, size=(120, 2, 3))
    series = xr.DataArray(values, {"time": months}, ("time", "y", "x"))
    fitted = {"normal": Climatology("1YE").fit(series[:12]), "last": Persistence().fit(series)}
    result = backtest(fitted, series, start=series.time[12], horizon=2, stride=3)
    losses = result.statistics["mse"].value.sum("channel").drop_vars("init_time")
    ours, theirs = (losses.sel(model=name, drop=True) for name in fitted)
    expected = compare_losses(ours, theirs, dim="init_time", horizon=1)  # of 2 months, 3 months apart
    xr.testing.assert_allclose(result.compare("normal", "last"), expected)


def test_intervals_have_a_seed(result):
    one, same, other = (result.compare("damped", "last", random_state=seed) for seed in (1, 1, 2))
    xr.testing.assert_identical(one, same)
    assert (one["low"] != other["low"]).any()
    few = result.compare("damped", "last", n_resamples=20, random_state=1)
    assert (one["low"] != few["low"]).any()


def test_compare_cells_by_hand():
    series = flow(200)
    series[:, 1, 0, 2] = np.nan
    series[60:90, 0, 1, 1] = np.nan
    normal = Climatology("1D").fit(series[:40])
    past = normal.historical_forecasts(series, forecast_horizon=3, start=series.time[40])
    noisy = past + np.random.default_rng(1).normal(0, 3, past.shape)
    fitted = {"normal": normal, "last": noisy}
    result = backtest(fitted, series, start=series.time[40], horizon=3, metrics=["mae", "rmse"])
    errors = {name: abs(forecast - result.observed) for name, forecast in result.forecasts.items()}
    sums = {name: one.sum(("init_time", "lead_time"), min_count=1) for name, one in errors.items()}
    cells = result.compare_cells("normal", "last")
    assert cells["skill"].dims == ("channel", "y", "x") and cells["skill"].shape == (2, 3, 4)
    np.testing.assert_allclose(cells["skill"], 1 - sums["normal"] / sums["last"], rtol=1e-9)
    assert cells["p_value"].isnull().sum() == 1 and not cells["significant"][1, 0, 2]
    assert cells["significant"].dtype == bool and cells["channel"].values.tolist() == ["in", "out"]
    by_lead = result.compare_cells("normal", "last", by="lead_time")
    assert by_lead["skill"].dims == ("lead_time", "channel", "y", "x")
    alone = compare_losses(
        *(errors[name][..., 0, 0, 0].drop_vars(["valid_time", "channel"]) for name in fitted),
        dim="init_time",
        horizon=3,
    )
    xr.testing.assert_allclose(by_lead["p_value"][:, 0, 0, 0].drop_vars("channel"), alone["p_value"])
    with pytest.raises(ValueError, match=r"Compare one of \['mae'\]"):
        result.compare_cells("normal", "last", "rmse")
    with pytest.raises(ValueError, match="no model 'first'"):
        result.compare_cells("normal", "first")
    with pytest.raises(ValueError, match="by='channel' came"):
        result.compare_cells("normal", "last", by="channel")


def test_cells_are_compared_in_blocks_on_any_grid(result, monkeypatch):
    cells = result.compare_cells("damped", "last")
    monkeypatch.setattr(maps, "BLOCK", 100)  # one origin has 72 cells
    xr.testing.assert_allclose(result.compare_cells("damped", "last"), cells)
    dataset = flow().to_dataset("channel")
    stacked = backtest(models(dataset[{"time": slice(40)}]), dataset, start=dataset.time[40], horizon=3)
    xr.testing.assert_allclose(stacked.compare_cells("damped", "last"), cells)
    series = flow().rename(channel="c", y="a", x="b").transpose("b", "time", "c", "a")
    one = series.isel(c=0, drop=True)
    names = {"spatial_dims": ("a", "b")}
    fitted = {name: model.set_params(**names).fit(one[:, :40]) for name, model in models(flow()).items()}
    turned = backtest(fitted, one, start=series.time[40], horizon=3, **names).compare_cells("damped", "last")
    assert turned["skill"].dims == ("a", "b") and "channel" not in turned.coords
    np.testing.assert_allclose(turned["skill"], cells["skill"][0], rtol=1e-9)


def test_scores_have_no_other_dims(result):
    for ask in (
        lambda: result.scores_by("lead"),
        lambda: result.skill("last", by="lead"),
        lambda: result.compare("damped", "last", by="lead"),
    ):
        with pytest.raises(ValueError, match=r"no dim 'lead'. Choose from \['init_time', 'lead_time'"):
            ask()


def test_table_and_summary(result):
    table = result.table("mae")
    assert list(table.columns) == ["3 h", "6 h", "9 h", "all leads"]
    np.testing.assert_allclose(table["all leads"], result.scores_by()["mae"])
    summary = result.summary()
    assert summary.startswith("18 origins common to all")
    assert "Mean absolute error (mm)" in summary and f"{table.loc['last', '3 h']:.4g}" in summary
    assert repr(result) == summary
    with pytest.raises(ValueError, match=r"metrics=\['ssim'\]"):
        result.table("ssim")


def test_errors_say_what_to_do(result):
    series = flow()
    fitted = models(series[:40])
    with pytest.raises(TooShortError, match="Start earlier"):
        backtest(fitted, series, start=series.time[58], horizon=3)
    with pytest.raises(ValueError, match="horizon=0"):
        backtest(fitted, series, start=series.time[40], horizon=0)
    with pytest.raises(GridDimsError, match="init_time and lead_time"):
        backtest({"frame": series[40:43]}, series, start=series.time[40], horizon=3)
    other = result.forecasts["last"].isel(init_time=slice(3))
    with pytest.raises(GapError, match="common to all"):
        backtest({"given": other, **fitted}, series, start=series.time[50], horizon=3)
    with pytest.raises(GridMismatchError, match="lead_time"):
        backtest({"given": result.forecasts["last"][:, 1:]}, series, start=series.time[40], horizon=2)
    with pytest.raises(GridMismatchError, match="another grid"):
        backtest({"given": result.forecasts["last"][..., 1:]}, series, start=series.time[40], horizon=3)
    with pytest.raises(ValueError, match="NaN at cells that were observed"):
        backtest({"given": result.forecasts["last"] * np.nan}, series, start=series.time[40], horizon=3)


def test_what_cannot_be_scored_is_refused_at_the_door(result):
    series, last = flow(), result.forecasts["last"]
    refused = {
        "start=40": {"start": 40},
        "No metric": {"metrics": []},
        "No forecaster": {"forecasters": {}},
        "'list' has no predict": {"forecasters": [Persistence().fit(series)]},
        "labels": {"forecasters": {"given": last.drop_vars("lead_time")}},
        "init_time=...": {"forecasters": {"given": last.drop_vars("init_time")}},
        "drop_duplicates": {"forecasters": {"given": xr.concat([last, last], "init_time")}},
        r"'1 step', '2 steps', '3 steps'\]; horizon=3 wants \['3 h'": {
            "forecasters": {"given": last.assign_coords(lead_time=[1, 2, 3])}
        },
        "wants": {"forecasters": {"given": last}, "horizon": 2},
        "valid_time": {
            "forecasters": {"given": last.assign_coords(valid_time=last.valid_time + np.timedelta64(3, "h"))}
        },
    }
    for message, change in refused.items():
        asked = {"forecasters": {"last": Persistence().fit(series)}, "start": series.time[40], "horizon": 3}
        with pytest.raises((TypeError, ValueError), match=message):
            backtest(**{**asked, "series": series, **change})


def test_a_coordinate_named_channel_is_not_in_the_way(result):
    series = flow().rename(channel="band").assign_coords(channel=("band", ["a", "b"]))
    other = backtest(models(series[:40]), series, start=series.time[40], horizon=3)
    xr.testing.assert_allclose(other.scores, result.scores[["mse", "mae", "rmse"]], rtol=1e-12)


def test_one_metric_may_stand_alone():
    series = flow()
    result = backtest(Persistence().fit(series), series, start=series.time[40], horizon=1, metrics="mae")
    assert list(result.scores) == ["mae"]


class Elsewhen(OnlyPredicts):
    def predict(self, n, series=None):
        return self.model.predict(n + 1, series)[1:]


def test_forecasts_for_other_times_are_an_error():
    series = flow()
    with pytest.raises(GridMismatchError, match="the 2 frames after the series"):
        backtest(Elsewhen(Persistence().fit(series)), series, start=series.time[40], horizon=2)


def test_progress_is_shown_only_when_asked_for(capsys):
    series = flow()
    fitted = {"last": OnlyPredicts(Persistence().fit(series))}
    backtest(fitted, series, start=series.time[50], horizon=2)
    assert capsys.readouterr().out == ""
    backtest(fitted, series, start=series.time[50], horizon=2, verbose=True)
    assert "Backtest" in capsys.readouterr().out


@pytest.mark.skipif("DARTS_MIM_DATA" not in os.environ, reason="DARTS_MIM_DATA is unset")
def test_known_errors_on_real_traffic():
    """As in tests/baselines, by way of scores: squared error summed over 2 x 16 x 12 cells."""
    path = Path(os.environ["DARTS_MIM_DATA"], "nytaxi_stsan.zarr")
    series = xr.open_zarr(path, consolidated=False)["flow"]
    train = series[:3024].load()
    fitted = {"damped": DampedAnomaly("7D").fit(train), "last week": SeasonalNaive("7D").fit(train)}
    result = backtest(fitted, series, start=series.time[3024 + 4], horizon=4)
    summed = result.scores["mse"] * 2 * 16 * 12 / float(train.max()) ** 2
    np.testing.assert_allclose(summed, [[0.023, 0.032, 0.035, 0.037], [0.051] * 4], atol=0.00051)
    assert result.n_origins == 4320 - 3024 - 8 + 1


@pytest.fixture
def scored_by_fields():
    time = pd.date_range("2024-01-01", periods=72, freq="h")
    values = np.random.default_rng(0).gamma(2.0, 5.0, (72, 12, 13))
    rain = xr.DataArray(values, {"time": time}, ("time", "y", "x"))
    models = {"last": Persistence().fit(rain[:48]), "mean": Climatology("1D").fit(rain[:48])}
    metrics = ["mse", "power_spectrum_ratio", "psnr_30"]
    return backtest(models, rain, start=rain.time[48], horizon=2, metrics=metrics)


def test_metrics_without_a_table_or_a_perfect_score(scored_by_fields):
    result = scored_by_fields
    assert "wavelength" in result.scores["power_spectrum_ratio"].dims
    with pytest.raises(ValueError, match="which is no table"):
        result.table("power_spectrum_ratio")
    assert "Peak signal-to-noise" in repr(result) and "spectrum" not in repr(result)
    assert result.table("mse")["all leads"].idxmin() == "mean"
    assert repr(result).split("Peak signal")[1].split("\n")[4].startswith("mean")  # the best first
    with pytest.raises(ValueError, match="no perfect score"):
        result.skill("last", "psnr_30")


def test_a_report_leaves_out_what_has_no_table(scored_by_fields, tmp_path):
    html = scored_by_fields.to_html(tmp_path / "report.html").read_text(encoding="utf-8")
    assert "Peak signal-to-noise ratio" in html and "spectrum" not in html.lower()
