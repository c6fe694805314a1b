import re
import sys
from html import unescape
from html.parser import HTMLParser

import numpy as np
import pandas as pd
import pytest
import xarray as xr
from report.backtests import flow, scored, truth_of

from darts_mim.backtesting.backtest import backtest
from darts_mim.baselines import Climatology, Persistence


def written(result, tmp_path, **options):
    return result.to_html(tmp_path / "report.html", **options).read_text(encoding="utf-8")


def body(html):
    """Without style, script and pictures."""
    return re.sub(r"<style>.*?</style>|<script>.*?</script>|base64,[^\"]*", "", html, flags=re.DOTALL)


def texts(html, tag):
    found = re.findall(rf"<{tag}\b[^>]*>(.*?)</{tag}>", body(html), flags=re.DOTALL)
    return [unescape(re.sub("<[^>]+>", "", one)) for one in found]


class Balanced(HTMLParser):
    def __init__(self, html):
        super().__init__()
        self.open = []
        self.feed(html)

    def handle_starttag(self, tag, attrs):
        if tag not in {"meta", "img"}:
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        pass

    def handle_endtag(self, tag):
        assert self.open.pop() == tag


SECTIONS = [
    "Against each rival",
    "Scores by lead time",
    "When it is good, and when not",
    "Where it is good, and where not",
    "Single forecasts",
]


@pytest.fixture(scope="module")
def usual(tmp_path_factory):
    """The report of two models, in a folder that was not there."""
    path = tmp_path_factory.mktemp("usual") / "a" / "b" / "report.html"
    return scored({"MIM": 1.0, "last": 2.0}).to_html(path).read_text(encoding="utf-8")


def test_the_file_needs_nothing_else(usual):
    assert not re.search(r'(src|href)="(?!data:|#)|url\(|@import|https?:', re.sub('base64,[^"]*', "", usual))
    assert not Balanced(body(usual)).open
    assert 'name="viewport"' in usual


def test_every_section_is_there_and_linked(usual):
    headings = texts(usual, "h2")
    assert [one for one in headings if one in SECTIONS] == SECTIONS and headings[-1] == "How this was made"
    links = re.findall(r'<a href="#(\w+)"', usual)
    assert (
        links == re.findall(r'<section id="(\w+)"', usual) and len(links) == 6
    )  # no spectrum of 3 x 4 cells


def test_one_model_alone_and_one_lead(tmp_path):
    html = written(scored({"MIM": 1.0}, horizon=1), tmp_path)
    assert SECTIONS[0] not in texts(html, "h2") and "Whether it beats a simple forecast is not known" in html
    assert re.fullmatch(r"MIM: mean squared error (1.\d\d|0.9\d\d) mm²", *texts(html, "h1"))
    assert "Skill over" not in html and "There is nothing to compare with." in html


def test_names_are_escaped(tmp_path):
    result = scored({"<b>MIM</b>": 1.0, "a & b": 2.0, '"><script>x</script>': 3.0})
    labels = xr.DataArray(
        np.where(np.arange(result.n_origins) % 2, "<i>wet</i>", "dry"),
        {"init_time": result.observed["init_time"].values},
        "init_time",
        name="<u>weather</u>",
    )
    html = written(result, tmp_path, title="<script>x</script>", regime=labels)
    assert not re.search(r"<b>MIM|<script>x|<i>wet|<u>", html)
    assert texts(html, "h1") == ["<b>MIM</b> beats a & b by 75\u00a0%"]
    assert "<u>weather</u>: <i>wet</i>" in texts(html, "th") and not Balanced(body(html)).open


def test_variables_of_a_dataset_are_its_channels(tmp_path):
    series = xr.Dataset({"a": flow(), "b <c>": flow(seed=3).assign_attrs(units="K")})
    fitted = {"normal": Climatology("1D").fit(series.isel(time=slice(56))), "last": Persistence().fit(series)}
    result = backtest(fitted, series, start=series.time[56], horizon=2, metrics=["mae"])
    html = written(result, tmp_path)
    assert {"a", "b <c>"} <= {*texts(html, "h3")} and "mm²" not in html and not Balanced(body(html)).open
    assert {"mm", "K"} <= {*texts(html, "span")}


