# ---
# jupyter:
#   jupytext:
#     text_representation:
#       extension: .py
#       format_name: percent
#   kernelspec:
#     display_name: Python 3
#     language: python
#     name: python3
# ---

# %% [markdown]
# # An honest backtest
#
# Is a network worth it? The answer hangs on how one asks. On this page a small MIM forecasts the bikes of New York against
# rivals that are hard to beat, on frames that nobody has seen; then we ask when and where it is better, by how much, and
# whether that could be luck.

# %%
import logging
import os
import warnings
from typing import Any

import xarray as xr

from darts_mim import (
    Autoregression,
    Climatology,
    CyclicPosition,
    DampedAnomaly,
    GridPipeline,
    GridScaler,
    LeakError,
    MIMModel,
    Persistence,
    SeasonalAnomaly,
    SeasonalNaive,
    backtest,
    datasets,
    read_forecasts,
)
from darts_mim.plotting import plot_cells, plot_slices

# Lightning remarks on devices and data loading at every fit and forecast; this page leaves that out.
logging.getLogger("pytorch_lightning").setLevel(logging.ERROR)
warnings.filterwarnings("ignore", module="pytorch_lightning")

quick = bool(os.environ.get("DARTS_MIM_QUICK"))  # set where this page is only checked to run
flow = datasets.nyc_bike()
flow

# %% [markdown]
# ## One split, fixed before anything is fitted
#
# August and September are for learning, October for the test. Whoever looks at October to choose a network, a scaler or a
# number of epochs has trained on it, and no later care takes that back.
#
# Between the two we leave a **gap** of one day that no model is fitted on. A shower or a closed street lasts for hours: without
# the gap the last training frames and the first test frames would share it, and a model could be rewarded for knowing it
# by heart.

# %%
start = flow.time[3024]
gap = 48  # half hours
train = flow[3024 - gap - 672 : 3024 - gap] if quick else flow[: 3024 - gap]
series = flow[: 3024 + 4 * 48] if quick else flow
str(train.time.values[-1]), str(start.values)

# %% [markdown]
# ## Honest rivals
#
# A model that beats the last frame has shown little: half an hour later a city has moved on. The rivals here are the best
# that need no network, and they get what the network gets: the weekly cycle and the last frames.

# %%
week = ("week", SeasonalAnomaly("7D"))
rivals = {
    "autoregression": GridPipeline([week, ("ar", Autoregression(4, seasonal_lags=("1D",)))]),
    "damped anomaly": DampedAnomaly("7D"),
    "half hour of week": Climatology("7D"),
    "last week": SeasonalNaive("7D"),
    "last frame": Persistence(),
}
mim = GridPipeline(
    [
        week,
        ("scale", GridScaler("standard", deviations=3)),
        (
            "mim",
            MIMModel(
                input_chunk_length=4,
                output_chunk_length=4,
                hidden=4 if quick else 16,
                layers=2,
                patch_size=2,
                lr=3e-3,
                lr_schedule="cosine",
                n_epochs=1 if quick else 4,
                add_encoders={"custom": {"future": [CyclicPosition("1D", "7D")]}},
                random_state=0,
                pl_trainer_kwargs={"enable_progress_bar": False, "enable_model_summary": False},
            ),
        ),
    ]
)
models = {"MIM": mim.fit(train), **{name: rival.fit(train) for name, rival in rivals.items()}}

# %% [markdown]
# All of them forecast two hours from every half hour of October, from the same origins. Every model sees the frames up to
# the origin and no more.

# %%
result = backtest(models, series, start=start, horizon=4, metrics=["mse", "mae", "rmse", "bias"], gap=gap)
result.table("rmse")

# %% [markdown]
# ## How much better, and is it luck?
#
# The autoregression is the rival to beat. `skill` is the part of its squared error that a model takes away. Forecasts half
# an hour apart err alike, so 1293 origins are far fewer independent ones: `low` and `high` are a 95 % interval that knows
# this, `p_value` tests that both are equally good.

# %%
result.compare("MIM", "autoregression").to_dataframe().round(3)

# %%
result.compare("MIM", "autoregression", by=None).to_dataarray().to_series().round(3)

# %% [markdown]
# Read the interval before the skill. Where it holds 0, as it does half an hour ahead, October does not tell which of the two
# is better; a longer test or another season has to. Against an easier rival the same network shines, and that says little:

# %%
result.compare("MIM", "last frame", by=None).to_dataarray().to_series().round(3)

# %% [markdown]
# ## When?
#
# `scores_by` takes slices of the time that is forecast: `hour`, `weekday`, `weekend`, `month`, `season`, `rush_hour`. Sums
# are pooled first and divided last, so a slice is what a backtest of those frames alone would give.

# %%
result.scores_by("rush_hour")["rmse"].to_pandas().round(2)

# %% [markdown]
# All errors are larger when more bikes move, the best model's as well. Whether the network helps *then* is another question:
# `skill` and `compare` answer it within each slice, from the origins that have something in it.

# %%
result.compare("MIM", "autoregression", by="rush_hour").to_dataframe().round(3)

