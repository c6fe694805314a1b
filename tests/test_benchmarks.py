import importlib
import json
import os
import subprocess
import sys
import warnings
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from nn.paper_names import rand, random_weights
from torch.utils.flop_counter import FlopCounterMode

from darts_mim.nn.recurrent import MIMNetwork

DATA = os.environ.get("DARTS_MIM_DATA")
BENCHMARKS = Path(__file__).parents[1] / "benchmarks"
TABLES = ("csi", "pod", "far", "hss", "frequency_bias")
CELLS = {"mse", "rmse", "mae", "bias", "nrmse", "nmae", "psnr_1", *(f"{name}_0.5" for name in TABLES)}


@pytest.fixture(autouse=True)
def found(monkeypatch):
    """Scripts find one another, as they do when one is run."""
    monkeypatch.syspath_prepend(BENCHMARKS)
    monkeypatch.delenv("DARTS_MIM_DATA", raising=False)
    flushes = torch.tensor([1e-39]).mul(1).item() == 0
    yield
    torch.set_flush_denormal(flushes)


def benchmark(name):
    return importlib.import_module(name)


@pytest.mark.parametrize("patch_size", [1, 2])
def test_the_yardstick_computes_the_released_variant(patch_size):
    size, grid = (2, 3, 3, 3), (7, 5)
    network = MIMNetwork(*size, variant="released", grid=grid, patch_size=patch_size)
    random_weights(network)
    yardstick = benchmark("yardstick").PlainMIM(*size, grid, patch_size).double()
    yardstick.load_state_dict(network.state_dict())
    observed = rand(2, 3, 2, *grid)
    torch.testing.assert_close(network(observed, 4), yardstick(observed, 4), rtol=1e-12, atol=1e-12)


def test_flops_by_hand():
    # 2 channels, 4 hidden, an ST-LSTM and a block, 3x3, 2 windows of 6 x 5 cells, 3 steps
    network = benchmark("network")
    setting = network.SETTINGS["quick"]
    frame, state, pointwise, cells = 2 * 4 * 9, 4 * 4 * 9, 2 * (2 * 4) * 4 + 4 * 2, 60
    released = 3 * (4 * frame + (8 + 27) * state + pointwise) - 8 * state
    paper = 3 * (7 * frame + (9 + 31) * state + pointwise) - 8 * state
    assert network.forecast_flops(setting, "released") == 2 * cells * released == 1_805_760
    assert network.forecast_flops(setting, "paper") == 2 * cells * paper == 2_142_720
    assert network.training_flops(setting, "paper") == 3 * 2_142_720


def counted(network, setting, contender):
    built = network.build(contender, setting, "cpu")
    built.convolution = "direct"
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        built(network.batch_of(setting, "cpu")[:, : setting.observed], setting.horizon)
    return counter.get_total_flops()


def test_flops_are_those_of_the_yardstick():
    network = benchmark("network")
    setting = replace(network.SETTINGS["quick"], layers=3, patch_size=2)
    assert counted(network, setting, network.YARDSTICK) == network.forecast_flops(setting, "released")


@pytest.mark.parametrize("variant", ["paper", "released"])
def test_flops_of_one_more_step_are_those_of_ours(variant):
    network = benchmark("network")
    setting = replace(network.SETTINGS["quick"], layers=3)
    longer, ours = replace(setting, horizon=3), network.Contender(network=variant)
    by_equations = network.forecast_flops(longer, variant) - network.forecast_flops(setting, variant)
    assert counted(network, longer, ours) - counted(network, setting, ours) == by_equations


def test_options():
    network = benchmark("network")
    assert network.options("convolution=direct,checkpoint_segments=2") == (
        ("convolution", "direct"),
        ("checkpoint_segments", 2),
    )
    assert network.options("") == ()


def runs_of(path):
    return json.loads(path.read_text())["runs"]


def test_network(tmp_path, capsys):
    out, network = tmp_path / "results" / "network.json", benchmark("network")
    quick = ["--settings", "quick", "--turn", "0", "--rounds", "1", "--device", "cpu", "--out", str(out)]
    network.main([*quick, "--precision", "float32", "bf16", "--no-memory"])
    network.main([*quick, "--precision", "float32", "bf16", "--no-memory"])  # in place of those
    runs = runs_of(out)
    assert len(runs) == 10
    for run in runs:
        assert run["seconds"] > 0 and run["tflops"] > 0 and run["times_faster"] > 0
        assert run["machine"] and run["setting"] == "quick" and run["batch"] == 2
    first = runs[0]
    assert (first["contender"], first["times_faster"]) == ("yardstick, float32", 1)
    assert "| training step | paper, bf16 |" in capsys.readouterr().out


