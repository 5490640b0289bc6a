"""A file per member that the kernel unlocks when its process ends, however it ends.

Others then take over at once what a killed process held. Leases remain for processes that are frozen or suspended,
which keep their lock.
"""

import contextlib
import fcntl
import os
from pathlib import Path
from typing import Final

_FOLDER: Final = "members"


class Lifeline:
    """The locked file of one member. Made and swept under the lock of the groups' file: none is seen half made."""

    def __init__(self, log_folder: Path, member: str) -> None:
        """Errors: `OSError`."""
        self._path = log_folder / _FOLDER / member
        self._path.parent.mkdir(exist_ok=True)
        self._descriptor = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
        fcntl.flock(self._descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)

    def cut(self) -> None:
        """To all others the member is as dead as after a kill; whoever sweeps next removes the file."""
        os.close(self._descriptor)

    def sweep(self) -> list[str]:
        """The other members that have died since anybody looked. What cannot be looked at counts as living."""
        dead = []
        with contextlib.suppress(OSError):
            for path in self._path.parent.iterdir():
                if path != self._path and _is_unlocked(path):
                    path.unlink(missing_ok=True)
                    dead.append(path.name)
        return dead


def _is_unlocked(path: Path) -> bool:
    with contextlib.suppress(OSError):
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
            return True
        finally:
            os.close(descriptor)
    return False
