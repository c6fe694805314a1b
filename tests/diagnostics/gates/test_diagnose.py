"""``diagnose_gates``, held against slow counts, and its place among models, pipelines, gaps and masks."""

import numpy as np
import pytest
import torch
import xarray as xr
from models.conftest import make_frames, make_model
from nn import reference
from nn.paper_names import network_weights
from scipy import stats
from sklearn.exceptions import NotFittedError
from statsmodels.tsa.stattools import adfuller

from darts_mim.baselines import Persistence
from darts_mim.diagnostics.gates.diagnose import GateDiagnosis, diagnose_gates
from darts_mim.diagnostics.gates.state_tests import consecutive
from darts_mim.errors import TooShortError
from darts_mim.grid.scaling import GridScaler
from darts_mim.models.timeseries import to_timeseries
from darts_mim.nn.convolution import DirectConvolution
from darts_mim.pipeline import GridPipeline

ONLY_GATES = {"states": False, "gradient_windows": 0}


def lively(**kwargs):
    """Fitted, then with weights large enough to saturate gates."""
    model = make_model(4, 2, layers=3, **kwargs).fit(make_frames())
    with torch.no_grad():
        for name, weight in model.model.network.named_parameters():
            weight.mul_(1 if "to_frame" in name else 5)
    return model


@pytest.fixture(scope="module")
def mim():
    return lively()


def sigmoid_gate(w, x, h, names):
    Wx, Wh, b = names
    return reference.sigmoid(reference.conv(w[Wx], x) + reference.conv(w[Wh], h) + w[b])


def slow_gates(network, observed, steps):
    """Forget gates of every layer and step, and T/C[t-1], by the paper's equations in NumPy and float64."""
    w = network_weights(network)
    zero = np.zeros((len(observed), network.hidden, *observed.shape[-2:]))
    H, C, N, S = ([zero] * 3 for _ in "HCNS")
    M, frame, found = zero, None, {}
    for t in range(1, steps + 1):
        X = observed[:, t - 1] if t <= observed.shape[1] else frame
        H_before = list(H)
        for l in range(3):
            v, below = w["layers"][l], X if l == 0 else H[l - 1]
            if t > 1 or l > 0:
                found["spatiotemporal", l + 1, t] = sigmoid_gate(v, below, M, ("W'xf", "Wmf", "b'f"))
            if "Wxf" in v:
                if t > 1:
                    found["temporal", l + 1, t] = sigmoid_gate(v, below, H[l], ("Wxf", "Whf", "bf"))
                H[l], C[l], M = reference.st_lstm(v, below, H[l], C[l], M)
                continue
            dH = H[l - 1] - H_before[l - 1]
            if t > 2:
                found["MIM-N", l + 1, t] = sigmoid_gate(v["MIM-N"], dH, N[l], ("Wxf", "Wnf", "bf"))
            D = reference.mim_n(v["MIM-N"], dH, N[l]).D if t > 1 else zero
            if t > 1:
                found["MIM-S", l + 1, t] = sigmoid_gate(v["MIM-S"], D, C[l], ("Wdf", "Wcf", "bf"))
                found["temporal", l + 1, t] = reference.mim_s(v["MIM-S"], D, C[l], S[l]).T / C[l]
                found["D", l + 1, t] = D
            step = reference.mim_block(
                v, below, None if t == 1 else H_before[l - 1], H[l], C[l], N[l], S[l], M
            )
            H[l], C[l], N[l], S[l], _, M = step
        frame = reference.conv(w["W"], H[-1]) + w["b"]
    return found


def windows_of(series, origins, length=4):
    values = series.values.astype(float)
    return np.stack([values[n : n + length] for n in range(origins)])


