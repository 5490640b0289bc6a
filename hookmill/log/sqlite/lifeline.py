"""A file per member that the kernel unlocks when its process ends, however it ends.

Others then take over at once what a killed process held. Leases remain for processes that are frozen or suspended,
which keep their lock.
"""

import contextlib
import fcntl
import os
from collections.abc import Iterable
from pathlib import Path
from typing import Final

_FOLDER: Final = "members"


class Lifeline:
    """The locked file of one member. Made and looked at under the lock of the groups' file: none is seen half made."""

    def __init__(self, log_folder: Path, member: str) -> None:
        """Errors: `OSError`."""
        self._path = log_folder / _FOLDER / member
        self._path.parent.mkdir(exist_ok=True)
        self._descriptor = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
        try:
            fcntl.flock(self._descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            os.close(self._descriptor)
            raise

    def cut(self) -> None:
        """To all others the member is as dead as after a kill."""
        os.close(self._descriptor)

    def dead(self) -> list[str]:
        """The other members that have died and are not buried. What cannot be looked at counts as living."""
        with contextlib.suppress(OSError):
            return [path.name for path in self._path.parent.iterdir() if path != self._path and _is_unlocked(path)]
        return []

    def bury(self, dead: Iterable[str]) -> None:
        """Nothing of theirs is left to free, so nobody need find them again."""
        for member in dead:
            with contextlib.suppress(OSError):
                self._path.with_name(member).unlink()


def _is_unlocked(path: Path) -> bool:
    with contextlib.suppress(OSError):
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
            return True
        finally:
            os.close(descriptor)
    return False
