"""One writer at a time per file, checkpoints included, across threads and processes.

SQLite has a lock for transactions, but checkpoints run beside it, and up to version 3.51.2 a checkpoint that meets
the transaction which restarts the write-ahead log can skip committed pages (https://sqlite.org/wal.html#walresetbug).
Python brings whatever SQLite the system has, so this lock keeps the two apart.

The lock's file counts the writes: an idle reader looks at eight bytes instead of asking SQLite, which is 400 us of CPU
less per look with the hop to its thread.
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

_COUNTER_BYTES: Final = 8
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
            self._count()
            fcntl.flock(self._descriptor, fcntl.LOCK_UN)

    def writes(self) -> int:
        """Changes with every write of any process, after it; one whose writer died at that moment goes uncounted.

        May be called from any thread.
        """
        return int.from_bytes(os.pread(self._descriptor, _COUNTER_BYTES, 0))

    def _count(self) -> None:
        # On a full disk there may be no room even for this; readers look for themselves now and then.
        with contextlib.suppress(OSError):
            os.pwrite(self._descriptor, (self.writes() + 1).to_bytes(_COUNTER_BYTES), 0)

    def _take(self) -> bool:
        try:
            fcntl.flock(self._descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        return True
