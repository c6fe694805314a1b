"""A copy of a store in the chunks that training reads well."""

import os
import shutil
import warnings
from collections.abc import Callable, Generator, Hashable, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from tempfile import mkdtemp
from typing import Any, Literal

import dask.array as da
import numpy as np
import xarray as xr
import zarr
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from zarr.codecs import BloscCodec, BloscShuffle, Crc32cCodec
from zarr.storage import ZipStore

from darts_mim.errors import DamagedStoreError
from darts_mim.grid.dims import Dims, find_dims
from darts_mim.grid.times import positive
from darts_mim.stores.absent_chunks import absence, described
from darts_mim.stores.stored import Watch, read_frames

CHUNK = 4 * 2**20  # bytes: decoding is as fast as it gets, and a window throws little away
MEMORY = 2**30  # bytes in all
COPIES = 6  # of a block, counted: as read, packed, in chunks, compressed, read back
# Zstandard at its fastest on shuffled bits: of what was tried on rain, temperature and traffic as small
# as any, at 200 to 900 MB/s a core; the checksum finds a bit that has flipped.
COMPRESSORS = (BloscCodec(cname="zstd", clevel=1, shuffle=BloscShuffle.bitshuffle), Crc32cCodec())
PACKING = ("dtype", "scale_factor", "add_offset", "_FillValue", "missing_value", "_Unsigned")
CALENDAR = ("dtype", "units", "calendar", "_FillValue")


def rechunk_for_training(
    store: str | Path | xr.DataArray | xr.Dataset,
    to: str | Path,
    *,
    variable: str | Sequence[str] | None = None,
    crop: tuple[int, int] | None = None,
    chunk_bytes: int = CHUNK,
    memory: int = MEMORY,
    absent: Literal["error", "fill"] = "error",
    time_dim: str | None = None,
    spatial_dims: tuple[str, str] | None = None,
    verbose: bool = True,
) -> Path:
    """Copy a store into chunks of a few frames with their whole grid, as training on random windows reads it.

    The copy is a store of Zarr format 3, compressed and with a checksum on each chunk, which reads the same:
    values, types, packing, coordinates and attributes. Each block is read back once it is written, and
    compared. No chunk is left out of it. It is whole or not there: until it is finished it has another name.

    Args:
        store: Path of a store or of a zip of one, or a lazy series, e.g. one that was opened from a bucket
            and sliced.
        to: Path of the copy, a local folder that is not there yet.
        variable: Which of the store's variables; all by default.
        crop: (rows, columns) of the crops to train on, where the grid is so large that a chunk should hold a
            part of it.
        chunk_bytes: Size of a chunk before it is compressed; a frame, or the crop of one, is never cut.
        memory: Bytes to work in, about; a sixth of it is frames read at a time, but never less than a chunk
            of the copy or ten of the store. What is stored in chunks of more frames than that is decoded
            again for each part.
        absent: What to do where chunks are absent from the store: "error", or "fill" to take the fill value
            for data, as it is in stores written with ``write_empty_chunks=False``.
        time_dim: Name of the time dim, where it cannot be told.
        spatial_dims: Names of the rows' and columns' dims, where they cannot be told.
        verbose: Whether to show a progress bar.

    Returns:
        The path of the copy, for ``xr.open_zarr``.

    Raises:
        DamagedStoreError: If chunks are absent and ``absent="error"``, or frames cannot be read.
        FileExistsError: If there is something at ``to``.
        OSError: If the copy cannot be written, e.g. because the disk is full.
        ValueError: If the store has not the variable, or the series' packing (``encoding``) does not hold its
            values.

    >>> from tempfile import TemporaryDirectory
    >>> rain = xr.DataArray(np.ones((6, 4, 5)), dims=("time", "y", "x"), name="rain").chunk(time=6, y=1)
    >>> folder = TemporaryDirectory()
    >>> path = rechunk_for_training(rain, f"{folder.name}/rain.zarr", chunk_bytes=320, verbose=False)
    >>> xr.open_zarr(path).rain.chunks
    ((2, 2, 2), (4,), (5,))
    >>> folder.cleanup()
    """
    if absent not in ("error", "fill"):
        raise ValueError(f'absent={absent!r} came; "error" or "fill" is wanted.')
    to = _free(to)
    with _opened(store) as opened:
        series = _chosen(opened, variable)
        dims = _dims_of(series, time_dim, spatial_dims)
        if absent == "error":
            _require_present(series, dims)
        chunks = _chunks(series, dims, crop, positive(chunk_bytes, "chunk_bytes"))
        _write_whole(to, lambda beside: _copy(series, beside, dims, chunks, memory, verbose))
    return to


