"""What was found about a network's gates, in words."""

from collections.abc import Iterator
from typing import Any

import numpy as np
import xarray as xr

SHOWN = ("C", "M", "S", "N")


def summary(found: xr.Dataset) -> str:
    """The numbers of a ``GateDiagnosis``, in words."""
    parts = [_examined(found), *_saturation(found), *_differences(found)]
    if "memory_reach" in found:
        parts += _memory(found)
    if "adf_statistic" in found:
        parts += _stationarity(found)
    return "\n".join(parts)


def _examined(found: xr.Dataset) -> str:
    about = found.attrs
    name = {"none": "MIM", "without_mim": "PredRNN (MIM without_mim)"}.get(
        about["ablation"], f"MIM {about['ablation']}"
    )
    windows = f"{about['windows']} windows of {about['observed_frames']} + {about['horizon']} frames"
    if about["windows_left_out"]:
        windows += f", {about['windows_left_out']} left out for a gap"
    layers = f"{found.sizes['layer']} layers of {about['hidden']} channels"
    cells, counted = about["cells_of_patched_grid"], about["cells_counted"]
    masked = (
        "" if cells == counted else f" Counted are {counted} of {cells} cells; the others are never observed."
    )
    return f"{name}, variant {about['variant']}, {layers}; {windows}.{masked}"


def _saturation(found: xr.Dataset) -> Iterator[str]:
    low = found.attrs["threshold"]
    yield f"Forget gates that forget (below {low:g}) and that keep (above {1 - low:g}), mean over steps:"
    mean = found[["forgotten", "kept"]].mean("step")
    for layer in found["layer"].values:
        one = mean.sel(layer=layer)
        kind, said = str(found["kind"].sel(layer=layer).item()), list[str]()
        for gate in found["gate"].values:
            forgotten, kept = (float(one[name].sel(gate=gate)) for name in ("forgotten", "kept"))
            if np.isfinite(forgotten):
                name = "T/C[t-1]" if gate == "temporal" and kind == "MIM block" else gate
                said.append(f"{name} {forgotten:.1%} and {kept:.1%}")
        yield f"  layer {layer} ({kind}): {'; '.join(said)}"


def _differences(found: xr.Dataset) -> Iterator[str]:
    size = found["mean_absolute_D"].dropna("layer", how="all")
    for layer in size["layer"].values:
        one = size.sel(layer=layer).dropna("step")
        if one.size:
            first, last = one[0], one[-1]
            yield (
                f"Mean |D| of layer {layer}: {first.item():.3g} at step {first['step'].item()}, "
                f"{last.item():.3g} at step {last['step'].item()}."
            )


def _memory(found: xr.Dataset) -> Iterator[str]:
    longest = int(found["lag"].max())
    yield f"Steps until less than a tenth of a change in a memory is left (of {longest} looked at):"
    for memory in SHOWN:
        reach = found["memory_reach"].sel(memory=memory)
        said: list[str] = []
        for layer in found["layer"].values:
            if np.isfinite(reach.sel(layer=layer, lag=0)):
                horizon = float(found["memory_horizon"].sel(memory=memory, layer=layer))
                seen = reach.sel(layer=layer).dropna("lag")
                left = f"more ({seen.values[-1]:.0%} left after {seen['lag'].values[-1]})"
                said.append(
                    f"layer {layer}: {horizon:.0f}" if np.isfinite(horizon) else f"layer {layer}: {left}"
                )
        if said:
            yield f"  {memory}: {', '.join(said)}"


def _stationarity(found: xr.Dataset) -> Iterator[str]:
    n, length = found.sizes["segment"], found.attrs["segment_length"]
    yield (
        f"Unit-root tests in {n} segments of {length} origins: median statistic ± standard error (the lower, "
        f"the more stationary), and the share of units whose unit root is rejected at 5 %:"
    )
    yield f"  input frames: {_with_error(found['frame_adf_statistic'], found['frame_unit_root_rejected'])}"
    for layer in found["layer"].values:
        said: list[str] = []
        for state in found["state"].values:
            at: dict[str, Any] = {"layer": layer, "state": state}
            statistic = found["adf_statistic"].sel(at)
            if statistic.notnull().any():
                said.append(f"{state} {_with_error(statistic, found['unit_root_rejected'].sel(at))}")
        yield f"  layer {layer}: {'; '.join(said)}"
    for layer in found["layer_above"].values:
        mean, low, high = found["H_change_of_adf_statistic"].sel(layer_above=layer).values
        verdict = "more stationary" if high < 0 else "less stationary" if low > 0 else "no change told from 0"
        change = f"{mean:+.2f}, 95 % interval [{low:+.2f}, {high:+.2f}]"
        yield f"  H, layer {layer - 1} to {layer}: {change}: {verdict}"


def _with_error(statistic: xr.DataArray, rejected: xr.DataArray) -> str:
    error = float(statistic.std(ddof=1)) / np.sqrt(statistic.sizes["segment"])
    return f"{float(statistic.mean()):.2f} ± {error:.2f} ({float(rejected.mean()):.0%})"
