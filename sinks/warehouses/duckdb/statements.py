"""The SQL of the DuckDB warehouse, as text. Names are quoted, values are parameters or come in Arrow tables."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Final, NamedTuple

from sinks.history_view import WINDOW, Dialect, select_history
from sinks.schema import GENERATION_COLUMN, ColumnType, TableKind

# ruff: noqa: S608 in this module every name goes through `quoted`

VERSIONS: Final = "_versions"
"""Of object tables: see `sinks.merge`. No property can have it: names in snake case begin with a letter or digit."""

STAGE: Final = "_stage"
"""What the rows on their way are called while a statement reads them."""

CREATE_CATALOG: Final = """\
CREATE TABLE IF NOT EXISTS main."_hookmill_tables" (
    "table_schema" VARCHAR, "table_name" VARCHAR, "schema" VARCHAR, "name" VARCHAR, "kind" VARCHAR
)"""
INSERT_CATALOG: Final = 'INSERT INTO main."_hookmill_tables" VALUES (?, ?, ?, ?, ?)'
DELETE_CATALOG: Final = 'DELETE FROM main."_hookmill_tables" WHERE "table_schema" = ? AND "table_name" = ?'

CREATE_HISTORIES: Final = """\
CREATE TABLE IF NOT EXISTS main."_hookmill_histories" (
    "table_schema" VARCHAR, "table_name" VARCHAR, "view_name" VARCHAR, "schema" VARCHAR, "name" VARCHAR
)"""
"""As the catalog, of histories, with their views. Not in it: the release before knows no tables of this kind."""

SELECT_VIEW: Final = """\
SELECT h."view_name" FROM main."_hookmill_histories" AS h
JOIN duckdb_views() AS v ON v.schema_name = h."table_schema" AND v.view_name = h."view_name"
WHERE v.database_name = current_database() AND h."table_schema" = ? AND h."table_name" = ?"""
INSERT_HISTORY: Final = 'INSERT INTO main."_hookmill_histories" VALUES (?, ?, ?, ?, ?)'
DELETE_HISTORY: Final = 'DELETE FROM main."_hookmill_histories" WHERE "table_schema" = ? AND "table_name" = ?'

CREATE_TOMBSTONES: Final = """\
CREATE TABLE IF NOT EXISTS main."_hookmill_tombstones" (
    "table_schema" VARCHAR, "table_name" VARCHAR, "id" VARCHAR, "_versions" VARCHAR, "deleted_at" TIMESTAMPTZ
)"""
"""Objects that were deleted: see `sinks.merge`."""

DELETE_TOMBSTONES: Final = f"""\
DELETE FROM main."_hookmill_tombstones" AS t USING {STAGE} AS s
WHERE t."table_schema" = ? AND t."table_name" = ? AND t."id" = s."id\""""
INSERT_TOMBSTONES: Final = f'INSERT INTO main."_hookmill_tombstones" SELECT ?, ?, * FROM {STAGE}'
FORGET_TOMBSTONES: Final = 'DELETE FROM main."_hookmill_tombstones" WHERE "table_schema" = ? AND "table_name" = ?'

SELECT_COLUMNS: Final = """\
SELECT t."table_schema", t."table_name", t."schema", t."name", t."kind", c.column_name, c.data_type
FROM (
    FROM main."_hookmill_tables"
    UNION ALL SELECT "table_schema", "table_name", "schema", "name", 'history' FROM main."_hookmill_histories"
) AS t
JOIN duckdb_columns() AS c ON c.schema_name = t."table_schema" AND c.table_name = t."table_name"
JOIN duckdb_tables() AS own USING (table_oid)
WHERE c.database_name = current_database() AND own.database_name = current_database()
ORDER BY t."table_schema", t."table_name", c.column_index"""

SELECT_TAKEN: Final = """\
SELECT lower(table_name) FROM information_schema.tables
WHERE table_catalog = current_database() AND lower(table_schema) = ?"""

SELECT_VIEWS: Final = """\
SELECT view_name FROM duckdb_views() AS v
WHERE database_name = current_database() AND NOT internal AND contains(lower("sql"), ?) AND NOT EXISTS (
    FROM main."_hookmill_histories" AS h WHERE h."table_schema" = v.schema_name AND h."view_name" = v.view_name
)"""
"""Of others: those of histories are made again when a column changes."""

TRIAL: Final = (
    'CREATE OR REPLACE TABLE main."_hookmill_check" ("id" VARCHAR)',
    """INSERT INTO main."_hookmill_check" VALUES ('1')""",
    'DROP TABLE main."_hookmill_check"',
)
"""What a check does, each statement durably; the last leaves nothing of the others."""

TYPE_NAMES: Final = {
    ColumnType.INTEGER: "BIGINT",
    ColumnType.REAL: "DOUBLE",
    ColumnType.BOOLEAN: "BOOLEAN",
    ColumnType.TIMESTAMP: "TIMESTAMP WITH TIME ZONE",
    ColumnType.TEXT: "VARCHAR",
}
TYPES_BY_NAME: Final = {name: kind for kind, name in TYPE_NAMES.items()}


class Table(NamedTuple):
    """A table by its full name: a schema may be called like the database, which is called like the file."""

    database: str
    schema: str
    name: str

    @property
    def place(self) -> tuple[str, str]:
        """Schema and name, as our own tables have them."""
        return self.schema, self.name


