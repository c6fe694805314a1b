"""In which cells is one forecast better than another? Of many tests, some find luck significant."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import reduce
from itertools import chain
from operator import add

import numpy as np
import xarray as xr
from scipy import stats

from darts_mim.metrics.comparison import skill_of
from darts_mim.metrics.diebold_mariano import Projections, cosines, diebold_mariano
from darts_mim.metrics.origins import Origins

FALSE_DISCOVERIES = 0.05  # expected share of luck among the cells called significant


@dataclass(frozen=True, kw_only=True)
class _Sums:
    """Of two losses, over the origins; (cell,)."""

    loss: np.ndarray
    reference: np.ndarray
    difference: Projections

    def __add__(self, other: "_Sums") -> "_Sums":
        return _Sums(
            loss=self.loss + other.loss,
            reference=self.reference + other.reference,
            difference=self.difference + other.difference,
        )


def compare_cells(
    losses: Iterable[tuple[xr.DataArray, xr.DataArray]], *, dim: str, origins: Origins
) -> xr.Dataset:
    """Skill of one forecast over another in every cell, and where it is more than luck.

    Every cell has its Diebold-Mariano test, and the p-values are held to a false discovery rate of 5 % by
    Benjamini and Hochberg's step-up procedure. It holds for cells that are alike, as neighbours
    are; then it finds fewer than it might.

    Args:
        losses: A forecast's loss and the reference's, some origins at a time, in order, together
            all ``origins``; NaN where nothing was observed. Only sums over the origins are kept.
        dim: The dim of the origins.
        origins: When the forecasts were made.

    Returns:
        On the dims left over: ``skill`` = 1 - sum(loss) / sum(reference), ``p_value`` of
        equal losses, both NaN where there is nothing to tell from, and ``significant``, False there.

    Source:
        Benjamini and Hochberg (1995), J. Roy. Stat. Soc. B 57, 289-300; on maps: Wilks (2016), Bull. Am.
        Met. Soc. 97, 2263-2273.

    >>> noise = np.random.default_rng(0).normal(size=(2, 200, 4))
    >>> loss, reference = (xr.DataArray(one**2, dims=("init_time", "x")) for one in noise)
    >>> origins = Origins(places=np.arange(200), overlap=1)
    >>> halved = loss * [0.5, 0.5, 1.0, 1.0]
    >>> compare_cells([(halved, reference)], dim="init_time", origins=origins)["significant"].values
    array([ True,  True, False, False])
    """
    parts = iter(losses)
    first, _ = head = next(parts)
    total = reduce(add, _sums(chain([head], parts), dim, origins))
    _, p_value = diebold_mariano(total.difference, origins)
    found = {
        "skill": skill_of(total.loss, total.reference),
        "p_value": p_value,
        "significant": _discoveries(p_value),
    }
    like = first.isel({dim: 0}, drop=True)
    return xr.Dataset({name: like.copy(data=values.reshape(like.shape)) for name, values in found.items()})


def _sums(losses: Iterable[tuple[xr.DataArray, xr.DataArray]], dim: str, origins: Origins) -> Iterator[_Sums]:
    """Of each part, the cells flattened."""
    waves, done = cosines(origins), 0
    for both in losses:
        ours, theirs = (
            array.transpose(dim, ...).values.reshape(array.sizes[dim], -1).astype(float) for array in both
        )
        missing = np.isnan(ours) | np.isnan(theirs)
        infinite = np.isinf(ours) & np.isinf(theirs)  # their difference is no missing one
        difference = np.where(infinite, np.inf, ours - np.where(infinite, 0.0, theirs))
        yield _Sums(
            loss=np.where(missing, 0.0, ours).sum(0),
            reference=np.where(missing, 0.0, theirs).sum(0),
            difference=Projections.of(difference, waves[:, done : done + len(ours)]),
        )
        done += len(ours)


def _discoveries(p_values: np.ndarray) -> np.ndarray:
    """Which are significant at that rate; a NaN is none, and no test either."""
    told = ~np.isnan(p_values)
    significant = np.zeros(p_values.shape, bool)
    if told.any():
        significant[told] = stats.false_discovery_control(p_values[told]) <= FALSE_DISCOVERIES
    return significant
