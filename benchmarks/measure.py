"""What the benchmarks share: the machine's name, times, peak memory, tables, and the runs kept in JSON."""

import json
import multiprocessing
import os
import platform
import re
import resource
import sys
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any

import torch
from torch import nn

RESULTS = Path(__file__).parent / "results"


def default_device() -> str:
    return "cuda" if torch.cuda.is_available() else "cpu"


def machine(device: str) -> str:
    """The processor's name, the threads where it is the CPU, torch's version."""
    if device == "cpu":
        threads = torch.get_num_threads()
        return f"{cpu_name()}, {threads} thread{'s' * (threads > 1)}, torch {torch.__version__}"
    return f"{torch.cuda.get_device_name(device)}, torch {torch.__version__}"


def cpu_name() -> str:
    """From ``/proc/cpuinfo``; a virtual machine's may be vague, so that family and model follow."""
    try:
        text = Path("/proc/cpuinfo").read_text()
    except OSError:
        return platform.processor() or platform.machine()
    fields = dict(re.findall(r"^(model name|cpu family|model)\s*: (.*)$", text, re.MULTILINE))
    if "model name" not in fields:
        return platform.machine()
    return f"{fields['model name']} (family {fields.get('cpu family')}, model {fields.get('model')})"


def seconds(run: Callable[[], object], device: str, repeats: int = 1) -> float:
    """Wall clock of one call, the mean of ``repeats`` that follow one another."""
    synchronise(device)
    started = time.perf_counter()
    for _ in range(repeats):
        run()
    synchronise(device)
    return (time.perf_counter() - started) / repeats


def synchronise(device: str) -> None:
    """Wait for what the device still has to do."""
    if device != "cpu":
        torch.cuda.synchronize(device)


def round_robin(
    runs: Mapping[Any, Callable[[], object]], device: str, rounds: int, turn: float
) -> dict[Any, list[float]]:
    """Seconds of each run, by turn. They take turns, so that a machine that slows down slows all of them.

    Args:
        runs: What to time, by name.
        device: Where it runs.
        rounds: Turns of each.
        turn: Seconds that a turn lasts at least; short runs are repeated in it.
    """
    repeats = {}
    for name, run in runs.items():
        warm_up = seconds(run, device)  # memory is allocated, kernels are chosen
        again = seconds(run, device) if device != "cpu" or warm_up < 5 * turn else warm_up
        repeats[name] = max(1, round(turn / again))
    times = {name: [] for name in runs}
    for _ in range(rounds):
        for name, run in runs.items():
            times[name].append(seconds(run, device, repeats[name]))
    return times


def engine(*, ours: bool) -> None:
    """Denormals as the package has them, flushed to zero, or as torch has them.

    The flag is the calling thread's. Torch's other threads keep what they started with: in a process that
    both share they flush for both.
    """
    from darts_mim.nn.cpu import prepare  # here: a fresh process that needs none of it starts at once

    if ours:
        prepare()
    torch.set_flush_denormal(ours)


def training_step(
    network: nn.Module,
    optimiser: torch.optim.Optimizer,
    windows: torch.Tensor,  # (batch, time, channel, height, width)
    observed: int,
    precision: str,
) -> None:
    """Forward over all generated frames, half their squared error, backward, one step of the optimiser."""
    optimiser.zero_grad()
    with autocast(windows.device.type, precision):
        generated = network(windows[:, :observed], windows.shape[1] - observed)
    loss = 0.5 * (generated.float() - windows[:, 1:]).square().sum() / len(windows)
    loss.backward()
    optimiser.step()


def autocast(device: str, precision: str) -> torch.autocast:
    return torch.autocast(device, torch.bfloat16, enabled=precision == "bf16")


def in_fresh_process(function: Callable[..., Any], *arguments: Any) -> Any:
    """What the function gives in a process of its own, on as many threads as this one."""
    context = multiprocessing.get_context("spawn")
    threads = torch.get_num_threads()
    with ProcessPoolExecutor(1, context, initializer=torch.set_num_threads, initargs=(threads,)) as pool:
        return pool.submit(function, *arguments).result()


class PeakMemory:
    """The peak of memory in use above what was in use at the start, in bytes; it never falls.

    On the CPU the process's resident memory, so a fresh process is needed: what was freed before may still be
    resident. ``VmHWM`` is this process's alone, where ``ru_maxrss`` begins at its parent's.
    """

    def __init__(self, device: str) -> None:
        self.device = device
        if device != "cpu":
            torch.cuda.reset_peak_memory_stats(device)
        self.start = torch.cuda.memory_allocated(device) if device != "cpu" else _resident("VmRSS")

    def bytes(self) -> int:
        """The peak so far."""
        if self.device != "cpu":
            return torch.cuda.max_memory_allocated(self.device) - self.start
        return _resident("VmHWM") - self.start


def _resident(field: str) -> int:
    try:
        status = Path("/proc/self/status").read_text()
    except OSError:  # not Linux
        unit = 1 if sys.platform == "darwin" else 1024
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit
    return int(re.search(rf"{field}:\s+(\d+) kB", status)[1]) * 1024


def markdown(columns: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A Markdown table."""
    lines = [columns, ["---"] * len(columns), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def read(path: Path) -> list[dict]:
    return json.loads(path.read_text())["runs"] if path.exists() else []


def keep(path: Path, runs: Iterable[dict], key: Sequence[str]) -> None:
    """Write the runs to the JSON file, in place of those of the same key that it holds already."""
    rounded = [{name: _rounded(value) for name, value in run.items()} for run in runs]
    kept = {tuple(str(run.get(name)) for name in key): run for run in [*read(path), *rounded]}
    path.parent.mkdir(parents=True, exist_ok=True)
    beside = path.with_suffix(f".{os.getpid()}")
    beside.write_text(json.dumps({"runs": list(kept.values())}, indent=1) + "\n")
    beside.replace(path)


def _rounded(value: Any) -> Any:
    if isinstance(value, list):
        return [_rounded(part) for part in value]
    return float(f"{value:.5g}") if isinstance(value, float) else value