def _free(to: str | Path) -> Path:
    if "://" in str(to):
        raise ValueError(
            f"to={str(to)!r} came; a local path is wanted, which can be written whole or not at all."
        )
    to = Path(to)
    if to.exists():
        raise FileExistsError(f"{to} is there. Choose another path, or remove it first.")
    return to


@contextmanager
def _opened(store: str | Path | xr.DataArray | xr.Dataset) -> Generator[xr.Dataset]:
    if isinstance(store, xr.Dataset):
        yield store
    elif isinstance(store, xr.DataArray):
        yield store.to_dataset(name=store.name or "series")
    elif Path(store).is_file():
        with ZipStore(store, mode="r") as zipped:
            yield xr.open_zarr(zipped, consolidated=False, chunks=None)
    else:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", message="Failed to open Zarr store with consolidated")
            opened = xr.open_zarr(str(store), chunks=None)
        yield opened


def _chosen(opened: xr.Dataset, variable: str | Sequence[str] | None) -> xr.Dataset:
    if variable is None:
        return opened
    names = [variable] if isinstance(variable, str) else list(variable)
    if missing := [name for name in names if name not in opened.data_vars]:
        raise ValueError(f"variable={missing[0]!r} came; the store has {sorted(map(str, opened))}.")
    return opened[names]


def _dims_of(series: xr.Dataset, time_dim: str | None, spatial_dims: tuple[str, str] | None) -> Dims:
    """Of the variable with the most dims; the others may lack some of them."""
    if not series.data_vars:
        raise ValueError("The store has no variables to copy.")
    largest = max(series.data_vars.values(), key=lambda array: array.ndim)
    return find_dims(largest, time_dim=time_dim, spatial_dims=spatial_dims)


def _require_present(series: xr.Dataset, dims: Dims) -> None:
    found = absence(series, dims.time)
    if len(found.times):
        raise DamagedStoreError(
            f'{described(found)} If they hold nothing else and were left out for that, pass absent="fill". '
            f"If not, write the store again from where the data came from, or leave these times out of the "
            f"series that is copied."
        )


