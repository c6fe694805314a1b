import pytest
import torch

from darts_mim.nn.scheduled_sampling import draw_teacher_mask, true_frame_probability


@pytest.mark.parametrize(
    ("iteration", "probability"), [(0, 1.0), (1, 1 - 2e-5), (25_000, 0.5), (50_000, 0.0), (80_000, 0.0)]
)
def test_probability_falls_as_in_the_published_program(iteration, probability):
    assert true_frame_probability(iteration, 50_000) == pytest.approx(probability, abs=1e-12)


def test_without_sampling_steps_no_true_frame_is_fed():
    assert true_frame_probability(0, 0) == 0.0


@pytest.mark.parametrize("probability", [0.0, 1.0])
def test_certain_masks(probability):
    mask = draw_teacher_mask(50, 4, probability, torch.zeros(1))
    assert (mask == probability).all()


def test_each_sequence_and_frame_is_drawn_on_its_own():
    torch.manual_seed(0)
    mask = draw_teacher_mask(4000, 4, 0.3, torch.zeros(1))
    assert mask.shape == (4000, 3)
    assert set(mask.unique().tolist()) == {0.0, 1.0}
    # six standard errors of a mean of 4000 draws, and of a correlation
    torch.testing.assert_close(mask.mean(dim=0), torch.full((3,), 0.3), rtol=0, atol=6 * 0.0073)
    torch.testing.assert_close(torch.corrcoef(mask.T), torch.eye(3), rtol=0, atol=6 * 0.0158)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16])
def test_mask_is_of_the_frames_kind(dtype):
    assert draw_teacher_mask(2, 3, 0.5, torch.zeros(1, dtype=dtype)).dtype == dtype


def test_one_frame_ahead_feeds_nothing():
    assert draw_teacher_mask(2, 1, 0.5, torch.zeros(1)).shape == (2, 0)


def test_seed_fixes_the_mask():
    masks = []
    for _ in range(2):
        torch.manual_seed(5)
        masks.append(draw_teacher_mask(8, 5, 0.5, torch.zeros(1)))
    assert (masks[0] == masks[1]).all()