def test_an_epoch(tmp_path, capsys):
    out, network = tmp_path / "network.json", benchmark("network")
    quick = ["--settings", "quick", "--device", "cpu", "--out", str(out), "--networks", "yardstick", "paper"]
    network.main([*quick, "--epoch", "--windows", "5"])
    for run in runs_of(out):
        assert run["epoch_seconds"] == pytest.approx(run["seconds"] * 20_461 / 5, rel=1e-3)
    assert "scaled up from 5 windows" in capsys.readouterr().out


@pytest.fixture
def in_this_process(monkeypatch):
    for name in ("network", "memory", "unit_roots", "gates", "rivals", "backtest"):
        module = benchmark(name)
        monkeypatch.setattr(module, "in_fresh_process", lambda function, *arguments: function(*arguments))


def test_a_long_training(tmp_path, capsys, in_this_process):
    out, network = tmp_path / "network.json", benchmark("network")
    quick = ["--settings", "quick", "--device", "cpu", "--out", str(out), "--networks", "yardstick", "paper"]
    network.main([*quick, "--denormals", "--steps", "4"])
    assert all(run["first_seconds"] > 0 and run["last_seconds"] > 0 for run in runs_of(out))
    assert "yardstick, float32" in capsys.readouterr().out


def test_memory(tmp_path, capsys, in_this_process):
    out, memory = tmp_path / "memory.json", benchmark("memory")
    sizes = ["--segments", "0", "2", "--batches", "2", "3", "--sides", "8", "--horizons", "3"]
    memory.main(["--quick", "--device", "cpu", "--out", str(out), *sizes])
    varied = [(run["batch"], run["grid"], run["horizon"], run["segments"]) for run in runs_of(out)]
    assert varied == [
        (2, "6 x 5", 2, 0),
        (2, "6 x 5", 2, 2),
        (3, "6 x 5", 2, 0),
        (2, "8 x 8", 2, 0),
        (2, "6 x 5", 3, 0),
    ]
    assert "| 0 | 2 | 8 x 8 | 2 |" in capsys.readouterr().out


def test_peak_memory_is_what_was_taken():
    code = (
        "import torch; from measure import PeakMemory, in_fresh_process\n"
        "if __name__ == '__main__':\n"
        "    memory = PeakMemory('cpu'); taken = torch.ones(2**24); del taken\n"
        "    print(memory.bytes(), in_fresh_process(pow, 2, 5))"
    )
    ran = subprocess.run([sys.executable, "-c", code], cwd=BENCHMARKS, capture_output=True, check=True)
    taken, power = map(int, ran.stdout.split())
    assert taken == pytest.approx(2**26, rel=0.1)
    assert power == 32


def test_engines(tmp_path, capsys):
    out, engines = tmp_path / "engines.json", benchmark("engines")
    rows = ["--rows", "float32, direct", "bf16"]
    quick = ["--quick", "--epochs", "1", "--seeds", "1", "--device", "cpu", "--out", str(out), *rows]
    engines.main(quick)
    runs = runs_of(out)
    plain, bf16 = (run["mse"] for run in runs)
    assert plain == pytest.approx(bf16, rel=0.05)
    engines.main(quick)
    assert runs_of(out) == runs  # done already
    said = capsys.readouterr().out
    assert "DARTS_MIM_DATA is not set" in said
    assert "| bf16 | 0." in said


def test_accuracy(tmp_path, capsys):
    out, accuracy = tmp_path / "accuracy.json", benchmark("accuracy")
    accuracy.main(["--quick", "--device", "cpu", "--out", str(out), "--html", str(tmp_path)])
    runs = {run["forecaster"]: run for run in runs_of(out)}
    assert runs["MIM"]["origins"] == 21 and "skill" not in runs["MIM"]
    last, ours = runs["last frame"], runs["MIM"]
    assert last["skill"] == pytest.approx(
        [1 - a / b for a, b in zip(ours["mse"], last["mse"], strict=True)], abs=1e-3
    )
    assert "| last frame | 0." in capsys.readouterr().out
    assert (tmp_path / "quick.html").exists()


def test_what_accuracy_says_of_a_rival():
    accuracy = benchmark("accuracy")
    ahead = {"forecaster": "last frame", "skill": [0.5, 0.4], "low": [0.3, 0.1]}
    close = {"forecaster": "drift", "skill": [0.1, -0.1, 0.2], "low": [-0.1, -0.2, 0.1]}
    ours = {"forecaster": "MIM, one network", "skill": [0.01], "low": [-0.1]}
    assert accuracy.verdict([ahead, ours]).startswith("MIM is ahead of every rival")
    assert "not off zero against drift, lead 1 (2). Elsewhere" in accuracy.verdict([ahead, close])


