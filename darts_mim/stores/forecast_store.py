"""Forecasts that go to a Zarr store, block by block: complete or absent, and gone on with where they were."""

import json
from collections.abc import Callable, Hashable, Mapping
from dataclasses import dataclass
from math import prod
from pathlib import Path
from typing import Any

import dask.array as da
import numpy as np
import pandas as pd
import xarray as xr
from dask.base import tokenize

from darts_mim.errors import GapError, LeakError, StoreChangedError, TooShortError
from darts_mim.grid.lazy import is_lazy
from darts_mim.grid.variables import as_float
from darts_mim.stores.unfinished import Unfinished, local_path, telling

Series = xr.DataArray | xr.Dataset

COPY = "Write to a local one, and copy the complete store."
LABEL = "darts_mim_forecasts"  # the attribute by which such a store is known; JSON
MADE = "was_forecast"
BLOCK = 256  # origins forecast at once, at most
BLOCK_VALUES = 2**24  # values forecast at once, where one origin has no more
CHUNK_BYTES = 2**24  # of what is written as one file
NOT_ONE: dict[str, type[ValueError]] = {one.__name__: one for one in (GapError, TooShortError)}


def stored_forecasts(
    path: str | Path,
    forecast: Callable[[np.ndarray], Series],
    *,
    axis: pd.DatetimeIndex,
    rows: np.ndarray,
    horizon: int,
    origin_size: int,
    asked: Any,
    check: Callable[[Series], None] | None = None,
    advance: Callable[[int], None] | None = None,
) -> Series:
    """Forecasts from many origins, written to a store a block of origins at a time, and opened lazily.

    While they are made the store has another name, ``.name.partial`` beside it. A run that was stopped, at
    any moment, and that is asked again for the same goes on there: it makes the blocks that are not there. A
    complete store of the same is read, nothing is made; a store of other forecasts is replaced once the new
    one is complete. If two runs ask at once, the second waits.

    Args:
        path: Of the Zarr store, a local folder.
        forecast: From rows of the axis to their forecasts on (init_time, lead_time, ...), in memory or lazy.
            Origins that cannot be forecast from are left out of it; if none can, it raises GapError or
            TooShortError.
        axis: The regular time axis of the series.
        rows: Of the origins on it, all that are asked for, in order.
        horizon: Frames of each forecast.
        origin_size: Values of one origin's forecast: all leads, cells, channels and samples.
        asked: All that the forecasts hang on besides origins and horizon, for ``dask.base.tokenize``: the
            state of the model (see ``fingerprint.state_of``), the series, the number of samples, the seed.
        check: Is shown all of them before the store gets its name; if it raises LeakError, nothing is kept.
        advance: Is told how many more origins are done.

    Returns:
        What ``forecast`` gives of all rows at once, read from the store as it is asked for (dask). Origins
        that could not be forecast from are left out; in the store they are NaN, ``was_forecast`` False.

    Raises:
        FileExistsError: If something else than forecasts is at the path.
        GapError: If no origin can be forecast from; or TooShortError, as ``forecast`` says.
        LeakError: As ``check`` says.
        OSError: If nothing can be written there, or the disk is full. Complete blocks are kept beside it.
        ValueError: If the path is not a local one.

    >>> from tempfile import mkdtemp
    >>> from darts_mim.grid.times import origin_rows
    >>> axis = pd.date_range("2024-01-01", periods=6, freq="h")
    >>> def last_frame(rows):
    ...     times = {"init_time": axis[rows], "lead_time": np.arange(1, 3) * np.timedelta64(3600, "s")}
    ...     frames = np.broadcast_to(rows[:, None, None] * 1.0, (len(rows), 2, 3))
    ...     return xr.DataArray(frames, times, ("init_time", "lead_time", "x"))
    >>> made = stored_forecasts(
    ...     Path(mkdtemp(), "run.zarr"),
    ...     last_frame,
    ...     axis=axis,
    ...     rows=origin_rows(axis, start=axis[2], horizon=2, stride=1),
    ...     horizon=2,
    ...     origin_size=2 * 3,
    ...     asked=("last frame", "of these hours"),
    ... )
    >>> made.isel(lead_time=0, x=0).values
    array([1., 2., 3.])
    """
    block = origins_at_once(origin_size)
    valid_rows = rows[:, None] + np.arange(1, horizon + 1)
    work = _Work(
        place=local_path(path, COPY),
        init_times=axis.values[rows],
        valid_times=axis.values[valid_rows],
        blocks=[slice(first, min(first + block, len(rows))) for first in range(0, len(rows), block)],
        asked=asked,
    )
    tell = advance or (lambda _: None)
    if _holds(work.place, work.key):
        tell(len(rows))
        return open_forecasts(work.place)
    with Unfinished.at(work.place, work.key) as unfinished:
        if not _holds(work.place, work.key):  # by another run, while this one waited
            work.fill(unfinished, lambda part: forecast(rows[part]), tell)
            if check is not None:
                work.check(unfinished, check)
            with telling(work.place):
                unfinished.move()
        else:
            unfinished.drop()
    return open_forecasts(work.place)


