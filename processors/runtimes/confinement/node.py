"""What Node.js itself needs of the files, so that it starts although next to nothing can be opened."""

import json
import subprocess
from pathlib import Path
from typing import Final

DEADLINE_S: Final = 10.0
ENVIRONMENT: Final = {"OPENSSL_CONF": ""}
"""Else Node.js reads its OpenSSL configuration, and ends if it must not: EACCES is worse to it than a missing file."""
_LOADER_CACHE = "/etc/ld.so.cache"
_REPORT = "JSON.stringify([process.execPath, ...process.report.getReport().sharedObjects])"


def files_of_node(node: str) -> tuple[str, ...]:
    """The program, its loader and its libraries, for `Profile.executes`: Node.js is started once and tells them.

    Errors: `OSError`; `subprocess.SubprocessError`, if it does not start or takes over `DEADLINE_S`.
    """
    told = subprocess.run(  # noqa: S603  # the Node.js that runs functions
        [node, "-p", _REPORT],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        env={},
        timeout=DEADLINE_S,
        check=True,
    )
    # The vdso is among the shared objects and no file.
    return tuple(file for file in json.loads(told.stdout) if Path(file).is_file())


def reads_of_node() -> tuple[str, ...]:
    """Further files of the system that its loader reads, for `Profile.reads`."""
    return tuple(path for path in (_LOADER_CACHE,) if Path(path).is_file())
