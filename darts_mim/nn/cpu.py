"""What the processor is told before long work on it."""

import ctypes
from functools import cache
from pathlib import Path

import torch

_HARD = 2  # of OpenMP's omp_pause_resource_all: let the threads go


def prepare() -> None:
    """Flush denormal numbers to zero, in all threads of the process.

    Gates that saturate leave numbers below 1e-38, on which a processor works many times slower; training
    slows down as it goes on. They are nothing beside what they are added to.
    """
    torch.set_flush_denormal(True)
    _restart_threads()


@cache
def _restart_threads() -> None:
    # Threads take the flag from the one that starts them; those of torch's pool that run already have not.
    for openmp in (Path(torch.__file__).parent / "lib").glob("libgomp*"):
        pause = getattr(ctypes.CDLL(str(openmp)), "omp_pause_resource_all", None)
        if pause is not None:
            pause(_HARD)
