from pathlib import Path

import jupytext
import pytest
from nbclient import NotebookClient

WRITTEN = {
    "01_first_forecast": {"first_forecast.html"},
    "02_your_zarr": set(),
    "03_honest_backtest": {"honest_backtest.html"},
    "04_does_my_grid_need_differencing": set(),
}
TUTORIALS = sorted((Path(__file__).resolve().parent.parent / "tutorials").glob("*.py"))


@pytest.mark.parametrize("tutorial", TUTORIALS, ids=lambda path: path.stem)
def test_tutorial_runs_from_empty(tutorial, tmp_path, monkeypatch):
    monkeypatch.setenv("DARTS_MIM_QUICK", "1")
    notebook = jupytext.read(tutorial)
    NotebookClient(notebook, timeout=300, resources={"metadata": {"path": str(tmp_path)}}).execute()
    assert {path.name for path in tmp_path.iterdir() if path.suffix == ".html"} == WRITTEN[tutorial.stem]
