"""What DuckDB's errors mean for the worker; the only place that looks at them."""

from pathlib import Path
from typing import Final

import duckdb

from hookmill.errors import ConfigError, HookmillError
from sinks.contract import SinkUnavailable

_LOCKED: Final = "Could not set lock on file"
_NO_DATABASE: Final = "not a valid DuckDB database file"
_OTHER_VERSION: Final = "storage version number"
_DAMAGED: Final = ("Corrupt database file", "Corrupt WAL file")
"""DuckDB has one class for all that can be wrong with a file, and none for damage; these are texts of 2.0."""


def failure_of(error: duckdb.Error, file: Path) -> HookmillError | None:
    """The error for the worker, or `None` for one that is a bug of ours."""
    text = " ".join(str(error).partition("See also")[0].split()).removesuffix(".")
    where = f"DuckDB warehouse {file}"
    if _NO_DATABASE in text:
        return ConfigError(f"{where}: it is not a DuckDB database: name another file with the option path.")
    if _OTHER_VERSION in text:
        return ConfigError(f"{where}: another version of DuckDB wrote it: name another file, or export it ({text}).")
    if any(damage in text for damage in _DAMAGED):
        return ConfigError(f"{where}: it is damaged: restore it, or move it and its .wal away and replay ({text}).")
    match error:
        case duckdb.IOException() if is_lock(error):
            return SinkUnavailable(
                f"{where}: another program has it open; end it, unless it is a worker of Hookmill ({text})."
            )
        case duckdb.IOException() | duckdb.PermissionException() | duckdb.FatalException():
            return SinkUnavailable(f"{where}: it cannot be opened or written: check folder, rights and disk ({text}).")
        case duckdb.OutOfMemoryException():
            return SinkUnavailable(f"{where}: there is not enough memory or disk ({text}).")
        case duckdb.ConstraintException():
            return SinkUnavailable(f"{where}: a constraint refuses rows: drop it ({type(error).__name__}).")
        case duckdb.TransactionException():
            return SinkUnavailable(f"{where}: its tables were changed at the same time ({text}).")
        case _:
            return None


def is_lock(error: duckdb.Error) -> bool:
    """Another process has the file open."""
    return _LOCKED in str(error)
