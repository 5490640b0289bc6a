"""A look into a SQLite warehouse from outside."""

import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any


def query(file: Path, sql: str, *parameters: Any) -> list[tuple[Any, ...]]:
    """All rows, read by a connection of its own."""
    with closing(sqlite3.connect(f"file:{file}?mode=ro", uri=True, timeout=30)) as connection:
        return connection.execute(sql, parameters).fetchall()


def rows(file: Path, table: str) -> dict[str, dict[str, Any]]:
    """Rows by id, without our own columns and without nulls."""
    return {row["id"]: row for row in listed(file, table)}


def listed(file: Path, table: str) -> list[dict[str, Any]]:
    """All rows of a table or view, otherwise as `rows`."""
    with closing(sqlite3.connect(f"file:{file}?mode=ro", uri=True, timeout=30)) as connection:
        connection.row_factory = sqlite3.Row
        found = connection.execute(f'SELECT * FROM "{table}"').fetchall()
    return [
        {name: row[name] for name in row.keys() if name != "_versions" and row[name] is not None}  # noqa: SIM118
        for row in found
    ]


def tables(file: Path) -> set[str]:
    """Names of all tables but our own bookkeeping."""
    found = query(file, "SELECT name FROM sqlite_master WHERE type = 'table'")
    return {name for (name,) in found if not name.startswith("_hookmill_")}
