"""What the processes of the stages load."""

import subprocess
import sys

import pytest

from tests.processes import ROOT


@pytest.mark.parametrize(
    ("module", "has_faust"),
    [("console.stages", False), ("processors.service", True)],
    ids=["receiver, sink, mover", "function stage"],
)
def test_only_the_function_stage_loads_faust(module: str, has_faust: bool) -> None:
    """It is 18 MiB, and a third of the time until a process is ready."""
    program = f"import sys, {module}; print('faust' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, check=True, text=True)
    assert done.stdout.strip() == str(has_faust)
