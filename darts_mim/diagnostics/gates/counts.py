"""What forget gates and differential features do, counted while the network runs."""

from collections.abc import Iterable

import numpy as np
import xarray as xr
from torch import Tensor

from darts_mim.diagnostics.gates.recording import LayerStep, Windows
from darts_mim.diagnostics.gates.subject import Subject, labelled

GATES = {"temporal": "C", "spatiotemporal": "M", "MIM-N": "N", "MIM-S": "S"}
"""Forget gates, and the memory that each rules."""


class Saturation:
    """How many forget gates forget all, and how many keep all, by gate, layer and step.

    Args:
        layers: How many.
        steps: Of the roll-out.
        threshold: A gate forgets below it, and keeps above 1 less it.
    """

    def __init__(self, layers: int, steps: int, threshold: float) -> None:
        self.threshold = threshold
        self.counted, self.forgotten, self.kept = np.zeros((3, len(GATES), layers, steps))

    def begin(self, windows: Windows) -> None:
        """Nothing is known yet."""

    def see(self, step: LayerStep) -> None:
        """Count the gates whose memory is not zero still: before that there is nothing to forget."""
        low, high = self.threshold, 1 - self.threshold
        for row, memory in enumerate(GATES.values()):
            if memory not in step.before or step.before[memory].zero:
                continue
            before = step.units(step.before[memory].values)
            if memory in step.gates:
                f = step.units(step.gates[memory])
                self._add(row, step, f.numel(), f < low, f > high)
            elif memory == "C":
                C, T = before, step.units(step.states["T"].values)
                # |T/C| < low and |T/C - 1| < low, without the quotient
                self._add(
                    row, step, int((C != 0).sum()), T.abs() < low * C.abs(), (T - C).abs() < low * C.abs()
                )

    def _add(self, row: int, step: LayerStep, counted: int, forgotten: Tensor, kept: Tensor) -> None:
        at = row, step.layer - 1, step.step - 1
        self.counted[at] += counted
        self.forgotten[at] += float(forgotten.sum())
        self.kept[at] += float(kept.sum())

    def dataset(self) -> xr.Dataset:
        """Shares; NaN where a layer has no such gate, or its memory is zero still."""
        dims, low = ("gate", "layer", "step"), self.threshold
        with np.errstate(invalid="ignore"):
            forgotten, kept = self.forgotten / self.counted, self.kept / self.counted
        return xr.Dataset(
            {
                "forgotten": labelled(
                    forgotten, dims, f"Share of forget gates below {low:g} (MIM blocks: |T/C[t-1]|)"
                ),
                "kept": labelled(
                    kept,
                    dims,
                    f"Share of forget gates above {1 - low:g} (MIM blocks: |T/C[t-1] - 1| < {low:g})",
                ),
            },
            {
                "gate": ("gate", list(GATES), {"long_name": "Forget gate"}),
                "rules": ("gate", list(GATES.values()), {"long_name": "Memory that the gate rules"}),
            },
        )


class Differences:
    """How large the differential features D are, by layer and step, and where.

    Args:
        subject: Whose they are.
        steps: Of the roll-out.
    """

    def __init__(self, subject: Subject, steps: int) -> None:
        self.subject = subject
        rows, columns = subject.patched_shape
        cells = rows * columns if subject.cells is None else len(subject.cells)
        self.counted, self.size, self.square = np.zeros((3, subject.layers, steps))
        self.map_counted, self.map_size = np.zeros((2, subject.layers, cells))

    def begin(self, windows: Windows) -> None:
        """Nothing is known yet."""

    def see(self, step: LayerStep) -> None:
        """Add up |D| and its square; at the first step there is no difference to read."""
        if "D" not in step.states or step.states["D"].zero:
            return
        D = step.units(step.states["D"].values).double()
        at = step.layer - 1, step.step - 1
        self.counted[at] += D.numel()
        self.size[at] += float(D.abs().sum())
        self.square[at] += float(D.square().sum())
        self.map_counted[step.layer - 1] += D.shape[0] * D.shape[1]
        self.map_size[step.layer - 1] += D.abs().sum(dim=(0, 1)).cpu().numpy()

    def dataset(self) -> xr.Dataset:
        """Means; NaN in layer 1, which has no D, and at the first step."""
        dims: Iterable[str] = ("layer", "step")
        with np.errstate(invalid="ignore"):
            mean, square = self.size / self.counted, self.square / self.counted
            cells = self.map_size / self.map_counted
        return xr.Dataset(
            {
                "mean_absolute_D": labelled(mean, [*dims], "Mean absolute differential feature |D|"),
                "root_mean_square_D": labelled(
                    np.sqrt(square), [*dims], "Root mean square of the differential features D"
                ),
                "map_of_D": labelled(
                    self.subject.on_patches(cells),
                    ["layer", *self.subject.grid.spatial_dims],
                    "Mean absolute differential feature |D| over windows, channels and steps",
                ),
            },
            self.subject.patched_coords(),
        )
