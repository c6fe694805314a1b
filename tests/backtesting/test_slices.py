import itertools

import numpy as np
import pandas as pd
import pytest
import xarray as xr
from scipy import signal

from darts_mim.backtesting.backtest import backtest
from darts_mim.backtesting.comparing import compare_slices
from darts_mim.backtesting.slices import Slices, kept_by, pool
from darts_mim.baselines import Climatology
from darts_mim.metrics.comparison import compare_losses
from darts_mim.metrics.statistic import Statistic

HORIZON = 3
OF_TIME = {
    "hour": lambda time: time.hour + time.minute / 60,
    "weekday": lambda time: time.day_of_week,
    "weekend": lambda time: time.day_of_week in (5, 6),
    "month": lambda time: time.month,
    "season": lambda time: ["DJF", "MAM", "JJA", "SON"][time.month % 12 // 3],
    "rush_hour": lambda time: time.day_of_week < 5 and time.hour in (7, 8, 9, 16, 17, 18),
}


def rain(n=300, *, freq="90min", start="2024-02-24", dtype=float):
    """Two channels on 3 x 4 cells; a gap, a frame that is NaN, and a cell that never was observed."""
    time = pd.date_range(start, periods=n, freq=freq)
    values = np.random.default_rng(0).gamma(2.0, 5.0, (n, 2, 3, 4)).astype(dtype)
    values[:, 1, 0, 2] = np.nan
    values[n // 2] = np.nan
    series = xr.DataArray(
        values, {"time": time, "channel": ["in", "out"]}, ("time", "channel", "y", "x"), attrs={"units": "mm"}
    )
    return series.drop_isel(time=[n // 2 + 9, n // 2 + 10])


def scored(series, metrics=("mse", "rmse", "bias", "csi_8", "sse"), *, train=40, stride=1):
    past = series[:train]
    fitted = {"normal": Climatology("1D").fit(past), "flat": Climatology("1D").fit(past * 0 + 9.0)}
    return backtest(fitted, series, start=series.time[train], horizon=HORIZON, metrics=metrics, stride=stride)


@pytest.fixture(scope="module", params=[float, np.float32])
def result(request):
    return scored(rain(dtype=request.param))


def frames_by(result, model, *labels_of):
    """Slowly: the errors and fields of each combination of labels, frame by frame."""
    forecast, observed = result.forecasts[model].values, result.observed.values
    found = {}
    for i, lead in itertools.product(range(result.n_origins), range(HORIZON)):
        times = (
            pd.Timestamp(result.observed.init_time.values[i]),
            pd.Timestamp(result.observed.valid_time.values[i, lead]),
        )
        key = tuple(of(*times, lead) for of in labels_of)
        if None not in key and not np.isnan(observed[i, lead]).all():
            found.setdefault(key, []).append(
                (forecast[i, lead].astype(float), observed[i, lead].astype(float))
            )
    return found


def by_hand(frames):
    """Scores of frames pooled."""
    forecast, observed = (np.stack(fields) for fields in zip(*frames, strict=True))
    error = forecast - observed
    hits = np.sum((forecast >= 8) & (observed >= 8))
    either = np.sum(((forecast >= 8) | (observed >= 8)) & ~np.isnan(observed))
    return {
        "mse": np.nanmean(error**2),
        "rmse": np.nanmean(error**2) ** 0.5,
        "bias": np.nanmean(error),
        "csi_8": hits / either,
        "sse": np.nansum(error**2) / len(frames),
    }


def of_valid(name):
    return lambda init, valid, lead: OF_TIME[name](valid)


@pytest.mark.parametrize(
    "by", [*([name] for name in OF_TIME), ["hour", "weekday"], ["month", "rush_hour"]], ids=str
)
def test_slices_equal_a_loop_over_frames(result, by):
    scores = result.scores_by(*by)
    for model in result.models:
        groups = frames_by(result, model, *map(of_valid, by))
        for labels in itertools.product(*(scores[name].values for name in by)):
            found = scores.sel(model=model, **dict(zip(by, labels, strict=True)))
            if labels not in groups:
                assert all(np.isnan(found[name]) for name in scores)
                continue
            for name, expected in by_hand(groups.pop(labels)).items():
                np.testing.assert_allclose(found[name], expected, rtol=1e-9, atol=1e-12)
        assert not groups


def test_slices_beside_leads_origins_and_channels(result):
    by_lead = result.scores_by("weekend", "lead_time")
    assert by_lead["mse"].dims == ("model", "weekend", "lead_time")
    groups = frames_by(result, "flat", of_valid("weekend"), lambda init, valid, lead: lead)
    for (weekend, lead), frames in groups.items():
        found = by_lead.sel(model="flat", weekend=weekend).isel(lead_time=lead)
        np.testing.assert_allclose(found["csi_8"], by_hand(frames)["csi_8"], rtol=1e-9)
    xr.testing.assert_identical(by_lead["lead_time"], result.scores["lead_time"])
    by_channel = result.scores_by("channel", "rush_hour")
    assert by_channel["channel"].values.tolist() == ["in", "out"]
    for (rush,), frames in frames_by(result, "flat", of_valid("rush_hour")).items():
        errors = np.stack([forecast - observed for forecast, observed in frames])
        expected = [np.nanmean(errors[:, 0] ** 2), np.nanmean(errors[:, 1] ** 2)]
        np.testing.assert_allclose(by_channel["mse"].sel(model="flat", rush_hour=rush), expected, rtol=1e-9)
    by_origin = result.scores_by("init_time", "month")
    assert by_origin["mse"].sizes == {"model": 2, "init_time": result.n_origins, "month": 2}
    whole = result.scores_by("init_time")["mse"]
    one_month = by_origin["mse"].notnull().sum("month") == 1
    xr.testing.assert_allclose(by_origin["mse"].sum("month").where(one_month), whole.where(one_month))


def test_slices_are_sorted_and_named(result):
    hours = result.scores_by("hour")["hour"]
    np.testing.assert_array_equal(hours, np.arange(0, 24, 1.5))
    assert hours.attrs == {"long_name": "Time of day", "units": "h"}
    assert result.scores_by("weekday")["weekday"].values.tolist() == [0, 1, 2, 3, 4, 5, 6]
    assert result.scores_by("weekend")["mse"].sel(weekend=True).sizes == {"model": 2}
    assert result.scores_by("hour")["rmse"].attrs["units"] == "mm"
    turned = result.scores_by("weekend", "hour")["mse"]
    xr.testing.assert_identical(
        turned.transpose("model", "hour", "weekend"), result.scores_by("hour", "weekend")["mse"]
    )


@pytest.mark.parametrize("freq", ["MS", "ME"])
def test_seasons_of_a_series_of_months(freq):
    months = pd.date_range("1990-01-01", periods=200, freq=freq)
    values = np.random.default_rng(1).gamma(2.0, size=(200, 3, 2))
    series = xr.DataArray(values, {"time": months}, ("time", "y", "x"))
    normal = Climatology("1YE").fit(series[:24])
    given = backtest({"normal": normal}, series, start=series.time[24], horizon=2, stride=2)
    scores = given.scores_by("season")
    assert scores["season"].values.tolist() == ["DJF", "MAM", "JJA", "SON"]
    error = (given.forecasts["normal"] - given.observed) ** 2
    expected = error.groupby(given.observed["valid_time"].dt.season).mean(...)
    np.testing.assert_allclose(scores["mse"][0], expected.sel(season=scores["season"]), rtol=1e-12)
    assert given.scores_by("month")["month"].values.tolist() == list(range(1, 13))
    compared = given.compare("normal", "normal", by="season")
    assert (compared["skill"] == 0).all()


def test_extra_dims_of_a_metric_stay():
    series = rain().isel(channel=0, drop=True).interp(y=np.linspace(0, 2, 8), x=np.linspace(0, 3, 9))
    given = scored(series.assign_coords(y=np.arange(8), x=np.arange(9)), ["power_spectrum_ratio", "mae"])
    found = given.scores_by("weekend", "lead_time")["power_spectrum_ratio"]
    statistic, valid = given.statistics["power_spectrum_ratio"], given.observed["valid_time"]
    metric = given.metric("power_spectrum_ratio")
    for weekend, lead in itertools.product([False, True], range(HORIZON)):
        inside = (valid.dt.dayofweek >= 5).values[:, lead] == weekend
        part = type(statistic)(
            value=statistic.value.isel(init_time=inside, lead_time=lead).sum(["init_time", "channel"]),
            weight=statistic.weight.isel(init_time=inside, lead_time=lead).sum(["init_time", "channel"]),
        )
        np.testing.assert_allclose(
            found.sel(weekend=weekend).isel(lead_time=lead).transpose("model", ...),
            metric.score(part).transpose("model", ...),
            rtol=1e-12,
        )


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ([1, 3, 2], [1, 2, 3]),
        (["storm", "calm", "hail"], ["calm", "hail", "storm"]),
        ([True, None, False], [False, True]),
        ([2.5, np.nan, -1.0], [-1.0, 2.5]),
    ],
    ids=["whole numbers", "text", "bool with none", "float with NaN"],
)
def test_labels_of_origins(result, values, expected):
    origins = result.observed["init_time"].values
    values = np.array(values, dtype=object if None in values else None)
    given = values[np.arange(len(origins)) // 7 % 3]
    kept = np.arange(len(origins)) % 5 != 4
    labels = xr.DataArray(
        given[kept], {"init_time": origins[kept]}, "init_time", name="regime", attrs={"long_name": "R"}
    )
    scores = result.scores_by(labels[::-1])
    assert scores["regime"].values.tolist() == expected
    assert scores["regime"].attrs == {"long_name": "R"}
    known = {
        time: label for time, label in zip(origins[kept], given[kept], strict=True) if not pd.isna(label)
    }
    groups = frames_by(result, "flat", lambda init, valid, lead: known.get(init.to_datetime64()))
    for (label,), frames in groups.items():
        found = scores.sel(model="flat").isel(regime=expected.index(label))
        for name, score in by_hand(frames).items():
            np.testing.assert_allclose(found[name], score, rtol=1e-9, atol=1e-12)
    assert len(groups) == len(expected)


def test_labels_of_times_and_another_slice(result):
    level = rain()[:, 0, 1, 1]
    wet = xr.where(level > 10, "wet", "dry").rename("weather")
    scores = result.scores_by(wet, "weekend")
    assert scores["mse"].dims == ("model", "weather", "weekend")
    known = {time: str(label) for time, label in zip(level.time.values, wet.values, strict=True)}
    groups = frames_by(
        result, "normal", lambda init, valid, lead: known.get(valid.to_datetime64()), of_valid("weekend")
    )
    for (label, weekend), frames in groups.items():
        found = scores.sel(model="normal", weather=label, weekend=weekend)
        np.testing.assert_allclose(found["rmse"], by_hand(frames)["rmse"], rtol=1e-9)


def test_slices_add_up_to_the_whole(result):
    quarter = xr.DataArray(
        np.arange(result.n_origins) % 4, {"init_time": result.observed.init_time}, "init_time", name="quarter"
    )
    for by, metric in itertools.product(["hour", "weekday", "season", quarter], result.metrics):
        statistic = result.statistics[metric.name]
        split = pool(statistic, kept_by(result, by))
        whole = statistic.sum(["init_time", "lead_time", "channel"])
        name = by if isinstance(by, str) else "quarter"
        assert split.value.sizes[name] > 1
        xr.testing.assert_allclose(split.sum(name).value, whole.value, rtol=1e-12)
        xr.testing.assert_identical(split.sum(name).weight, whole.weight)


def test_a_weight_of_origins_alone_counts_once_an_origin():
    """As in ``Statistic.sum``: what is not counted along the leads is not counted along them in a slice."""
    rng = np.random.default_rng(0)
    value = xr.DataArray(rng.random((4, 3, 2)), dims=("init_time", "lead_time", "channel"))
    value[1, 2, 0], value[2, 0, 1] = np.nan, np.inf
    statistic = Statistic(value=value, weight=xr.DataArray([1.0, 2.0, 4.0, 8.0], dims="init_time"))
    place = np.array([[0, 0, 1], [1, 1, -1], [-1, 1, 2], [2, 2, 2]])
    part = pool(statistic, [Slices(name="part", labels=np.arange(3), place=place, attrs={})])
    assert part.weight.values.tolist() == [1, 1 + 2 + 4, 4 + 8]
    summed = np.nansum(value.values, axis=2)
    expected = [summed[place == i].sum() for i in range(3)]
    np.testing.assert_allclose(part.value, expected, rtol=1e-12)
    assert np.isinf(part.value).values.tolist() == [False, False, False]
    np.testing.assert_array_equal(pool(statistic, []).weight, 15.0)


def test_skill_within_slices(result):
    scores = result.scores_by("weekend")["mse"]
    expected = 1 - scores / scores.sel(model="flat", drop=True)
    np.testing.assert_allclose(result.skill("flat", by="weekend"), expected, rtol=1e-12)
    wet = xr.where(rain()[:, 0, 1, 1] > 10, "wet", "dry").rename("weather")
    assert result.skill("flat", "bias", by=wet).dims == ("model", "weather")


@pytest.mark.parametrize("by", ["hour", "weekend", "rush_hour", "storm"])
def test_compare_within_slices(by):
    """Each slice has its own origins, and knows where they stand."""
    series = rain()
    given = scored(series, ["mse"], stride=2)
    origins = given.observed["init_time"]
    storm = xr.DataArray(np.arange(len(origins)) % 5 > 2, {"init_time": origins}, "init_time", name="storm")
    compared = given.compare("normal", "flat", by=storm if by == "storm" else by)
    skill = given.skill("flat", by=storm if by == "storm" else by)
    np.testing.assert_allclose(compared["skill"], skill.sel(model="normal"), rtol=1e-12)
    axis = pd.date_range(series.time.values[0], series.time.values[-1], freq="90min")
    observed, valid_time = (
        given.observed.values,
        pd.DatetimeIndex(given.observed["valid_time"].values.ravel()),
    )
    for label in compared[by].values:
        losses = {}
        for init, lead in itertools.product(range(given.n_origins), range(HORIZON)):
            valid = valid_time[init * HORIZON + lead]
            inside = (init % 5 > 2) == label if by == "storm" else OF_TIME[by](valid) == label
            if inside and not np.isnan(observed[init, lead]).all():
                for name, forecast in given.forecasts.items():
                    error = forecast.values[init, lead] - observed[init, lead]
                    losses.setdefault(name, {}).setdefault(init, []).append(np.nansum(error**2))
        steps = axis.get_indexer(pd.DatetimeIndex(origins.values[list(losses["flat"])]))
        ours, theirs = (
            xr.DataArray(
                [sum(several) for several in losses[name].values()], {"init_time": steps}, "init_time"
            )
            for name in ("normal", "flat")
        )
        expected = compare_losses(ours, theirs, dim="init_time", horizon=HORIZON)
        xr.testing.assert_allclose(compared.sel({by: label}, drop=True), expected)
    assert compared.attrs == {"model": "normal", "reference": "flat", "metric": "mse"}


def test_a_slice_of_few_origins_or_none_has_no_interval():
    given = scored(rain().drop_isel(time=[200, 201, 202, 203]), ["mse"])
    origins = given.observed["init_time"].values
    in_gap = given.observed.isnull().all(("lead_time", "channel", "y", "x")).values
    assert in_gap.any()
    few = xr.DataArray(
        np.where(in_gap, "unseen", np.where(np.arange(len(origins)) < 5, "few", "many")),
        {"init_time": origins},
        "init_time",
        name="amount",
    )
    compared = given.compare("normal", "flat", by=few)
    assert compared["amount"].values.tolist() == ["few", "many", "unseen"]
    assert compared["p_value"].isnull().values.tolist() == [True, False, True]
    assert compared["skill"].isnull().values.tolist() == [False, False, True]
    assert given.scores_by(few)["mse"].isnull().sel(model="flat").values.tolist() == [False, False, True]


def test_a_model_that_a_metric_cannot_score_compares_as_nan():
    """``crps_fair`` wants two samples; a forecast without is one."""
    base = scored(rain(), ["mse"])
    samples = xr.concat([base.forecasts["normal"] - 1, base.forecasts["normal"] + 2], "realization")
    given = backtest(
        {"samples": samples, "other": samples + 1, "one": base.forecasts["flat"]},
        rain(),
        start=rain().time[40],
        horizon=HORIZON,
        metrics=["crps_fair", "crps"],
    )
    assert given.compare("samples", "one", "crps_fair", by="weekend").isnull().all().to_array().all()
    for reference, metric in [("one", "crps"), ("other", "crps_fair")]:
        found = given.compare("samples", reference, metric, by="weekend")["skill"]
        expected = given.skill(reference, metric, by="weekend").sel(model="samples")
        np.testing.assert_allclose(found, expected, rtol=1e-12)


def frames_and_losses(rng, n, runs, correlation):
    """(forecast, origin, lead, run): two equally good forecasts; each frame is forecast at every lead."""
    noise = rng.gamma(2.0, size=(3, n + 4 + 100, runs))
    both, *own = signal.lfilter([1], [1, -correlation], noise, axis=1)[:, 100:]
    frames = np.arange(n)[:, None] + np.arange(4)
    return both[frames] + np.stack(own)[:, frames] + rng.gamma(1.0, size=(2, n, 4, runs))


@pytest.mark.parametrize("correlation", [0.0, 0.8])
def test_within_slices_luck_is_found_significant_one_time_in_twenty(correlation):
    """Four weeks of half hours; also where an hour of day has four origins a day, all of one frame."""
    n, runs = 4 * 7 * 48, 20
    origins = pd.date_range("2016-02-29 21:30", periods=n, freq="30min")
    valid = origins.values[:, None] + np.arange(1, 5) * np.timedelta64(30, "m")
    valid = xr.DataArray(valid, {"init_time": origins}, ("init_time", "lead_time"))
    found = {"hour": [], "weekday": [], "rush_hour": []}
    for seed in range(400 // runs):
        losses = frames_and_losses(np.random.default_rng([seed, 1]), n, runs, correlation)
        for by, one in found.items():
            slices = Slices.of(by, valid, "time")
            chosen = {"hour": [7, 17], "weekday": [2, 5], "rush_hour": [0, 1]}[by]
            place = np.select([slices.place == i for i in chosen], [0, 1], -1)
            slices = Slices(name=by, labels=slices.labels[chosen], place=place, attrs={})
            steps = Slices(name="init_time", labels=np.arange(n), place=np.indices(place.shape)[0], attrs={})
            value = xr.DataArray(losses, dims=("model", "init_time", "lead_time", "run"))
            total = pool(Statistic(value=value, weight=xr.ones_like(value[0, ..., 0])), [steps, slices])
            ours, theirs = total.value.where(total.weight > 0).transpose("model", ...)
            compared = compare_slices(
                ours, theirs, slice_dim=by, horizon=4, n_resamples=99, random_state=seed
            )
            outside = (compared["low"] > 0) | (compared["high"] < 0)
            one.append([(compared["p_value"] < 0.05).mean().item(), outside.mean().item()])
    for rates in found.values():
        assert (abs(np.mean(rates, axis=0) - 0.05) < 0.03).all()


def test_what_is_no_slice_is_refused(result):
    origins = {"init_time": result.observed["init_time"]}
    number = np.arange(result.n_origins)
    refused = {
        r"no dim 'day'. Choose from \['init_time', .*'rush_hour'\]": "day",
        "have no name": xr.DataArray(number, origins, "init_time"),
        r"the dims \('y',\); wanted is init_time": xr.DataArray([1, 2, 3], dims="y", name="half"),
        "no times along init_time": xr.DataArray(number, dims="init_time", name="half"),
        "times that come twice": xr.DataArray(
            [1, 2], {"init_time": origins["init_time"][[0, 0]].values}, "init_time", name="half"
        ),
        "say nothing of any forecast": xr.DataArray(
            number, {"init_time": origins["init_time"] + np.timedelta64(1, "s")}, "init_time", name="half"
        ),
        "named 'mse', as something else": xr.DataArray(number, origins, "init_time", name="mse"),
        "named 'lead_time', as something else": xr.DataArray(number, origins, "init_time", name="lead_time"),
        "named 'part', as something else": xr.DataArray(number, origins, "init_time", name="part"),
    }
    for message, by in refused.items():
        for ask in (result.scores_by, lambda by: result.compare("normal", "flat", by=by)):
            with pytest.raises(ValueError, match=message):
                ask(by)
    with pytest.raises(ValueError, match="named 'hour', as something else"):
        result.scores_by("hour", xr.DataArray(number, origins, "init_time", name="hour"))
    with pytest.raises(ValueError, match="One origin is nothing to compare"):
        result.compare("normal", "flat", by="init_time")