def test_cells_that_were_never_observed(tmp_path):
    series = flow()
    series[:, 0, 1] = np.nan
    series[80:83, 2] = np.nan
    html = written(
        scored({"MIM": 1.0, "last": 2.0}, series=series.fillna(0).where(series.notnull())), tmp_path
    )
    assert not re.search(r"\bnan\b|NaN", body(html)) and texts(html, "h1")[0].startswith("MIM beats last")


def test_a_metric_without_table_cannot_decide(tmp_path):
    result = scored({"MIM": 1.0, "last": 2.0}, metrics=["power_spectrum_ratio", "psnr_40", "mae"])
    assert "mean absolute error" in written(result, tmp_path)  # the first that can
    for metric in ("power_spectrum_ratio", "psnr_40"):
        with pytest.raises(ValueError, match=rf"{metric} is none. Pass metric=, one of \['mae'\]"):
            result.to_html(tmp_path / "x.html", metric=metric)
    assert not (tmp_path / "x.html").exists()


def test_steps_of_the_calendar(tmp_path):
    series = flow(72, freq="MS")
    truth = series.values[np.arange(36, 70)[:, None] + np.arange(1, 3)]
    time = series.indexes["time"]
    at = time[36:70]
    coords = {"init_time": at.values, "lead_time": [1, 2]}
    valid = (("init_time", "lead_time"), time.values[np.arange(36, 70)[:, None] + np.arange(1, 3)])
    dims = ("init_time", "lead_time", "y", "x")
    good = xr.DataArray(truth + 1.0, {**coords, "valid_time": valid}, dims)
    result = backtest({"good": good, "bad": good + 1}, series, start=time[37], horizon=2)
    html = written(result, tmp_path)
    assert "2 steps" in texts(html, "b") and "by month" in html and "hour of the day" not in html


def test_another_reference_and_metric(tmp_path):
    result = scored({"MIM": 1.0, "last": 2.0, "normal": 3.0})
    html = written(result, tmp_path, reference="normal", metric="mae", times=result.observed["init_time"][3])
    assert re.fullmatch(r"MIM beats normal by 6\d\u00a0%", *texts(html, "h1"))
    score = float(result.scores_by()["mae"].sel(model="MIM"))
    assert f"Mean absolute error {score:.3f} mm" in html and "the best of" not in texts(html, "p")[1]
    with pytest.raises(ValueError, match=r"held against \['last', 'normal'\]"):
        result.to_html(tmp_path / "x.html", reference="MIM")


def test_samples_have_a_section_of_their_own(tmp_path):
    series = flow(100)
    truth = truth_of(series, 56, 2)
    noise = np.random.default_rng(5).normal(size=(6, *truth.shape))
    drawn = (truth + xr.DataArray(noise, dims=("realization", *truth.dims))).transpose("realization", ...)
    result = backtest({"drawn": drawn, "sure": truth + 1.5}, series, start=series.time[56], horizon=2)
    assert "Do the samples mean what they say" in texts(written(result, tmp_path), "h2")


def test_nothing_is_left_in_pyplot(usual):
    assert "matplotlib.pyplot" not in sys.modules or not sys.modules["matplotlib.pyplot"].get_fignums()


def test_a_long_day_has_hours_and_a_week(tmp_path):
    series = flow(24 * 28, freq="h", shape=(2, 3))
    late = xr.DataArray(np.where(series["time"].dt.hour == 17, 5.0, 1.0), dims="time")
    result = scored({"MIM": 1.0, "last": 2.0}, series=series, start=336, horizon=2)
    assert pd.Timedelta(hours=1) == result.observed["lead_time"].values[0]
    truth = result.observed
    size = late.assign_coords(time=series["time"]).sel(time=truth["valid_time"]).drop_vars("time")
    noise = truth.copy(data=np.random.default_rng(2).normal(size=truth.shape))
    wrong = {"MIM": truth + size * noise, "last": truth + 2 * noise}
    html = written(backtest(wrong, series, start=series.time[336], horizon=2), tmp_path)
    assert re.search(r"MIM errs most for 17:00: \d+(\.\d)? times its error over all hours", html)
    assert "At 1 of 24 times of day last has the better score" in html
    assert "by weekday and hour of the day" in html
