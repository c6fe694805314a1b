"""Space to depth: a patch of cells becomes channels of one coarser cell (docs/paper.md, row R17)."""

import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor


def to_patches(
    frames: Float[Tensor, "batch time channel height width"], patch_size: int
) -> Float[Tensor, "batch time patch_channel rows columns"]:
    """Fold patches of ``patch_size`` x ``patch_size`` cells into channels.

    The order along the new channels is (row in patch, column in patch, channel), as in the published
    program. A grid that ``patch_size`` does not divide is first continued below and to the right by its
    last row and column.

    >>> import torch
    >>> to_patches(torch.arange(12.0).reshape(1, 1, 1, 3, 4), 2)[0, 0, :, 1, 0]
    tensor([8., 9., 8., 9.])
    """
    batch, time, channel, height, width = frames.shape
    p = patch_size
    if p == 1:
        return frames
    below, right = -height % p, -width % p
    if below or right:
        frames = F.pad(frames, (0, right, 0, below, 0, 0), mode="replicate")
    rows, columns = (height + below) // p, (width + right) // p
    folded = frames.reshape(batch, time, channel, rows, p, columns, p)
    return folded.permute(0, 1, 4, 6, 2, 3, 5).reshape(batch, time, p * p * channel, rows, columns)


def from_patches(
    patches: Float[Tensor, "batch time patch_channel rows columns"],
    patch_size: int,
    height: int,
    width: int,
) -> Float[Tensor, "batch time channel height width"]:
    """Undo ``to_patches`` and crop what it continued, back to ``height`` x ``width`` cells."""
    batch, time, patch_channel, rows, columns = patches.shape
    p = patch_size
    if p == 1:
        return patches
    unfolded = patches.reshape(batch, time, p, p, patch_channel // p**2, rows, columns)
    frames = unfolded.permute(0, 1, 4, 5, 2, 6, 3)
    return frames.reshape(batch, time, -1, rows * p, columns * p)[..., :height, :width]
