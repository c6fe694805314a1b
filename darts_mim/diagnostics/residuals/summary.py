"""What the tests of the errors mean, in sentences."""

from typing import TYPE_CHECKING

import numpy as np
import xarray as xr

from darts_mim.backtesting.lead_labels import lead_labels

if TYPE_CHECKING:
    from darts_mim.diagnostics.residuals.diagnose import ResidualDiagnosis

LEVEL = 0.05
FEW = 0.05  # a share of cells below this is called few
TOLD = 0.05  # an autocorrelation nearer to 0 has no sign to speak of
CHANCE = 0.10  # a share of times below this is not told from the 5 % that chance gives


def in_words(diagnosis: "ResidualDiagnosis") -> str:
    """Are the errors white in time and in space, unbiased, and do they stay so? A line each, by channel.

    The shortest lead is spoken of; in brackets stands the longest.
    """
    data = diagnosis.dataset
    leads = lead_labels(data["lead_time"])
    span = leads[0] if len(leads) == 1 else f"{leads[0]} to {leads[-1]}"
    origins = int(data["mean_error"].notnull().any(set(data["mean_error"].dims) - {"init_time"}).sum())
    lines = [f"Errors of {diagnosis.model}, forecast minus observed: {origins:,} origins, {span} ahead"]
    channel = diagnosis.grid.canonical_dims[0]
    if channel not in data.dims:
        return "\n".join([*lines, *_of_channel(data, leads)])
    for number, label in enumerate(data[channel].values):
        lines += ["", f"{channel} {label}", *_of_channel(data.isel({channel: number}), leads)]
    return "\n".join(lines)


def _of_channel(data: xr.Dataset, leads: list[str]) -> list[str]:
    shown = [0, len(leads) - 1] if len(leads) > 1 else [0]
    data, leads = data.isel(lead_time=shown), [leads[position] for position in shown]
    return [_in_time(data, leads), _in_space(data, leads), _bias(data, leads), _trend(data, leads)]


def _in_time(data: xr.Dataset, leads: list[str]) -> str:
    share = data["share_rejected"].values
    if np.isnan(share).all():
        return "In time: too few origins, or no errors, to tell."
    most, r = np.nanmax(share), _cell_mean(data["lag1_autocorrelation"])
    meaning = (
        "they pass as white, and past errors hold no news"
        if not most
        else "little is left to learn from past errors"
        if most < FEW
        else "there is something left to learn from past errors"
    )
    of_sign = (
        ": errors tend to last" if r[0] > TOLD else ": errors tend to turn round" if r[0] < -TOLD else ""
    )
    return (
        f"In time: {leads[0]} ahead, errors are still autocorrelated beyond what the lead explains in "
        f"{_said(share, leads, '.0%')} of the cells: {meaning}. The autocorrelation of a cell is "
        f"{_said(r, leads, '.2f')} on average{of_sign if most else ''}."
    )


def _in_space(data: xr.Dataset, leads: list[str]) -> str:
    share = data["morans_i_share_positive"].values
    if np.isnan(share).all():
        return "In space: too few neighbouring cells, or no errors, to tell."
    meaning = (
        "there is something left to learn from neighbouring cells"
        if np.nanmax(share) > CHANCE
        else "no more than by chance, so that neighbours hold no news"
    )
    i = _said(data["morans_i"].values, leads, ".2f")
    return (
        f"In space: {leads[0]} ahead, neighbouring cells err alike at {_said(share, leads, '.0%')} of the "
        f"times, where 5 % would be chance: {meaning}. Moran's I is {i} on average."
    )


def _bias(data: xr.Dataset, leads: list[str]) -> str:
    rejected, bias = data["bias_rejected"], data["bias"]
    if rejected.isnull().all():
        return "Bias: too few origins, or no errors, to tell."
    high, low = (_cell_mean(rejected.where(rejected.isnull() | of, 0.0)) for of in (bias > 0, bias < 0))
    if not np.nanmax(high + low):
        return "Bias: no cell is forecast too high or too low on average, by more than chance."
    return (
        f"Bias: {leads[0]} ahead, forecasts are too high on average in {_said(high, leads, '.0%')} of the "
        f"cells and too low in {_said(low, leads, '.0%')}."
    )


def _trend(data: xr.Dataset, leads: list[str]) -> str:
    error, squared = data["error_trend"], data["squared_error_trend"]
    if data["error_trend_pvalue"].isnull().all():
        return "Trend: too few origins, or no errors, to tell."
    relative = squared / data["mean_squared_error"].mean("init_time")
    p_error, p_squared = (data[f"{name}_trend_pvalue"].values for name in ("error", "squared_error"))
    if (p_squared < LEVEL).any():
        grown = (relative.values[p_squared < LEVEL] > 0).any()
        said = (
            f"the squared error changes by {_said(relative.values, leads, '+.1%')} of its mean a day "
            f"({_p(p_squared, leads)}): the model is getting {'worse' if grown else 'better'}"
        )
    else:
        said = (
            f"no trend of the squared error can be told from chance ({_p(p_squared, leads)}): nothing "
            f"says that the model is getting worse or better"
        )
    drift = (
        f" The mean error drifts by {_said(error.values, leads, '+.2g')} {error.attrs['units']} "
        f"({_p(p_error, leads)})."
        if (p_error < LEVEL).any()
        else ""
    )
    return f"Trend: {leads[0]} ahead, {said}.{drift}"


def _cell_mean(field: xr.DataArray) -> np.ndarray:
    return field.mean(set(field.dims) - {"lead_time"}).values


def _p(values: np.ndarray, leads: list[str]) -> str:
    words = [f"{value:.2g}" if value >= 0.001 else "< 0.001" for value in values.tolist()]
    words = [f"p {word}" if word.startswith("<") else f"p = {word}" for word in words]
    return words[0] if len(set(words)) == 1 else f"{words[0]}; {leads[-1]}: {words[-1]}"


def _said(values: np.ndarray, leads: list[str], form: str) -> str:
    """The value at the shortest lead, and in brackets that at the longest if it reads otherwise."""
    words = ["unknown" if np.isnan(value) else format(value, form) for value in values.tolist()]
    words = [word.lstrip("+-") if not word.strip("+-0.%") else word for word in words]  # no -0.00
    words = [word.replace("%", " %") for word in words]
    return words[0] if len(set(words)) == 1 else f"{words[0]} ({leads[-1]}: {words[-1]})"
