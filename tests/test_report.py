import re
from html.parser import HTMLParser

import numpy as np
import pandas as pd
import pytest
import xarray as xr

from darts_mim import report
from darts_mim.backtesting.backtest import backtest
from darts_mim.baselines import Climatology, Persistence


def flow(n=160, *, seed=0):
    time = pd.date_range("2024-01-01", periods=n, freq="3h")
    values = np.random.default_rng(seed).gamma(2.0, 5.0, (n, 3, 4))
    return xr.DataArray(values, {"time": time}, ("time", "y", "x"), name="rain", attrs={"units": "mm"})


def scored(offsets, **options):
    """Models that err by that much besides chance."""
    series = flow()
    base = Climatology("1D").fit(series[:56])
    past = base.historical_forecasts(series, forecast_horizon=3, start=series.time[56])
    truth = series.sel(time=past["valid_time"]).drop_vars("time")
    rng = np.random.default_rng(1)
    given = {name: truth + size * rng.normal(size=truth.shape) for name, size in offsets.items()}
    return backtest(given, series, start=series.time[56], horizon=3, **options)


def written(result, tmp_path, **options):
    return result.to_html(tmp_path / "report.html", **options).read_text(encoding="utf-8")


def text(html, tag):
    found = re.findall(rf"<{tag}[^>]*>(.*?)</{tag}>", html, flags=re.DOTALL)
    return [re.sub("<[^>]+>", "", one) for one in found]


class Balanced(HTMLParser):
    def __init__(self, html):
        super().__init__()
        self.open = []
        self.feed(html)

    def handle_starttag(self, tag, attrs):
        if tag not in {"meta", "img"}:
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag


@pytest.mark.parametrize(
    ("offsets", "said"),
    [
        ({"MIM": 1.0, "last": 2.0, "normal": 3.0}, r"MIM beats last by 7\d %"),
        ({"MIM": 2.0, "last": 1.0, "normal": 3.0}, r"MIM falls short of last by (29|30|31)\d %"),
        ({"MIM": 1.0, "last": 1.0, "normal": 3.0}, "MIM and last are too close to call"),
        ({"MIM": 1.0}, r"MIM: mean squared error 1.\d\d mm²"),
    ],
)
def test_the_headline_claims_what_the_numbers_hold(tmp_path, offsets, said):
    assert re.fullmatch(said, *text(written(scored(offsets), tmp_path), "h1"))


def test_the_evidence_gives_both_scores_the_interval_and_the_leads(tmp_path):
    result = scored({"MIM": 1.0, "last": 2.0, "normal": 3.0})
    evidence = re.search(r'<p class="lead">(.*?)</p>', written(result, tmp_path))[1]
    compared = result.compare("MIM", "last", by=None)
    scores = result.scores_by()["mse"]
    assert f"Mean squared error {scores[0]:.2f} mm², against {scores[1]:.2f} mm² for last" in evidence
    assert "the best of 2 others" in evidence
    assert f"95 % interval {100 * compared['low']:.0f} % to {100 * compared['high']:.0f} %" in evidence
    assert "Ahead at every lead" in evidence and "8 Jan 2024 to 20 Jan 2024" in evidence


def test_the_best_score_of_each_column_is_bold(tmp_path):
    result = scored({"MIM": 1.0, "last": 2.0}, metrics=["mse", "bias"])
    tables = re.findall("<table>.*?</table>", written(result, tmp_path), flags=re.DOTALL)
    for table, metric in zip(tables, ("mse", "bias"), strict=True):
        rows = re.findall("<th scope=row>(.*?)</th>(.*?)</tr>", table)
        bold = np.array([["best" in cell for cell in cells.split("</td>")[:-1]] for _, cells in rows])
        size = result.table(metric).abs().loc[[name for name, _ in rows]].to_numpy()
        np.testing.assert_array_equal(bold, np.roll(size == size.min(axis=0), 1, axis=1))  # all leads first


def test_the_file_needs_nothing_else(tmp_path):
    html = written(scored({"MIM": 1.0, "last": 2.0}), tmp_path)
    assert not re.search(r'(src|href)="(?!data:)|url\(|@import|<script', html)
    assert not Balanced(html).open
    assert html.count("data:image/png;base64,") == 2 + 2  # skill, errors, two cases
    assert 'name="viewport"' in html


def test_the_cases_are_the_median_and_the_worst(tmp_path):
    result = scored({"MIM": 1.0, "last": 2.0})
    errors = result.scores_by("init_time")["mse"].sel(model="MIM").to_series().sort_values()
    headings = text(written(result, tmp_path), "h2")
    assert f"The worst forecast: {report.said_time(errors.index[-1])}" in headings
    assert (
        f"A typical forecast, of median error: {report.said_time(errors.index[len(errors) // 2])}" in headings
    )


def test_times_can_be_chosen(tmp_path):
    result = scored({"MIM": 1.0, "last": 2.0})
    times = result.observed["init_time"][[3, 7]]
    headings = text(written(result, tmp_path, times=times), "h2")
    assert [f"Forecast: {report.said_time(time)}" for time in times.values] == headings[1:3]
    one = str(times.values[0])
    assert text(written(result, tmp_path, times=one), "h2")[1] == headings[1]
    for refused in (lambda: written(result, tmp_path, times="2023-01-01"), lambda: result.plot_maps("2023")):
        with pytest.raises(ValueError, match="No forecast was made at 2023"):
            refused()


def test_folders_are_made(tmp_path):
    assert scored({"MIM": 1.0}).to_html(tmp_path / "a" / "b" / "report.html").exists()


def test_names_are_escaped(tmp_path):
    html = written(scored({"<b>MIM</b>": 1.0, "a & b": 2.0}), tmp_path, title="<script>x</script>")
    assert "<b>MIM" not in html and "<script>" not in html
    assert "&lt;b&gt;MIM&lt;/b&gt; beats a &amp; b" in html


def test_configuration_and_versions_are_told(tmp_path):
    series = flow()
    fitted = {"last": Persistence().fit(series[:56]), "normal": Climatology("1D").fit(series[:56])}
    html = written(backtest(fitted, series, start=series.time[56], horizon=3, stride=2), tmp_path)
    for said in (
        "Climatology(period=&#x27;1D&#x27;)",
        "3 frames",
        "2 frames",
        f"numpy {np.__version__}",
        "Python",
    ):
        assert said in html


def test_another_reference_and_metric(tmp_path):
    result = scored({"MIM": 1.0, "last": 2.0, "normal": 3.0})
    html = written(result, tmp_path, reference="normal", metric="mae")
    assert re.fullmatch(r"MIM beats normal by 6\d %", *text(html, "h1"))
    score = float(result.scores_by()["mae"].sel(model="MIM"))
    assert f"Mean absolute error {score:.3f} mm" in html and "the best of" not in html
    rmse = written(result, tmp_path, metric="rmse")
    assert re.fullmatch(r"MIM is 5\d % ahead of last", *text(rmse, "h1")) and "interval" not in rmse
    with pytest.raises(ValueError, match=r"held against \['last', 'normal'\]"):
        result.to_html(tmp_path / "x.html", reference="MIM")


def test_numbers_keep_three_digits():
    assert [report._number(x) for x in (0.01234, 4.2591, 191.02, 14791.3, 0.0)] == [
        "0.0123",
        "4.26",
        "191",
        "14,791",
        "0",
    ]
