"""The SQL of the SQLite warehouse, as text. Names are quoted, values are always parameters."""

from collections.abc import Iterable, Sequence
from functools import lru_cache
from typing import Final

from sinks.history_view import Dialect, select_history
from sinks.schema import GENERATION_COLUMN, OBJECT_ID_COLUMN, ColumnType, TableKind

VERSIONS_COLUMN: Final = "_versions"
"""Of object tables: see `sinks.merge`. No property can have it: names in snake case begin with a letter or digit."""

CREATE_CATALOG: Final = """\
CREATE TABLE IF NOT EXISTS "_hookmill_tables" (
    "table_name" TEXT PRIMARY KEY, "schema" TEXT NOT NULL, "name" TEXT NOT NULL, "kind" TEXT NOT NULL
)"""
"""Which tables are ours, and what the rules call them."""

CREATE_HISTORIES: Final = """\
CREATE TABLE IF NOT EXISTS "_hookmill_histories" (
    "table_name" TEXT PRIMARY KEY, "view_name" TEXT NOT NULL, "schema" TEXT NOT NULL, "name" TEXT NOT NULL
)"""
"""The same of histories, with their views. Not in the catalog: the release before knows no tables of this kind."""

CREATE_TOMBSTONES: Final = """\
CREATE TABLE IF NOT EXISTS "_hookmill_tombstones" (
    "table_name" TEXT, "id" TEXT, "_versions" TEXT NOT NULL, "deleted_at" TEXT NOT NULL,
    PRIMARY KEY ("table_name", "id")
) WITHOUT ROWID"""
"""Objects that were deleted: see `sinks.merge`."""

INSERT_TOMBSTONE: Final = 'INSERT OR REPLACE INTO "_hookmill_tombstones" VALUES (?, ?, ?, ?)'
DELETE_TOMBSTONE: Final = 'DELETE FROM "_hookmill_tombstones" WHERE "table_name" = ? AND "id" = ?'
DELETE_TOMBSTONES: Final = 'DELETE FROM "_hookmill_tombstones" WHERE "table_name" = ?'

SELECT_CATALOG: Final = f"""\
SELECT "table_name", "schema", "name", "kind" FROM "_hookmill_tables"
UNION ALL SELECT "table_name", "schema", "name", '{TableKind.HISTORY}' FROM "_hookmill_histories\""""
INSERT_CATALOG: Final = 'INSERT OR REPLACE INTO "_hookmill_tables" VALUES (?, ?, ?, ?)'
SELECT_VIEW: Final = """\
SELECT h."view_name" FROM "_hookmill_histories" AS h
JOIN sqlite_master AS m ON m.name = h."view_name" AND m.type = 'view' WHERE h."table_name" = ?"""
INSERT_HISTORY: Final = 'INSERT OR REPLACE INTO "_hookmill_histories" VALUES (?, ?, ?, ?)'

SELECT_NAMES: Final = "SELECT lower(name) FROM sqlite_master"
SELECT_COLUMNS: Final = """\
SELECT m.name, c.name, c.type FROM sqlite_master AS m JOIN pragma_table_info(m.name) AS c WHERE m.type = 'table'"""
SELECT_ORDERED: Final = "SELECT name FROM pragma_table_info(?) ORDER BY cid"

TRIAL: Final = ('CREATE TABLE IF NOT EXISTS "_hookmill_check" ("id")', 'DROP TABLE "_hookmill_check"')
"""What a check does; the second leaves nothing of the first."""

DECLARED: Final = {
    ColumnType.INTEGER: "",
    ColumnType.REAL: "",
    ColumnType.BOOLEAN: "",
    ColumnType.TIMESTAMP: "TEXT",
    ColumnType.TEXT: "TEXT",
}
"""Types of columns, as SQLite is told and tells them."""

# ruff: noqa: S608 in this module every name goes through `quoted`


