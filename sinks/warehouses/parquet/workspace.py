"""A merge: files of the store as tables of a DuckDB database in memory, changed there, and back."""

import base64
import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import Final

import duckdb
import msgspec
import pyarrow as pa

from sinks.merge import deleted_at
from sinks.rows import Layout
from sinks.schema import TableKey, TableKind
from sinks.warehouses.duckdb.connection import connect
from sinks.warehouses.duckdb.staging import Writer
from sinks.warehouses.duckdb.statements import (
    INSERT_CATALOG,
    INSERT_TOMBSTONES,
    STAGE,
    VERSIONS,
    Table,
    create_schema,
    quoted,
)
from sinks.warehouses.duckdb.tables import Tables
from sinks.warehouses.parquet.parts import with_changes

_TOMBSTONES: Final = "hookmill.tombstones"
"""In the metadata of a file of objects: by id the text of versions, as JSON, deflated, in base64."""

_MEMORY: Final = "memory"
"""What DuckDB calls a database that has no file."""

_KEYS: Final = {TableKind.EVENTS: {"id"}, TableKind.OBJECTS: {"id", VERSIONS}}
"""Columns that each table of ours has. All of them are text."""

# ruff: noqa: S608 names go through `quoted`, texts through `_text`


class Workspace:
    """Tables of one merge. Errors of every method: `duckdb.Error`."""

    def __init__(self, scratch: Path) -> None:
        self._scratch = scratch
        self._connection = connect(None)
        self._connection.execute(f"SET temp_directory = {_text(str(scratch))}")
        self._tables = Tables(self._connection, may_widen=False)
        self._tables.load()

    def close(self) -> None:
        """The tables are gone."""
        self._connection.close()

    def columns(self) -> Mapping[TableKey, frozenset[str]]:
        """Columns by table."""
        return {key: frozenset(columns) for key, columns in self._tables.columns.items()}

    def adopt(self, key: TableKey, file: Path, *, empty: bool = False) -> None:
        """The file is a table; with `empty`, one that has its columns only. A file with foreign columns is an error."""
        table = Table(_MEMORY, key.schema, key.name)
        self._connection.execute(create_schema(table))
        rows = f"read_parquet({_text(str(file))})"
        limit = " LIMIT 0" if empty else ""
        self._connection.execute(f"CREATE TABLE {quoted(*table)} AS SELECT * FROM {rows}{limit}")
        found = self._connection.execute(f"DESCRIBE {quoted(*table)}").fetchall()
        if missing := _KEYS[key.kind] - {name for name, type_name, *_ in found if type_name == "VARCHAR"}:
            raise duckdb.InvalidInputException(f"it has no column {min(missing)} of text")
        self._connection.execute(INSERT_CATALOG, [key.schema, key.name, *key])
        if key.kind is TableKind.OBJECTS and not empty:
            self._adopt_tombstones(key, file)

    def write(self, layout: Layout) -> None:
        """The rows, one of `layouts`, are in the tables: those that were adopted, and new ones."""
        self._tables.load()
        self._connection.begin()
        Writer(self._connection, self._tables).write(with_changes(layout, self._tables.columns))
        self._connection.commit()

    def export(self, key: TableKey, number: int) -> Path:
        """The table as a file in scratch."""
        file = self._scratch / f"out-{number}"
        options = "FORMAT parquet, COMPRESSION zstd"
        if tombstones := self._tombstones(key):
            text = base64.b64encode(zlib.compress(msgspec.json.encode(tombstones))).decode()
            options += f", KV_METADATA {{{quoted(_TOMBSTONES)}: {_text(text)}}}"
        table = quoted(*self._tables.name(key))
        self._connection.execute(f"COPY {table} TO {_text(str(file))} ({options})")
        return file

    def _tombstones(self, key: TableKey) -> dict[str, str]:
        found = self._connection.execute(
            'SELECT "id", "_versions" FROM "_hookmill_tombstones" WHERE "table_schema" = ? AND "table_name" = ?',
            self._tables.name(key).place,
        )
        return dict(found.fetchall())

    def _adopt_tombstones(self, key: TableKey, file: Path) -> None:
        found = self._connection.execute(
            f"SELECT value FROM parquet_kv_metadata({_text(str(file))}) WHERE key = ?", [_TOMBSTONES.encode()]
        ).fetchall()
        if not found:
            return
        ((text,),) = found
        tombstones = msgspec.json.decode(zlib.decompress(base64.b64decode(text)), type=dict[str, str])
        times = [deleted_at(versions) for versions in tombstones.values()]
        columns = {"id": list(tombstones), VERSIONS: list(tombstones.values()), "deleted_at": times}
        self._connection.register(STAGE, pa.table(columns))
        self._connection.execute(INSERT_TOMBSTONES, [key.schema, key.name])
        self._connection.unregister(STAGE)


def reason_of(error: duckdb.Error) -> str:
    """What failed in a merge, for people."""
    return " ".join(str(error).split())[:300]


def _text(value: str) -> str:
    return "'" + value.replace("'", "''") + "'"
