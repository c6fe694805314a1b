"""A backtest as one Dataset, on disk and back: forecasts, truth, scores, and how they were made."""

import json
import os
import shutil
from collections.abc import Callable, Hashable, Mapping, Sequence
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec
from pathlib import Path
from tempfile import mkdtemp
from typing import TYPE_CHECKING, Any

import numpy as np
import xarray as xr

from darts_mim.backtesting.clock import Series
from darts_mim.stores.unfinished import local_path

if TYPE_CHECKING:
    from darts_mim.backtesting.result import BacktestResult

PACKAGES = ("darts-mim", "darts", "numpy", "pandas", "xarray")
OF_ZARR = (".zgroup", ".zarray", "zarr.json")  # one of these is in every store

Arrays = Mapping[str, xr.DataArray]  # by what is put behind "forecast" and "observed" to name them


def dataset_of(result: "BacktestResult") -> xr.Dataset:
    """See :meth:`darts_mim.backtesting.result.BacktestResult.to_dataset`."""
    truth = _arrays(result.observed)
    parts = [
        _forecasts({name: _arrays(one) for name, one in result.forecasts.items()}, truth),
        {f"observed{suffix}": array.variable for suffix, array in truth.items()},
        _scores(result),
        {} if result.folds is None else {str(k): ("fold", v.values) for k, v in result.folds.items()},
        {"model": ("model", np.array(result.models))},
    ]
    coords = {name: coord.variable for name, coord in result.observed.coords.items()}
    held: dict[Hashable, Any] = {}
    for part in parts:
        if clash := set(held) & set(part):
            raise ValueError(f"Two variables would be named {clash.pop()!r}. Rename it in what was scored.")
        held |= part
    if clash := set(result.observed.dims) & set(held):
        raise ValueError(
            f"The series has the dim {clash.pop()!r}, which is taken here. Rename it in the series."
        )
    kept = {f"series_{name}" if name in held else name: coord for name, coord in coords.items()}
    return xr.Dataset(held).assign_coords(kept).assign_attrs(_making(result)).drop_encoding()


def _arrays(series: Series) -> Arrays:
    if isinstance(series, xr.DataArray):
        return {"": series}
    return {f"_{name}": array for name, array in series.data_vars.items()}


def _forecasts(forecasts: Mapping[str, Arrays], truth: Arrays) -> dict[str, Any]:
    """One variable for all models, if they can share it; else one for each."""
    # A DataArray may have been forecast as a Dataset of one variable, and the reverse.
    arrays = [dict(zip(truth, one.values(), strict=True)) for one in forecasts.values()]
    if len({_layout(one, truth) for one in arrays}) == 1:
        return {
            f"forecast{suffix}": xr.Variable.concat([_like(one[suffix], like) for one in arrays], "model")
            for suffix, like in truth.items()
        } | _own_labels(arrays[0], truth)
    made: dict[str, Any] = {}
    for i, (model, one) in enumerate(zip(forecasts, arrays, strict=True)):
        made |= _own_labels(one, truth, f"_{i}")
        for suffix, like in truth.items():
            variable = _like(one[suffix], like, f"_{i}")
            made[f"forecast{suffix}_{i}"] = xr.Variable(
                variable.dims, variable.data, {**variable.attrs, "model": model}
            )
    return made


def _layout(arrays: Arrays, truth: Arrays) -> tuple[Any, ...]:
    """What has to be the same for two models' forecasts to share a variable."""
    sizes = (arrays[suffix].sizes[dim] for suffix, dim in _own_dims(arrays, truth))
    labels = (tuple(values.tolist()) for _, values in _own_labels(arrays, truth).values())
    return *(array.dtype for array in arrays.values()), *sizes, *labels


def _own_dims(arrays: Arrays, truth: Arrays) -> list[tuple[str, str]]:
    """Dims that the truth has not, such as realization, and which array has them."""
    return [
        (suffix, str(dim)) for suffix in truth for dim in arrays[suffix].dims if dim not in truth[suffix].dims
    ]


