"""Scheduled sampling: feeding true frames past the observed ones early in training [Bengio2015]."""

import torch
from jaxtyping import Float
from torch import Tensor


def true_frame_probability(iteration: int, sampling_steps: int) -> float:
    """The chance that a true frame is fed, falling on a line from 1 to 0 (docs/paper.md, row R14).

    Args:
        iteration: Optimiser steps taken so far.
        sampling_steps: Steps after which no true frame is fed; 50 000 in the published program.

    >>> true_frame_probability(12_500, sampling_steps=50_000)
    0.75
    >>> true_frame_probability(0, sampling_steps=0)
    0.0
    """
    if iteration >= sampling_steps:
        return 0.0
    return 1.0 - iteration / sampling_steps


def draw_teacher_mask(
    batch: int, horizon: int, probability: float, like: Tensor
) -> Float[Tensor, "{batch} {horizon-1}"]:
    """1 where the true frame is fed, 0 where the generated one is; drawn per sequence and frame."""
    drawn = torch.rand(batch, horizon - 1, device=like.device) < probability
    return drawn.to(like.dtype)
