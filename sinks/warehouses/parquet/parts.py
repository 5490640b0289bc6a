"""The rows of a batch by the files that they belong to. Pure.

A file of the store is a table of its own while it is merged: the hour of an event table is part of that table's name.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence, Set
from datetime import UTC, datetime
from typing import Final

from sinks.contract import Message, RecordRejected
from sinks.flatten import Row, Scalar
from sinks.rows import Layout, lay_out
from sinks.rules import Rules
from sinks.schema import AddColumns, Change, ColumnType, CreateTable, TableKey, TableKind, infer_type

_UNDATED: Final = "undated"
_CURRENT: Final = "current"
_SUFFIX: Final = ".parquet"


def layouts(batches: Sequence[Sequence[Message]], rules: Rules) -> list[Layout]:
    """The rows of the batches, with a table for each file. All together if the limits of one batch allow that."""
    try:
        found = [lay_out([message for batch in batches for message in batch], {}, rules)]
    except RecordRejected:
        found = [lay_out(batch, {}, rules) for batch in batches]
    return [_by_file(layout) for layout in found]


def with_changes(layout: Layout, present: Mapping[TableKey, Set[str]]) -> Layout:
    """The layout with what must change in the tables that are `present`. Limits were kept when the batch came."""
    rows: dict[TableKey, list[Row]] = dict(layout.events)
    for key, writes in layout.objects.items():
        rows[key] = [write.columns for each in writes.values() for write in each if write.columns is not None]
    return Layout(tuple(_changes(rows, present)), layout.events, layout.objects, layout.recomputed)


def key_of(table: TableKey) -> str:
    """Where the file of a table is in the store."""
    return f"{table.schema}/{table.kind}/{table.name}{_SUFFIX}"


def table_of(key: str) -> TableKey | None:
    """The table that a file of the store is; `None` for other files."""
    match key.removesuffix(_SUFFIX).split("/"):
        case [schema, (TableKind.EVENTS | TableKind.OBJECTS) as kind, table, part] if key.endswith(_SUFFIX):
            return TableKey(schema, f"{table}/{part}", TableKind(kind))
        case _:
            return None


def folder_of(table: TableKey) -> str:
    """Where all files of the same table of the rules are."""
    return f"{key_of(table).rpartition('/')[0]}/"


def part_of(table: TableKey) -> str:
    """The hour, of an event table."""
    return table.name.rpartition("/")[2]


def ruled(table: TableKey) -> TableKey:
    """The table of the rules that the file is a part of."""
    return TableKey(table.schema, table.name.rpartition("/")[0], table.kind)


def _by_file(layout: Layout) -> Layout:
    events: dict[TableKey, list[Row]] = {}
    for key, rows in layout.events.items():
        for row in rows:
            part = TableKey(key.schema, f"{key.name}/{_hour(row.get('received_at'))}", key.kind)
            events.setdefault(part, []).append(row)
    objects = {
        TableKey(key.schema, f"{key.name}/{_CURRENT}", key.kind): writes for key, writes in layout.objects.items()
    }
    return Layout((), events, objects, layout.recomputed)


def _hour(received_at: Scalar) -> str:
    try:
        instant = datetime.fromisoformat(str(received_at))
    except ValueError:
        return _UNDATED
    if instant.tzinfo is not None:
        instant = instant.astimezone(UTC)
    return f"{instant:%Y-%m-%dT%H}"


def _changes(rows: Mapping[TableKey, Iterable[Row]], present: Mapping[TableKey, Set[str]]) -> Iterator[Change]:
    for key, of_table in rows.items():
        known = present.get(key)
        new: dict[str, ColumnType] = {}
        there = set(known or {"id"})
        for row in of_table:
            if row.keys() <= there:
                continue
            for column, value in row.items():
                if column not in there and value is not None:
                    new[column] = infer_type(value)
                    there.add(column)
        if known is None:
            yield CreateTable(key, new)
        elif new:
            yield AddColumns(key, new)
