"""What SQLite's result codes mean for the worker; the only place that looks at them (sqlite.org/rescode.html)."""

import sqlite3
from pathlib import Path
from typing import Final

from hookmill.errors import ConfigError, HookmillError
from sinks.contract import SinkUnavailable

BUSY_TIMEOUT_S: Final = 5.0
"""How long a statement waits for another process that writes to the file."""

_PRIMARY_CODE: Final = 0xFF

_UNAVAILABLE: Final = {
    sqlite3.SQLITE_FULL: "its disk is full: free some space",
    sqlite3.SQLITE_READONLY: "it may not be written: check the permissions of the file and its folder",
    sqlite3.SQLITE_PERM: "it may not be opened: check the permissions of the file and its folder",
    sqlite3.SQLITE_CANTOPEN: "it cannot be opened: check that its folder exists and may be written",
    sqlite3.SQLITE_BUSY: f"another program has kept it locked for {BUSY_TIMEOUT_S:g} s: end that transaction",
    sqlite3.SQLITE_IOERR: "the file system refuses to read or write it: check its disk, quota and size limit",
}

_UNUSABLE: Final = {
    sqlite3.SQLITE_NOTADB: "it is not a SQLite database: name another file with the option path",
    sqlite3.SQLITE_CORRUPT: "it is damaged: restore it, or move it away and replay",
}


def failure_of(error: sqlite3.Error, file: Path) -> HookmillError | None:
    """The error for the worker, or `None` for one that is a bug of ours."""
    code = getattr(error, "sqlite_errorcode", 0) & _PRIMARY_CODE
    if code in _UNAVAILABLE:
        return SinkUnavailable(f"SQLite warehouse {file}: {_UNAVAILABLE[code]} ({error}).")
    if code in _UNUSABLE:
        return ConfigError(f"SQLite warehouse {file}: {_UNUSABLE[code]} ({error}).")
    return None
