"""SQLite files of the log: made whole or not at all, opened with the settings durability needs, failures named."""

import contextlib
import os
import sqlite3
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Final

from hookmill.errors import LogError, LogFull, LogUnavailable

BUSY_TIMEOUT_S: Final = 10.0
"""How long a statement waits for a lock of another process; as long as the Kafka engine waits for a broker."""

_PAGE_BYTES: Final = 4_096
_WAL_KEPT_BYTES: Final = 16_777_216
"""The write-ahead log is cut back to this after a burst; it is reused from its start, so it seldom grows so far."""


def connect(path: Path, *, synchronous: str) -> sqlite3.Connection:
    """A connection to an existing file, in autocommit mode; only the calling thread may use it.

    `synchronous` is `FULL` (fsync per commit) or `NORMAL` (a power cut may undo the last commits, never tear one).
    """
    with failures_named(path, "opened"):
        uri = f"{path.absolute().as_uri()}?mode=rw"
        connection = sqlite3.connect(uri, uri=True, isolation_level=None, timeout=BUSY_TIMEOUT_S)
        try:
            connection.execute(f"PRAGMA synchronous={synchronous}")
            connection.execute(f"PRAGMA journal_size_limit={_WAL_KEPT_BYTES}")
            # Distributions build SQLite with secure_delete on; zeroing what retention drops would write it all again.
            connection.execute("PRAGMA secure_delete=OFF").fetchone()
        except BaseException:
            connection.close()
            raise
        return connection


def create(path: Path, fill: Callable[[sqlite3.Connection], object]) -> bool:
    """The file exists, with what `fill` puts in; `False` when another process had made it before.

    It is made under another name and then linked, so that nobody ever opens half a schema.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=".new-", dir=path.parent) as scratch:
            draft = Path(scratch) / "draft"
            with failures_named(path, "created"):
                _write_draft(draft, fill)
            try:
                os.link(draft, path)
            except FileExistsError:
                return False
        _sync_folder(path.parent)
    except OSError as error:
        raise LogFull(f"{path.parent} cannot be written: {error.strerror}. The log needs a writable folder.") from error
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


@contextlib.contextmanager
def transaction(connection: sqlite3.Connection) -> Iterator[None]:
    """The block is one write transaction: committed at its end, undone if it raises."""
    connection.execute("BEGIN IMMEDIATE")
    try:
        yield
        connection.execute("COMMIT")
    except BaseException:
        # After a full disk SQLite has rolled back by itself.
        if connection.in_transaction:
            connection.execute("ROLLBACK")
        raise


@contextlib.contextmanager
def failures_named(path: Path, done: str) -> Iterator[None]:
    """Failures of SQLite leave the block as errors of the log; `done` is what could not be done to the file."""
    try:
        yield
    except sqlite3.Error as error:
        raise _named(error, path, done) from error


def _named(error: sqlite3.Error, path: Path, done: str) -> LogError:
    """By result code (https://sqlite.org/rescode.html), never by text."""
    code = getattr(error, "sqlite_errorcode", sqlite3.SQLITE_ERROR)
    symbol = getattr(error, "sqlite_errorname", type(error).__name__)
    match code & 0xFF:
        case sqlite3.SQLITE_BUSY | sqlite3.SQLITE_LOCKED:
            return LogUnavailable(f"{path} could not be {done}: locked by another process for {BUSY_TIMEOUT_S:g} s.")
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