def test_unit_roots(tmp_path, capsys, in_this_process):
    out, unit_roots = tmp_path / "unit_roots.json", benchmark("unit_roots")
    with warnings.catch_warnings():  # the other libraries' own
        warnings.simplefilter("ignore")
        unit_roots.main(["--quick", "--device", "cpu", "--out", str(out)])
    runs = runs_of(out)
    assert {run["test"] for run in runs} == {"read", "adf", "kpss", "phillips_perron"}
    assert all(run.get("us_per_cell", run.get("seconds")) > 0 for run in runs)
    assert "| 100 | adf | statsmodels | 1 |" in capsys.readouterr().out


def test_gates(tmp_path, capsys, in_this_process):
    out, image, gates = tmp_path / "gates.json", tmp_path / "images" / "saturation.png", benchmark("gates")
    gates.main(["--quick", "--epochs", "1", "--rounds", "1", "--out", str(out), "--image", str(image)])
    runs = runs_of(out)
    assert [run["network"] for run in runs] == ["MIM", "PredRNN"]
    for run in runs:
        assert run["bits_equal"] and len(run["forgotten_temporal"]) == len(run["H_adf_statistic"]) == 3
    assert "| scaled flow | PredRNN | 3 | " in capsys.readouterr().out
    assert image.stat().st_size > 0


def test_rivals(tmp_path, capsys, in_this_process):
    out = tmp_path / "rivals.json"
    benchmark("rivals").main(["--quick", "--rivals", "last frame", "damped trend", "--out", str(out)])
    assert all(run["processor_s"] > 0 for run in runs_of(out))
    assert "all but optical flow: " in capsys.readouterr().out


def test_suggestions(tmp_path, capsys):
    out, suggestions = tmp_path / "suggestions.json", benchmark("suggestions")
    quick = ["--quick", "--steps", "5", "--out", str(out), "--data", "nyc_bike", "ersstv5"]
    suggestions.main(quick)
    (run,) = runs_of(out)  # ersstv5 is not there
    assert run["frames"] == 320 and set(run["mse"]) >= {"raw", "differenced", "anomaly"}
    suggestions.main(quick)
    assert runs_of(out) == [run]  # done already
    said = capsys.readouterr().out
    assert "ersstv5 is left out: DARTS_MIM_DATA is not set." in said and "| nyc_bike | 320 |" in said


def test_comparison_size(tmp_path, capsys):
    out = tmp_path / "comparison_size.json"
    benchmark("comparison_size").main(["--quick", "--out", str(out)])
    assert runs_of(out) and "|" in capsys.readouterr().out


def test_backtest(tmp_path, capsys, in_this_process):
    out = tmp_path / "backtest.json"
    benchmark("backtest").main(["--quick", "--rounds", "1", "--out", str(out)])
    whole, *alone, against = runs_of(out)
    assert whole["processor_s"] > 0 and whole["process_mib"] > 0
    assert {run["metric"] for run in alone} >= {"mse", "csi_0.5", "ssim_1"}
    assert all(("by_cell_s" in run) == (run["metric"] in CELLS) for run in alone)
    assert against["darts_s"] > 0 and against["largest_difference"] < 1e-6
    said = capsys.readouterr().out
    assert "all 22 metrics: " in said and " that a copy reads and writes" in said


def test_zarr_windows(tmp_path, capsys, in_this_process):
    pytest.importorskip("xbatcher")
    out = tmp_path / "zarr_windows.json"
    benchmark("zarr_windows").main(["--quick", "--folder", str(tmp_path), "--out", str(out)])
    *drawn, trained = runs_of(out)
    assert len(drawn) == 14 and all(run["windows_per_s"] > 0 for run in drawn if run["way"] != "end to end")
    assert len(trained["resident_mib"]) == 4 and not list(tmp_path.glob("*/windows.zarr"))
    assert "MiB/s, each frame counted once" in capsys.readouterr().out


@pytest.mark.skipif(DATA is None, reason="DARTS_MIM_DATA is not set")
def test_radar(tmp_path, capsys, monkeypatch):
    monkeypatch.setenv("DARTS_MIM_DATA", DATA)
    out, image = tmp_path / "radar.json", tmp_path / "radar.png"
    benchmark("radar").main(["--quick", "--image", str(image), "--out", str(out)])
    (run,) = runs_of(out)
    assert run["origins"] == 9 and len(run["mse"]["MIM"]) == len(run["tiles_apart"]) == 12
    assert image.stat().st_size > 10_000 and "tiles apart" in capsys.readouterr().out


def test_scaling(tmp_path, capsys):
    out = tmp_path / "scaling.json"
    benchmark("scaling").main(
        ["--chunks", "40", "80", "--grid", "7", "9", "--repeats", "1", "--out", str(out)]
    )
    assert len(runs_of(out)) == 9 and "a grid of 7 x 9 enters" in capsys.readouterr().out
