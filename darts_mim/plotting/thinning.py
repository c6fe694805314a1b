"""Some of a backtest's origins, evenly spread, where all of them would take long."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from darts_mim.backtesting.result import BacktestResult


def thinned(
    result: BacktestResult, most_cells: int, *, leads: Sequence[int] | None = None, models: Any = None
) -> tuple[dict[str, Any], Any]:
    """Forecasts by model, and the truth, of so many origins that they are few cells.

    Args:
        result: What :func:`darts_mim.backtesting.backtest.backtest` returned.
        most_cells: Of one model, its samples counted; one origin is kept at least.
        leads: Positions of the leads that are kept; default: all.
        models: Names of the models that are kept; default: all.

    Returns:
        Forecasts by name and the truth, in the layout of ``result.forecasts`` and ``result.observed``.
    """
    kept: dict[Any, Any] = {} if leads is None else {"lead_time": list(leads)}
    names = result.models if models is None else list(models)
    n_leads = result.observed.sizes["lead_time"] if leads is None else len(leads)
    samples = max(result.forecasts[name].sizes.get("realization", 1) for name in names)
    n = min(result.n_origins, max(1, most_cells // (result.grid.n_components * n_leads * samples)))
    origins = np.unique(np.linspace(0, result.n_origins - 1, n).round().astype(int))
    forecasts = {name: result.forecasts[name].isel(init_time=origins, **kept) for name in names}
    return forecasts, result.observed.isel(init_time=origins, **kept)