@pytest.mark.parametrize("ablation", [None, "without_mim"])
def test_saturation_equals_a_slow_count(ablation):
    model, series = lively(ablation=ablation), make_frames(8, seed=5)
    diagnosis = diagnose_gates(model, series, horizon=3, threshold=0.2, **ONLY_GATES)
    model.model.network.double()
    slow = slow_gates(model.model.network, windows_of(series, 2), steps=6)
    kinds = diagnosis["kind"].values
    for gate, layer, step in np.ndindex(4, 3, 6):
        name = diagnosis["gate"].values[gate]
        ours = [diagnosis[each].values[gate, layer, step] for each in ("forgotten", "kept")]
        f = slow.get((name, layer + 1, step + 1))
        if f is None:
            assert np.isnan(ours).all()
        elif name == "temporal" and kinds[layer] == "MIM block":
            np.testing.assert_allclose(ours, [(np.abs(f) < 0.2).mean(), (np.abs(f - 1) < 0.2).mean()])
        else:
            np.testing.assert_allclose(ours, [(f < 0.2).mean(), (f > 0.8).mean()])
    assert float(diagnosis["forgotten"].sum()) > 1  # the gates do saturate


def test_differences_equal_a_slow_mean(mim):
    series = make_frames(9, seed=5)
    diagnosis = diagnose_gates(mim, series, **ONLY_GATES)
    network = make_model(4, 2, layers=3).fit(make_frames()).model.network.double()
    network.load_state_dict(mim.model.network.state_dict())
    slow = slow_gates(network, windows_of(series, 4), steps=5)
    assert np.isnan(diagnosis["mean_absolute_D"].sel(layer=1)).all()
    for layer in (2, 3):
        D = np.stack([slow["D", layer, step] for step in range(2, 6)])
        close = {"rtol": 1e-4, "atol": 1e-6}  # a forecast in float32 against one in float64
        found = diagnosis.dataset.sel(layer=layer)
        np.testing.assert_allclose(found["mean_absolute_D"][1:], np.abs(D).mean(axis=(1, 2, 3, 4)), **close)
        square = np.sqrt((D**2).mean(axis=(1, 2, 3, 4)))
        np.testing.assert_allclose(found["root_mean_square_D"][1:], square, **close)
        np.testing.assert_allclose(found["map_of_D"], np.abs(D).mean(axis=(0, 1, 2)), **close)
    assert diagnosis["map_of_D"].dims == ("layer", "lat", "lon")
    assert diagnosis["lat"].identical(series["lat"])


@pytest.mark.parametrize("variant", ["paper", "released"])
@pytest.mark.parametrize("convolution", ["direct", "winograd"])
def test_forecasts_before_during_and_after_are_the_same(variant, convolution):
    series = make_frames(30)
    model = make_model(variant=variant, convolution=convolution, patch_size=2).fit(series)
    before = model.historical_forecasts(series, forecast_horizon=2)
    diagnose_gates(model, series, segments=2, stride=1, states=False)
    assert model.historical_forecasts(series, forecast_horizon=2).identical(before)
    hooks = [module._forward_hooks or module._forward_pre_hooks for module in model.model.modules()]
    assert not any(hooks)


def test_windows_that_touch_a_gap_do_not_count(mim):
    series = make_frames(30, seed=5)
    gappy = xr.concat([series[:13], series[14:]], "time")
    with pytest.warns(UserWarning, match="origins are left out"):
        diagnosis = diagnose_gates(mim, gappy, **ONLY_GATES)
    attrs = diagnosis.dataset.attrs
    assert (attrs["windows"], attrs["windows_left_out"]) == (21, 4)
    assert "21 windows of 4 + 2 frames, 4 left out for a gap." in diagnosis.summary()
    assert diagnosis["forgotten"].sel(gate="temporal").isel(step=slice(1, None)).notnull().all()


