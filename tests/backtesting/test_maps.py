import numpy as np
import pandas as pd
import pytest
import xarray as xr

from darts_mim.backtesting.backtest import backtest
from darts_mim.baselines import Climatology, Persistence


def rain(n=120, dtype=float):
    """Two channels on 3 x 4 cells with places in two dims; one cell never observed, one not always."""
    time = pd.date_range("2024-01-01", periods=n, freq="3h")
    values = np.random.default_rng(0).gamma(2.0, 5.0, (n, 2, 3, 4)).astype(dtype)
    values[:, 1, 0, 2] = np.nan
    values[60:80, 0, 1, 1] = np.nan
    place = np.arange(12.0).reshape(3, 4)
    return xr.DataArray(
        values,
        {
            "time": time,
            "channel": ["in", "out"],
            "x": np.arange(4) * 2.0,
            "place": (("y", "x"), place),
            "height": 2.0,
        },
        ("time", "channel", "y", "x"),
        attrs={"units": "mm"},
    )


def scored(series, **names):
    past = series.isel(time=slice(40))
    fitted = {"normal": Climatology("1D", **names).fit(past)}
    fitted["other"] = Climatology("1D", **names).fit(past * 0.5)
    return backtest(
        fitted,
        series,
        start=series.time[40],
        horizon=2,
        metrics=["rmse", "bias", "csi_8", "power_ratio_3"],
        **names,
    )


@pytest.mark.parametrize("dtype", [float, np.float32])
@pytest.mark.parametrize("by", [None, "lead_time"])
def test_cell_scores_by_hand(by, dtype):
    result = scored(rain(dtype=dtype))
    pooled = ["init_time"] if by else ["init_time", "lead_time"]
    truth = result.observed.drop_vars("valid_time")
    found = {name: result.cell_scores(name, by=by) for name in ("rmse", "bias", "csi_8")}
    for model, forecast in result.forecasts.items():
        error = forecast.drop_vars("valid_time").astype(float) - truth
        hits = ((forecast >= 8) & (truth >= 8)).sum(pooled)
        either = (((forecast >= 8) | (truth >= 8)) & truth.notnull()).sum(pooled)
        expected = {
            "rmse": (error**2).mean(pooled) ** 0.5,
            "bias": error.mean(pooled),
            "csi_8": hits / either.where(either > 0),
        }
        for name, score in expected.items():
            own = found[name].sel(model=model)
            assert own.dims == score.dims
            np.testing.assert_allclose(own, score, rtol=1e-9, atol=1e-12)
    maps = found["rmse"]
    assert maps.isnull().sum() == maps.isel(channel=0, y=0, x=0).size  # the cell never observed
    assert maps.attrs["units"] == "mm" and maps.name == "rmse"
    xr.testing.assert_identical(maps["place"].drop_vars("height"), rain()["place"].drop_vars("height"))
    assert maps["x"].values.tolist() == [0.0, 2.0, 4.0, 6.0] and maps["height"] == 2.0
    assert maps["model"].values.tolist() == ["normal", "other"]
    xr.testing.assert_identical(result.cell_scores(by=by), maps)
    assert ("lead_time" in maps.coords) == (by == "lead_time")


def test_cells_add_up_to_the_score():
    """Every cell of this grid was observed as often as any other."""
    series = rain().isel(channel=0, drop=True).fillna(3.0)
    result = scored(series)
    maps = result.cell_scores("rmse", by="lead_time")
    assert maps.dims == ("model", "lead_time", "y", "x") and "channel" not in maps.coords
    np.testing.assert_allclose((maps**2).mean(("y", "x")) ** 0.5, result.scores["rmse"], rtol=1e-12)


def test_cells_of_a_dataset_and_of_other_dims():
    maps = scored(rain()).cell_scores("csi_8")
    dataset = rain().to_dataset("channel")
    stacked = scored(dataset).cell_scores("csi_8")
    assert stacked["channel"].values.tolist() == ["in", "out"]
    np.testing.assert_allclose(stacked, maps)
    turned = rain().rename(channel="c", y="a", x="b").transpose("b", "time", "c", "a")
    found = scored(turned, spatial_dims=("a", "b"), channel_dim="c").cell_scores("csi_8")
    assert found.dims == ("model", "c", "a", "b")
    np.testing.assert_allclose(found, maps)


def test_compared_cells_have_the_grid_s_coordinates():
    scores, series = scored(rain()).cell_scores("rmse"), rain().fillna(1.0)
    maps = backtest(
        {"normal": Climatology("1D").fit(series[:40]), "last": Persistence().fit(series[:40])},
        series,
        start=series.time[40],
        horizon=2,
    ).compare_cells("normal", "last")
    for name in ("place", "x", "height", "channel"):
        xr.testing.assert_identical(maps[name].reset_coords(drop=True), scores[name].reset_coords(drop=True))


def test_what_has_no_cells_is_refused():
    result = scored(rain())
    with pytest.raises(ValueError, match="power_ratio_3"):
        result.cell_scores("power_ratio_3")
    with pytest.raises(ValueError, match="by='hour' came"):
        result.cell_scores("rmse", by="hour")
    with pytest.raises(ValueError, match=r"metrics=\['mae'\]"):
        result.cell_scores("mae")
