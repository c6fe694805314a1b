"""What the processor is told before long work on it."""

import ctypes
from collections.abc import Callable
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
def openmp(name: str) -> Callable[..., int] | None:
    """A function of the OpenMP library whose threads torch computes with, None if it has none."""
    for library in (Path(torch.__file__).parent / "lib").glob("libtorch_cpu.*"):
        return getattr(ctypes.CDLL(str(library)), name, None)  # looks where that library looks
    return None


@cache
def _restart_threads() -> None:
    # Threads take the flag from the one that starts them; those of torch's pool that run already have not.
    pause = openmp("omp_pause_resource_all")
    if pause is not None:
        pause(_HARD)
