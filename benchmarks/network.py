"""How fast the network trains and forecasts, beside the released program as public ports transcribe it.

    python benchmarks/network.py [--settings taxibj wide mnist demo] [--precision float32 bf16]
    python benchmarks/network.py --settings taxibj --ours convolution=direct convolution=winograd
    python benchmarks/network.py --epoch [--windows 320]
    python benchmarks/network.py --denormals

Contenders take turns in one process; times are medians over the turns. TFLOP/s count what the equations
ask for, computed with direct convolutions: who needs fewer multiplications may pass the ceiling, which is
the best plain matrix product and the best plain convolution at the model's shapes in the same process and
precision. Rows of the same machine, setting and contender in the JSON file are written anew.
"""

import argparse
import ast
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from statistics import median
from typing import Any

import torch
import torch.nn.functional as F
from measure import (
    RESULTS,
    PeakMemory,
    autocast,
    default_device,
    engine,
    in_fresh_process,
    keep,
    machine,
    markdown,
    round_robin,
    seconds,
    training_step,
)
from torch import Tensor, nn
from yardstick import PlainMIM

from darts_mim.nn.initial import initialise_as_released
from darts_mim.nn.recurrent import MIMNetwork

TAXIBJ_WINDOWS = 20_461  # of 8 frames, in TaxiBJ's training part
KEY = ("machine", "mode", "setting", "batch", "contender", "work")
DTYPES = {"float32": torch.float32, "bf16": torch.bfloat16}


