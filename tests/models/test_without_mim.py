"""PredRNN as a model: fitted, saved, loaded, exported."""

import numpy as np
import pytest
import torch

from darts_mim.models.mim import MIMModel
from darts_mim.nn.recurrent import MIMNetwork

VARIANTS = ["paper", "released"]


@pytest.mark.parametrize("variant", VARIANTS)
def test_saved_and_loaded_it_is_the_same(tiny, series, tmp_path, variant):
    model = tiny(variant=variant, layers=3, ablation="without_mim", patch_size=2).fit(series)
    forecast = model.predict(3)
    assert forecast.shape == (3, 2, 5, 4) and np.isfinite(forecast).all()
    assert not any("mim" in name for name in model.model.network.state_dict())
    model.save(str(tmp_path / "predrnn.pt"))
    assert MIMModel.load(str(tmp_path / "predrnn.pt")).predict(3, series).identical(forecast)


@pytest.mark.parametrize("ablation", ["without_mim_n", "without_mim"])
def test_a_network_trained_elsewhere_keeps_its_ablation(series, ablation):
    torch.manual_seed(0)
    network = MIMNetwork(2, 4, 3, 3, ablation=ablation)
    quiet = {
        "enable_progress_bar": False,
        "enable_model_summary": False,
        "accelerator": "cpu",
        "logger": False,
    }
    model = MIMModel.from_network(network, series, 4, 2, pl_trainer_kwargs=quiet)
    observed = torch.from_numpy(series.values[None, -4:])
    expected = network(observed, 3)[0, -3:].detach().numpy()
    np.testing.assert_allclose(model.predict(3, series).values, expected, rtol=1e-5, atol=1e-6)


@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # torch's own
@pytest.mark.parametrize("variant", VARIANTS)
def test_a_program_forecasts_as_the_model_does(tiny, series, variant):
    model = tiny(2, 1, variant=variant, ablation="without_mim").fit(series)
    program = model.to_program(n=2)
    frames = torch.from_numpy(np.stack([series.values[:2], series.values[5:7], series.values[9:11]]))
    forecast = program.module()(frames).detach().numpy()
    wanted = [each.values for each in model.predict(2, [series[:2], series[5:7], series[9:11]])]
    np.testing.assert_allclose(forecast, np.stack(wanted), rtol=1e-5, atol=1e-5)
