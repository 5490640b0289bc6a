"""SQLite files of the log: made whole or not at all, opened with the settings durability needs, failures named."""

import contextlib
import errno
import os
import sqlite3
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from hookmill.errors import LogError, LogFull, LogUnavailable
from hookmill.log.sqlite.write_lock import WAIT_S, WriteLock

Execute = Callable[..., sqlite3.Cursor]
"""`sqlite3.Connection.execute`."""

_PAGE_BYTES: Final = 16_384
"""Measured with batches of 64 records of 1.2 KB: a tenth less CPU per record than 4 KiB pages, and larger pages win
nothing more, while a commit of one record writes at least three pages."""
_WAL_KEPT_BYTES: Final = 16_777_216
"""The write-ahead log is cut back to this after a burst; it is reused from its start, so it seldom grows so far."""


_ROOM_BYTES: Final = 1_048_576
"""For an index of the write-ahead log, 32 KiB, that SQLite maps into memory: on an ext4 without a free block the first
touch of it ended a process with SIGBUS."""


@dataclass(frozen=True)
class Database:
    """An open file. Only the thread that opened it may use it."""

    path: Path
    connection: sqlite3.Connection
    """In autocommit mode."""
    lock: WriteLock

    def close(self) -> None:
        """The file is closed."""
        self.connection.close()
        self.lock.close()

    @contextlib.contextmanager
    def reading(self) -> Iterator[Execute]:
        """Failures leave the block as errors of the log."""
        try:
            yield self.connection.execute
        except sqlite3.Error as error:
            raise named(error, self.path, "read") from error

    @contextlib.contextmanager
    def writing(self) -> Iterator[Execute]:
        """The block is one transaction: committed at its end, undone if it raises, failures as errors of the log."""
        execute = self.connection.execute
        with self.lock.held():
            try:
                execute("BEGIN IMMEDIATE")
                yield execute
                execute("COMMIT")
            except sqlite3.Error as error:
                raise named(error, self.path, "written") from error
            finally:
                # After a commit there is none; after a full disk SQLite has rolled back by itself.
                if self.connection.in_transaction:
                    execute("ROLLBACK")


def connect(path: Path, *, synchronous: str) -> Database:
    """The existing file, open.

    `synchronous` is `FULL` (fsync per commit) or `NORMAL` (a power cut may undo the last commits, never tear one).
    Errors: `LogUnavailable`; `LogFull` when nobody has the file open and its disk is full or its folder not writable.
    """
    _require_room(path)
    with contextlib.ExitStack() as opened:
        try:
            lock = WriteLock(path)
            opened.callback(lock.close)
            connection = sqlite3.connect(f"{path.absolute().as_uri()}?mode=rw", uri=True, timeout=WAIT_S)
            opened.callback(connection.close)
            connection.isolation_level = None
            connection.execute(f"PRAGMA synchronous={synchronous}")
            connection.execute(f"PRAGMA journal_size_limit={_WAL_KEPT_BYTES}")
            # Distributions build SQLite with secure_delete on; zeroing what retention drops would write it all again.
            connection.execute("PRAGMA secure_delete=OFF").fetchone()
        except sqlite3.Error as error:
            raise named(error, path, "opened") from error
        except OSError as error:
            raise unwritable(path, error) from error
        opened.pop_all()
    return Database(path, connection, lock)


def _require_room(path: Path) -> None:
    """There is room for the index of the write-ahead log, unless another process has made it."""
    if path.with_name(f"{path.name}-shm").exists():
        return
    with contextlib.suppress(OSError):  # a folder that is not there is told by SQLite
        disk = os.statvfs(path.parent)
        if disk.f_bavail * disk.f_frsize < _ROOM_BYTES:
            raise LogFull(f"{path} could not be opened: no space left in {path.parent}.")


def create(path: Path, fill: Callable[[sqlite3.Connection], object]) -> bool:
    """The file exists, with what `fill` puts in; `False` when another process had made it before.

    It is made under another name and then linked, so that nobody ever opens half a schema.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=".new-", dir=path.parent) as scratch:
            draft = Path(scratch) / "draft"
            _write_draft(draft, fill)
            try:
                os.link(draft, path)
            except FileExistsError:
                return False
        _sync_folder(path.parent)
    except sqlite3.Error as error:
        raise named(error, path, "created") from error
    except OSError as error:
        raise unwritable(path, error) from error
    return True


def _write_draft(draft: Path, fill: Callable[[sqlite3.Connection], object]) -> None:
    with contextlib.closing(sqlite3.connect(draft, isolation_level=None)) as connection:
        connection.execute(f"PRAGMA page_size={_PAGE_BYTES}")
        connection.execute("PRAGMA journal_mode=WAL").fetchone()
        connection.execute("PRAGMA synchronous=FULL")
        fill(connection)


def _sync_folder(folder: Path) -> None:
    """The new name survives a power cut."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def named(error: sqlite3.Error, path: Path, done: str) -> LogError:
    """SQLite's failure as an error of the log, by result code (https://sqlite.org/rescode.html).

    `done` is what could not be done to the file: opened, created, read, written.
    """
    code = getattr(error, "sqlite_errorcode", sqlite3.SQLITE_ERROR)
    symbol = getattr(error, "sqlite_errorname", type(error).__name__)
    match code & 0xFF:
        case sqlite3.SQLITE_BUSY | sqlite3.SQLITE_LOCKED:
            return LogUnavailable(f"{path} could not be {done}: locked by another process for {WAIT_S:g} s.")
        case sqlite3.SQLITE_FULL:
            return LogFull(f"{path} could not be {done}: no space left in {path.parent}.")
        case sqlite3.SQLITE_READONLY | sqlite3.SQLITE_PERM:
            return LogFull(f"{path} could not be {done}: {path.parent} is not writable.")
        case sqlite3.SQLITE_IOERR if code != sqlite3.SQLITE_IOERR_FSYNC and done == "written":
            return LogFull(f"{path} could not be {done}: the file system of {path.parent} refused it ({symbol}).")
        case sqlite3.SQLITE_CORRUPT | sqlite3.SQLITE_NOTADB:
            return LogUnavailable(f"{path} could not be {done}: it is damaged or not a file of this log ({symbol}).")
        case _:
            return LogUnavailable(f"{path} could not be {done}: {symbol}. Is {path.parent} there and writable?")


def unwritable(path: Path, error: OSError) -> LogError:
    """The system's failure to open or write the file or one beside it, as an error of the log."""
    if error.errno in (errno.EMFILE, errno.ENFILE):
        return LogUnavailable(f"{path} cannot be opened: {error.strerror}. Raise the limit of open files (ulimit -n).")
    return LogFull(f"{path.parent} cannot be written: {error.strerror}. The log needs a writable folder.")
