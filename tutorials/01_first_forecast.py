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
# # A first forecast
#
# Taxis that enter and leave each cell of New York, every half hour: we fit MIM on nine weeks, forecast the next
# two hours, and find out whether it was worth it.

# %%
import logging
import os
import warnings

from darts_mim import (
    CyclicPosition,
    DampedAnomaly,
    GridPipeline,
    GridScaler,
    MIMModel,
    Persistence,
    SeasonalAnomaly,
    SeasonalNaive,
    backtest,
    datasets,
)
from darts_mim.plotting import plot_maps

# Lightning remarks on devices and data loading at every fit and forecast; this page leaves that out.
logging.getLogger("pytorch_lightning").setLevel(logging.ERROR)
warnings.filterwarnings("ignore", module="pytorch_lightning")

flow = datasets.nyc_taxi()
flow

# %% [markdown]
# Two channels, inflow and outflow, on 16 x 12 cells. The literature tests on what comes from step 3024 on. What is
# forecast may not have been seen: everything below is learnt on `train`.

# %%
train, test = flow[:3024], flow[3024:]
flow.sum(["y", "x"])[: 7 * 48].plot.line(x="time", figsize=(9, 3))
# %% [markdown]
# A week has a shape, and the same half hour of last week is a good forecast already. So we let MIM learn what is *left*:
# `SeasonalAnomaly` takes the mean half hour of the week off, `GridScaler` brings the rest to unit scale, and the
# pipeline puts both back on what MIM forecasts.
#
# `CyclicPosition` tells the network where in the day and in the week it is.
#
# To keep this page short the network is small and trained briefly. `darts-mim demo` trains the one behind the numbers
# of the README.

# %%
quick = bool(os.environ.get("DARTS_MIM_QUICK"))  # set where this page is only checked to run

model = GridPipeline(
    [
        ("week", SeasonalAnomaly("7D")),
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
                n_epochs=1 if quick else 3,
                add_encoders={"custom": {"future": [CyclicPosition("1D", "7D")]}},
                random_state=0,
                pl_trainer_kwargs={"enable_progress_bar": False, "enable_model_summary": False},
            ),
        ),
    ]
)
model.fit(train[-672:] if quick else train)
print(model["mim"].windows_)

# %% [markdown]
# The next two hours. What comes out has the dims, coordinates and units of what went in, so that it can be subtracted
# from the truth as it is.

# %%
forecast = model.predict(n=4)
error = forecast - test[:4]
forecast

# %%
plot_maps(forecast, test[:4])

# %% [markdown]
# One forecast proves nothing. A backtest forecasts from every half hour of a stretch of test days and scores MIM beside
# forecasts that need no network, on the same origins.

# %%
rivals = {
    "damped anomaly": DampedAnomaly("7D").fit(train),
    "last week": SeasonalNaive("7D").fit(train),
    "last frame": Persistence().fit(train),
}
days = flow[: 3024 + (24 if quick else 7 * 48)]
result = backtest({"MIM": model, **rivals}, days, start=test.time[0], horizon=4)
result.table("rmse")

# %% [markdown]
# Skill is the part of a rival's squared error that MIM takes away: 0 is no better, 1 is perfect.

# %%
result.skill("damped anomaly").to_pandas()

# %% [markdown]
# The whole comparison as one file to open or to send:

# %%
result.to_html("first_forecast.html")

# %% [markdown]
# ## Where to go
#
# - Another network: `model.set_params(mim__hidden=32, mim__layers=3)`, then `fit` again.
# - A probabilistic forecast: `MIMModel(..., likelihood=GaussianLikelihood())`, `model.predict(n=4, num_samples=100)`.
# - Your own grid: `xr.open_zarr(...)["variable"]` goes in where `flow` does.
