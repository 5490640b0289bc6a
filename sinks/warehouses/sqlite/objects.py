"""Writes to the objects of one table: merged with what is stored, as rows or tombstones."""

import sqlite3
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import islice
from operator import itemgetter
from typing import Final

from sinks.merge import Merged, ObjectRow, deleted_at, merge
from sinks.schema import TableKey
from sinks.warehouses.sqlite.statements import (
    DELETE_TOMBSTONE,
    INSERT_TOMBSTONE,
    delete_object,
    select_tombstones,
    select_versions,
    upsert_object,
)
from sinks.warehouses.sqlite.tables import Tables
from sinks.warehouses.sqlite.values import Cells, fitted

_IDS_PER_SELECT: Final = 1_000
"""Ids of one look-up: 32,766 parameters are allowed, and short statements stay in SQLite's statement cache."""


def write_objects(
    connection: sqlite3.Connection, tables: Tables, key: TableKey, writes: Mapping[str, Sequence[ObjectRow]]
) -> None:
    """The writes, by id, are in the table; what they delete is a tombstone."""
    table = tables.name(key)
    rows = _rows(connection, table, writes)
    tombstones = _tombstones(connection, table, [object_id for object_id in writes if object_id not in rows])
    stored = rows | tombstones
    changed: dict[str, Merged] = {}
    for object_id, writes_of_object in writes.items():
        merged = merge(stored.get(object_id), writes_of_object)
        if merged is not None:
            changed[object_id] = merged
    _upsert(connection, tables, key, changed)
    deleted = {object_id: merged.versions for object_id, merged in changed.items() if merged.columns is None}
    connection.executemany(delete_object(table), ((object_id,) for object_id in deleted.keys() & rows.keys()))
    connection.executemany(
        INSERT_TOMBSTONE,
        ((table, object_id, versions, deleted_at(versions).isoformat()) for object_id, versions in deleted.items()),
    )
    revived = (tombstones.keys() & changed.keys()) - deleted.keys()
    connection.executemany(DELETE_TOMBSTONE, ((table, object_id) for object_id in revived))


def _rows(connection: sqlite3.Connection, table: str, ids: Iterable[str]) -> dict[str, str]:
    """Versions of the rows that are there."""
    found: dict[str, str] = {}
    for chunk in _chunks(ids):
        found.update(connection.execute(select_versions(table, len(chunk)), chunk).fetchall())
    return found


def _tombstones(connection: sqlite3.Connection, table: str, ids: Iterable[str]) -> dict[str, str]:
    """Versions of objects that were deleted."""
    found: dict[str, str] = {}
    for chunk in _chunks(ids):
        found.update(connection.execute(select_tombstones(len(chunk)), [table, *chunk]).fetchall())
    return found


def _upsert(connection: sqlite3.Connection, tables: Tables, key: TableKey, changed: Mapping[str, Merged]) -> None:
    present = tables.columns[key]
    groups: dict[tuple[str, ...], list[Cells]] = {}
    for object_id, merged in changed.items():
        if merged.columns is not None:
            values = (object_id, *merged.columns.values(), merged.versions)
            groups.setdefault(tuple(merged.columns), []).append(values)
    for columns, rows in groups.items():
        there = [index for index, column in enumerate(columns) if column in present]
        if len(there) < len(columns):  # columns that no value but null ever came for
            pick = itemgetter(0, *(index + 1 for index in there), len(columns) + 1)
            rows = [pick(row) for row in rows]
        names = tuple(columns[index] for index in there)
        cells = fitted(("id", *names), rows, tables.texts(key))
        connection.executemany(upsert_object(tables.name(key), names), cells)


def _chunks(ids: Iterable[str]) -> Iterator[list[str]]:
    rest = iter(ids)
    while chunk := list(islice(rest, _IDS_PER_SELECT)):
        yield chunk
