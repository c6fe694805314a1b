"""What the processor and the memory are told before long work on them."""

import ctypes
import platform
from functools import cache
from pathlib import Path

import torch

_MMAP_THRESHOLD, _TRIM_THRESHOLD = -3, -1  # of glibc's mallopt
_HARD = 2  # of OpenMP's omp_pause_resource_all: let the threads go


def prepare() -> None:
    """Flush denormal numbers to zero in all threads, and keep freed memory in the process.

    Denormals: gates that saturate leave numbers below 1e-38, on which a processor works many times slower;
    training slows down as it goes on. They are nothing beside what they are added to.

    Memory: a recurrent network frees megabytes at every step and asks for them at the next. Handed back to
    the system in between, each page is fetched and cleared anew. (Where the C library is glibc.)

    Both hold for the whole process; docs/performance.md has what they bring.
    """
    torch.set_flush_denormal(True)
    _once()


@cache
def _once() -> None:
    # Threads take the flag from the one that starts them. Those of torch's pool that run already would work
    # without it: they are let go, and start anew.
    for openmp in (Path(torch.__file__).parent / "lib").glob("libgomp*"):
        pause = getattr(ctypes.CDLL(str(openmp)), "omp_pause_resource_all", None)
        if pause is not None:
            pause(_HARD)
    if platform.libc_ver()[0] == "glibc":
        libc = ctypes.CDLL(None)
        libc.mallopt(_MMAP_THRESHOLD, 2**30)
        libc.mallopt(_TRIM_THRESHOLD, 2**31 - 1)
