"""A look into a DuckDB warehouse from outside."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import duckdb
import pytest

from sinks.warehouses.duckdb import connection
from sinks.warehouses.duckdb import sink as duckdb_sink
from sinks.warehouses.parquet import workspace


def query(file: Path, sql: str, *parameters: Any) -> list[tuple[Any, ...]]:
    """All rows, read by a connection of its own. A sink of this process may have the file open."""
    with duckdb.connect(str(file), config=connection.OPTIONS) as connected:
        connected.execute("SET TimeZone = 'UTC'")
        return connected.execute(sql, parameters).fetchall()


def rows(file: Path, schema: str, table: str) -> dict[str, dict[str, Any]]:
    """Rows by id, without our own columns and without nulls."""
    return {row["id"]: row for row in listed(file, schema, table)}


def listed(file: Path, schema: str, table: str) -> list[dict[str, Any]]:
    """All rows of a table or view, otherwise as `rows`."""
    with duckdb.connect(str(file), config=connection.OPTIONS) as connected:
        found = connected.execute(f'SELECT * FROM "{schema}"."{table}"')
        names = [column[0] for column in found.description or ()]
        rows = [dict(zip(names, row, strict=True)) for row in found.fetchall()]
    return [{name: value for name, value in row.items() if name != "_versions" and value is not None} for row in rows]


def tables(file: Path) -> set[str]:
    """Schema and name of all tables but our own bookkeeping."""
    found = query(file, "SELECT schema_name || '.' || table_name FROM duckdb_tables() WHERE NOT internal")
    return {name for (name,) in found if not name.startswith("main._hookmill_")}


class _Traced:
    """A connection that writes down what it executes."""

    def __init__(self, connection: duckdb.DuckDBPyConnection, seen: list[str]) -> None:
        self._connection = connection
        self._seen = seen

    def __getattr__(self, name: str) -> Any:
        return getattr(self._connection, name)

    def execute(self, sql: str, *parameters: Any) -> Any:
        self._seen.append(sql)
        return self._connection.execute(sql, *parameters)


@contextmanager
def traced() -> Iterator[list[str]]:
    """All SQL that sinks send within the context."""
    seen: list[str] = []
    connect = connection.connect
    with pytest.MonkeyPatch.context() as patch:
        for user in (duckdb_sink, workspace):
            patch.setattr(user, "connect", lambda file: _Traced(connect(file), seen))
        yield seen
