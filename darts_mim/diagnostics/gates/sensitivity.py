"""Which input frame and cell a forecast depends on: the gradient of a forecast with respect to its input."""

from typing import Any

import numpy as np
import torch
import xarray as xr
from torch import Tensor

from darts_mim.diagnostics.gates.memory import differentiable
from darts_mim.diagnostics.gates.subject import SomeWindows, Subject, labelled
from darts_mim.grid.times import positive
from darts_mim.models.module import GridModule, centre


def input_gradient(
    model: Any,
    series: Any,
    *,
    lead: int,
    cell: tuple[int, int] | None = None,
    channel: Any = None,
    windows: int = 32,
    stride: int = 1,
    start: Any = None,
    **covariates: Any,
) -> xr.DataArray:
    """How much a forecast depends on each cell of each input frame.

    The gradient of the forecast ``lead`` frames ahead with respect to the frames that were read, its
    absolute value averaged over windows. Both are on the network's own scale, after a pipeline's transforms:
    a value of 0.1 says that 1 more in that cell moves the forecast by 0.1, to first order. Under a likelihood
    the forecast is the distribution's centre.

    Args:
        model: A fitted ``MIMModel``, or a ``GridPipeline`` that ends in one.
        series: To forecast from, as for ``historical_forecasts``.
        lead: Frames ahead, from 1.
        cell: Row and column of the forecast, from 0; None: the sum over all observed cells.
        channel: Label of the forecast's channel; None: the sum over all.
        windows: Windows to average over, evenly spread over the series.
        stride: Frames between the origins that are drawn from.
        start: Time of the first forecast frame; None: as early as can be.
        **covariates: As for ``historical_forecasts``.

    Returns:
        (input_step, channel, row, column) on the series' own coordinates; ``input_step`` is 0 for the last
        frame that was read, -1 for the one before. NaN in cells that are never observed.

    Raises:
        NotFittedError: If the model is not fitted.
        TypeError: If it is no MIM model, or several series came.
        ValueError: If there is no such lead, cell or channel.

    >>> from darts_mim import MIMModel
    >>> import pandas as pd
    >>> time = pd.date_range("2024", periods=30, freq="h")
    >>> wave = np.sin(np.arange(30)[:, None, None] + np.arange(4)[:, None] + np.arange(3))
    >>> series = xr.DataArray(wave, {"time": time}, ("time", "y", "x"))
    >>> quiet = {"enable_progress_bar": False, "enable_model_summary": False, "accelerator": "cpu"}
    >>> model = MIMModel(4, 2, hidden=4, layers=2, kernel_size=3, n_epochs=1, pl_trainer_kwargs=quiet)
    >>> input_gradient(model.fit(series), series, lead=1, cell=(0, 0)).sizes
    Frozen({'input_step': 4, 'channel': 1, 'y': 4, 'x': 3})
    """
    subject = Subject.of(model, series)
    if lead < 1:
        raise ValueError(f"lead is {lead}; the first frame ahead is 1. Use 1 or more.")
    chosen = _chosen(subject, cell, channel)
    some = SomeWindows(positive(windows, "windows"))
    subject.forecast([some], horizon=lead, stride=stride, start=start, verbose=False, covariates=covariates)
    observed, known = some.tensors(next(subject.network.parameters()))
    with differentiable(subject.network):
        observed.requires_grad_()
        generated = subject.network(observed, lead, covariates=known, seen=subject.seen)
        frame = _centre(subject.module, generated)[:, -1]
        (gradient,) = torch.autograd.grad(frame[:, chosen.to(frame.device)].sum(), observed)
    found = _on_grid(subject, gradient.abs().mean(dim=0).cpu().numpy(), lead)
    place = {} if cell is None else {"cell_row": cell[0], "cell_column": cell[1]}
    return found.assign_attrs(of=_said(cell, channel), lead=lead, windows=len(observed), **place)


def _chosen(subject: Subject, cell: tuple[int, int] | None, channel: Any) -> Tensor:
    """Which (channel, row, column) of the forecast are added up."""
    grid = subject.grid
    counted = np.ones(grid.shape, bool) if grid.mask is None else ~grid.mask
    if channel is not None:
        if channel not in grid.channels:
            raise ValueError(f"There is no channel {channel!r}. Choose from {list(grid.channels)}.")
        counted &= np.arange(grid.n_channels)[:, None, None] == grid.channels.index(channel)
    if cell is not None:
        row, column = cell
        if not (0 <= row < grid.height and 0 <= column < grid.width):
            raise ValueError(
                f"There is no cell {cell}: the grid has {grid.height} x {grid.width}, counted from (0, 0)."
            )
        one = np.zeros(grid.shape[1:], bool)
        one[row, column] = True
        counted &= one
    if not counted.any():
        raise ValueError(f"The cell {cell} is never observed, so there is no forecast of it. Choose another.")
    return torch.from_numpy(counted)


def _centre(module: GridModule, generated: Tensor) -> Tensor:
    """Frames as they are fed back: (batch, step, channel, height, width)."""
    if module.likelihood is None:
        return generated
    return centre(module.likelihood, generated.flatten(2, 4)).reshape(generated.shape[:-1])


def _said(cell: tuple[int, int] | None, channel: Any) -> str:
    of = "all cells" if cell is None else f"cell ({cell[0]}, {cell[1]})"
    return of if channel is None else f"{of}, {channel}"


def _on_grid(subject: Subject, values: np.ndarray, lead: int) -> xr.DataArray:
    grid = subject.grid
    values = values if grid.mask is None else np.where(grid.mask, np.nan, values)
    gradient = labelled(
        values,
        ("input_step", *grid.canonical_dims),
        f"Mean absolute gradient of the forecast {lead} ahead with respect to the input",
        "1 (both on the network's own scale)",
    )
    spatial = {dim: grid.coords[dim] for dim in grid.spatial_dims if dim in grid.coords.coords}
    steps = np.arange(1 - len(values), 1)
    return gradient.assign_coords(
        {
            "input_step": (
                "input_step",
                steps,
                {"long_name": "Frame read, from the last one", "units": "steps"},
            ),
            grid.canonical_dims[0]: (grid.canonical_dims[0], list(grid.channels)),
            **spatial,
        }
    )