def _own_labels(arrays: Arrays, truth: Arrays, mark: str = "") -> dict[str, Any]:
    return {
        f"{dim}{mark}": (f"{dim}{mark}", arrays[suffix].indexes[dim].values)
        for suffix, dim in _own_dims(arrays, truth)
        if dim in arrays[suffix].indexes
    }


def _like(forecast: xr.DataArray, truth: xr.DataArray, mark: str = "") -> xr.Variable:
    """In the dims' order of the truth, with its attributes; its own dims in front, marked."""
    own = [dim for dim in forecast.dims if dim not in truth.dims]
    variable = forecast.variable.transpose(*own, *truth.dims)
    return xr.Variable((*(f"{dim}{mark}" for dim in own), *truth.dims), variable.data, truth.attrs)


def _scores(result: "BacktestResult") -> dict[Hashable, Any]:
    """By metric; a dim of a metric's own that the series has too is named after the metric."""
    found: dict[Hashable, Any] = {}
    for name, score in result.scores.data_vars.items():
        own = [dim for dim in score.dims if dim not in ("model", "lead_time")]
        score = score.rename({dim: f"{name}_{dim}" for dim in own if dim in result.observed.dims})
        own = [dim for dim in score.dims if dim not in ("model", "lead_time") and dim in score.coords]
        found |= {name: score.variable, **{dim: score[dim].variable for dim in own}}
    return found


def _making(result: "BacktestResult") -> dict[str, Any]:
    """How it was made, as attributes; what has parts is JSON."""
    truth = result.observed
    own = truth.attrs if isinstance(truth, xr.Dataset) else {}
    variables = (
        {"variables": json.dumps([str(name) for name in truth])} if isinstance(truth, xr.Dataset) else {}
    )
    return {
        **own,
        "series": str(result.grid.name or ""),
        **variables,
        "settings": json.dumps(dict(result.settings)),
        "origins_wanted": result.origins_wanted,
        "origins_offered": json.dumps(dict(result.origins_offered)),
        "versions": json.dumps({package: _version(package) for package in PACKAGES}),
    }


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return "not installed"


def write_zarr(dataset: xr.Dataset, path: str | Path) -> Path:
    """Write a Zarr store, whole or not at all; one that is there is replaced as a whole.

    The store is of Zarr format 2 with consolidated metadata, which every reader of Zarr knows. Attributes
    that have no place there become text.

    Args:
        dataset: What is written; a lazy one chunk by chunk.
        path: A folder; folders above it that are not there are made.

    Returns:
        The path.

    Raises:
        FileExistsError: If there is something else than a Zarr store.
    """
    path = _local(path)
    is_store = path.is_dir() and (any((path / name).exists() for name in OF_ZARR) or not any(path.iterdir()))
    if path.exists() and not is_store:
        raise FileExistsError(f"{path} is there, and is no Zarr store. Choose another path, or move it away.")
    return _put(path, lambda beside: _plain(dataset).to_zarr(beside, zarr_format=2, consolidated=True))


def write_netcdf(dataset: xr.Dataset, path: str | Path) -> Path:
    """Write a netCDF-4 file, whole or not at all; one that is there is replaced as a whole.

    Raises:
        FileExistsError: If there is a folder.
        ImportError: If h5netcdf is not installed.
    """
    path = _local(path)
    if find_spec("h5netcdf") is None:
        raise ImportError("netCDF is written by h5netcdf, which is not installed. Run: pip install h5netcdf")
    if path.is_dir():
        raise FileExistsError(f"{path} is a folder. Choose a path for the file, e.g. {path / 'backtest.nc'}.")
    return _put(path, lambda beside: _plain(dataset).to_netcdf(beside, engine="h5netcdf"))


def _local(path: str | Path) -> Path:
    return local_path(path, f"Use xarray's own: result.to_dataset().to_zarr({str(path)!r}).")


