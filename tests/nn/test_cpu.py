import subprocess
import sys

SCRIPT = """
import torch
from darts_mim.nn import cpu

torch.set_num_threads(3)
denormal = torch.full((3_000_000,), 1e-39)
before = (denormal * 1.0 == 0).float().mean().item()  # this starts the threads
for _ in range(2):
    cpu.prepare()
print(before, (denormal * 1.0 == 0).float().mean().item())
"""


def test_every_thread_flushes_denormals():
    """In a process of its own, as the flag stays set; those threads too that ran before it was."""
    run = subprocess.run([sys.executable, "-c", SCRIPT], capture_output=True, text=True)
    assert run.returncode == 0, run.stderr
    assert run.stdout.split() == ["0.0", "1.0"]
