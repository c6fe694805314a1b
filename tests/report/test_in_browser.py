"""What a reader does with a report, in a real browser."""

import numpy as np
import pytest
import xarray as xr
from report.backtests import flow, truth_of
from report.browser import CHROMIUM, seen_in

from darts_mim.backtesting.backtest import backtest

pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="no Chromium or Chrome is installed")


@pytest.fixture(scope="module")
def result():
    """Two channels, hours and weekdays, several metrics; scores of different lengths to sort."""
    one = flow(24 * 21, freq="h", shape=(9, 11))
    series = xr.concat([one, 2 * one], xr.DataArray(["in", "out"], dims="channel", name="channel"))
    series = series.transpose("time", "channel", "y", "x")
    truth = truth_of(series, 336, 4)
    noise = truth.copy(data=np.random.default_rng(1).normal(size=truth.shape))
    sizes = {"a rather long name of a model": 1.0, "ten": 10.0, "two": 2.0, "nine": 9.0}
    given = {name: truth + size * noise for name, size in sizes.items()}
    return backtest(given, series, start=series.time[336], horizon=4, metrics=["mse", "mae"])


@pytest.fixture(scope="module")
def page(result, tmp_path_factory):
    return result.to_html(tmp_path_factory.mktemp("page") / "report.html", title="Flow, four hours ahead")


@pytest.mark.parametrize("width", [1280, 390])
def test_nothing_overflows_nothing_fails_nothing_is_fetched(page, tmp_path, width):
    script = """
      seen.inner = innerWidth; seen.scroll = document.documentElement.scrollWidth;
      seen.broken = [...document.images].filter((one) => !one.naturalWidth).length;
      seen.images = document.images.length;
    """
    seen = seen_in(page, script, folder=tmp_path, width=width)
    assert seen["complaints"] == [] and seen["requests"] == []
    assert seen["inner"] == width and seen["scroll"] <= width
    assert seen["broken"] == 0 and seen["images"] > 30


def test_tables_are_sorted_by_number_and_by_name(page, result, tmp_path):
    script = """
      const table = document.querySelector("table.scores"), heads = [...table.tHead.rows[0].cells];
      const names = () => [...table.tBodies[0].rows].map((row) => row.cells[0].textContent);
      const press = (column) => {
        const button = heads[column].querySelector("button");
        button.focus();
        seen.focusable = document.activeElement === button;
        button.click();
      };
      seen.orders = []; seen.said = [];
      for (const column of [1, 1, 0]) {
        press(column);
        seen.orders.push(names());
        seen.said.push(heads.map((head) => head.getAttribute("aria-sort")));
      }
      const empty = [...document.querySelectorAll("thead th")].filter((head) => !head.textContent);
      seen.idle = empty.every((head) => !head.querySelector("button"));
    """
    seen = seen_in(page, script, folder=tmp_path)
    scores = result.scores_by()["mse"].to_series().sort_values()
    up, down, by_name = seen["orders"]
    assert up == list(scores.index) and down == up[::-1] and by_name == sorted(up)
    assert seen["said"][0][:2] == [None, "ascending"] and seen["said"][1][:2] == [None, "descending"]
    assert seen["said"][2][:2] == ["ascending", None]
    assert seen["focusable"] and seen["idle"] and seen["complaints"] == []


def test_the_slider_and_the_button_show_other_frames(page, tmp_path):
    script = """
      const film = document.querySelector(".film"), slider = film.querySelector("input");
      const shown = () => [...film.querySelectorAll(".step")].filter((one) => one.offsetHeight > 0);
      const look = () => [shown().map((one) => one.dataset.label), shown()[0].querySelector("img").src];
      seen.frames = [look()];
      slider.value = 2;
      slider.dispatchEvent(new Event("input"));
      seen.frames.push(look());
      seen.said = slider.getAttribute("aria-valuetext");
      film.querySelector(".play").click();
      await later(1000);
      seen.frames.push(look());
      film.querySelector(".play").click();
      await later(2500);
      seen.frames.push(look());
    """
    seen = seen_in(page, script, folder=tmp_path)
    labels = [labels for labels, _ in seen["frames"]]
    assert labels == [["1 h ahead"], ["3 h ahead"], ["4 h ahead"], ["4 h ahead"]]
    images = [image for _, image in seen["frames"]]
    assert len({*images[:3]}) == 3 and images[2] == images[3]
    assert seen["said"] == "3 h ahead" and seen["complaints"] == []


def test_cases_are_tabs_for_mouse_and_keys(page, tmp_path):
    script = """
      const box = document.querySelector(".tabs"), tabs = [...box.querySelectorAll("[role=tab]")];
      const shown = () => [...box.querySelectorAll(".panel")].filter((one) => one.offsetHeight > 0)
        .map((one) => one.dataset.tab);
      seen.shown = [shown()];
      tabs[1].click();
      seen.shown.push(shown());
      tabs[1].focus();
      tabs[1].dispatchEvent(new KeyboardEvent("keydown", { key: "ArrowRight", bubbles: true }));
      seen.shown.push(shown());
      seen.focus = document.activeElement.textContent;
      seen.selected = tabs.map((one) => one.getAttribute("aria-selected"));
    """
    seen = seen_in(page, script, folder=tmp_path)
    assert seen["shown"] == [["Typical"], ["Worst"], ["Best"]]
    assert seen["focus"] == "Best" and seen["selected"] == ["false", "false", "true"]
    assert seen["complaints"] == []


def test_without_its_script_every_frame_is_there(page, tmp_path):
    bare = tmp_path / "bare.html"
    html = page.read_text(encoding="utf-8")
    first, last = html.rindex("<script>"), html.rindex("</script>")
    bare.write_text(html[:first] + html[last + len("</script>") :], encoding="utf-8")
    script = """
      seen.shown = [...document.querySelectorAll(".step")].filter((one) => one.offsetHeight > 0).length;
      seen.all = document.querySelectorAll(".step").length;
      seen.controls = document.querySelectorAll("button, input").length;
    """
    seen = seen_in(bare, script, folder=tmp_path)
    assert seen["shown"] == seen["all"] == 3 * 4 and seen["controls"] == 0


@pytest.mark.parametrize("flags", [(), ("--force-prefers-reduced-motion",)], ids=["motion", "none"])
def test_who_wants_no_motion_has_the_slider_alone(page, tmp_path, flags):
    script = """
      const [play, slider] = document.querySelectorAll(".film button, .film input");
      seen.play = play.offsetHeight > 0; seen.slider = slider.offsetHeight > 0;
    """
    seen = seen_in(page, script, folder=tmp_path, flags=flags)
    assert seen["slider"] and seen["play"] == (not flags)
