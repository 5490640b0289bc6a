"""The SQL of the PostgreSQL warehouse. Names are identifiers of `psycopg.sql`, values are parameters or copied."""

from collections.abc import Iterable, Mapping, Sequence
from functools import lru_cache
from hashlib import sha256
from typing import Final, LiteralString

from psycopg.sql import SQL, Composed, Identifier, Literal

from sinks.history_view import Dialect, select_history
from sinks.schema import GENERATION_COLUMN, OBJECT_ID_COLUMN, ColumnType, TableKind

VERSIONS: Final = "_versions"
"""Of object tables: see `sinks.merge`. No property can have it: names in snake case begin with a letter or digit."""

EXPECTED: Final = "_expected"
"""Of staged objects: the versions that the row had when it was read; null for a row that was not there."""

CHOSEN: Final = "_chosen"
"""Of staged objects: which columns the row sets, as bits; bit 0 is the lowest of the first byte (`get_bit`)."""

CREATE_CATALOG: Final = """\
CREATE TABLE IF NOT EXISTS {schema}."_hookmill_tables" (
    "table_schema" text, "table_name" text, "schema" text NOT NULL, "name" text NOT NULL, "kind" text NOT NULL,
    PRIMARY KEY ("table_schema", "table_name")
)"""
CREATE_GENERATION: Final = """\
CREATE TABLE IF NOT EXISTS {schema}."_hookmill_generation" ("only" boolean PRIMARY KEY, "generation" bigint NOT NULL)"""
FIRST_GENERATION: Final = 'INSERT INTO {schema}."_hookmill_generation" VALUES (true, 0) ON CONFLICT DO NOTHING'
"""The generation grows with each change of the schema, so that every worker knows when to look at it again."""

CREATE_TOMBSTONES: Final = """\
CREATE TABLE IF NOT EXISTS {schema}."_hookmill_tombstones" (
    "table_schema" text, "table_name" text, "id" text, "_versions" text NOT NULL, "deleted_at" timestamptz NOT NULL,
    PRIMARY KEY ("table_schema", "table_name", "id")
)"""
"""Objects that were deleted: see `sinks.merge`."""

CREATE_HISTORIES: Final = """\
CREATE TABLE IF NOT EXISTS {schema}."_hookmill_histories" (
    "table_schema" text, "table_name" text, "view_name" text NOT NULL, "schema" text NOT NULL, "name" text NOT NULL,
    PRIMARY KEY ("table_schema", "table_name")
)"""
"""As the catalog, of histories, with their views. Not in it: the release before knows no tables of this kind."""

SELECT_VIEW: Final = """\
SELECT h."view_name" FROM {schema}."_hookmill_histories" AS h
JOIN pg_views AS v ON v.schemaname = h."table_schema" AND v.viewname = h."view_name"
WHERE h."table_schema" = %s AND h."table_name" = %s"""
INSERT_HISTORY: Final = """\
INSERT INTO {schema}."_hookmill_histories" VALUES (%s, %s, %s, %s, %s)
ON CONFLICT ("table_schema", "table_name") DO UPDATE SET
    "view_name" = excluded."view_name", "schema" = excluded."schema", "name" = excluded."name\""""

SELECT_TOMBSTONES: Final = """\
SELECT "id", "_versions" FROM {schema}."_hookmill_tombstones"
WHERE "table_schema" = %s AND "table_name" = %s AND "id" = ANY(%b)"""
INSERT_TOMBSTONES: Final = """\
INSERT INTO {schema}."_hookmill_tombstones"
SELECT %s, %s, * FROM unnest(%s::text[], %s::text[], %s::timestamptz[])
ON CONFLICT ("table_schema", "table_name", "id") DO UPDATE SET
    "_versions" = excluded."_versions", "deleted_at" = excluded."deleted_at\""""
DELETE_TOMBSTONES: Final = """\
DELETE FROM {schema}."_hookmill_tombstones" WHERE "table_schema" = %s AND "table_name" = %s AND "id" = ANY(%b)"""
FORGET_TOMBSTONES: Final = """\
DELETE FROM {schema}."_hookmill_tombstones" WHERE "table_schema" = %s AND "table_name" = %s"""

SELECT_GENERATION: Final = 'SELECT "generation" FROM {schema}."_hookmill_generation"'
NEXT_GENERATION: Final = (
    'UPDATE {schema}."_hookmill_generation" SET "generation" = "generation" + 1 RETURNING "generation"'
)
INSERT_CATALOG: Final = """\
INSERT INTO {schema}."_hookmill_tables" VALUES (%s, %s, %s, %s, %s)
ON CONFLICT ("table_schema", "table_name") DO UPDATE SET
    "schema" = excluded."schema", "name" = excluded."name", "kind" = excluded."kind\""""

