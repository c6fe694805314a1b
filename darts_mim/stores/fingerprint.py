"""What a forecaster's forecasts hang on, so that those that are kept can be told from others."""

import inspect
from collections.abc import Mapping
from contextlib import suppress
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr
from sklearn.base import BaseEstimator
from zarr.storage import LocalStore, ZipStore

from darts_mim.grid.lazy import as_dask, is_lazy
from darts_mim.stores.backing import Array, sources

VERSIONS = tuple(version(package) for package in ("darts-mim", "darts", "torch"))  # which forecast otherwise


def state_of(forecaster: Any) -> Any:
    """All that a forecaster's forecasts hang on, to be hashed by ``dask.base.tokenize``.

    Of a pipeline it is that of its steps; of a model with a network, its arguments and weights; of a simple
    forecast, its arguments and training series; of any other, all that a pickle of it holds. The code of its
    class counts too, not that of what the class calls. A series that is not in memory is not read: it counts
    where it is stored, when its files were written, its sizes and its coordinates.

    >>> from dask.base import tokenize
    >>> from sklearn.preprocessing import MinMaxScaler
    >>> one, same, other = MinMaxScaler(), MinMaxScaler(), MinMaxScaler((0, 2))
    >>> tokenize(state_of(one)) == tokenize(state_of(same)) != tokenize(state_of(other))
    True
    """
    kind = type(forecaster)
    code = f"{kind.__module__}.{kind.__qualname__}"
    with suppress(OSError, TypeError):
        code += inspect.getsource(kind)
    if hasattr(forecaster, "steps"):
        return code, [(name, state_of(step)) for name, step in forecaster.steps]
    if _is_simple(forecaster):
        return code, forecaster.get_params(), unread(getattr(forecaster, "training_", None))
    if hasattr(forecaster, "load_weights"):  # darts' models with a network, named by when they were made
        return code, dict(forecaster.model_params), _weights(forecaster.model)
    if hasattr(forecaster, "in_use"):  # a darts model that is lent to grids
        seen = unread(getattr(forecaster, "observed_", None))
        return code, forecaster.get_params() | {"model": None}, seen, state_of(forecaster.in_use)
    if hasattr(forecaster, "untrained_model"):  # the generator of darts' other models starts anywhere
        return code, {name: value for name, value in vars(forecaster).items() if name != "_random_instance"}
    return code, forecaster


def asked_of(forecaster: Any, series: Any, *options: Any) -> Any:
    """All that forecasts of a series hang on, to be hashed: whose, of what, asked how, in which versions."""
    return VERSIONS, state_of(forecaster), unread(series), *options


def unread(series: Any) -> Any:
    """The series, or whatever came for one, as it can be hashed: values stay unread, coordinates do not.

    Beside it stands when the files of its stores were written, as far as they lie on a disk.
    """
    if not isinstance(series, xr.DataArray | xr.Dataset):
        return series
    gridded: Any = series
    hashable = as_dask(gridded).assign_coords(xr.Dataset(coords=series.coords).compute().coords)
    return (hashable, [_written(source.array) for source in sources(series)]) if is_lazy(series) else hashable


def _written(array: Array) -> list[tuple[str, int, int]]:
    """Each file of a local store with its date and size."""
    store: Any = array.store
    if isinstance(store, LocalStore):
        files = [path for path in (store.root / array.path).rglob("*") if path.is_file()]
    elif isinstance(store, ZipStore):
        files = [Path(store.path)]
    else:
        return []
    return sorted((str(path), path.stat().st_mtime_ns, path.stat().st_size) for path in files)


def _is_simple(forecaster: Any) -> bool:
    """Whether it is one of ours that forecast from arguments and training series alone; fitted."""
    return isinstance(forecaster, BaseEstimator) and all(
        hasattr(forecaster, name) for name in ("grid_", "step_", "training_")
    )


def _weights(network: Any) -> dict[str, np.ndarray]:
    """A torch module's, as numbers; none before it is made."""
    weights: Mapping[str, Any] = {} if network is None else network.state_dict()
    return {name: np.asarray(one.detach().cpu().double()) for name, one in weights.items()}
