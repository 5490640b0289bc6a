"""The SQL of the ClickHouse warehouse, as text. Names are quoted, values are parameters or inserted."""

from collections.abc import Iterable, Mapping
from hashlib import sha256
from typing import Final, NamedTuple

from sinks.history_view import WINDOW, Dialect, select_history
from sinks.naming import identifier
from sinks.schema import GENERATION_COLUMN, ColumnType, TableKey, TableKind
from sinks.warehouses.clickhouse.cells import VERSION_BYTES, shown_type

VERSION_TYPE: Final = f"FixedString({VERSION_BYTES})"
WRITTEN: Final = "_written"
"""Of object tables: the version of the newest write."""
DELETED: Final = "_deleted"
"""Of object tables: the version of the newest deletion; what was written before does not count."""

TYPE_NAMES: Final = {
    ColumnType.INTEGER: "Int64",
    ColumnType.REAL: "Float64",
    ColumnType.BOOLEAN: "Bool",
    ColumnType.TIMESTAMP: "DateTime64(6, 'UTC')",
    ColumnType.TEXT: "String",
}
_CASTS: Final = {ColumnType.TEXT: "toString", ColumnType.REAL: "toFloat64"}

_MARK: Final = "hookmill"
_HISTORY_MARK: Final = "hookmill-history"
"""Of histories: the release before knows no tables of this kind, and leaves what is marked so alone."""
SELECT_TABLES: Final = "SELECT name, comment FROM system.tables WHERE database = currentDatabase()"
SELECT_COLUMNS: Final = f"""\
SELECT table, name, type, comment FROM system.columns WHERE database = currentDatabase() AND table IN (
    SELECT name FROM system.tables WHERE database = currentDatabase()
    AND (startsWith(comment, '{_MARK} rows ') OR startsWith(comment, '{_HISTORY_MARK} rows '))
) ORDER BY table, position"""

_DURABLE: Final = "SETTINGS fsync_after_insert = 1, fsync_part_directory = 1"
"""Without them an insert that was answered may be gone after a power cut."""

# ruff: noqa: S608 in this module every name goes through `quoted`


class Column(NamedTuple):
    """A column of the rules: the columns of the table that hold its values, by type, and the one that says when it was
    cleared before it had any."""

    places: Mapping[ColumnType, str]
    cleared: str | None = None


def quoted(name: str) -> str:
    """The name as an SQL identifier."""
    return "`" + name.replace("\\", "\\\\").replace("`", "\\`") + "`"


def place_name(column: str, place: ColumnType | None) -> str:
    """What a further place of a column is called, or with `None` that for clearing it. No column of the rules has a
    double underscore."""
    return identifier(f"{column}__{'null' if place is None else place.value}")


def rows_comment(key: TableKey) -> str:
    """By this comment a table is ours. Names of the rules have no spaces."""
    return f"{_mark(key.kind)} rows {key.kind} {key.schema} {key.name}"


def view_comment(key: TableKey, query: str) -> str:
    """By this comment a view is ours, and shows what `query` does."""
    return f"{_mark(key.kind)} view {key.kind} {key.schema} {key.name} {sha256(query.encode()).hexdigest()[:16]}"


def key_of(comment: str, what: str) -> TableKey | None:
    """The table that a comment marks; `what` is `rows` or `view`."""
    match comment.split(" "):
        case [mark, part, kind, schema, name, *_] if mark in (_MARK, _HISTORY_MARK) and part == what:
            return TableKey(schema, name, TableKind(kind))
    return None


def column_type(kind: TableKind, place: ColumnType | None) -> str:
    """The type of a place, as a statement declares it."""
    stored = stored_type(kind, place)
    return f"SimpleAggregateFunction(max, {stored})" if kind is TableKind.OBJECTS else stored


def stored_type(kind: TableKind, place: ColumnType | None) -> str:
    """The type of what is inserted into a place; of an object's with the version of its write."""
    if place is None:
        return VERSION_TYPE
    plain = f"Nullable({TYPE_NAMES[place]})"
    return f"Tuple({VERSION_TYPE}, {plain})" if kind is TableKind.OBJECTS else plain


def create_table(table: str, key: TableKey, columns: Iterable[tuple[str, ColumnType]]) -> str:
    """The table below a view, unless there is one of that name."""
    definitions = ["`id` String"]
    definitions += [
        _definition(key.kind, name, place, name) for name, place in columns if name not in ("id", GENERATION_COLUMN)
    ]
    if key.kind is TableKind.OBJECTS:
        definitions += [f"{quoted(name)} {column_type(key.kind, None)}" for name in (WRITTEN, DELETED)]
        engine = "AggregatingMergeTree"
    else:
        definitions.append(f"{quoted(GENERATION_COLUMN)} UInt64")
        engine = f"ReplacingMergeTree({quoted(GENERATION_COLUMN)})"
    return (
        f"CREATE TABLE IF NOT EXISTS {quoted(table)} ({', '.join(definitions)}) ENGINE = {engine} ORDER BY `id` "
        f"{_DURABLE} COMMENT '{rows_comment(key)}'"
    )


def add_columns(table: str, kind: TableKind, columns: Iterable[tuple[str, ColumnType | None, str]]) -> str:
    """More places, but for those that are there; others may do the same at once. A place comes with its name, its type
    and the column that it belongs to."""
    actions = (f"ADD COLUMN IF NOT EXISTS {_definition(kind, *column)}" for column in columns)
    return f"ALTER TABLE {quoted(table)} {', '.join(actions)}"