SELECT_COLUMNS: Final = """\
SELECT t."table_schema", t."table_name", t."schema", t."name", t."kind", a.attname, format_type(a.atttypid, NULL)
FROM (
    SELECT "table_schema", "table_name", "schema", "name", "kind" FROM {schema}."_hookmill_tables"
    UNION ALL SELECT "table_schema", "table_name", "schema", "name", 'history' FROM {schema}."_hookmill_histories"
) AS t
JOIN pg_namespace AS n ON n.nspname = t."table_schema"
JOIN pg_class AS c ON c.relnamespace = n.oid AND c.relname = t."table_name" AND c.relkind IN ('r', 'p')
JOIN pg_attribute AS a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped
ORDER BY t."table_schema", t."table_name", a.attnum"""

SELECT_SCHEMA: Final = "SELECT 1 FROM pg_namespace WHERE nspname = %s"
SELECT_TAKEN: Final = """\
SELECT c.relname FROM pg_class AS c JOIN pg_namespace AS n ON n.oid = c.relnamespace WHERE n.nspname = %(schema)s
UNION
SELECT t.typname FROM pg_type AS t JOIN pg_namespace AS n ON n.oid = t.typnamespace WHERE n.nspname = %(schema)s"""
"""Names that a new table cannot have: a table has a type of its name."""

TYPE_NAMES: Final[dict[ColumnType, LiteralString]] = {
    ColumnType.INTEGER: "bigint",
    ColumnType.REAL: "double precision",
    ColumnType.BOOLEAN: "boolean",
    ColumnType.TIMESTAMP: "timestamp with time zone",
    ColumnType.TEXT: "text",
}

TYPES_BY_NAME: Final = {name: kind for kind, name in TYPE_NAMES.items()} | {"character varying": ColumnType.TEXT}
"""From what `format_type` says."""

_SYSTEM_COLUMNS: Final = frozenset({"ctid", "xmin", "cmin", "xmax", "cmax", "tableoid"})

Table = tuple[str, str]
"""Schema and name."""


def in_schema(statement: LiteralString, schema: str) -> Composed:
    """The statement about our own tables in `schema`."""
    return SQL(statement).format(schema=Identifier(schema))


def column_name(column: str) -> str:
    """What a column is called here; PostgreSQL has some of its own in every table."""
    return f"_{column}" if column in _SYSTEM_COLUMNS else column


def create_schema(name: str) -> Composed:
    """A schema for tables of ours."""
    return SQL("CREATE SCHEMA {}").format(Identifier(name))


def create_table(table: Table, kind: TableKind, columns: Iterable[tuple[str, ColumnType]]) -> Composed:
    """The table with its key, `columns`, and what its kind needs."""
    definitions: list[Composed] = [SQL("{} text PRIMARY KEY").format(Identifier("id"))]
    definitions += [_definition(name, column_type) for name, column_type in columns if name != "id"]
    if kind is TableKind.OBJECTS:
        definitions.append(SQL("{} text NOT NULL").format(Identifier(VERSIONS)))
    if kind is TableKind.HISTORY:  # as an index: one object is what is asked for
        definitions.append(SQL("UNIQUE ({}, {})").format(Identifier(OBJECT_ID_COLUMN), Identifier("id")))
    return SQL("CREATE TABLE {} ({})").format(Identifier(*table), SQL(", ").join(definitions))


def add_column(table: Table, name: str, column_type: ColumnType) -> Composed:
    """One more column; rows that are there have null in it, and are not rewritten."""
    return SQL("ALTER TABLE {} ADD COLUMN {}").format(Identifier(*table), _definition(name, column_type))


def create_view(view: Table, table: Table, places: Mapping[str, str]) -> Composed:
    """The view of a history, or one that shows more than it did: new columns are behind those that it had."""
    query = select_history(f"{_quoted(table[0])}.{_quoted(table[1])}", places, _DIALECT)
    return SQL("CREATE OR REPLACE VIEW {} AS ").format(Identifier(*view)) + SQL(query)


def widen_column(table: Table, name: str, column_type: ColumnType) -> Composed:
    """The column has another type; every row is rewritten."""
    type_name = SQL(TYPE_NAMES[column_type])
    return SQL("ALTER TABLE {} ALTER COLUMN {name} TYPE {type} USING {name}::{type}").format(
        Identifier(*table), name=Identifier(name), type=type_name
    )