def quoted(name: str) -> str:
    """The name as an SQL identifier: quotes doubled, NUL left out because it would end the statement."""
    return '"' + name.replace("\x00", "").replace('"', '""') + '"'


_DIALECT: Final = Dialect(quoted, find="instr")


def create_table(table: str, kind: TableKind, columns: Iterable[tuple[str, ColumnType]]) -> str:
    """The table with its key, `columns`, and what its kind needs."""
    definitions = ['"id" TEXT PRIMARY KEY NOT NULL']
    definitions += [_definition(name, column_type) for name, column_type in columns if name != "id"]
    if kind is TableKind.OBJECTS:
        definitions.append(f"{quoted(VERSIONS_COLUMN)} TEXT NOT NULL")
    if kind is TableKind.HISTORY:
        definitions.append(f'UNIQUE ({quoted(OBJECT_ID_COLUMN)}, "id")')  # as an index: one object is what is asked for
    return f"CREATE TABLE {quoted(table)} ({', '.join(definitions)})"


def add_column(table: str, name: str, column_type: ColumnType) -> str:
    """One more column; rows that are there have null in it."""
    return f"ALTER TABLE {quoted(table)} ADD COLUMN {_definition(name, column_type)}"


def drop_view(view: str) -> str:
    """The view is gone; SQLite cannot replace one."""
    return f"DROP VIEW {quoted(view)}"


def create_view(view: str, table: str, columns: Iterable[str]) -> str:
    """The view of a history; `columns` are those of the table of its writes, in order."""
    query = select_history(quoted(table), {name: name for name in columns}, _DIALECT)
    return f"CREATE VIEW {quoted(view)} AS {query}"


@lru_cache(maxsize=256)
def insert_event(table: str, columns: Sequence[str]) -> str:
    """A row that is ignored when its id is there."""
    return f'INSERT INTO {quoted(table)} ({_list(columns)}) VALUES ({_marks(columns)}) ON CONFLICT ("id") DO NOTHING'


def delete_older(table: str, has_generation: bool) -> str:
    """Deletes the event with an id, unless it is of this generation or a higher one; parameters in this order."""
    generation = f"coalesce({quoted(GENERATION_COLUMN)}, 0)" if has_generation else "0"
    return f'DELETE FROM {quoted(table)} WHERE "id" = ? AND {generation} < ?'


@lru_cache(maxsize=256)
def upsert_object(table: str, columns: Sequence[str]) -> str:
    """A row with these columns besides `id`, or these columns of the row that is there; parameters in this order."""
    every = ("id", *columns, VERSIONS_COLUMN)
    changes = ", ".join(f"{quoted(name)} = excluded.{quoted(name)}" for name in every[1:])
    return (
        f"INSERT INTO {quoted(table)} ({_list(every)}) VALUES ({_marks(every)}) "
        f'ON CONFLICT ("id") DO UPDATE SET {changes}'
    )


def select_versions(table: str, count: int) -> str:
    """Id and versions of the rows with these `count` ids."""
    return f'SELECT "id", {quoted(VERSIONS_COLUMN)} FROM {quoted(table)} WHERE "id" IN ({_marks("?" * count)})'


def select_tombstones(count: int) -> str:
    """Id and versions of the deleted objects of a table with these `count` ids; parameters in this order."""
    return (
        f'SELECT "id", {quoted(VERSIONS_COLUMN)} FROM "_hookmill_tombstones" '
        f'WHERE "table_name" = ? AND "id" IN ({_marks("?" * count)})'
    )


def delete_object(table: str) -> str:
    """The row with an id is gone."""
    return f'DELETE FROM {quoted(table)} WHERE "id" = ?'


def _definition(name: str, column_type: ColumnType) -> str:
    return f"{quoted(name)} {DECLARED[column_type]}".rstrip()


def _list(columns: Iterable[str]) -> str:
    return ", ".join(map(quoted, columns))


def _marks(columns: Sequence[str]) -> str:
    return ", ".join("?" * len(columns))