def stored_forecast(path: str | Path, forecast: Callable[[], Series], *, asked: Any) -> Series:
    """One forecast, on (time, ...), written to a store whole or not at all, and opened lazily.

    Args:
        path: Of the Zarr store, a local folder.
        forecast: Makes it; a lazy one is written chunk by chunk.
        asked: All that it hangs on, for ``dask.base.tokenize``.

    Raises:
        FileExistsError: If something else than forecasts is at the path.
        OSError: If nothing can be written there, or the disk is full.
        ValueError: If the path is not a local one.

    >>> from tempfile import mkdtemp
    >>> hours = pd.date_range("2024-01-01", periods=3, freq="h")
    >>> rain = xr.DataArray([1.0, 2.0, 3.0], {"time": hours}, name="rain")
    >>> stored_forecast(Path(mkdtemp(), "rain.zarr"), lambda: rain, asked="three hours").identical(rain)
    True
    """
    place, key = local_path(path, COPY), tokenize(asked, ensure_deterministic=True)
    if not _holds(place, key):
        with Unfinished.at(place, key) as unfinished:
            unfinished.begin_anew()
            made = forecast()
            dataset = _dataset(made)
            chunks = {name: _chunks(one, 1) for name, one in dataset.items()}
            if is_lazy(dataset):
                dataset = dataset.map(_cut, keep_attrs=True)
            dataset = _labelled(dataset, made, key)
            with telling(place):
                _write_new(dataset, chunks, unfinished.content).compute()
                unfinished.move()
    return open_forecasts(place)