def test_a_gap_changes_no_count_of_the_windows_beside_it(mim):
    """Values around the gap are those of the whole series: the windows that touch it are taken off."""
    series = make_frames(20, seed=5)
    broken = series.copy()
    broken[9, 0, 2, 2] = np.nan
    with pytest.warns(UserWarning, match="origins are left out"):
        found = diagnose_gates(mim, broken, **ONLY_GATES)
    whole = [n for n in range(15) if not n <= 9 < n + 4]
    single = [diagnose_gates(mim, series[n : n + 6], **ONLY_GATES)["forgotten"] for n in whole]
    expected = xr.concat(single, "window").mean("window", skipna=False)
    np.testing.assert_allclose(found["forgotten"], expected, rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("patch_size", [1, 2])
def test_cells_that_are_never_observed_do_not_count(patch_size):
    series = make_frames(24, seed=3)
    series[:, :, :2, 2:] = np.nan
    series[:, 0, 4, 0] = np.nan  # seen in the other channel
    model = make_model(patch_size=patch_size).fit(series)
    diagnosis = diagnose_gates(model, series, segments=2, states=False)
    counted = {1: 16, 2: 5}[patch_size]
    assert diagnosis.dataset.attrs["cells_counted"] == counted
    field = diagnosis["map_of_D"].sel(layer=2)
    assert int(field.notnull().sum()) == counted
    assert field[0, -1].isnull() and field[-1, 0].notnull()
    assert f"{counted} of {20 if patch_size == 1 else 6} cells" in diagnosis.summary()
    if patch_size == 2:
        np.testing.assert_array_equal(diagnosis["lat"], [49.5, 47.5, 46.0])


def test_a_pipeline_is_its_model_on_what_the_transformers_make():
    series = 100 * make_frames(40)
    pipeline = GridPipeline([("scale", GridScaler()), ("mim", make_model())]).fit(series)
    ours = diagnose_gates(pipeline, series, start=series.time[10], **ONLY_GATES)
    scaled = pipeline["scale"].transform(series)
    alone = diagnose_gates(pipeline["mim"], scaled, start=str(series.time.values[10]), **ONLY_GATES)
    assert ours.dataset.identical(alone.dataset)
    assert ours.dataset.attrs["windows"] == 29


def test_a_timeseries_is_taken_too(mim):
    series = make_frames(12, seed=5)
    expected = diagnose_gates(mim, series, **ONLY_GATES).dataset
    assert diagnose_gates(mim, to_timeseries(series), **ONLY_GATES).dataset.identical(expected)


def states_after_the_last_observed(network, observed):
    conv = DirectConvolution(observed)
    state = network.initial_state(conv)
    for t in range(observed.shape[1]):
        _, state = network.step(conv, conv.fold(observed[:, t]), state)
    return state


@pytest.mark.filterwarnings("ignore:adfuller currently returns:FutureWarning")
def test_unit_root_tests_are_those_of_statsmodels(mim):
    series = make_frames(66, seed=5)
    found = diagnose_gates(mim, series, segments=2, gradient_windows=0).dataset
    windows = torch.from_numpy(windows_of(series, 61)).float()
    with torch.no_grad():
        state = states_after_the_last_observed(mim.model.network, windows)
    assert found.attrs["segment_length"] == 30
    series_of = {"H": state.H[2], "C": state.C[2], "N": state.N[1], "S": state.S[1], "D": state.D[1]}
    for segment, part in enumerate([slice(0, 30), slice(30, 60)], start=1):
        for letter, field in series_of.items():
            units = field.values.flatten(1)[part].double().numpy().T
            tests = [adfuller(unit, regression="c", autolag="AIC")[:2] for unit in units]
            statistic, pvalue = np.array(tests).T
            ours = found.sel(state=letter, layer=3, segment=segment)
            # batch and window by window, float32 states are rounded otherwise
            assert ours["adf_statistic"].item() == pytest.approx(np.median(statistic), rel=1e-3)
            assert ours["unit_root_rejected"].item() == pytest.approx((pvalue < 0.05).mean(), abs=0.02)
        frames = windows[part, -1].flatten(1).double().numpy().T
        expected = np.median([adfuller(cell, regression="c", autolag="AIC")[0] for cell in frames])
        assert found["frame_adf_statistic"].sel(segment=segment).item() == pytest.approx(expected, rel=1e-6)


def test_the_change_from_layer_to_layer_has_a_t_interval(mim):
    found = diagnose_gates(mim, make_frames(90, seed=5), segments=3, max_units=7, gradient_windows=0).dataset
    H = found["adf_statistic"].sel(state="H")
    changes = (H.sel(layer=3) - H.sel(layer=2)).values
    interval = stats.ttest_1samp(changes, 0).confidence_interval(0.95)
    ours = found["H_change_of_adf_statistic"].sel(layer_above=3).values
    np.testing.assert_allclose(ours, [changes.mean(), interval.low, interval.high])
    assert found.attrs["units_tested_at_most"] == 7


def test_segments_never_cross_a_gap():
    whole = np.array([True] * 50 + [False] * 2 + [True] * 95)
    assert consecutive(whole, 3) == [slice(0, 47), slice(50, 97), slice(97, 144)]
    assert consecutive(whole[:50], 2) == [slice(0, 25), slice(25, 50)]
    with pytest.raises(TooShortError, match=r"50 origins make 3 segments of 16 .* wants 20. Pass a longer"):
        consecutive(whole[:50], 3)


def test_the_summary_says_the_numbers(mim):
    diagnosis = diagnose_gates(mim, make_frames(60, seed=5), segments=2)
    said = diagnosis.summary()
    mean = float(diagnosis["forgotten"].sel(gate="temporal", layer=2).mean("step"))
    assert f"layer 2 (MIM block): T/C[t-1] {mean:.1%} and " in said
    statistic = diagnosis["adf_statistic"].sel(state="H", layer=3)
    assert f"layer 3: H {float(statistic.mean()):.2f} ± " in said
    change, low, _ = diagnosis["H_change_of_adf_statistic"].sel(layer_above=2).values
    assert f"H, layer 1 to 2: {change:+.2f}, 95 % interval [{low:+.2f}, " in said
    assert all(
        variable.attrs["long_name"] and variable.attrs["units"] for variable in diagnosis.dataset.values()
    )
    assert diagnosis.dataset["step"].attrs["units"] == "1"


@pytest.mark.parametrize(
    ("model", "error", "message"),
    [
        (make_model(), NotFittedError, r"This MIMModel is not fitted yet. Call fit\(series\) first"),
        (GridPipeline([("mim", make_model())]), NotFittedError, "not fitted yet"),
        (Persistence(), TypeError, "A Persistence came, which has no gates .* Pass a fitted MIMModel"),
        (GridPipeline([("last", Persistence())]), TypeError, "A Persistence came"),
    ],
)
def test_a_model_without_fitted_gates_is_an_error(model, error, message):
    with pytest.raises(error, match=message):
        diagnose_gates(model, make_frames(20))


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"threshold": 0.6}, ValueError, "threshold is 0.6; .* Use e.g. 0.1"),
        ({"segments": 1}, ValueError, "segments is 1; .* Use 2 or more"),
        ({"horizon": 0}, ValueError, "horizon"),
        ({"start": 3}, ValueError, "start=3 came, where a time is wanted"),
        ({}, TooShortError, "Pass a longer series, fewer segments, or states=False"),
    ],
)
def test_wrong_arguments_are_told_so(mim, arguments, error, message):
    with pytest.raises(error, match=message):
        diagnose_gates(mim, make_frames(20), **arguments)


def test_several_series_at_once_are_an_error(mim):
    with pytest.raises(TypeError, match=r"2 series came, .* Pass one of them, e.g. series\[0\]"):
        diagnose_gates(mim, [make_frames(20), make_frames(20)])


def test_another_network_is_an_error():
    model = make_model().fit(make_frames())
    model.model.network = torch.nn.Identity()
    with pytest.raises(TypeError, match="The network is a Identity, whose cells are not MIM's"):
        diagnose_gates(model, make_frames(20))


def test_covariates_are_passed_on():
    series, heat = make_frames(40), make_frames(60, seed=8)
    model = make_model().fit(series, future_covariates=heat)
    diagnosis = diagnose_gates(model, series, future_covariates=heat, states=False)
    assert isinstance(diagnosis, GateDiagnosis)
    assert diagnosis["memory_reach"].sel(memory="C", lag=1).notnull().all()