@dataclass(frozen=True, kw_only=True)
class Setting:
    """A network and what it trains on."""

    hidden: int = 64
    layers: int = 4
    kernel_size: int = 5
    channels: int = 2
    grid: tuple[int, int] = (32, 32)
    patch_size: int = 1
    observed: int = 4  # frames
    horizon: int = 4  # frames
    batch: int = 8

    @property
    def folded(self) -> int:
        """Channels of a patched frame."""
        return self.channels * self.patch_size**2

    @property
    def patched(self) -> tuple[int, int]:
        """Rows and columns that the network sees."""
        return -(-self.grid[0] // self.patch_size), -(-self.grid[1] // self.patch_size)

    @property
    def cells(self) -> int:
        """Cells of a batch that the network sees."""
        return self.batch * self.patched[0] * self.patched[1]

    @property
    def steps(self) -> int:
        """Frames that the network generates of one window."""
        return self.observed - 1 + self.horizon


SETTINGS = {
    "taxibj": Setting(),
    "wide": Setting(hidden=128, patch_size=2, batch=16),
    "mnist": Setting(channels=1, grid=(64, 64), patch_size=4, observed=10, horizon=10),
    "demo": Setting(hidden=32, layers=2, grid=(16, 12), patch_size=2, batch=16),
    "quick": Setting(hidden=4, layers=2, kernel_size=3, grid=(6, 5), observed=2, horizon=2, batch=2),
}


@dataclass(frozen=True, kw_only=True)
class Contender:
    """One implementation in one precision."""

    network: str  # "yardstick", or the variant of ours
    precision: str = "float32"
    options: tuple[tuple[str, Any], ...] = ()  # for MIMNetwork

    @property
    def variant(self) -> str:
        """The equations."""
        return "released" if self.network == "yardstick" else self.network

    def __str__(self) -> str:
        return ", ".join([self.network, self.precision, *(f"{name}={value}" for name, value in self.options)])


YARDSTICK = Contender(network="yardstick")


def build(contender: Contender, setting: Setting, device: str) -> nn.Module:
    """The network with the released program's initial weights: the same for all of one variant."""
    torch.manual_seed(0)
    size = setting.channels, setting.hidden, setting.layers, setting.kernel_size
    where = {"grid": setting.grid, "patch_size": setting.patch_size}
    network = MIMNetwork(*size, variant=contender.variant, **where, **dict(contender.options))
    initialise_as_released(network)
    if contender.network == "yardstick":
        yardstick = PlainMIM(*size, **where)
        yardstick.load_state_dict(network.state_dict())
        network = yardstick
    return network.to(device)


def adam(network: nn.Module) -> torch.optim.Adam:
    return torch.optim.Adam(network.parameters(), lr=1e-3)


def synthetic(setting: Setting, frames: int, device: str) -> Tensor:
    """Frames between 0 and 1, four cells in ten at 0, as in the flow of a city."""
    drawn = torch.rand(frames, setting.channels, *setting.grid, generator=torch.Generator().manual_seed(0))
    return F.relu((drawn - 0.4) / 0.6).to(device)


def batch_of(setting: Setting, device: str) -> Tensor:
    frames = setting.observed + setting.horizon
    return synthetic(setting, setting.batch * frames, device).unflatten(0, (setting.batch, frames))


@dataclass(frozen=True)
class Gates:
    """Convolutions by what they read, in gates: each gives out ``hidden`` channels."""

    frame: int  # of the first layer
    first: int  # of a state, in the first layer
    block: int  # of a state, in a MIM block
    mim_n: int  # of those, the ones that MIM-N has; it is left out at the first step


GATES = {
    "paper": Gates(frame=7, first=4 + 3 + 1 + 1, block=6 + 3 + 3 + 1 + 1 + 8 + 9, mim_n=4 + 3 + 1),
    "released": Gates(frame=4, first=4 + 4, block=4 + 3 + 4 + 8 + 8, mim_n=4 + 4),
}


def forecast_flops(setting: Setting, variant: str) -> int:
    """Operations of the convolutions of one batch's forecast: two a multiply-add, computed directly."""
    gates, hidden, blocks = GATES[variant], setting.hidden, setting.layers - 1
    reads_frame = gates.frame * setting.folded * hidden
    reads_state = (gates.first + blocks * gates.block) * hidden**2
    pointwise = setting.layers * 2 * hidden**2 + hidden * setting.folded
    a_step = (reads_frame + reads_state) * setting.kernel_size**2 + pointwise
    skipped = blocks * gates.mim_n * hidden**2 * setting.kernel_size**2
    return 2 * setting.cells * (setting.steps * a_step - skipped)


def training_flops(setting: Setting, variant: str) -> int:
    """The same of a training step: the backward pass convolves for the inputs and for the weights."""
    return 3 * forecast_flops(setting, variant)


FLOPS = {"training step": training_flops, "forecast": forecast_flops}


def work_of(contender: Contender, setting: Setting, device: str) -> dict[str, Callable[[], None]]:
    """What is timed."""
    network, windows = build(contender, setting, device), batch_of(setting, device)
    optimiser = adam(network)

    def train() -> None:
        engine(ours=contender.network != "yardstick")
        training_step(network, optimiser, windows, setting.observed, contender.precision)

    def forecast() -> None:
        engine(ours=contender.network != "yardstick")
        with torch.inference_mode(), autocast(device, contender.precision):
            network(windows[:, : setting.observed], setting.horizon)

    return {"training step": train, "forecast": forecast}


def ceilings(
    setting: Setting, precisions: Sequence[str], device: str, rounds: int, turn: float
) -> dict[tuple[str, str, str], float]:
    """TFLOP/s of the best plain matrix product and convolution: forward alone, and with its backward pass."""
    torch.backends.cuda.matmul.allow_tf32 = True  # as convolutions are; torch's default for products is not
    runs = {
        (precision, *name): run
        for precision in precisions
        for plain in (plain_products, plain_convolutions)
        for name, run in plain(setting, DTYPES[precision], device).items()
    }
    times = round_robin(runs, device, rounds, turn)
    torch.backends.cuda.matmul.allow_tf32 = False
    forward = 2 * setting.cells * setting.hidden * setting.kernel_size**2 * 4 * setting.hidden
    best: dict[tuple[str, str, str], float] = {}
    for (precision, work, kind, *_), turns in times.items():
        reached = forward * (3 if work == "training step" else 1) / median(turns) / 1e12
        best[precision, work, kind] = max(reached, best.get((precision, work, kind), 0))
    return best


def plain_products(setting: Setting, dtype: torch.dtype, device: str) -> dict[tuple, Callable[[], object]]:
    """One state's taps to four gates, as a matrix product, and the two products of its backward pass."""
    rows, inner, columns = setting.cells, setting.hidden * setting.kernel_size**2, 4 * setting.hidden
    x, w, dz = (
        torch.randn(shape, dtype=dtype, device=device)
        for shape in ((rows, inner), (inner, columns), (rows, columns))
    )
    return {
        ("forecast", "product"): lambda: x @ w,
        ("training step", "product"): lambda: (x @ w, dz @ w.T, x.T @ dz),
    }


def plain_convolutions(
    setting: Setting, dtype: torch.dtype, device: str
) -> dict[tuple, Callable[[], object]]:
    """One state to four gates, as torch's convolution in either layout, and its backward pass."""
    runs: dict[tuple, Callable[[], object]] = {}
    hidden, size = setting.hidden, setting.kernel_size
    for layout in (torch.contiguous_format, torch.channels_last):
        x, w, dz = (
            torch.randn(shape, dtype=dtype, device=device).to(memory_format=layout)
            for shape in (
                (setting.batch, hidden, *setting.patched),
                (4 * hidden, hidden, size, size),
                (setting.batch, 4 * hidden, *setting.patched),
            )
        )
        read = x.requires_grad_(), w.requires_grad_()

        def convolve(read: tuple[Tensor, Tensor] = read) -> Tensor:
            return F.conv2d(*read, padding=size // 2)

        def both(read: tuple[Tensor, Tensor] = read, dz: Tensor = dz) -> object:
            return torch.autograd.grad(convolve(read), read, dz)

        runs["forecast", "convolution", layout] = torch.inference_mode()(convolve)
        runs["training step", "convolution", layout] = both
    return runs


def peak_memory(contender: Contender, setting: Setting, device: str) -> int:
    """Bytes that two training steps take above what was in use before the network was built."""
    if device == "cpu":
        return in_fresh_process(peak_of_training, contender, setting, device)
    return peak_of_training(contender, setting, device)


def peak_of_training(contender: Contender, setting: Setting, device: str) -> int:
    """The same in this process; only the second step has Adam's state."""
    engine(ours=contender.network != "yardstick")
    memory = PeakMemory(device)
    train = work_of(contender, setting, device)["training step"]
    train()
    train()
    return memory.bytes()


def speed(setting: Setting, contenders: Sequence[Contender], given: argparse.Namespace) -> list[dict]:
    """Rows of training steps and forecasts."""
    runs = {
        (contender, work): run
        for contender in contenders
        for work, run in work_of(contender, setting, given.device).items()
    }
    times = round_robin(runs, given.device, given.rounds, given.turn)
    del runs
    precisions = sorted({contender.precision for contender in contenders})
    ceiling = ceilings(setting, precisions, given.device, given.rounds, given.turn)
    rows = []
    for (contender, work), turns in times.items():
        measured = median(turns)
        tflops = FLOPS[work](setting, contender.variant) / measured / 1e12
        row = {"contender": str(contender), "work": work, "seconds": measured, "turns": turns}
        row["tflops"] = tflops
        row["frames_per_second"] = setting.batch * setting.steps / measured
        if (YARDSTICK, work) in times:
            row["times_faster"] = median(times[YARDSTICK, work]) / measured
        for kind in ("product", "convolution"):
            row[f"{kind}_tflops"] = ceiling[contender.precision, work, kind]
        if work == "training step" and given.memory:
            row["peak_bytes"] = peak_memory(contender, setting, given.device)
        rows.append(row)
    return sorted(rows, key=lambda row: row["work"], reverse=True)


def speed_table(rows: Sequence[dict]) -> str:
    columns = [
        "",
        "",
        "s (least-most)",
        "frames/s",
        "TFLOP/s",
        "x yardstick",
        "of product",
        "of convolution",
        "peak MiB",
    ]
    return markdown(
        columns,
        [
            [
                row["work"],
                row["contender"],
                f"{row['seconds']:.3g} ({min(row['turns']):.3g}-{max(row['turns']):.3g})",
                f"{row['frames_per_second']:.4g}",
                f"{row['tflops']:.3g}",
                f"{row['times_faster']:.2f}" if "times_faster" in row else "",
                f"{row['tflops'] / row['product_tflops']:.0%} of {row['product_tflops']:.3g}",
                f"{row['tflops'] / row['convolution_tflops']:.0%} of {row['convolution_tflops']:.3g}",
                f"{row['peak_bytes'] / 2**20:.0f}" if "peak_bytes" in row else "",
            ]
            for row in rows
        ],
    )


def epoch(setting: Setting, contenders: Sequence[Contender], given: argparse.Namespace) -> list[dict]:
    """Rows of one epoch of a training of TaxiBJ's size; contenders take turns of ten batches."""
    window = setting.observed + setting.horizon
    frames = synthetic(setting, given.windows + window - 1, given.device)
    order = torch.randperm(given.windows, generator=torch.Generator().manual_seed(0)).to(given.device)
    trained = {}
    for contender in contenders:
        network = build(contender, setting, given.device)
        trained[contender] = (network, adam(network))

    def train(contender: Contender, starts: Sequence[Tensor]) -> None:
        engine(ours=contender.network != "yardstick")
        for start in starts:
            windows = frames[start[:, None] + torch.arange(window, device=start.device)]
            training_step(*trained[contender], windows, setting.observed, contender.precision)

    batches = order.split(setting.batch)
    total = dict.fromkeys(contenders, 0.0)
    for contender in contenders:
        train(contender, batches[:1])  # warm-up
        train(contender, batches[-1:])  # which may be a smaller batch
    for first in range(0, len(batches), 10):
        for contender in contenders:
            turn = partial(train, contender, batches[first : first + 10])
            total[contender] += seconds(turn, given.device)
    return [
        {"contender": str(contender), "work": "epoch", "windows": given.windows, "seconds": measured}
        | {"epoch_seconds": measured * TAXIBJ_WINDOWS / given.windows}
        for contender, measured in total.items()
    ]


def epoch_table(rows: Sequence[dict]) -> str:
    def said(row: dict) -> str:
        return "measured" if row["windows"] == TAXIBJ_WINDOWS else f"scaled up from {row['windows']} windows"

    columns = ["", f"s for {TAXIBJ_WINDOWS} windows", "", "x the first"]
    first = rows[0]["epoch_seconds"]
    return markdown(
        columns,
        [
            [
                row["contender"],
                f"{row['epoch_seconds']:.1f}",
                said(row),
                f"{first / row['epoch_seconds']:.2f}",
            ]
            for row in rows
        ],
    )


def denormals(setting: Setting, contenders: Sequence[Contender], given: argparse.Namespace) -> list[dict]:
    """Rows of a long training: numbers that fall below float32's normal range slow some processors down."""
    rows = []
    for contender in contenders:
        times = in_fresh_process(step_times, contender, setting, given.device, given.steps)
        part = max(1, given.steps // 10)
        row = {"contender": str(contender), "work": "long training", "steps": given.steps}
        row["first_seconds"] = median(times[:part])
        row["last_seconds"] = median(times[-part:])
        rows.append(row)
    return rows


def step_times(contender: Contender, setting: Setting, device: str, steps: int) -> list[float]:
    """Seconds of each of the steps, in a process that no other contender has touched."""
    engine(ours=contender.network != "yardstick")  # before there are threads, which take it over
    train = work_of(contender, setting, device)["training step"]
    train()
    return [seconds(train, device) for _ in range(steps)]


def denormals_table(rows: Sequence[dict]) -> str:
    part = max(1, rows[0]["steps"] // 10)
    columns = ["", f"first {part} steps, s a step", f"last {part} of {rows[0]['steps']} steps", "ratio"]
    return markdown(
        columns,
        [
            [
                row["contender"],
                f"{row['first_seconds']:.4g}",
                f"{row['last_seconds']:.4g}",
                f"{row['last_seconds'] / row['first_seconds']:.2f}",
            ]
            for row in rows
        ],
    )


MODES = {
    "speed": (speed, speed_table, ("taxibj", "wide", "mnist", "demo")),
    "epoch": (epoch, epoch_table, ("wide",)),
    "denormals": (denormals, denormals_table, ("demo",)),
}


def options(text: str) -> tuple[tuple[str, Any], ...]:
    """``"convolution=direct,checkpoint_segments=2"`` as keyword arguments."""
    pairs = [part.partition("=") for part in text.split(",") if part]
    return tuple((name, _value(value)) for name, _, value in pairs)


def _value(text: str) -> Any:
    try:
        return ast.literal_eval(text)
    except (SyntaxError, ValueError):
        return text


def contenders_of(given: argparse.Namespace) -> list[Contender]:
    ours = [
        Contender(network=network, precision=precision, options=chosen)
        for network in given.networks
        if network != "yardstick"
        for precision in given.precision
        for chosen in given.ours
    ]
    plain = [replace(YARDSTICK, precision=precision) for precision in given.yardstick_precision]
    return [*(plain if "yardstick" in given.networks else []), *ours]


def parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    add = parser.add_argument
    add("--settings", nargs="+", choices=list(SETTINGS))
    add("--networks", nargs="+", choices=["yardstick", *GATES], default=["yardstick", "released", "paper"])
    add("--precision", nargs="+", choices=list(DTYPES), default=["float32"], help="of ours")
    add("--yardstick-precision", nargs="+", choices=list(DTYPES), default=["float32"])
    add("--ours", nargs="+", type=options, default=[()], help="MIMNetwork's options, e.g. convolution=direct")
    add("--batch", type=int, help="in place of the setting's")
    add("--device", default=default_device())
    add("--rounds", type=int, default=3)
    add("--turn", type=float, default=0.3, help="seconds that a turn lasts at least")
    add("--no-memory", dest="memory", action="store_false")
    add("--epoch", dest="mode", action="store_const", const="epoch", default="speed")
    add("--windows", type=int, help="of an epoch, fewer are scaled up; on the CPU 320 if not given")
    add("--denormals", dest="mode", action="store_const", const="denormals")
    add("--steps", type=int, default=1000, help="of --denormals")
    add("--out", type=Path, default=RESULTS / "network.json")
    given = parser.parse_args(arguments)
    given.windows = given.windows or (320 if given.device == "cpu" else TAXIBJ_WINDOWS)
    return given


def main(arguments: Sequence[str] | None = None) -> None:
    given = parse(arguments)
    torch.backends.cudnn.allow_tf32 = True  # torch's default: on a GPU, float32's convolutions are TF32
    measure, table, settings = MODES[given.mode]
    for name in given.settings or settings:
        setting = SETTINGS[name]
        setting = replace(setting, batch=given.batch or setting.batch)
        rows = measure(setting, contenders_of(given), given)
        where = {
            "machine": machine(given.device),
            "mode": given.mode,
            "setting": name,
            "batch": setting.batch,
        }
        keep(given.out, [where | row for row in rows], KEY)
        print(f"\n{name}, batch {setting.batch}, {where['machine']}\n\n{table(rows)}", flush=True)


if __name__ == "__main__":
    main()
