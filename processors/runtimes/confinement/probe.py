"""What the kernel offers, found by doing it."""

import errno
import json
import os
import subprocess
import sys
from dataclasses import asdict, replace
from pathlib import Path
from typing import Final

from . import landlock, privileges, seccomp
from .layers import Layers

DEADLINE_S: Final = 10.0
_NOTHING: Final = Layers(no_new_privs=False, rlimits=False, landlock_abi=0, seccomp=False)
_START = "import sys; sys.path.insert(0, sys.argv[1]); from confinement.probe import main; main()"


def available() -> Layers:
    """What this kernel lets a process apply to itself, tried in a child of its own, which takes some 40 ms.

    A child that is started and not only forked: the caller may have threads. A layer that fails for any reason, a
    container's own filter for instance, counts as not there. Errors: `OSError` if the child does not start;
    `subprocess.TimeoutExpired` after `DEADLINE_S`.
    """
    folder = Path(__file__).parent.parent
    probe = subprocess.run(  # noqa: S603  # our own command
        [sys.executable, "-I", "-S", "-c", _START, str(folder)],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        env={},
        timeout=DEADLINE_S,
        check=False,
    )
    lines = probe.stdout.splitlines()
    # Each line tells more than the one before; a filter of another architecture may have ended the child.
    return Layers(**json.loads(lines[-1])) if lines else _NOTHING


def main() -> None:
    """In the child: the layers found so far as a line of JSON after each, the last of which counts."""
    # setrlimit is part of every kernel that Python runs on.
    layers = _tell(replace(_NOTHING, rlimits=True))
    try:
        privileges.give_up()
        layers = _tell(replace(layers, no_new_privs=True))
        abi = landlock.abi()
        if abi:
            landlock.restrict((), (), abi)
            layers = _tell(replace(layers, landlock_abi=abi))
    except OSError:
        pass
    try:
        seccomp.install(may_execute=False)
        os.close(os.memfd_create("probe"))  # of what is refused, the one that nothing else here refuses
    except OSError as error:
        if error.errno == errno.EPERM:
            _tell(replace(layers, seccomp=True))


def _tell(layers: Layers) -> Layers:
    print(json.dumps(asdict(layers)), flush=True)  # noqa: T201  # to the process that waits for it
    return layers
