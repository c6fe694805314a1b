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
# # Does my grid need differencing?
#
# MIM is made for series whose mean and variance move. Before fitting we ask what the grid needs, cell by cell; after
# fitting, what the network made of it, and whether anything is left in its errors.

# %%
import logging
import os
import warnings

from darts_mim import (
    Climatology,
    MIMModel,
    backtest,
    datasets,
    diagnose_differencing,
    diagnose_gates,
    diagnose_residuals,
)

# Lightning remarks on devices and data loading at every fit and forecast; this page leaves that out.
logging.getLogger("pytorch_lightning").setLevel(logging.ERROR)
warnings.filterwarnings("ignore", module="pytorch_lightning")

quick = bool(os.environ.get("DARTS_MIM_QUICK"))  # set where this page is only checked to run
flow = datasets.nyc_taxi()
if quick:
    flow = flow[2300:, :, ::4, ::4]
train, test = flow[:-1296], flow[-1296:]

# %% [markdown]
# ## Before: what does the grid need?
#
# Unit-root and stationarity tests on every cell, as it is and after differences, seasonal differences and seasonal
# anomalies.

# %%
before = diagnose_differencing(train)
before.plot()

# %% [markdown]
# Blue cells are stationary, orange ones unclear. None has a unit root: the mean of a taxi cell comes back. What moves
# is the **season**, the week above all (right). The paper's Figure 1 for this grid, each line a quarter of the city: the
# level falls to nothing on one day. (A blizzard, on 23 January.)

# %%
before.plot_regions()

# %% [markdown]
# Every number behind the pictures is in one Dataset:

# %%
before.dataset

# %%
int((before["ndiffs"].sel(seasonal="none") > 0).sum()), "cells that KPSS would difference as they are"

# %% [markdown]
# What is suggested, and why. The table compares the treatments: shares of the variance for which a unit root is kept,
# stationarity rejected, and one difference would be too many; and the squared error of the best linear forecast over the
# next four steps, which can be had without fitting anything.

# %%
suggestion = before.suggest()
print(suggestion)
suggestion.evidence

# %% [markdown]
# A difference (second row from the bottom) makes every cell stationary and the forecast worse: stationary is not the
# same as predictable, and the paper warns of over-differencing. Seasonal anomalies win.
#
# The suggestion is a pipeline. `suggestion.check(flow, start=test.time[0])` would backtest all rows of the table with a
# small MIM; that takes minutes.

# %%
model = suggestion.pipeline(
    MIMModel(
        input_chunk_length=4,
        output_chunk_length=4,
        hidden=4 if quick else 16,
        layers=3,
        patch_size=2,
        lr=3e-3,
        lr_schedule="cosine",
        n_epochs=1 if quick else 2,
        random_state=0,
        pl_trainer_kwargs={"enable_progress_bar": False, "enable_model_summary": False},
    )
)
model.fit(train[-672:] if quick else train)
# %% [markdown]
# ## After: did the network use it?
#
# The model forecasts over the test part, and its gates are watched on the way. The forecast stays the same to the last
# bit.

# %%
after = diagnose_gates(model, test[:400] if quick else test, segments=2 if quick else 5)
after.plot()

# %% [markdown]
# Figure 6 of the paper: how many forget gates are shut. Layer 1 is an ST-LSTM with an ordinary forget gate; in the MIM
# blocks above it the gate is $T/C_{t-1}$, what MIM-S leaves of the memory.

# %%
after.plot("differences")

# %% [markdown]
# And the claim itself: does stacking MIM blocks make the series more stationary? The further down, the more stationary;
# the bars are standard errors over consecutive parts of the test series.

# %%
after.plot("stationarity")

# %%
print(after.summary())

# %% [markdown]
# ## What is left?
#
# Errors of a good forecast are white: nothing in them could have been known. Here they are tested in every cell, beyond
# the steps that overlap, and between neighbours.

# %%
rival = Climatology("7D").fit(train)
end = len(flow) - len(test) + (200 if quick else len(test))
result = backtest({"MIM": model, "half hour of week": rival}, flow[:end], start=test.time[0], horizon=4)
left = diagnose_residuals(result)
left.plot()

# %%
print(left.summary())
print()
print(diagnose_residuals(result, model="half hour of week").summary())

# %% [markdown]
# ## Where to go
#
# - The whole diagnosis as one file: `before.to_html("diagnosis.html")`; from the command line,
#   `darts-mim diagnose STORE.zarr --variable flow`.
# - What every variable means, and its pitfalls: `docs/diagnostics.md`.
# - Which cells a forecast depends on: `darts_mim.diagnostics.gates.sensitivity.input_gradient`.
