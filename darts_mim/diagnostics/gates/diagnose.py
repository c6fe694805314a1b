"""What a fitted MIM network does with non-stationarity: gates, memories, states."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import xarray as xr

from darts_mim.diagnostics.gates.counts import Differences, Saturation
from darts_mim.diagnostics.gates.memory import memory_reach
from darts_mim.diagnostics.gates.state_tests import StateSeries
from darts_mim.diagnostics.gates.subject import SomeWindows, Subject, layer_coords, steps_coords
from darts_mim.grid.times import positive

if TYPE_CHECKING:
    from matplotlib.figure import Figure

Picture = Literal["saturation", "differences", "memory", "stationarity"]


@dataclass(frozen=True, kw_only=True, eq=False)
class GateDiagnosis:
    """What ``diagnose_gates`` found.

    Attributes:
        dataset: Every number, by name, with units and long names; ``diagnosis["forgotten"]`` is one of them.

    The variables, all dimensionless but where said:

    - ``forgotten``, ``kept`` (gate, layer, step): shares of saturated forget gates, Figure 6 of the paper.
    - ``mean_absolute_D``, ``root_mean_square_D`` (layer, step), ``map_of_D`` (layer, row, column).
    - ``memory_reach``, ``forecast_reach`` (memory, layer, lag), ``memory_horizon``, ``forecast_horizon``
      (memory, layer), in steps: see ``memory_reach``.
    - ``unit_root_rejected``, ``adf_statistic`` (state, layer, segment), ``frame_...`` (segment) of the input:
      unit-root tests; ``H_change_of_...`` (layer_above, estimate): from one layer's H to the next one's.
    """

    dataset: xr.Dataset

    def __getitem__(self, name: str) -> xr.DataArray:
        return self.dataset[name]

    def plot(self, picture: Picture = "saturation") -> "Figure":
        """A picture: gates by step, D by step and place, memories by lag, or unit roots by layer.

        Raises:
            ValueError: If there is no such picture, or what it shows was not computed.
        """
        from darts_mim.diagnostics.gates import plot as plot_gates

        pictures = {
            "saturation": plot_gates.plot_saturation,
            "differences": plot_gates.plot_differences,
            "memory": plot_gates.plot_memory,
            "stationarity": plot_gates.plot_stationarity,
        }
        if picture not in pictures:
            raise ValueError(f"There is no picture {picture!r}. Choose from {', '.join(pictures)}.")
        return pictures[picture](self)

    def summary(self) -> str:
        """What was found, in words."""
        from darts_mim.diagnostics.gates.summary import summary

        return summary(self.dataset)


def diagnose_gates(
    model: Any,
    series: Any,
    *,
    horizon: int | None = None,
    stride: int = 1,
    threshold: float = 0.1,
    start: Any = None,
    states: bool = True,
    segments: int = 5,
    max_units: int = 2048,
    gradient_windows: int = 8,
    verbose: bool = False,
    **covariates: Any,
) -> GateDiagnosis:
    """Watch a fitted MIM forecast, and say what its gates and memories do.

    The model forecasts from one origin after another, as in ``historical_forecasts``, and to the last bit the
    same. Counted is, over all windows, channels and cells:

    - How many forget gates are saturated, by gate, layer and step [Wang2019, Figure 6]: those below
      ``threshold`` forget, those above 1 - ``threshold`` keep. In a MIM block the temporal gate is the
      quotient T/C[t-1] of what MIM-S leaves of the memory: C is overwritten where |T/C[t-1]| < ``threshold``,
      kept where |T/C[t-1] - 1| < ``threshold``. A gate whose memory is zero still, as at the first step, and
      a quotient by zero are not counted.
    - How large the differential features D are, by layer and step, and where.
    - How far back the memories reach, by gradients: see ``darts_mim.diagnostics.gates.memory.memory_reach``.
    - Whether states are stationary. After the last observed frame each unit, a channel in a cell, has one
      value an origin: a series, whose unit root is tested (augmented Dickey-Fuller, constant, lags by AIC) in
      ``segments`` equally long parts. The mean over segments has a standard error, and the change of H from
      layer to layer a 95 % t interval over the segments, as if these were independent. Season and trend of
      the input are in the states too: compare with the tests on the input frames.

    Windows that touch a gap are left out. Cells of the patched grid none of whose values is ever observed are
    left out too; with ``patch_size`` above 1 a patch counts as soon as one of its values is observed.

    Args:
        model: A fitted ``MIMModel``, or a ``GridPipeline`` that ends in one.
        series: One series to forecast from and over, in the units that the model or pipeline takes.
        horizon: Frames of each forecast; ``output_chunk_length`` by default.
        stride: Frames between origins; the unit-root tests see the states at that step.
        threshold: Below it a forget gate is said to forget; the paper: 0.1.
        start: Time of the first forecast frame; None: as early as can be.
        states: Test the states, which takes most of the time.
        segments: For the tests; at least 2.
        max_units: Units tested of each state and layer at most, drawn at random, the same ones every time.
        gradient_windows: Windows for the gradients, evenly spread; 0 leaves the gradients out.
        verbose: Show a progress bar while forecasting.
        **covariates: As for ``historical_forecasts``.

    Returns:
        A ``GateDiagnosis``: ``.summary()`` in words, ``.plot()``, ``.dataset``.

    Raises:
        NotFittedError: If the model is not fitted.
        TypeError: If it is no MIM model, or several series came.
        ValueError: If an argument is out of its range.
        TooShortError: If the series is too short to forecast from, or for the tests.

    Source:
        [Wang2019] Wang et al., Memory In Memory, CVPR 2019, Figure 6 and section 4.1.

    >>> from darts_mim import MIMModel
    >>> import pandas as pd
    >>> time = pd.date_range("2024", periods=60, freq="h")
    >>> wave = np.sin(np.arange(60)[:, None, None] + np.arange(4)[:, None] + np.arange(3))
    >>> series = xr.DataArray(wave, {"time": time}, ("time", "y", "x"))
    >>> quiet = {"enable_progress_bar": False, "enable_model_summary": False, "accelerator": "cpu"}
    >>> model = MIMModel(4, 2, hidden=4, layers=2, kernel_size=3, n_epochs=1, pl_trainer_kwargs=quiet)
    >>> diagnosis = diagnose_gates(model.fit(series), series, segments=2)
    >>> diagnosis["forgotten"].sizes
    Frozen({'gate': 4, 'layer': 2, 'step': 5})
    >>> print(diagnosis.summary().splitlines()[0])
    MIM, variant paper, 2 layers of 4 channels; 55 windows of 4 + 2 frames.
    """
    if not 0 < threshold < 0.5:
        raise ValueError(f"threshold is {threshold}; a gate that forgets does not keep. Use e.g. 0.1.")
    if segments < 2:
        raise ValueError(f"segments is {segments}; from one there is no standard error. Use 2 or more.")
    subject = Subject.of(model, series)
    observed = subject.forecaster.input_chunk_length
    horizon = subject.forecaster.output_chunk_length if horizon is None else positive(horizon, "horizon")
    steps = observed - 1 + horizon
    gates = Saturation(subject.layers, steps, threshold)
    differences = Differences(subject, steps)
    windows = SomeWindows(max(1, gradient_windows))
    kept = StateSeries(subject, observed, max_units) if states else None
    subject.forecast(
        [gates, differences, windows, *([kept] if kept else [])],
        horizon=horizon,
        stride=stride,
        start=start,
        verbose=verbose,
        covariates=covariates,
    )
    found = [gates.dataset(), differences.dataset()]
    if gradient_windows:
        some, known = windows.tensors(next(subject.network.parameters()))
        found.append(memory_reach(subject.network, some, horizon, known, cells=subject.cells))
    if kept:
        found.append(kept.dataset(segments))
    dataset = xr.Dataset(coords=steps_coords(observed, horizon) | layer_coords(subject.network))
    for part in found:
        coords = {name: coord for name, coord in part.coords.items() if name not in dataset.coords}
        dataset = dataset.assign(part.data_vars).assign_coords(coords).assign_attrs(part.attrs)
    return GateDiagnosis(dataset=dataset.assign_attrs(_said_of(subject, windows, threshold, horizon)))


def _said_of(subject: Subject, windows: SomeWindows, threshold: float, horizon: int) -> dict[str, Any]:
    """What was examined."""
    network, cells = subject.network, int(np.prod(subject.patched_shape))
    return {
        "variant": network.variant,
        "ablation": network.ablation or "none",
        "hidden": network.hidden,
        "patch_size": network.patch_size,
        "threshold": threshold,
        "observed_frames": subject.forecaster.input_chunk_length,
        "horizon": horizon,
        "windows": windows.passed,
        "windows_left_out": windows.left_out,
        "cells_of_patched_grid": cells,
        "cells_counted": cells if subject.cells is None else len(subject.cells),
    }
