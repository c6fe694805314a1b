"""Are a network's states more stationary than its input, and the more so, the higher the layer?"""

import numpy as np
import torch
import xarray as xr
from scipy import stats

from darts_mim.diagnostics.gates.recording import LayerStep, Windows
from darts_mim.diagnostics.gates.subject import Subject, labelled
from darts_mim.diagnostics.unit_roots.adf import adf
from darts_mim.errors import TooShortError

STATES = ("H", "C", "N", "S", "D")
LEVEL = 0.05  # of the unit-root tests
SHORTEST = 20  # origins in a segment; on fewer the tests find next to nothing


class StateSeries:
    """Keeps, from origin to origin, the states after the last observed frame.

    A unit is one channel in one cell of the patched grid. The same units are kept of every state and layer,
    so that layers can be compared pair by pair.

    Args:
        subject: Whose states they are.
        last: The step that reads the last observed frame.
        max_units: Units kept of each state at most, drawn at random, the same ones every time.
    """

    def __init__(self, subject: Subject, last: int, max_units: int) -> None:
        rows, columns = subject.patched_shape
        cells = rows * columns if subject.cells is None else len(subject.cells)
        observed = subject.module.observed
        components = torch.arange(subject.grid.n_components) if observed is None else observed.cpu()
        self.last, self.layers = last, subject.layers
        self.units = _draw(subject.network.hidden * cells, max_units)
        self.components = components[_draw(len(components), max_units)]
        self._whole: list[np.ndarray] = []
        self._frames: list[np.ndarray] = []
        self._states: dict[tuple[str, int], list[np.ndarray]] = {}

    def begin(self, windows: Windows) -> None:
        """Keep the last observed frame."""
        self._whole.append(windows.whole.cpu().numpy())
        frames = windows.observed[windows.whole, -1].flatten(1)
        self._frames.append(frames[:, self.components.to(frames.device)].cpu().numpy())

    def see(self, step: LayerStep) -> None:
        """Keep the states after the last observed frame."""
        if step.step != self.last:
            return
        for letter in STATES:
            if letter in step.states and not step.states[letter].zero:
                units = step.units(step.states[letter].values).flatten(1)
                kept = units[:, self.units.to(units.device)].cpu().numpy()
                self._states.setdefault((letter, step.layer), []).append(kept)

    def dataset(self, segments: int) -> xr.Dataset:
        """Unit-root tests in segments of consecutive origins, and what follows from them.

        Raises:
            TooShortError: If there are too few consecutive origins for that many segments.
        """
        parts = consecutive(np.concatenate(self._whole), segments)
        dims = ("state", "layer", "segment")
        rejected, statistic = np.full((2, len(STATES), self.layers, segments), np.nan)
        for (letter, layer), kept in self._states.items():
            at = STATES.index(letter), layer - 1
            rejected[at], statistic[at] = _tested(np.concatenate(kept), parts)
        of_frames = _tested(np.concatenate(self._frames), parts)
        share = f"Share of units whose unit root is rejected at {LEVEL:.0%}"
        median = "Median augmented Dickey-Fuller statistic; far below 0: no unit root"
        found = {
            "unit_root_rejected": labelled(rejected, dims, share),
            "adf_statistic": labelled(statistic, dims, median),
            "frame_unit_root_rejected": labelled(of_frames[0], dims[2:], f"{share}, of input frames"),
            "frame_adf_statistic": labelled(of_frames[1], dims[2:], f"{median}, of input frames"),
        }
        for name in ("unit_root_rejected", "adf_statistic"):
            found |= _change_of_H(found[name].values[STATES.index("H")], name)
        coords = {
            "state": ("state", list(STATES), {"long_name": "State of the network"}),
            "segment": ("segment", np.arange(1, segments + 1), {"long_name": "Segment", "units": "1"}),
            "estimate": ["mean", "low", "high"],
            "layer_above": ("layer_above", np.arange(2, self.layers + 1), {"long_name": "Upper layer"}),
        }
        length = parts[0].stop - parts[0].start
        return xr.Dataset(found, coords, {"segment_length": length, "units_tested_at_most": len(self.units)})


def _draw(n: int, most: int) -> torch.Tensor:
    if n <= most:
        return torch.arange(n)
    return torch.from_numpy(np.sort(np.random.default_rng(0).choice(n, most, replace=False)))


def consecutive(whole: np.ndarray, n: int) -> list[slice]:
    """``n`` segments of equal length, as long as can be, none across an origin that is not whole.

    Args:
        whole: Whether each origin in turn is whole.
        n: How many segments.

    Returns:
        Slices into the whole origins alone.

    Raises:
        TooShortError: If a segment would have fewer than 20 origins.

    >>> consecutive(np.array([True] * 70 + [False] + [True] * 30), 3)
    [slice(0, 30, None), slice(30, 60, None), slice(70, 100, None)]
    """
    positions = np.flatnonzero(whole)
    breaks = np.flatnonzero(np.diff(positions) != 1) + 1
    runs = np.split(np.arange(len(positions)), breaks)
    fitting = (m for m in range(len(positions) // n, 0, -1) if sum(len(run) // m for run in runs) >= n)
    length = next(fitting, 0)
    if length < SHORTEST:
        raise TooShortError(
            f"{len(positions)} origins make {n} segments of {length} that follow one another without a gap; "
            f"a unit-root test wants {SHORTEST}. Pass a longer series, fewer segments, or states=False."
        )
    starts = [int(run[0]) + k * length for run in runs for k in range(len(run) // length)]
    return [slice(start, start + length) for start in starts[:n]]


def _tested(series: np.ndarray, parts: list[slice]) -> np.ndarray:
    """(share rejected, median statistic) by segment, of (origin, unit) less the constant units."""
    results: list[tuple[float, float]] = []
    for part in parts:
        statistic, pvalue, *_ = adf(series[part].T.astype(np.float64), regression="c", autolag="AIC")
        told = np.isfinite(statistic)
        if told.any():
            results.append((float((pvalue[told] < LEVEL).mean()), float(np.median(statistic[told]))))
        else:
            results.append((np.nan, np.nan))
    return np.array(results).T


def _change_of_H(by_layer: np.ndarray, name: str) -> dict[str, xr.DataArray]:
    """How a number changes from one layer's H to the next: mean over segments, and its 95 % interval."""
    changes = np.diff(by_layer, axis=0)  # (upper layer, segment)
    mean = changes.mean(axis=1)
    n = changes.shape[1]
    margin = stats.t.ppf(0.975, n - 1) * changes.std(axis=1, ddof=1) / np.sqrt(n)
    said = f"Change of {name} from the layer below to this one, H; mean over segments and 95 % t interval"
    values = np.stack([mean, mean - margin, mean + margin], axis=1)
    return {f"H_change_of_{name}": labelled(values, ["layer_above", "estimate"], said)}