def _chunks(
    series: xr.Dataset, dims: Dims, crop: tuple[int, int] | None, chunk_bytes: int
) -> Mapping[str, int]:
    """Cells of a chunk by dim, the same for all variables: a block of frames is whole chunks of each."""
    sizes = {str(dim): max(1, size) for dim, size in series.sizes.items()}
    for dim, cells in zip(dims.spatial, crop or (), strict=False):
        sizes[dim] = min(sizes[dim], positive(cells, "crop"))
    frames = [
        int(np.prod([sizes[str(dim)] for dim in array.dims if dim != dims.time]))
        * _stored_type(array).itemsize
        for array in series.data_vars.values()
    ]
    return sizes | {dims.time: min(sizes[dims.time], max(1, chunk_bytes // max(frames)))}


def _stored_type(array: xr.DataArray) -> np.dtype[Any]:
    return np.dtype(array.encoding.get("dtype", array.dtype))


def _copy(
    series: xr.Dataset, beside: Path, dims: Dims, chunks: Mapping[str, int], memory: int, verbose: bool
) -> None:
    """Everything that has no time at once, then the frames block by block."""
    time = dims.time
    timed = [name for name, array in series.data_vars.items() if time in array.dims]
    _lay_out(series, beside, timed, chunks)
    frames = series[timed].drop_vars([name for name in series.coords if name != time])
    watch = Watch(frames)
    frame = sum(array.nbytes for array in frames.data_vars.values()) // max(1, frames.sizes[time])
    rows = chunks[time] * max(1, memory // max(1, COPIES * frame * chunks[time]))
    copy = xr.open_zarr(beside, consolidated=False, chunks=None)
    with _progress(verbose) as progress:
        bar = progress.add_task(f"Copy to {beside.parent.name}", total=frames.sizes[time])
        for start in range(0, frames.sizes[time], rows):
            part = slice(start, min(start + rows, frames.sizes[time]))
            block = read_frames(frames, time, part, watch=watch).drop_vars(time, errors="ignore")
            with _quiet():
                block.to_zarr(
                    beside, region={time: part}, consolidated=False, zarr_format=3, write_empty_chunks=True
                )
            _require_same(block, copy.isel({time: part}))
            progress.advance(bar, part.stop - part.start)
    with _quiet():
        zarr.consolidate_metadata(beside)  # xr.open_zarr looks for it first, and warns where there is none


def _lay_out(series: xr.Dataset, beside: Path, timed: Sequence[Hashable], chunks: Mapping[str, int]) -> None:
    """The copy with all coordinates and no frames yet."""
    empty = series.drop_vars(timed).load().drop_encoding()
    for name in empty.variables:
        empty[name].encoding = _kept(series[name], (*PACKING, *CALENDAR))
    encoding: dict[Hashable, Any] = {}
    for name in timed:
        array = series[name]
        cut = tuple(chunks[str(dim)] for dim in array.dims)
        zeros = da.zeros(array.shape, dtype=array.dtype, chunks=cut)
        empty[name] = (array.dims, zeros, array.attrs)
        encoding[name] = {**_kept(array, PACKING), "chunks": cut, "compressors": COMPRESSORS}
    with _quiet():
        empty.to_zarr(
            beside,
            compute=False,
            encoding=encoding,
            consolidated=False,
            zarr_format=3,
            write_empty_chunks=True,
        )


def _kept(array: xr.DataArray, names: Sequence[str]) -> dict[str, Any]:
    return {name: array.encoding[name] for name in names if name in array.encoding}


def _require_same(block: xr.Dataset, copy: xr.Dataset) -> None:
    for name, array in block.data_vars.items():
        if not np.array_equal(array.values, copy[name].values, equal_nan=array.dtype.kind in "fc"):
            raise ValueError(
                f"{name!r} does not read back as it was written: its packing "
                f"{_kept(array, PACKING)} does not hold its values, or the disk is damaged. Copy it without "
                f"packing, as series.drop_encoding()."
            )


def _write_whole(to: Path, write: Callable[[Path], None]) -> None:
    """Write beside, then move into place."""
    folder = None
    try:
        to.parent.mkdir(parents=True, exist_ok=True)
        folder = Path(mkdtemp(prefix=f".{to.name}.", dir=to.parent))
        write(folder / to.name)
        os.replace(folder / to.name, to)
    except DamagedStoreError:
        raise
    except OSError as error:
        raise OSError(
            error.errno,
            f"{to} could not be written ({error.strerror or error}); nothing is left of it. Make room or "
            f"choose a folder that can be written to, and run it again.",
        ) from error
    finally:
        if folder is not None:
            shutil.rmtree(folder, ignore_errors=True)


@contextmanager
def _quiet() -> Generator[None]:
    """Without what zarr says of what format 3 does not yet name: labels, consolidated metadata."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=".*(Zarr V3 spec|Zarr format 3 spec|Consolidated metadata)")
        yield


def _progress(verbose: bool) -> Progress:
    columns = (BarColumn(), TimeElapsedColumn(), TimeRemainingColumn())
    return Progress(TextColumn("{task.description}"), *columns, disable=not verbose)
