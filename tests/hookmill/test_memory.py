"""What large bodies took goes back to the system."""

import ctypes
import subprocess
import sys

import pytest

from tests.processes import ROOT, clean_environment

_GROWTH = """
import sys
import psutil
from hookmill.memory import give_back_large_blocks
if sys.argv[1:]:
    give_back_large_blocks()
bytes(bytearray(4_000_000))  # from here on glibc takes smaller ones from its heap
process = psutil.Process()
before = process.memory_info().rss
bodies, kept = [], []
for number in range(100):
    bodies.append(b"x" * 2_000_000)
    kept.append(b"y" * 100_000)
del bodies
print((process.memory_info().rss - before) // 1_048_576)
"""


@pytest.mark.skipif(not hasattr(ctypes.CDLL(None), "mallopt"), reason="what is tuned is glibc")
def test_memory_of_large_bodies_goes_back_although_small_blocks_between_them_stay() -> None:
    assert _growth_mib("give-back") < 30
    assert _growth_mib() > 100  # else this test shows nothing


def _growth_mib(*arguments: str) -> int:
    command = [sys.executable, "-c", _GROWTH, *arguments]
    done = subprocess.run(
        command, cwd=ROOT, env=clean_environment(), capture_output=True, text=True, timeout=60, check=True
    )
    return int(done.stdout)
