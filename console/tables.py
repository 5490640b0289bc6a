"""The local warehouse as tables for people."""

import sqlite3
from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console

from console.reports import printable

_MAX_ROWS = 3
_MAX_CELL = 40
_USER_TABLES = (
    "SELECT name FROM sqlite_master WHERE type = 'table' AND name NOT LIKE '\\_hookmill\\_%' ESCAPE '\\' ORDER BY name"
)


@dataclass(frozen=True)
class TableView:
    """A table with its newest rows, newest first; `rows` is the count of all."""

    name: str
    rows: int
    columns: tuple[str, ...]
    newest: tuple[tuple[object, ...], ...]


def read_tables(database: Path) -> Sequence[TableView]:
    """Every user table of the SQLite file by name; none when there is no file yet."""
    if not database.exists():
        return []
    with closing(sqlite3.connect(f"file:{database}?mode=ro", uri=True, timeout=5.0)) as connection:
        names = connection.execute(_USER_TABLES).fetchall()
        return [_read_table(connection, name) for (name,) in names]


def _read_table(connection: sqlite3.Connection, name: str) -> TableView:
    quoted = '"' + name.replace('"', '""') + '"'
    (count,) = connection.execute(f"SELECT count(*) FROM {quoted}").fetchone()  # noqa: S608 the name is quoted
    cursor = connection.execute(f"SELECT * FROM {quoted} ORDER BY rowid DESC LIMIT {_MAX_ROWS}")  # noqa: S608 same
    columns = tuple(column[0] for column in cursor.description)
    return TableView(name, count, columns, tuple(cursor.fetchall()))


def print_tables(console: Console, tables: Sequence[TableView]) -> None:
    """Each table with its newest rows, a line per row: every column that holds something, internal ones left out."""
    for view in tables:
        console.print(f"{view.name}  {view.rows} {'row' if view.rows == 1 else 'rows'}", style="bold")
        for row in view.newest:
            cells = zip(view.columns, row, strict=True)
            shown = (
                f"{name}={_cell(value)}" for name, value in cells if value is not None and not name.startswith("_")
            )
            console.print("    " + "  ".join(shown))


def _cell(value: object) -> str:
    text = printable(str(value)).replace("\n", " ")
    return text if len(text) <= _MAX_CELL else text[: _MAX_CELL - 1] + "…"