# %%
result.compare("MIM", "autoregression", by="weekend").to_dataframe().round(3)

# %%
plot_slices(result, "hour", "rmse")

# %% [markdown]
# Not quite four weekends were scored, and an interval from so few is wide. Slices say where to look next. Who tests all 48
# half hours of the day at 5 % should expect two or three that are significant by luck.
#
# Labels of your own are slices too. Here an origin is called unusual when, over its last two hours, the city rides less
# than 70 % or more than 130 % of what it did at that time of the week in training. It is known at the origin, so a forecaster
# could act on it.

# %%
time_of_week = flow.time.dt.strftime("%a %H:%M").rename("time_of_week")
riders = flow.sum(["channel", "y", "x"])
usual = riders.sel(time=train.time).groupby(time_of_week.sel(time=train.time)).mean()
usual = usual.sel(time_of_week=time_of_week)
share = riders.rolling(time=4).sum() / usual.rolling(time=4).sum()
ridership = xr.where(abs(share - 1) > 0.3, "unusual", "as usual").rename("ridership")
ridership = ridership.rename(time="init_time")[3023:]
result.scores_by(ridership)["rmse"].to_pandas().round(2)

# %%
result.compare("MIM", "autoregression", by=ridership).to_dataframe().round(3)

# %% [markdown]
# Off its rhythm the city is closer to what it was just now than to the mean week: there even the last frame beats the half hour
# of the week.

# %% [markdown]
# ## Where?
#
# The error in every cell, and the skill. Of many cells some are better by luck: those that are hatched may be. Of the others,
# luck is expected in one of twenty.

# %%
plot_cells(result, "autoregression")

# %% [markdown]
# Look at both maps together: skill is a share, and where hardly a bike moves it is a share of next to nothing.
# `result.cell_scores("bias")` maps any score that counts cell by cell.

# %% [markdown]
# ## A leak, planted
#
# The surest way to an excellent score is to have seen the answer. A model that was fitted on October as well is refused; our
# forecasters know until when they were fitted:

# %%
seen = DampedAnomaly("7D").fit(series)
try:
    backtest({"too good": seen}, series, start=start, horizon=4)
except LeakError as error:
    print(error)


# %% [markdown]
# The subtler one hides in the preparation. Here the series is smoothed before the forecast, with a window that is centred
# on each frame, so that the last frame before the forecast holds a third of the first one after it. Nothing in the fit is wrong.
# The backtest asks such a model once more, with another future, and finds that the forecast changes:


# %%
class Smoothed:
    """Persistence of a series that was smoothed as a whole."""

    def historical_forecasts(self, series: xr.DataArray, **options: Any) -> xr.DataArray:
        smooth = series.rolling(time=3, center=True, min_periods=1).mean()
        return Persistence().fit(train).historical_forecasts(smooth, **options)


try:
    backtest({"smoothed": Smoothed()}, series, start=start, horizon=4)
except LeakError as error:
    print(error)

# %% [markdown]
# What no check can see is a model that was *chosen* on October.

# %% [markdown]
# ## Fitted again every week
#
# In use, a model is fitted again as data come in. `refit_every` does that: every 336 origins each model is fitted anew on
# all frames until then, or with `train_length` on a window that slides along. `folds` says on what. (The network is left out
# to keep this page short.)

# %%
refitted = {name: rivals[name] for name in ["autoregression", "half hour of week"]}
options = {"start": start, "horizon": 4, "gap": gap, "refit_every": 48 if quick else 336}
expanding = backtest(refitted, series, **options)
sliding = backtest(refitted, series, **options, train_length=2 * 336)
expanding.folds

# %%
errors = {"fixed": result, "expanding": expanding, "two weeks": sliding}
xr.concat(
    [one.scores_by()["rmse"].sel(model=list(refitted)) for one in errors.values()], "fit"
).assign_coords(fit=list(errors)).to_pandas().round(2)

# %% [markdown]
# Bikes in October are not those of August, and yet to forget August costs more than it gains: two weeks show each half hour
# of the week twice, and a mean of two is mostly noise. To fit again on all that was seen until then is best here. Elsewhere it
# may be otherwise, which is why one looks.

# %% [markdown]
# ## Keep it
#
# The report shows all of this in one file. The store holds every forecast, the truth, the scores and how they were made, and
# is written whole or not at all.

# %%
result.to_html("honest_backtest.html", title="Bikes in October", regime=ridership)

# %%
stored = read_forecasts(result.to_zarr("honest_backtest.zarr"))
backtest(stored, series, start=start, horizon=4, metrics=["nrmse", "csi_10"]).scores_by("lead_time")[
    "csi_10"
].to_pandas().round(3)

# %% [markdown]
# A metric that nobody thought of at first was scored without forecasting again: the share of cells with ten bikes or more in
# half an hour that were seen coming, of all that came or were forecast.
#
# ## Where to go
#
# - What the metrics mean: `docs/metrics.md`.
# - Long backtests that go on where they stopped: `backtest(..., store="forecasts")`; in parallel: `parallel=True`.
# - Samples instead of one forecast: `backtest(..., num_samples=50, metrics=["crps", "mae"])`.
