"""A file per member of a group that the kernel unlocks when its process ends, however it ends.

Others then take over at once what a killed process held. Leases and sessions remain for processes that are frozen or
suspended, which keep their lock, and for those of other machines.
"""

import contextlib
import fcntl
import os
from collections.abc import Iterable
from pathlib import Path


class Lifeline:
    """The locked file of one member."""

    def __init__(self, folder: Path, member: str) -> None:
        """Errors: `OSError`."""
        folder.mkdir(parents=True, exist_ok=True)
        self._path = folder / member
        draft = folder / f".{member}"  # seen by nobody before it is locked
        self._descriptor = os.open(draft, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
        try:
            fcntl.flock(self._descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            draft.rename(self._path)
        except OSError:
            os.close(self._descriptor)
            raise

    def rename(self, member: str) -> None:
        """The member is called so from now on. Errors: `OSError`."""
        self._path = self._path.rename(self._path.with_name(member))

    def cut(self) -> None:
        """To all others the member is as dead as after a kill."""
        os.close(self._descriptor)


def dead_in(folder: Path, prefix: str = "") -> list[str]:
    """Of the members that are called `prefix` and something, those that have died and are not buried.

    What cannot be looked at counts as living.
    """
    with contextlib.suppress(OSError):
        names = [path.name for path in folder.iterdir()]
        return [
            name
            for name in names
            if name.startswith(prefix) and not name.startswith(".") and _is_unlocked(folder / name)
        ]
    return []


def bury_in(folder: Path, dead: Iterable[str]) -> None:
    """Nothing of theirs is left to free, so nobody need find them again."""
    for member in dead:
        with contextlib.suppress(OSError):
            (folder / member).unlink()


def _is_unlocked(path: Path) -> bool:
    with contextlib.suppress(OSError):
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
            return True
        finally:
            os.close(descriptor)
    return False