def quoted(*names: str) -> str:
    """The names as one SQL identifier, joined by dots."""
    return ".".join('"' + name.replace('"', '""') + '"' for name in names)


def create_schema(table: Table) -> str:
    """The schema of the table is there."""
    return f"CREATE SCHEMA IF NOT EXISTS {quoted(table.database, table.schema)}"


def create_table(table: Table, kind: TableKind, columns: Mapping[str, ColumnType]) -> str:
    """The table with `id`, `columns`, and what its kind needs."""
    definitions = ['"id" VARCHAR NOT NULL']
    definitions += [_definition(name, column_type) for name, column_type in columns.items() if name != "id"]
    if kind is TableKind.OBJECTS:
        definitions.append(f"{quoted(VERSIONS)} VARCHAR NOT NULL")
    return f"CREATE TABLE {quoted(*table)} ({', '.join(definitions)})"


def add_column(table: Table, name: str, column_type: ColumnType) -> str:
    """One more column; rows that are there have null in it."""
    return f"ALTER TABLE {quoted(*table)} ADD COLUMN {_definition(name, column_type)}"


def create_view(view: str, table: Table, places: Mapping[str, str]) -> str:
    """The view of a history, in the schema of its table, or one that shows something else than it did.

    It does not name the database, which is called like the file: that may be copied.
    """
    query = select_history(quoted(*table.place), places, _DIALECT)
    return f"CREATE OR REPLACE VIEW {quoted(table.database, table.schema, view)} AS {query}"


def widen_column(table: Table, name: str, known: ColumnType, wider: ColumnType) -> str:
    """The column has the wider type; a number as text is written as `values.as_text` does."""
    value = f"{quoted(name)}::{TYPE_NAMES[wider]}"
    if known is ColumnType.REAL:
        value = f"regexp_replace({value}, '[.]0$', '')"
    return f"ALTER TABLE {quoted(*table)} ALTER COLUMN {quoted(name)} TYPE {TYPE_NAMES[wider]} USING {value}"


def select_inexact(table: Table, name: str) -> str:
    """A row if the column has an integer that would not stay exact as `DOUBLE`."""
    return f"SELECT 1 FROM {quoted(*table)} WHERE {quoted(name)} NOT BETWEEN -{2**53} AND {2**53} LIMIT 1"


def select_versions(table: Table) -> str:
    """Id and versions of what is there of the staged ids, and whether that is a tombstone; parameters: `place`."""
    return (
        f'SELECT "id", {quoted(VERSIONS)}, false FROM {quoted(*table)} SEMI JOIN {STAGE} USING ("id") '
        f'UNION ALL SELECT "id", {quoted(VERSIONS)}, true FROM main."_hookmill_tombstones" SEMI JOIN {STAGE} '
        'USING ("id") WHERE "table_schema" = ? AND "table_name" = ?'
    )


def delete_objects(table: Table) -> str:
    """The rows whose ids are staged are gone."""
    return f'DELETE FROM {quoted(*table)} AS t USING {STAGE} AS s WHERE t."id" = s."id"'


def insert_events(table: Table, columns: Sequence[str]) -> str:
    """Staged rows are in the table, but for those whose id is there."""
    names = _list(columns)
    return f'INSERT INTO {quoted(*table)} ({names}) SELECT {names} FROM {STAGE} ANTI JOIN {quoted(*table)} USING ("id")'


def delete_older(table: Table, has_generation: bool) -> str:
    """Events whose ids are staged are gone, unless they are of the staged generation or a higher one."""
    generation = f"coalesce(t.{quoted(GENERATION_COLUMN)}, 0)" if has_generation else "0"
    return (
        f'DELETE FROM {quoted(*table)} AS t USING {STAGE} AS s WHERE t."id" = s."id" AND {generation} < s."generation"'
    )


def merge_objects(table: Table, columns: Sequence[str], partial: Iterable[str]) -> str:
    """Staged rows are in the table: new ones, and the columns they set of those that are there.

    Whether a row sets a column that is `partial` is said by the staged column of `mark_of` it.
    """
    marked = frozenset(partial)
    changes = ", ".join(_change(name, name in marked) for name in columns)
    every = ["id", *columns]
    values = ", ".join(f"s.{quoted(name)}" for name in every)
    return (
        f'MERGE INTO {quoted(*table)} AS t USING {STAGE} AS s ON t."id" = s."id" '
        f"WHEN MATCHED THEN UPDATE SET {changes} WHEN NOT MATCHED THEN INSERT ({_list(every)}) VALUES ({values})"
    )


def mark_of(column: str) -> str:
    """A name that no column of the rules has."""
    return f"{column}?"


def _newest(column: str, is_set: str) -> str:
    """In a struct, because a null counts too."""
    return f"(last_value(CASE WHEN {is_set} THEN {{'value': {column}}} END IGNORE NULLS) OVER {WINDOW}).value"


_DIALECT: Final = Dialect(quoted, find="strpos", newest=_newest)


def _change(name: str, is_partial: bool) -> str:
    column = quoted(name)
    if not is_partial:
        return f"{column} = s.{column}"
    return f"{column} = CASE WHEN s.{quoted(mark_of(name))} THEN s.{column} ELSE t.{column} END"


def _definition(name: str, column_type: ColumnType) -> str:
    return f"{quoted(name)} {TYPE_NAMES[column_type]}"


def _list(columns: Iterable[str]) -> str:
    return ", ".join(map(quoted, columns))
