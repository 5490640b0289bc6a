"""How a DuckDB database is opened: without what it would load from the Internet."""

from pathlib import Path
from typing import Final

import duckdb

OPTIONS: Final[dict[str, str | bool | int | float | list[str]]] = {
    "autoinstall_known_extensions": "false",
    "autoload_known_extensions": "false",
    "threads": 1,
}
"""Batches are too small for several threads: with two, the statements of one take longer and more processor time."""


def connect(file: Path | None) -> duckdb.DuckDBPyConnection:
    """A connection to the file, which is made if it is not there, or to memory alone. Errors: `duckdb.Error`."""
    connection = duckdb.connect(str(file or ":memory:"), config=OPTIONS)
    connection.execute("SET TimeZone = 'UTC'")  # of text that is made of times, and of times without a zone
    return connection
