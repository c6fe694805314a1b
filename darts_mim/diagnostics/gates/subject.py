"""Who is examined: the network inside a fitted model or pipeline, and the series as that network sees it."""

from collections.abc import Generator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
import xarray as xr
from sklearn.exceptions import NotFittedError
from sklearn.utils.validation import check_is_fitted
from torch import Tensor

from darts_mim.diagnostics.gates.recording import LayerStep, Watcher, Windows, watching
from darts_mim.grid.grid import Grid
from darts_mim.grid.times import moment
from darts_mim.grid.transformer import is_list
from darts_mim.models.grid_model import GridForecastingModel
from darts_mim.models.learnt import SERIES
from darts_mim.models.module import GridModule
from darts_mim.nn.recurrent import MIMNetwork
from darts_mim.pipeline import GridPipeline


@dataclass(frozen=True, kw_only=True)
class Subject:
    """A fitted MIM, and one series that it forecasts from."""

    forecaster: GridForecastingModel
    module: GridModule
    network: MIMNetwork
    series: Any  # transformed, where a pipeline came
    grid: Grid

    @classmethod
    def of(cls, model: Any, series: Any) -> "Subject":
        """The network behind a model or pipeline, and the series as the pipeline's transformers leave it.

        Raises:
            TypeError: If it is no MIM model, or several series came.
            NotFittedError: If it is not fitted.
        """
        forecaster = model.forecaster if isinstance(model, GridPipeline) else model
        if not isinstance(forecaster, GridForecastingModel):
            raise TypeError(
                f"A {type(forecaster).__name__} came, which has no gates to look at. Pass a fitted MIMModel, "
                f"or a GridPipeline that ends in one."
            )
        if is_list(series):
            raise TypeError(
                f"{len(series)} series came, and one is examined at a time. Pass one of them, e.g. series[0]."
            )
        if isinstance(model, GridPipeline):
            check_is_fitted(model)
            series, _ = model._transform(series)  # pyright: ignore[reportPrivateUsage]
        if forecaster.model is None:
            raise NotFittedError(
                f"This {type(forecaster).__name__} is not fitted yet. Call fit(series) first."
            )
        assert isinstance(forecaster.model, GridModule)
        network = forecaster.model.network
        if not isinstance(network, MIMNetwork):
            raise TypeError(
                f"The network is a {type(network).__name__}, whose cells are not MIM's. Pass a fitted "
                f"MIMModel."
            )
        learnt = forecaster._learnt.grid(SERIES)  # pyright: ignore[reportPrivateUsage]
        grid = Grid.of_timeseries(series) if learnt is None else learnt
        return cls(forecaster=forecaster, module=forecaster.model, network=network, series=series, grid=grid)

    @property
    def layers(self) -> int:
        """The ST-LSTM and what is above it."""
        return 1 + len(self.network.blocks)

    @property
    def patched_shape(self) -> tuple[int, int]:
        """Rows and columns of the grid that the states live on."""
        p = self.network.patch_size
        return -(-self.grid.height // p), -(-self.grid.width // p)

    @property
    def cells(self) -> Tensor | None:
        """Indices of the patched cells that hold an observed value in some channel; None if all do."""
        if self.module.observed is None:
            return None
        return self.module.seen[0].amax(dim=0).flatten().nonzero()[:, 0]

    @property
    def seen(self) -> Tensor | None:
        """1 where a cell is observed, patched; None if all are."""
        return None if self.module.observed is None else self.module.seen

    def patched_coords(self) -> dict[str, Any]:
        """The spatial coordinates of the patched grid: the mean over a patch, where they are numbers."""
        p, found = self.network.patch_size, {}
        for dim in self.grid.spatial_dims:
            if dim not in self.grid.coords.coords:
                continue
            coord = self.grid.coords[dim]
            if p == 1:
                found[dim] = coord
            elif coord.dtype.kind in "iuf":
                starts = range(0, coord.size, p)
                means = [float(coord[start : start + p].mean()) for start in starts]
                found[dim] = (dim, means, coord.attrs)
        return found

    def on_patches(self, values: np.ndarray) -> np.ndarray:
        """Values of the cells that count, (..., cell), on the patched grid; NaN where none is observed."""
        rows, columns = self.patched_shape
        laid = np.full((*values.shape[:-1], rows * columns), np.nan)
        laid[..., slice(None) if self.cells is None else self.cells.numpy()] = values
        return laid.reshape(*values.shape[:-1], rows, columns)

    def forecast(
        self,
        watchers: Sequence[Watcher],
        *,
        horizon: int,
        stride: int,
        start: Any,
        verbose: bool,
        covariates: Mapping[str, Any],
    ) -> None:
        """Forecast from every origin in order, and let the watchers see it."""
        if start is not None:
            start = moment(start, "start")
        with watching(self.network, watchers, cells=self.cells), _whole(self.module):
            self.forecaster.historical_forecasts(
                self.series,
                forecast_horizon=horizon,
                stride=stride,
                start=start,
                verbose=verbose,
                retrain=False,
                last_points_only=False,
                show_warnings=False,
                **covariates,
            )


@contextmanager
def _whole(module: GridModule) -> Generator[None]:
    """The grid forecast at once, also by a model that does it in tiles."""
    tiling, module.tiling = module.tiling, None
    try:
        yield
    finally:
        module.tiling = tiling


class SomeWindows:
    """Keeps some of the whole windows that pass, evenly spread over all of them.

    Args:
        most: How many to keep at most.

    Attributes:
        passed: Whole windows so far.
        left_out: Windows that hold NaN.
    """

    def __init__(self, most: int) -> None:
        self.most, self.every, self.passed, self.left_out = most, 1, 0, 0
        self._kept: list[tuple[Tensor, Tensor | None]] = []

    def begin(self, windows: Windows) -> None:
        """Keep every so many windows; where they get twice too many, drop every second."""
        self.left_out += int((~windows.whole).sum())
        for n in windows.whole.nonzero()[:, 0].tolist():
            if self.passed % self.every == 0:
                covariates = windows.covariates
                kept = windows.observed[n].clone(), None if covariates is None else covariates[n].clone()
                self._kept.append(kept)
            if len(self._kept) == 2 * self.most:
                self._kept, self.every = self._kept[::2], 2 * self.every
            self.passed += 1

    def see(self, step: LayerStep) -> None:
        """Of no interest."""

    def tensors(self, like: Tensor) -> tuple[Tensor, Tensor | None]:
        """The windows kept, and their covariates, on the device of ``like``, ready for gradients."""
        chosen = np.linspace(0, len(self._kept) - 1, min(self.most, len(self._kept))).round().astype(int)
        observed, covariates = zip(*(self._kept[n] for n in chosen), strict=True)
        known = [each for each in covariates if each is not None]
        # made outside of inference mode, so that autograd takes them
        return torch.stack(observed).to(like), torch.stack(known).to(like) if known else None


def steps_coords(observed: int, horizon: int) -> dict[str, Any]:
    """Steps of the roll-out from 1 on, and the frame that each reads: observed, or the network's own.

    >>> steps_coords(3, 2)["reads"][1]
    ['observed', 'observed', 'observed', 'forecast']
    """
    steps = observed - 1 + horizon
    reads = ["observed"] * observed + ["forecast"] * (horizon - 1)
    return {
        "step": ("step", np.arange(1, steps + 1), {"long_name": "Step of the roll-out", "units": "1"}),
        "reads": ("step", reads, {"long_name": "Frame that the step reads"}),
    }


def layer_coords(network: MIMNetwork) -> dict[str, Any]:
    """Layers from 1 on, and what they are made of.

    >>> layer_coords(MIMNetwork(1, 2, 3, 3))["kind"][1]
    ['ST-LSTM', 'MIM block', 'MIM block']
    """
    above = "ST-LSTM" if network.ablation == "without_mim" else "MIM block"
    kinds = ["ST-LSTM"] + [above] * len(network.blocks)
    return {
        "layer": ("layer", np.arange(1, len(kinds) + 1), {"long_name": "Layer, from below", "units": "1"}),
        "kind": ("layer", kinds, {"long_name": "Cell of the layer"}),
    }


def labelled(
    values: Any, dims: Sequence[str], long_name: str, units: str = "1", **attrs: Any
) -> xr.DataArray:
    """An array with what it is called and its units.

    >>> labelled([0.5], ["layer"], "Share").attrs
    {'long_name': 'Share', 'units': '1'}
    """
    return xr.DataArray(values, dims=dims, attrs={"long_name": long_name, "units": units} | attrs)