def create_view(name: str, key: TableKey, query: str, *, replaces: bool) -> str:
    """The view of a table of ours; `replaces` one of ours that shows something else."""
    verb = "CREATE OR REPLACE VIEW" if replaces else "CREATE VIEW IF NOT EXISTS"
    return f"{verb} {quoted(name)} AS {query} COMMENT '{view_comment(key, query)}'"


def select_rows(table: str, kind: TableKind, columns: Mapping[str, Column]) -> str:
    """What the view of a table shows."""
    build = _object_columns if kind is TableKind.OBJECTS else _event_columns
    places: dict[str, str] = {}
    shown = ["t.`id` AS `id`"]
    for name, column in columns.items():
        for shown_as, expression in build(name, column):
            shown.append(f"{expression} AS {quoted(shown_as)}")
            places[shown_as] = name
    if kind is TableKind.HISTORY:
        return select_history(f"(SELECT {', '.join(shown)} FROM {quoted(table)} AS t FINAL)", places, _DIALECT)
    if kind is TableKind.EVENTS:
        shown.append(f"nullIf(t.{quoted(GENERATION_COLUMN)}, 0) AS {quoted(GENERATION_COLUMN)}")
        return f"SELECT {', '.join(shown)} FROM {quoted(table)} AS t FINAL"
    visible = f"max(t.{quoted(WRITTEN)}) > max(t.{quoted(DELETED)})"
    return f"SELECT {', '.join(shown)} FROM {quoted(table)} AS t GROUP BY t.`id` HAVING {visible}"


def older(table: str, what: str) -> str:
    """`what`, such as `DELETE`, about events of lower generations than they were computed anew in."""
    return f"{what} FROM {quoted(table)} WHERE `id` IN %(ids)s AND {quoted(GENERATION_COLUMN)} < %(generation)s"


def select_inexact(table: str, kind: TableKind, place: str) -> str:
    """A row, if the place for integers has some that `Float64` cannot hold."""
    value = f"tupleElement({quoted(place)}, 2)" if kind is TableKind.OBJECTS else quoted(place)
    return f"SELECT 1 FROM {quoted(table)} WHERE abs({value}) > 9007199254740992 LIMIT 1"


def _mark(kind: TableKind) -> str:
    return _HISTORY_MARK if kind is TableKind.HISTORY else _MARK


def _definition(kind: TableKind, name: str, place: ColumnType | None, column: str) -> str:
    """By the comment a place is known as one of the column."""
    return f"{quoted(name)} {column_type(kind, place)} COMMENT '{column}'"


def _event_columns(name: str, column: Column) -> list[tuple[str, str]]:
    """An event is written once, so one place at most has a value."""
    if ColumnType.TIMESTAMP in column.places:
        return [(place, f"t.{quoted(place)}") for place in column.places.values()]
    shown = shown_type(tuple(column.places))
    values = [_cast(f"t.{quoted(place)}", place_type, shown) for place_type, place in column.places.items()]
    return [(name, f"coalesce({', '.join(values)})" if len(values) > 1 else values[0])]


def _object_columns(name: str, column: Column) -> list[tuple[str, str]]:
    """Of several places the one with the greatest version counts, if nothing cleared or deleted it later."""
    if ColumnType.TIMESTAMP in column.places:
        return [
            (place, _newest({place_type: place}, place_type, column)) for place_type, place in column.places.items()
        ]
    return [(name, _newest(column.places, shown_type(tuple(column.places)), column))]


def _newest(places: Mapping[ColumnType, str], shown: ColumnType, column: Column) -> str:
    value, version = "NULL", ""
    for place_type, place in places.items():
        pair = f"max(t.{quoted(place)})"
        own = _cast(f"tupleElement({pair}, 2)", place_type, shown)
        if not version:
            value, version = own, f"tupleElement({pair}, 1)"
        else:
            value = f"if(tupleElement({pair}, 1) > {version}, {own}, {value})"
            version = f"greatest({version}, tupleElement({pair}, 1))"
    ends = [f"max(t.{quoted(DELETED)})"]
    ends += [f"max(t.{quoted(column.cleared)})"] if column.cleared else []
    ends += [
        f"tupleElement(max(t.{quoted(other)}), 1)" for other in column.places.values() if other not in places.values()
    ]
    end = f"greatest({', '.join(ends)})" if len(ends) > 1 else ends[0]
    return f"if({version} > {end}, {value}, NULL)"


def _newest_write(column: str, is_set: str) -> str:
    """Of pairs of id and value, where a null counts too."""
    return f"tupleElement(maxIf(tuple(t.`id`, {column}), {is_set}) OVER {WINDOW}, 2)"


def _following(column: str, order: str) -> str:
    """`lead` is not there before 25.6 (ClickHouse/ClickHouse issue 82620)."""
    return f"max({column}) OVER ({order} ROWS BETWEEN 1 FOLLOWING AND 1 FOLLOWING)"


_DIALECT: Final = Dialect(quoted, "position", _newest_write, _following)


def _cast(value: str, place: ColumnType, shown: ColumnType) -> str:
    return value if place is shown else f"{_CASTS[shown]}({value})"
