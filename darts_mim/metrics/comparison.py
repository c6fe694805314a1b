"""Is one forecast better than another, or was it luck? Errors of neighbouring origins are alike."""

import numpy as np
import xarray as xr

from darts_mim.metrics.bootstrap import ratio_interval
from darts_mim.metrics.diebold_mariano import Projections, cosines, diebold_mariano
from darts_mim.metrics.origins import Origins


def compare_losses(
    loss: xr.DataArray,
    reference: xr.DataArray,
    *,
    dim: str,
    horizon: int,
    n_resamples: int = 1000,
    random_state: int | None = 0,
) -> xr.Dataset:
    """Skill of one forecast over another, its 95 % interval, and the test of equal accuracy.

    Losses of neighbouring origins are correlated, and beyond the horizon where neither forecast is the best
    possible. The test is Diebold and Mariano's with a variance from the slowest cosines; the interval has its
    size from them and its shape from a stationary block bootstrap of the origins, the same for every lead.
    Both hold their 5 % for equally good forecasts with errors that overlap by the horizon and with losses
    whose autocorrelation is up to 0.8, from 200 origins on: ``benchmarks/comparison_size.py`` measures it.

    Args:
        loss: Loss summed over cells at each origin, e.g. of squared errors; lower is better. An
            origin where it or ``reference`` is NaN is left out.
        reference: The same for the forecast it is held against, over the same cells.
        dim: The dim of the origins. Its coordinate says where some are missing: datetimes, or whole
            numbers that count steps of the series. Without one, none is missing.
        horizon: Frames forecast from each origin, by which neighbours overlap.
        n_resamples: Resamples of the bootstrap.
        random_state: Seed of the bootstrap; the same seed gives the same interval.

    Returns:
        ``skill`` = 1 - sum(loss) / sum(reference) with ``low`` and ``high`` (dimensionless, 1 is
        perfect, 0 no better than the reference), ``diebold_mariano`` (negative: the smaller
        loss) and its two-sided ``p_value``; on the dims left over. All but ``skill`` are NaN
        where there are fewer than four origins for each that overlaps: too few to tell. The interval
        is NaN, too, where a sum of losses is not above 0.

    Raises:
        ValueError: If the coordinate of ``dim`` is neither, or not in order, if ``loss`` and
            ``reference`` differ in a coordinate, or ``n_resamples`` is below 20.

    Source:
        :func:`darts_mim.metrics.bootstrap.ratio_interval`,
        :func:`darts_mim.metrics.diebold_mariano.diebold_mariano`.

    >>> loss = xr.DataArray(np.random.default_rng(0).gamma(2.0, size=150), dims="init_time")
    >>> better = compare_losses(0.8 * loss, loss + 0.01, dim="init_time", horizon=4)
    >>> round(better["skill"].item(), 3), bool(better["low"] > 0), bool(better["p_value"] < 0.01)
    (0.204, True, True)
    """
    loss, reference = _aligned(loss, reference, dim)
    origins = Origins.of(loss, dim, horizon=horizon)
    ours, theirs = (array.values.reshape(len(origins), -1).astype(float) for array in (loss, reference))
    ours, theirs = np.where(np.isnan(theirs), np.nan, ours), np.where(np.isnan(ours), np.nan, theirs)
    sums = np.nansum(ours, 0), np.nansum(theirs, 0)
    told = np.isfinite(sums).all(0)  # an infinite loss tells nothing more
    ours, theirs = np.where(told, ours, np.nan), np.where(told, theirs, np.nan)
    low, high = ratio_interval(ours, theirs, origins, n_resamples=n_resamples, random_state=random_state)
    statistic, p_value = diebold_mariano(Projections.of(ours - theirs, cosines(origins)), origins)
    found = {
        "skill": skill_of(*sums),
        "low": 1 - high,
        "high": 1 - low,
        "diebold_mariano": statistic,
        "p_value": p_value,
    }
    like = loss.isel({dim: 0}, drop=True)
    return xr.Dataset({name: like.copy(data=values.reshape(like.shape)) for name, values in found.items()})


def _aligned(loss: xr.DataArray, reference: xr.DataArray, dim: str) -> tuple[xr.DataArray, xr.DataArray]:
    """Both with the origins first; their dims in one order."""
    loss, reference = xr.align(loss.transpose(dim, ...), reference, join="exact")
    loss = loss.drop_attrs(deep=False).rename(None).reset_coords(drop=True)
    return loss, reference.transpose(*loss.dims)


def skill_of(loss: np.ndarray, reference: np.ndarray) -> np.ndarray:
    """1 - loss / reference; NaN where the reference is 0.

    >>> skill_of(np.array([3.0, 0.0]), np.array([4.0, 0.0]))
    array([0.25,  nan])
    """
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.where(reference != 0, 1 - loss / reference, np.nan)
