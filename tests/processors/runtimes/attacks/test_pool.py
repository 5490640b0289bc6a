"""The hostile functions as user code, through the pool as the stage has it, at level strict."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.processors.runtimes.attacks.levels import DEADLINE_S, users
from tests.processors.runtimes.attacks.unprivileged import NOT_POSSIBLE

ROOT = Path(__file__).parents[4]


@pytest.mark.parametrize("user", users())
def test_no_attack_reaches_the_stage_or_a_neighbour(user: str) -> None:
    command = [sys.executable, "-m", "tests.processors.runtimes.attacks.stage"]
    uid = users()[user]
    if uid is not None:
        folders = ":".join(dict.fromkeys((sys.base_prefix, sys.prefix, str(ROOT))))
        command = [sys.executable, str(Path(__file__).with_name("unprivileged.py")), str(uid), folders, *command]

    ended = subprocess.run(
        command,
        capture_output=True,
        text=True,
        env={"PATH": os.environ["PATH"], "PYTHONPATH": str(ROOT), "TOKEN": "an environment worth reading"},
        timeout=DEADLINE_S,
        check=False,
    )

    if ended.returncode == NOT_POSSIBLE:
        pytest.skip(f"needs a way to Python for another user: {ended.stderr}")
    assert ended.returncode == 0, ended.stderr
    assert json.loads(ended.stdout.splitlines()[-1]) == {}
