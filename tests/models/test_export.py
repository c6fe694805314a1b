"""A model outside torch: the same numbers, for any batch size."""

import numpy as np
import onnxruntime
import pytest
import torch
from darts.utils.onnx import run_onnx_prediction

from darts_mim.models._compat import QuantileRegression
from darts_mim.models.timeseries import to_timeseries
from darts_mim.nn.recurrent import MIMNetwork

pytestmark = [
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),  # torch's and onnxscript's own
    pytest.mark.filterwarnings("ignore::FutureWarning"),
]
QUICK = {"optimize": False}  # the optimiser changes no number, and takes seconds


def session(path):
    return onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])


@pytest.mark.parametrize(
    ("variant", "patch_size", "layer_norm"),
    [("paper", 1, False), ("paper", 2, True), ("released", 1, True), ("released", 2, False)],
)
def test_a_network_is_exported_for_any_batch(variant, patch_size, layer_norm):
    torch.manual_seed(0)
    network = MIMNetwork(
        2, 3, 2, 3, patch_size=patch_size, variant=variant, grid=(5, 7), layer_norm=layer_norm
    ).eval()
    network.convolution = "direct"
    shapes = {"observed": {0: torch.export.Dim("batch")}, "horizon": None}
    program = torch.export.export(network, (torch.zeros(2, 2, 2, 5, 7), 2), dynamic_shapes=shapes)
    for batch in (1, 3):
        frames = torch.randn(batch, 2, 2, 5, 7)
        torch.testing.assert_close(program.module()(frames, 2), network(frames, 2), rtol=1e-5, atol=1e-5)


def test_an_onnx_file_forecasts_frames_as_the_model_does(tiny, masked, tmp_path):
    model = tiny(2, 1, likelihood=QuantileRegression([0.1, 0.5, 0.9])).fit(masked)
    training = model.model.training
    model.to_onnx(str(tmp_path / "mim.onnx"), n=1, **QUICK)
    assert model.model.training is training
    run = session(tmp_path / "mim.onnx")
    assert [(each.name, each.shape) for each in run.get_inputs()] == [("frames", ["batch", 2, 2, 5, 4])]
    windows = [masked[start : start + 2] for start in (0, 7, 30)]
    (forecast,) = run.run(None, {"frames": np.stack([window.values for window in windows])})
    wanted = [each.values for each in model.predict(1, windows, predict_likelihood_parameters=True)]
    assert np.isnan(forecast[:, :, :, 1, 2]).all()
    np.testing.assert_allclose(forecast, np.stack(wanted), rtol=1e-5, atol=1e-5)


def test_darts_runs_an_onnx_file_of_a_model_on_timeseries(tiny, series, tmp_path):
    target, hour = to_timeseries(series), to_timeseries(series[:, :1])
    model = tiny(2, 1).fit(target, future_covariates=hour)
    model.predict(3, target[:9], future_covariates=hour)  # what was asked before is not what is exported
    model.to_onnx(str(tmp_path / "mim.onnx"), n=2, **QUICK)
    run = session(tmp_path / "mim.onnx")
    forecast = run_onnx_prediction(n=2, session=run, series=target[:9], future_covariates=hour)
    wanted = model.predict(2, target[:9], future_covariates=hour)
    assert forecast.time_index.equals(wanted.time_index)
    np.testing.assert_allclose(forecast.values(), wanted.values(), rtol=1e-5, atol=1e-5)


def test_a_program_rolls_on_past_the_chunk(tiny, series):
    model = tiny(2, 1, use_reversible_instance_norm=True, cell_channels=2).fit(series)
    program = model.to_program(n=3)
    frames = torch.from_numpy(np.stack([series.values[:2], series.values[5:7], series.values[9:11]]))
    forecast = program.module()(frames).detach().numpy()
    wanted = [each.values for each in model.predict(3, [series[:2], series[5:7], series[9:11]])]
    np.testing.assert_allclose(forecast, np.stack(wanted), rtol=1e-5, atol=1e-5)


def test_a_program_is_given_the_frames_of_a_season_ago(tiny, series):
    model = tiny(2, 1, seasonal_lags=(6,)).fit(series)
    program, ends = model.to_program(n=2), (10, 20, 40)
    flat = torch.from_numpy(series.values).flatten(1)
    frames = torch.stack([torch.from_numpy(series.values[end - 2 : end]) for end in ends])
    read, to_come = ([flat[end + k - 6 : end + k - 4] for end in ends] for k in (-2, 0))
    forecast = program.module()(frames, torch.stack(read), torch.stack(to_come)).detach().numpy()
    wanted = [each.values for each in model.predict(2, [series[:end] for end in ends])]
    np.testing.assert_allclose(forecast, np.stack(wanted), rtol=1e-5, atol=1e-5)