def origins_at_once(origin_size: int) -> int:
    """Origins of a block: a power of two, so that smaller blocks lie in larger ones.

    Args:
        origin_size: Values of one origin's forecast: all leads, cells, channels and samples.

    >>> origins_at_once(12 * 64 * 64), origins_at_once(12 * 721 * 1440)
    (256, 1)
    """
    return min(BLOCK, 1 << (max(1, BLOCK_VALUES // origin_size).bit_length() - 1))


def open_forecasts(path: str | Path) -> Series:
    """The forecasts of a store as they were made, read as they are asked for (dask).

    Raises:
        FileNotFoundError: If nothing is there.
        ValueError: If it is something else.
    """
    label = _label(Path(path))
    if label is None:
        if not Path(path).exists():
            raise FileNotFoundError(f"Nothing is at {path}. Pass the path that forecasts were written to.")
        raise ValueError(f"{path} holds no forecasts. Pass the path that forecasts were written to.")
    place = Path(path).absolute()

    def held(array: xr.DataArray) -> xr.DataArray:
        asked: Any = {"place": place, "key": label["asked"], "dtype": array.dtype}
        return array.copy(data=array.data.map_blocks(_unless_replaced, **asked))

    opened = _opened(place, label)
    return held(opened) if isinstance(opened, xr.DataArray) else opened.map(held, keep_attrs=True)


def _unless_replaced(values: np.ndarray, place: Path, key: str) -> np.ndarray:
    """What was read, if the store still holds what it held when it was opened."""
    label = _label(place)
    if label is None or label["asked"] != key:
        raise StoreChangedError(
            f"{place} holds other forecasts than when it was opened. Open it again, or ask for these again, "
            f"with a path of their own."
        )
    return values


@dataclass(frozen=True, kw_only=True)
class _Work:
    """What is to be made: all origins, and how they are cut into blocks."""

    place: Path
    init_times: np.ndarray
    valid_times: np.ndarray  # (origin, lead)
    blocks: list[slice]
    asked: Any

    @property
    def key(self) -> str:
        """The fingerprint of all of it."""
        what = (self.asked, self.init_times, self.valid_times, self.blocks)
        return tokenize(*what, ensure_deterministic=True)

    def fill(
        self, unfinished: Unfinished, forecast: Callable[[slice], Series], advance: Callable[[int], None]
    ) -> None:
        """Make the blocks that are not there, and say in the end which origins are.

        Raises:
            GapError: If none is; or TooShortError.
        """
        if unfinished.note("layout") and not unfinished.content.exists():
            unfinished.begin_anew()
        made = np.zeros(len(self.init_times), dtype=bool)
        note: Any = None
        for number, block in enumerate(self.blocks):
            note = unfinished.note(f"block-{number}")
            if note is None:
                note = self._make(unfinished, number, forecast)
            made[block] = note["made"]
            advance(block.stop - block.start)
        if not made.any():
            unfinished.drop()
            raise NOT_ONE[note["error"]](note["why_not"])
        with telling(self.place):
            _write_part(xr.Dataset({MADE: ("init_time", made)}), unfinished.content, slice(0, len(made)))

    def _make(self, unfinished: Unfinished, number: int, forecast: Callable[[slice], Series]) -> Any:
        block, times = self.blocks[number], self.init_times[self.blocks[number]]
        note: Any = {"made": [False] * len(times)}
        try:
            series = forecast(block).compute()
        except tuple(NOT_ONE.values()) as error:
            note |= {"error": type(error).__name__, "why_not": str(error)}
        else:
            with telling(self.place):
                if unfinished.note("layout") is None:
                    _write_new(*self._layout(series), unfinished.content)
                    unfinished.finish("layout", True)
                _write_part(_of_all(_dataset(series), times), unfinished.content, block)
            note["made"] = np.isin(times, series["init_time"].values).tolist()
            note |= {"error": GapError.__name__, "why_not": "No origin could be forecast from."}
        with telling(self.place):
            unfinished.finish(f"block-{number}", note)
        return note

    def check(self, unfinished: Unfinished, check: Callable[[Series], None]) -> None:
        """Show what was made; if it knows the future, drop it."""
        label = _label(unfinished.content)
        assert label is not None
        try:
            check(_opened(unfinished.content, label))
        except LeakError:
            unfinished.drop()
            raise

    def _layout(self, series: Series) -> tuple[xr.Dataset, dict[Hashable, Any]]:
        """The whole store without its values, as one block shows it, and its chunks."""
        dataset = _dataset(series)
        sizes = dict(dataset.sizes) | {"init_time": len(self.init_times)}
        chunks = {name: _chunks(one, self.blocks[0].stop) for name, one in dataset.items()}
        values = {
            name: (one.dims, _nothing([sizes[dim] for dim in one.dims], one.dtype, chunks[name]), one.attrs)
            for name, one in dataset.items()
        }
        held = {name: one.variable for name, one in dataset.coords.items() if "init_time" not in one.dims}
        held |= {
            "init_time": ("init_time", self.init_times),
            "valid_time": (("init_time", "lead_time"), self.valid_times),
            MADE: ("init_time", np.zeros(len(self.init_times), dtype=bool)),
        }
        return _labelled(xr.Dataset(values, held, dataset.attrs), series, self.key), chunks


def _holds(place: Path, key: str) -> bool:
    """Whether just these forecasts are there, complete.

    Raises:
        FileExistsError: If something else than forecasts is.
    """
    label = _label(place)
    if label is None and place.exists() and not (place.is_dir() and not any(place.iterdir())):
        raise FileExistsError(
            f"{place} is there, and holds no forecasts. Choose another path, or move it away."
        )
    return label is not None and label["asked"] == key


def _label(place: Path) -> dict[str, Any] | None:
    """What a store of forecasts says of itself; None if it is none."""
    try:
        return json.loads(json.loads((place / ".zattrs").read_text())[LABEL])
    except (OSError, ValueError, KeyError, TypeError):
        return None


def _dataset(series: Series) -> xr.Dataset:
    """Of floats, so that NaN can say what is missing; a DataArray is its one variable."""
    if isinstance(series, xr.Dataset):
        return series.map(as_float, keep_attrs=True)
    name = "forecast" if series.name is None or series.name in series.coords else series.name
    return as_float(series).to_dataset(name=name)


def _labelled(dataset: xr.Dataset, series: Series, key: str) -> xr.Dataset:
    """As it can be written, with what it takes to read the series from it again."""
    array = isinstance(series, xr.DataArray)
    kinds = {str(name): one.dtype for name, one in dataset.variables.items()}
    label = {
        "asked": key,
        "array": next(iter(dataset)) if array else None,  # the variable; None: it is a Dataset
        "name": series.name if array else None,
        "durations": [name for name, kind in kinds.items() if kind.kind == "m"],
        "unit": next((np.datetime_data(kind)[0] for kind in kinds.values() if kind.kind == "M"), "ns"),
    }
    plain = dataset.drop_encoding()
    for held in (plain, *plain.variables.values()):
        held.attrs = {str(name): _plain(value) for name, value in held.attrs.items()}
    return plain.assign_attrs({LABEL: json.dumps(label)})


def _plain(value: Any) -> Any:
    """As JSON has it; what it has not is text."""
    if isinstance(value, np.ndarray | np.generic) and value.dtype.kind in "biufU":
        return value.tolist()
    return json.loads(json.dumps(value, default=str))


def _chunks(array: xr.DataArray, block: int) -> tuple[int, ...]:
    """Whole blocks of origins or even parts of them; what is more than a chunk is cut by sample and lead."""
    sizes = dict(array.sizes) | ({"init_time": block} if "init_time" in array.dims else {})
    for dim in ("init_time", "realization", "lead_time", array.dims[0]):
        while prod(sizes.values()) * array.dtype.itemsize > CHUNK_BYTES and sizes.get(dim, 1) > 1:
            sizes[dim] = next(n for n in range(sizes[dim] // 2, 0, -1) if sizes[dim] % n == 0)
    return tuple(sizes[dim] for dim in array.dims)


def _nothing(shape: list[int], dtype: np.dtype[Any], chunks: tuple[int, ...]) -> Any:
    return da.empty(shape, dtype=dtype, chunks=chunks)


def _cut(array: xr.DataArray) -> xr.DataArray:
    return array.chunk(dict(zip(array.dims, _chunks(array, 1), strict=True)))


def _of_all(dataset: xr.Dataset, init_times: np.ndarray) -> xr.Dataset:
    """With NaN for the origins that are left out; without coordinates, which are there already."""
    labels = [name for name in dataset.coords if name != "init_time"]
    bare = dataset.drop_vars(labels)
    if not np.array_equal(bare["init_time"].values, init_times):
        bare = bare.reindex(init_time=init_times)
    return bare.drop_vars("init_time")


def _write_new(dataset: xr.Dataset, chunks: Mapping[Hashable, Any], content: Path) -> Any:
    """The store with all but what is lazy, which is written once it is computed."""
    encoding = {name: {"chunks": sizes} for name, sizes in chunks.items()}
    return dataset.to_zarr(
        content, mode="w", zarr_format=2, consolidated=True, encoding=encoding, compute=False
    )


def _write_part(dataset: xr.Dataset, content: Path, part: slice) -> None:
    dataset.drop_attrs().to_zarr(content, mode="r+", region={"init_time": part}, consolidated=True)


def _opened(place: Path, label: Mapping[str, Any]) -> Series:
    decode_times: Any = xr.coders.CFDatetimeCoder(time_unit=label["unit"])
    dataset = xr.open_zarr(
        place,
        chunks={},
        decode_times=decode_times,
        decode_timedelta=dict.fromkeys(label["durations"], True),
    ).drop_encoding()
    del dataset.attrs[LABEL]
    if MADE in dataset.coords:
        made = dataset[MADE].values
        dataset = (dataset if made.all() else dataset.isel(init_time=made)).drop_vars(MADE)
    if label["array"] is None:
        return dataset
    return dataset[label["array"]].rename(label["name"])
