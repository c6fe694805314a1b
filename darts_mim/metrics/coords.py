"""Do forecast, truth and what is laid beside them lie on the same cells?"""

import xarray as xr

from darts_mim.errors import GridMismatchError


def values_on(values: xr.DataArray, field: xr.DataArray, what: str) -> xr.DataArray:
    """Values on some of a field's dims, such as weights, at the field's own labels.

    Raises:
        GridMismatchError: If they have another dim, or lack a label of the field's.
    """
    for dim in values.dims:
        if dim not in field.dims:
            raise GridMismatchError(
                f"{what} have the dim {dim}, which the fields, on {field.dims}, have not. Select or "
                f"average along it first, e.g. .isel({dim}=0)."
            )
        if dim in values.indexes and dim in field.indexes:
            if values.indexes[dim].equals(field.indexes[dim]):
                continue
            if not field.indexes[dim].isin(values.indexes[dim]).all():
                raise GridMismatchError(
                    f"{what} lack some of the fields' labels along {dim}. Make them on the fields' {dim}, "
                    f"e.g. with .reindex_like(field)."
                )
            values = values.sel({dim: field.indexes[dim]})
        elif values.sizes[dim] != field.sizes[dim]:
            raise GridMismatchError(
                f"{what} have {values.sizes[dim]} along {dim}, the fields {field.sizes[dim]}. Cut them alike."
            )
    return values


def require_same_coords(forecast: xr.DataArray, observed: xr.DataArray) -> None:
    """Both fields have the same dims, sizes and labels, in any order."""
    if set(forecast.dims) != set(observed.dims):
        raise GridMismatchError(
            f"Forecast has dims {forecast.dims}, the truth {observed.dims}; both want the same. "
            "Select one, or average first, e.g. .mean('realization')."
        )
    for dim in forecast.dims:
        if forecast.sizes[dim] != observed.sizes[dim]:
            raise GridMismatchError(
                f"Forecast has {forecast.sizes[dim]} along {dim}, the truth {observed.sizes[dim]}. "
                f"Cut both to one {dim}, e.g. with xr.align(forecast, observed)."
            )
    for name in [*forecast.dims, *forecast.coords]:
        both = name in forecast.coords and name in observed.coords
        if both and not forecast[name].variable.equals(observed[name].variable):
            raise GridMismatchError(
                f"Forecast and truth differ in coordinate {name!r}. Select the same {name} "
                "from both, e.g. with xr.align(forecast, observed)."
            )
