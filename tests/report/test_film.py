import re
from base64 import b64decode
from io import BytesIO

import numpy as np
import pytest
import xarray as xr
from matplotlib import colormaps
from PIL import Image
from report.backtests import flow, scored

from darts_mim.grid.grid import Grid
from darts_mim.report.film import COLOURS, MOST_PIXELS, MOST_STEPS, as_png, film, upright

SCALE = {"vmin": 0.0, "vmax": 2.0, "cmap": "viridis"}


def pixels(uri):
    image = Image.open(BytesIO(b64decode(uri.partition(",")[2])))
    return np.asarray(image.convert("RGB")) / 255


def test_a_pixel_is_a_cell_in_the_colour_of_its_value():
    field = np.array([[0.0, 1.0, 2.0], [np.nan, 9.0, -1.0]])
    shown = pixels(as_png(field, SCALE))
    colours = colormaps["viridis"]([0.0, 0.5, 1.0])[:, :3]
    assert shown.shape == (2, 3, 3)
    np.testing.assert_allclose(shown[0], colours, atol=1.5 / COLOURS)
    np.testing.assert_allclose(
        shown[1], [[203 / 255, 210 / 255, 217 / 255], colours[2], colours[0]], atol=2e-3
    )


def test_large_grids_are_averaged_over_blocks():
    field = np.random.default_rng(0).random((3 * MOST_PIXELS - 2, 5)) * 2
    shown = pixels(as_png(field, SCALE))
    assert shown.shape == (MOST_PIXELS, 2, 3)
    np.testing.assert_allclose(
        shown[4, 1], colormaps["viridis"](field[12:15, 3:].mean() / 2)[:3], atol=1.5 / COLOURS
    )


@pytest.mark.parametrize("rows", [None, [1.0, 2.0, 5.0], [5.0, 2.0, 1.0]])
@pytest.mark.parametrize("columns", [None, [1.0, 2.0], [2.0, 1.0]])
def test_maps_stand_as_their_coordinates_do(rows, columns):
    """North up and east right, whatever the order in the file; without coordinates as an image."""
    coords = {"y": rows, "x": columns, "time": [np.datetime64("2024")]}
    series = xr.DataArray(
        np.arange(6.0).reshape(1, 3, 2), {k: v for k, v in coords.items() if v}, ("time", "y", "x")
    )
    shown = upright(series.values[0], Grid.of(series))
    assert shown[0, 0] == series.isel(
        y=0 if rows is None else int(np.argmax(rows)), x=0 if columns is None else int(np.argmin(columns))
    )


def test_a_step_a_lead_and_three_maps_a_channel():
    result = scored({"MIM": 1.0, "last": 2.0})
    origin = result.observed["init_time"].values[4]
    html = film(result, "MIM", origin, result.grid.channels)
    labels = re.findall('class="step" data-label="(.*?)"', html)
    assert labels == ["3 h ahead", "6 h ahead", "9 h ahead"]
    images = [pixels(uri) for uri in re.findall('src="(.*?)"', html)]
    assert len(images) == 3 * 3
    forecast, truth = (one.sel(init_time=origin) for one in (result.forecasts["MIM"], result.observed))
    high = float(max(forecast.max(), truth.max()))
    expected = colormaps["GnBu"](truth.values[1] / high)[..., :3]
    np.testing.assert_allclose(images[3 + 1], expected, atol=0.03)


def test_long_forecasts_show_some_of_their_leads():
    result = scored({"MIM": 1.0}, series=flow(120), horizon=40)
    html = film(result, "MIM", result.observed["init_time"].values[0], result.grid.channels)
    labels = re.findall('class="step" data-label="(.*?) ahead"', html)
    assert len(labels) == MOST_STEPS and labels[0] == "3 h" and labels[-1] == "5 d"