def _put(path: Path, write: Callable[[Path], Any]) -> Path:
    """Write beside, then move into place; what was there stays until then, and where that fails."""
    path.parent.mkdir(parents=True, exist_ok=True)
    folder = Path(mkdtemp(prefix=f".{path.name}.", dir=path.parent))
    new, old = folder / "new", folder / "old"
    try:
        write(new)
        if path.is_dir():  # no folder can be moved onto another
            os.replace(path, old)
        try:
            os.replace(new, path)
        except OSError:
            if old.exists():
                os.replace(old, path)
            raise
    finally:
        if path.exists() or not old.exists():
            shutil.rmtree(folder)
    return path


def _plain(dataset: xr.Dataset) -> xr.Dataset:
    """With attributes that files can hold: text, numbers, and lists of one of them."""
    plain = dataset.copy()
    for held in (plain, *plain.variables.values()):
        held.attrs = {str(name): _text_or_number(value) for name, value in held.attrs.items()}
    return plain


def _text_or_number(value: Any) -> Any:
    number = int | float | np.integer | np.floating
    if isinstance(value, str | number) and not isinstance(value, bool):
        return value
    if isinstance(value, np.ndarray) and value.dtype.kind in "iuf" and value.size:
        return value
    if isinstance(value, list | tuple) and value:
        for kind in (str, number):
            if all(isinstance(one, kind) and not isinstance(one, bool) for one in value):
                return list(value)
    return json.dumps(value, default=str) if isinstance(value, Mapping | Sequence) else str(value)


def read_forecasts(path: str | Path) -> dict[str, Series]:
    """The forecasts of a stored backtest by model, for ``backtest(read_forecasts(path), ...)``.

    Args:
        path: What :meth:`BacktestResult.to_zarr` or :meth:`BacktestResult.to_netcdf` returned. Zarr is read
            when it is used, netCDF at once.

    Raises:
        FileNotFoundError: If nothing is there.
        ValueError: If it holds no backtest's forecasts.

    >>> from tempfile import mkdtemp
    >>> import pandas as pd
    >>> from darts_mim import Persistence, backtest
    >>> time = pd.date_range("2024-01-01", periods=8, freq="h")
    >>> rain = xr.DataArray(np.arange(48.0).reshape(8, 2, 3), {"time": time}, ("time", "y", "x"))
    >>> result = backtest({"last": Persistence().fit(rain[:4])}, rain, start=time[4], horizon=2)
    >>> stored = read_forecasts(result.to_zarr(Path(mkdtemp(), "run.zarr")))
    >>> bool((stored["last"] == result.forecasts["last"]).all())
    True
    """
    stored = _opened(Path(path))
    if "model" not in stored.coords or not any(str(name).startswith("forecast") for name in stored.data_vars):
        raise ValueError(f"{path} holds no forecasts. Pass what BacktestResult.to_zarr or .to_netcdf wrote.")
    models = [str(model) for model in stored["model"].values]
    if "variables" not in stored.attrs:
        name = stored.attrs["series"] or None
        return {model: _stored(stored, "forecast", i).rename(name) for i, model in enumerate(models)}
    names = json.loads(stored.attrs["variables"])
    return {
        model: xr.Dataset({name: _stored(stored, f"forecast_{name}", i) for name in names})
        for i, model in enumerate(models)
    }


def _opened(path: Path) -> xr.Dataset:
    if not path.exists():
        raise FileNotFoundError(f"Nothing is at {path}. Write it first: result.to_zarr({str(path)!r}).")
    # A series in hours or days is no duration; lead times are.
    decode = {"lead_time": True}
    if path.is_dir():
        return xr.open_zarr(path, chunks={}, decode_timedelta=decode)
    with xr.open_dataset(path, engine="h5netcdf", decode_timedelta=decode) as opened:
        return opened.load()


def _stored(stored: xr.Dataset, name: str, i: int) -> xr.DataArray:
    if name in stored:
        return stored[name].isel(model=i, drop=True)
    truth = stored[name.replace("forecast", "observed", 1)]
    own = stored[f"{name}_{i}"].drop_attrs(deep=False).assign_attrs(truth.attrs)
    return own.rename({dim: str(dim).removesuffix(f"_{i}") for dim in own.dims if dim not in truth.dims})
