"""Draw the pictures of the docs and run the tutorials, all from empty.

    python docs/build.py          (or: make docs)

Trains the demo's network (minutes), draws ``docs/images``, and writes the tutorials as executed notebooks to
``out/docs``.
"""

from pathlib import Path

import jupytext
from nbclient import NotebookClient

from darts_mim import demo
from darts_mim.plotting import panel, plot_skill

ROOT = Path(__file__).resolve().parent.parent
IMAGES = ROOT / "docs" / "images"
OUT = ROOT / "out" / "docs"
MORNING = "2016-03-15T07:30"  # a Tuesday's rush hour in the test part


def draw_pictures() -> None:
    """The pictures that README.md and docs/results.md show, from one run of the demo."""
    IMAGES.mkdir(parents=True, exist_ok=True)
    result = demo.run(OUT).result
    result.plot_maps(MORNING, channel="inflow").savefig(IMAGES / "forecast.png", dpi=110)
    figure, axes = panel()
    plot_skill(result, "damped anomaly", ax=axes)
    figure.savefig(IMAGES / "skill.png", dpi=120)


def run_tutorials() -> None:
    """Every tutorial, executed from empty."""
    OUT.mkdir(parents=True, exist_ok=True)
    for source in sorted((ROOT / "tutorials").glob("*.py")):
        notebook = jupytext.read(source)
        NotebookClient(notebook, timeout=1800, resources={"metadata": {"path": str(OUT)}}).execute()
        jupytext.write(notebook, OUT / f"{source.stem}.ipynb")
        print(f"{source.name} ran; {OUT / source.stem}.ipynb")


if __name__ == "__main__":
    draw_pictures()
    run_tutorials()
