"""Local means, deviations and distributions by region of a grid [Wang2019, Figure 1]."""

from collections.abc import Iterator

import numpy as np
import xarray as xr

from darts_mim.diagnostics.differencing.cell_tests import without_channel
from darts_mim.diagnostics.differencing.cells import BLOCK
from darts_mim.grid.grid import Grid
from darts_mim.grid.times import positive

BINS = 40
PARTS = ("first third", "middle third", "last third")
REGION = ("region_row", "region_column")


def region_statistics(array: xr.DataArray, grid: Grid, regions: tuple[int, int] = (2, 2)) -> xr.Dataset:
    """How the values in each region move with time, and how they are distributed.

    Non-stationarity that differs from place to place is what MIM is made for; the paper shows it on radar
    maps in this way. Cells that are NaN are left out.

    Args:
        array: (time, channel, row, column); one that is lazy is read twice, some frames at a time.
        grid: Its grid.
        regions: Into how many (rows, columns) the grid is cut, as evenly as it goes.

    Returns:
        ``region_mean`` and ``region_std`` on (time, channel, region_row, region_column), over the cells of
        each region, in the series' units; regions are labelled by their rows and columns, as slices;
        ``region_density`` on (part, channel, region_row, region_column,
        value), the share of values by bin in each third of the time axis.

    Source:
        [Wang2019] Wang et al., Memory In Memory, CVPR 2019, Figure 1.
    """
    cuts = [
        np.array_split(np.arange(size), min(positive(n, "regions"), size))
        for size, n in zip(grid.shape[1:], regions, strict=True)
    ]
    mean, deviation, (low, high) = _moments(array, cuts)
    edges = np.linspace(low, high if high > low else low + 1.0, BINS + 1)
    channel, time = grid.canonical_dims[0], grid.time_dim
    shown = {"long_name": "Mean over the cells of a region", **_units(grid)}
    spread = {"long_name": "Standard deviation over the cells of a region", **_units(grid)}
    density = {"long_name": "Share of the values", "units": "1"}
    dataset = xr.Dataset(
        {
            "region_mean": ((time, channel, *REGION), mean, shown),
            "region_std": ((time, channel, *REGION), deviation, spread),
            "region_density": (("part", channel, *REGION, "value"), _density(array, cuts, edges), density),
        },
        {
            time: array.indexes[time],
            "part": list(PARTS),
            "value": (edges[1:] + edges[:-1]) / 2,
            **{name: _slices(along) for name, along in zip(REGION, cuts, strict=True)},
        },
    )
    return without_channel(dataset, grid)


def _slices(cuts: list[np.ndarray]) -> list[str]:
    """As labels."""
    return [f"{cut[0]}:{cut[-1] + 1}" for cut in cuts]


def _units(grid: Grid) -> dict[str, str]:
    return {"units": str(grid.attrs["units"])} if "units" in grid.attrs else {}


def _frames(array: xr.DataArray) -> Iterator[tuple[slice, np.ndarray]]:
    """Some frames at a time, in memory."""
    step = max(1, BLOCK // max(1, array[0].size))
    for start in range(0, len(array), step):
        rows = slice(start, start + step)
        yield rows, array[rows].values.astype(np.float64, copy=False)


def _by_region(frames: np.ndarray, cuts: list[list[np.ndarray]]) -> np.ndarray:
    """Frames as (time, channel, region_row, region_column, cell), NaN where regions are smaller."""
    rows, columns = cuts
    most = max(len(r) for r in rows) * max(len(c) for c in columns)
    held = np.full((*frames.shape[:2], len(rows), len(columns), most), np.nan)
    for i, r in enumerate(rows):
        for j, c in enumerate(columns):
            region = frames[:, :, r[0] : r[-1] + 1, c[0] : c[-1] + 1]
            held[:, :, i, j, : len(r) * len(c)] = region.reshape(*frames.shape[:2], -1)
    return held


def _moments(
    array: xr.DataArray, cuts: list[list[np.ndarray]]
) -> tuple[np.ndarray, np.ndarray, tuple[float, float]]:
    """Mean and standard deviation of every frame and region; the smallest and the largest value."""
    shape = (*array.shape[:2], *(len(cut) for cut in cuts))
    mean, deviation = np.full((2, *shape), np.nan)
    low, high = np.inf, -np.inf
    for rows, frames in _frames(array):
        held = _by_region(frames, cuts)
        seen = np.isfinite(held)
        low, high = min(low, held[seen].min(initial=low)), max(high, held[seen].max(initial=high))
        count = seen.sum(axis=-1)
        some = {"where": count > 0}
        held = np.where(seen, held, 0.0)
        np.divide(held.sum(axis=-1), count, out=mean[rows], **some)
        apart = np.where(seen, held - mean[rows][..., None], 0.0)
        np.sqrt(np.divide((apart**2).sum(axis=-1), count, out=deviation[rows], **some), out=deviation[rows])
    return mean, deviation, (float(low), float(high))


def _density(array: xr.DataArray, cuts: list[list[np.ndarray]], edges: np.ndarray) -> np.ndarray:
    """Share of each bin, by third of the time axis, channel and region."""
    shape = (len(PARTS), array.shape[1], *(len(cut) for cut in cuts))
    counts = np.zeros((*shape, BINS))
    part = np.arange(len(array)) * len(PARTS) // max(1, len(array))
    for rows, frames in _frames(array):
        held = _by_region(frames, cuts)
        for at in np.ndindex(*shape):
            values = held[(part[rows] == at[0], *at[1:])]
            counts[at] += np.histogram(values[np.isfinite(values)], edges)[0]
    total = counts.sum(axis=-1, keepdims=True)
    return np.divide(counts, total, out=np.full(counts.shape, np.nan), where=total > 0)
