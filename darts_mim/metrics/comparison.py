"""Is one forecast better than another, or was it luck? Errors of neighbouring origins are alike."""

import numpy as np
import xarray as xr
from scipy import stats


def compare_losses(loss: xr.DataArray, reference: xr.DataArray, *, dim: str, horizon: int) -> xr.Dataset:
    """Skill of one forecast over another, its 95 % interval, and the test of equal accuracy.

    Losses of neighbouring origins are correlated, so the variance of their mean is estimated with
    Bartlett weights over 1.3 sqrt(origins) neighbours (at least the horizon), and Student's t has
    that estimate's 1.5 origins / neighbours degrees of freedom. Origins count as equally spaced.

    Args:
        loss: Loss summed over cells at each origin, e.g. of squared errors; lower is better.
        reference: The same for the forecast it is held against, over the same cells.
        dim: The dim of the origins.
        horizon: Frames forecast from each origin, by which neighbours overlap.

    Returns:
        ``skill`` = 1 - sum(loss) / sum(reference) with ``low`` and ``high`` (dimensionless, 1 is
        perfect, 0 no better than the reference), ``diebold_mariano`` (negative: the smaller
        loss) and its two-sided ``p_value``; on the dims left over. All but ``skill`` are NaN
        where there are no more origins than neighbours: too few to tell.

    Source:
        Diebold and Mariano (1995), J. Bus. Econ. Stat. 13, 253-263; bandwidth: Lazarus et al.
        (2018), J. Bus. Econ. Stat. 36, 541-559.

    >>> loss = xr.DataArray(np.tile([1.0, 2.0, 1.5], 50), dims="init_time")
    >>> better = compare_losses(0.8 * loss, loss, dim="init_time", horizon=4)
    >>> round(better["skill"].item(), 3), bool(better["p_value"] < 0.01)
    (0.2, True)
    """
    n = loss.sizes[dim]
    neighbours = max(horizon, round(1.3 * n**0.5))
    freedom = 1.5 * n / neighbours if n > neighbours else np.nan
    skill = 1 - loss.sum(dim) / reference.sum(dim)
    # The first-order change of the ratio with the losses of one origin.
    pull = (loss - (1 - skill) * reference) / reference.mean(dim)
    reach = stats.t.ppf(0.975, freedom) * _standard_error(pull, dim, neighbours)
    difference = loss - reference
    test = difference.mean(dim) / _standard_error(difference, dim, neighbours)
    p_value = test.copy(data=2 * stats.t.sf(np.abs(test.values), freedom))
    return xr.Dataset(
        {
            "skill": skill,
            "low": skill - reach,
            "high": skill + reach,
            "diebold_mariano": test,
            "p_value": p_value,
        }
    )


def _standard_error(values: xr.DataArray, dim: str, neighbours: int) -> xr.DataArray:
    """Of the mean along ``dim``; Newey and West (1987)."""
    centred = (values - values.mean(dim)).transpose(dim, ...)
    n = centred.sizes[dim]
    x = centred.values
    variance = (x * x).sum(0)
    for lag in range(1, min(neighbours, n - 1) + 1):
        variance = variance + 2 * (1 - lag / (neighbours + 1)) * (x[lag:] * x[:-lag]).sum(0)
    return centred.isel({dim: 0}, drop=True).copy(data=np.sqrt(variance) / n)
