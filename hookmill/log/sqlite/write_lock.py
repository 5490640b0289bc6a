"""One writer at a time per file, checkpoints included, across threads and processes.

SQLite has a lock for transactions, but checkpoints run beside it, and up to version 3.51.2 a checkpoint that meets
the transaction which restarts the write-ahead log can skip committed pages (https://sqlite.org/wal.html#walresetbug).
Python brings whatever SQLite the system has, so this lock keeps the two apart. Once 3.51.3 is the oldest SQLite we
meet, it can go.
"""

import contextlib
import fcntl
import os
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from hookmill.errors import LogUnavailable

WAIT_S: Final = 10.0
"""How long to wait for other processes; as long as the Kafka engine waits for a broker."""

_FIRST_PAUSE_S: Final = 0.0005
_LAST_PAUSE_S: Final = 0.01
"""Between attempts, doubling: a commit takes a few milliseconds."""


class WriteLock:
    """The lock of one file. Freed by the kernel when its holder dies."""

    def __init__(self, path: Path) -> None:
        """`path` is the file to protect. The lock is beside it: closing the file itself would drop SQLite's locks."""
        self._path = path
        self._descriptor = os.open(path.with_name(f"{path.name}-lock"), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)

    def close(self) -> None:
        """The lock is free, and of no further use."""
        os.close(self._descriptor)

    @contextlib.contextmanager
    def held(self) -> Iterator[None]:
        """Nobody else writes during the block. Errors: `LogUnavailable` when others do for too long."""
        deadline = time.monotonic() + WAIT_S
        pause_s = _FIRST_PAUSE_S
        while not self._take():
            if time.monotonic() > deadline:
                raise LogUnavailable(f"{self._path} could not be written: another process held it for {WAIT_S:g} s.")
            time.sleep(pause_s)
            pause_s = min(2 * pause_s, _LAST_PAUSE_S)
        try:
            yield
        finally:
            fcntl.flock(self._descriptor, fcntl.LOCK_UN)

    def _take(self) -> bool:
        try:
            fcntl.flock(self._descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        return True
