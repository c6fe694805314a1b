import re
from pathlib import Path

import numpy as np

README = Path(__file__).resolve().parent.parent / "README.md"
SMALLER = {
    "hidden=32": "hidden=4",
    "n_epochs=4": "n_epochs=1",
    "flow[:3024]": "flow[2400:3024]",
    "stored[:3024]": "stored[2400:3024]",
}


def test_code_of_the_readme_runs_as_it_stands(tmp_path, monkeypatch):
    """But for a smaller network and a shorter training part, word for word."""
    monkeypatch.chdir(tmp_path)
    code = "\n".join(re.findall(r"```python\n(.*?)```", README.read_text(), flags=re.DOTALL))
    for there, here in SMALLER.items():
        assert there in code
        code = code.replace(there, here)
    names = {}
    exec(code, names)
    forecast, test = names["forecast"], names["test"]
    np.testing.assert_array_equal(forecast["time"], test["time"][:4])
    assert forecast.dims == test.dims
    assert (tmp_path / "report.html").exists()
