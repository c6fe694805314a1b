import numpy as np
import pandas as pd
import pytest
import xarray as xr
from typer.testing import CliRunner

from darts_mim.cli import app
from darts_mim.diagnostics.differencing.command import open_variable

N = 200


def flow():
    values = np.random.default_rng(0).normal(size=(N, 3, 4)).cumsum(0)
    time = pd.date_range("2024-01-01", periods=N, freq="6h")
    return xr.DataArray(values, {"time": time}, ("time", "y", "x"), name="flow")


def run(*arguments):
    return CliRunner().invoke(app, ["diagnose", *map(str, arguments)])


@pytest.fixture
def store(tmp_path):
    xr.Dataset({"flow": flow(), "rain": flow() ** 2}).to_zarr(tmp_path / "city.zarr", consolidated=False)
    return tmp_path / "city.zarr"


def test_a_store_in_a_page_out(store, tmp_path):
    page = tmp_path / "page.html"
    done = run(store, "--variable", "flow", "--period", "1D", "--max-order", "1", "--out", page)
    assert done.exit_code == 0, done.output
    assert "12 of 12 cells tested" in done.output and "Suggested: differenced" in done.output
    html = page.read_text(encoding="utf-8")
    assert "<h1>Suggested: differenced</h1>" in html and html.count("data:image/png") == 2


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ((), "No variable was named"),
        (("--variable", "snow"), "variable='snow' came"),
        (("--variable", "flow", "--period", "5h"), "5h"),
        (("--variable", "flow", "--max-order", "-1"), "max-order"),
    ],
)
def test_bad_input_gets_a_sentence_and_no_traceback(store, arguments, said, tmp_path):
    done = run(store, *arguments, "--out", tmp_path / "page.html")
    assert done.exit_code == 2 and said in done.output and "Traceback" not in done.output
    assert not (tmp_path / "page.html").exists()


def test_netcdf_and_no_store_at_all(tmp_path):
    flow().to_netcdf(tmp_path / "city.nc", engine="h5netcdf")
    assert open_variable(tmp_path / "city.nc").name == "flow"
    (tmp_path / "empty.zarr").mkdir()
    with pytest.raises(ValueError, match=r"empty\.zarr"):
        open_variable(tmp_path / "empty.zarr")