def select_inexact(table: Table, name: str) -> Composed:
    """A row, if the column of integers has some that double precision cannot hold."""
    return SQL("SELECT 1 FROM {} WHERE {name} NOT BETWEEN -9007199254740992 AND 9007199254740992 LIMIT 1").format(
        Identifier(*table), name=Identifier(name)
    )


def stage_of(table: Table) -> str:
    """The temporary table whose rows go to `table`."""
    return f"stage_{sha256('.'.join(table).encode()).hexdigest()[:16]}"


@lru_cache(maxsize=256)
def create_stage(table: Table, kind: TableKind) -> Composed:
    """A temporary table with the columns of `table`; empty again after each transaction."""
    more = SQL(", {} text, {} bytea").format(Identifier(EXPECTED), Identifier(CHOSEN))
    return SQL("CREATE TEMPORARY TABLE IF NOT EXISTS {} (LIKE {}{}) ON COMMIT DELETE ROWS").format(
        Identifier(stage_of(table)), Identifier(*table), more if kind is TableKind.OBJECTS else SQL("")
    )


@lru_cache(maxsize=256)
def copy_rows(table: Table, columns: Sequence[str]) -> Composed:
    """Rows come into the stage of `table`."""
    return SQL("COPY {} ({}) FROM STDIN (FORMAT binary)").format(Identifier(stage_of(table)), _list(columns))


def delete_older(table: Table, has_generation: bool) -> Composed:
    """Deletes events, unless they are of this generation or a higher one; parameters: ids and generations, lists."""
    generation = SQL("coalesce(t.{}, 0)").format(Identifier(GENERATION_COLUMN)) if has_generation else SQL("0")
    return SQL(
        "DELETE FROM {} AS t USING unnest(%s::text[], %s::bigint[]) AS new (id, generation) "
        "WHERE t.{id} = new.id AND {} < new.generation"
    ).format(Identifier(*table), generation, id=Identifier("id"))


@lru_cache(maxsize=256)
def insert_staged(table: Table, kind: TableKind, columns: Sequence[str]) -> Composed:
    """Staged rows are in the table, but for those whose id is there. Sorted: two workers never wait for each other."""
    new = SQL(" WHERE {} IS NULL").format(Identifier(EXPECTED)) if kind is TableKind.OBJECTS else SQL("")
    return SQL("INSERT INTO {} ({names}) SELECT {names} FROM {}{} ORDER BY {id} ON CONFLICT ({id}) DO NOTHING").format(
        Identifier(*table), Identifier(stage_of(table)), new, names=_list(columns), id=Identifier("id")
    )


@lru_cache(maxsize=256)
def update_staged(table: Table, columns: Sequence[tuple[str, int | None]]) -> Composed:
    """Rows that still have the versions they were read with have these columns of the stage, and its versions.

    In the order of ids, so that workers do not lock each other out. A column comes with the bit that says which rows
    set it, or `None` when all do.
    """
    changes = [_change(name, bit) for name, bit in columns]
    return SQL(
        "UPDATE {} AS t SET {} FROM (SELECT * FROM {} ORDER BY {id}) AS s "
        "WHERE t.{id} = s.{id} AND t.{versions} = s.{expected}"
    ).format(
        Identifier(*table),
        SQL(", ").join([*changes, _change(VERSIONS, None)]),
        Identifier(stage_of(table)),
        id=Identifier("id"),
        versions=Identifier(VERSIONS),
        expected=Identifier(EXPECTED),
    )


@lru_cache(maxsize=256)
def select_versions(table: Table) -> Composed:
    """Id and versions of the rows with the ids of the one parameter, a list."""
    return SQL("SELECT {id}, {} FROM {} WHERE {id} = ANY(%b)").format(
        Identifier(VERSIONS), Identifier(*table), id=Identifier("id")
    )


def delete_objects(table: Table) -> Composed:
    """The rows with the ids of the one parameter, a list, are gone."""
    return SQL("DELETE FROM {} WHERE {} = ANY(%b)").format(Identifier(*table), Identifier("id"))


def _quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'


_DIALECT: Final = Dialect(_quoted, find="strpos")


def _change(name: str, bit: int | None) -> Composed:
    if bit is None:
        return SQL("{name} = s.{name}").format(name=Identifier(name))
    return SQL("{name} = CASE WHEN get_bit(s.{}, {}) = 1 THEN s.{name} ELSE t.{name} END").format(
        Identifier(CHOSEN), Literal(bit), name=Identifier(name)
    )


def _definition(name: str, column_type: ColumnType) -> Composed:
    return SQL("{} {}").format(Identifier(name), SQL(TYPE_NAMES[column_type]))


def _list(columns: Iterable[str]) -> Composed:
    return SQL(", ").join(map(Identifier, columns))
