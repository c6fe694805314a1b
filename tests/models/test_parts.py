import numpy as np
import torch

from darts_mim.models._compat import PLModuleInput, TorchTrainingSample
from darts_mim.models.parts import Layout

LAYOUT = Layout(shape=(2, 5, 7), gridded_past=1, gridded_future=3)
PLACE = slice(1, 4), slice(3, 7)


def numbers(*shape, seed):
    return np.random.default_rng(seed).random(shape, dtype="float32")


def test_a_batch_of_tensors_is_cut_as_windows_are():
    """Windows, one by one, in NumPy; held against crops cell by cell in test_crops.py."""
    shapes = {
        "past_target": (3, 70),
        "future_target": (2, 70),
        "past_covariates": (3, 35 + 2),
        "historic_future_covariates": (3, 105),
        "future_covariates": (2, 105),
        "static_covariates": (70, 2),
    }
    windows = [
        {name: numbers(*shape, seed=[n, k]) for k, (name, shape) in enumerate(shapes.items())}
        for n in range(4)
    ]
    batch = PLModuleInput(**{name: torch.tensor(np.stack([w[name] for w in windows])) for name in shapes})
    cut = LAYOUT.cut(batch, *PLACE)
    for n, window in enumerate(windows):
        one = LAYOUT.cut(TorchTrainingSample(**window), *PLACE)
        for name in shapes:
            np.testing.assert_array_equal(getattr(cut, name)[n].numpy(), getattr(one, name))
    wanted = windows[2]["past_target"].reshape(3, 2, 5, 7)[:, :, 1:4, 3:7].reshape(3, 24)
    np.testing.assert_array_equal(cut.past_target[2], wanted)


def test_what_is_not_there_or_holds_for_all_cells_stays():
    static = numbers(1, 3, seed=0)
    cut = LAYOUT.cut(
        TorchTrainingSample(past_target=numbers(3, 70, seed=1), static_covariates=static), *PLACE
    )
    assert cut.static_covariates is static
    assert cut.future_target is cut.past_covariates is None
