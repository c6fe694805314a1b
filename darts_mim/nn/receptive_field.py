"""How far a generated frame reads: the equations, with distances in the place of numbers."""

import math

from darts_mim.nn.gates import require_odd
from darts_mim.nn.mim import Ablation

NOWHERE = -math.inf  # what does not hang on any frame, such as the memories at the start


def receptive_radius(
    layers: int,
    kernel_size: int,
    patch_size: int = 1,
    *,
    observed: int,
    step: int,
    ablation: Ablation | None = None,
) -> int:
    """How many grid cells away the frames, and what stands beside them, can still change a forecast.

    Of ``variant="paper"`` without layer norm. A convolution adds half a kernel to how far its input read,
    elementwise work takes the farthest of its inputs; followed through every cell, layer and step, this
    gives the exact bound: nothing from farther away enters, whatever the weights. It grows with every frame
    observed, as the zigzag memory runs through all layers in each, and faster with every frame that is fed
    back. What comes from near its rim is weak: it went through a gate at every convolution.

    With ``layer_norm`` a frame hangs on the whole grid, and ``variant="released"`` has weights of its own in
    every cell: neither has such a radius.

    Args:
        layers: The ST-LSTM and the MIM blocks.
        kernel_size: Cells (or patches), odd.
        patch_size: Grid cells a side that are folded into channels.
        observed: Frames read.
        step: Which frame of the forecast, from 1.
        ablation: The inner module that is taken out of every block.

    Returns:
        Grid cells, along rows and along columns alike.

    Raises:
        ValueError: If there are fewer than 2 layers, the kernel is even, or ``observed`` or ``step`` below 1.

    >>> receptive_radius(layers=4, kernel_size=5, observed=10, step=1)
    256
    >>> receptive_radius(layers=4, kernel_size=5, observed=10, step=10)
    562
    """
    require_odd(kernel_size)
    if layers < 2 or observed < 1 or step < 1:
        raise ValueError(
            f"layers is {layers}, observed {observed} and step {step}. A network has 2 layers or more, reads "
            f"1 frame or more, and its forecast begins with step 1."
        )
    cells = _Distances(layers, kernel_size // 2, ablation)
    reached = 0.0
    for t in range(observed - 1 + step):
        reached = cells.step(0.0 if t < observed else max(0.0, reached))
    return int(reached) * patch_size + patch_size - 1


class _Distances:
    """How far every state of a network reads; its methods stand line by line beside those of the cells.

    Args:
        layers: The ST-LSTM and the MIM blocks.
        r: Half a kernel.
        ablation: As in ``MIMNetwork``.
    """

    def __init__(self, layers: int, r: int, ablation: Ablation | None) -> None:
        self.r, self.ablation = r, ablation
        self.H, self.C, self.N, self.S = ([NOWHERE] * layers for _ in range(4))
        self.M = NOWHERE
        self.first = True

    def step(self, X: float) -> float:
        """One frame through all layers [Wang2019, eq. 4]: how far the frame that they generate reads."""
        dX = NOWHERE
        for l, before in enumerate(tuple(self.H)):
            if l == 0 or self.ablation == "without_mim":
                self._st_lstm(l, X)
            else:
                self._block(l, X, dX)
            X = self.H[l]
            dX = NOWHERE if self.first else max(X, before)
        self.first = False
        return X

    def _st_lstm(self, l: int, X: float) -> None:
        r = self.r
        self.C[l] = max(self.C[l], X + r, self.H[l] + r)
        self.M = max(self.M + r, X + r)
        self.H[l] = max(self.C[l], self.M) + r

    def _block(self, l: int, X: float, dX: float) -> None:
        r = self.r
        D = NOWHERE if self.first else self._mim_n(l, dX)
        T = self._mim_s(l, D)
        self.C[l] = max(T, X + r, self.H[l] + r)
        self.M = max(self.M + r, X + r)
        self.H[l] = max(self.C[l], self.M) + r

    def _mim_n(self, l: int, dX: float) -> float:
        if self.ablation == "without_mim_n":
            return dX
        self.N[l] = max(self.N[l], dX) + self.r
        return self.N[l] + self.r

    def _mim_s(self, l: int, D: float) -> float:
        if self.ablation == "without_mim_s":
            return D
        self.S[l] = max(self.S[l], D + self.r, self.C[l] + self.r)
        return self.S[l] + self.r
