"""Rows of one table on their way: as columns that fit it, and from there into the table."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

import psycopg

from sinks.columns import Shape, by_stored_id, columns_of, names_in, shapes_of
from sinks.flatten import Row, Scalar
from sinks.merge import Merged, ObjectRow, deleted_at, merge
from sinks.schema import ColumnType, TableKey, TableKind
from sinks.values import Cell, fitted, split
from sinks.warehouses.postgres.statements import (
    CHOSEN,
    DELETE_TOMBSTONES,
    EXPECTED,
    INSERT_TOMBSTONES,
    SELECT_TOMBSTONES,
    VERSIONS,
    column_name,
    copy_rows,
    create_stage,
    delete_objects,
    insert_staged,
    select_versions,
    update_staged,
)
from sinks.warehouses.postgres.tables import Tables

_COPIED_AS: Final = {
    ColumnType.INTEGER: "int8",
    ColumnType.REAL: "float8",
    ColumnType.BOOLEAN: "bool",
    ColumnType.TIMESTAMP: "timestamptz",
    ColumnType.TEXT: "text",
    None: "text",
}


class Overtaken(Exception):
    """Another worker wrote some of the rows since they were read; nothing of this transaction may stay."""


@dataclass
class Staged:
    """Rows as columns of cells, all of one length; the `id` is among them."""

    key: TableKey
    types: dict[str, str]
    """Names that `COPY` needs, by column."""
    cells: dict[str, Sequence[Cell | bytes]]
    bits: dict[str, int | None]
    """The bit of `CHOSEN` that each property's column has; `None` when all rows set it. Empty for events."""
    count: int
    updates: int = 0
    """How many of the rows were there."""
    tombstones: Mapping[str, str] = field(default_factory=dict)
    """Objects that are deleted, and their versions."""
    revived: Sequence[str] = ()
    """Objects that were deleted and are rows again."""


class Stager:
    """Makes the rows of a batch ready, table by table, and gathers what the tables cannot hold yet."""

    def __init__(self, connection: psycopg.Connection, tables: Tables) -> None:
        self._connection = connection
        self._tables = tables
        self.misfits: dict[tuple[TableKey, str], Sequence[Scalar]] = {}

    def events(self, key: TableKey, rows: Sequence[Row]) -> Staged:
        """Rows that are inserted once."""
        return self._fitted(key, columns_of(rows, shapes_of(rows)), {})

    def objects(self, key: TableKey, writes: Mapping[str, list[ObjectRow]]) -> Staged | None:
        """Rows merged with what is stored; `None` when the table is ahead of them all."""
        by_id = by_stored_id(writes)
        stored, deleted = self._stored(key, list(by_id))
        versions = stored | deleted
        merged: dict[str, Merged] = {}
        for object_id, writes_of_object in by_id.items():
            outcome = merge(versions.get(object_id), writes_of_object)
            if outcome is not None:
                merged[object_id] = outcome
        if not merged:
            return None
        rows = {object_id: outcome.columns for object_id, outcome in merged.items() if outcome.columns is not None}
        staged = self._staged_rows(key, rows)
        staged.types |= {VERSIONS: "text", EXPECTED: "text"}
        staged.cells[VERSIONS] = [merged[object_id].versions for object_id in rows]
        staged.cells[EXPECTED] = [stored.get(object_id) for object_id in rows]
        staged.updates = len(rows.keys() & stored.keys())
        staged.tombstones = {object_id: merged[object_id].versions for object_id in merged.keys() - rows.keys()}
        staged.revived = list(rows.keys() & deleted.keys())
        return staged

    def _stored(self, key: TableKey, ids: list[str]) -> tuple[dict[str, str], dict[str, str]]:
        """Versions of the rows that are there, and of objects that were deleted."""
        table = self._tables.name(key)
        rows: dict[str, str] = dict(self._connection.execute(select_versions(table), [ids]).fetchall())
        others = [object_id for object_id in ids if object_id not in rows]
        if not others:
            return rows, {}
        statement = self._tables.tombstones(SELECT_TOMBSTONES)
        return rows, dict(self._connection.execute(statement, [*table, others]).fetchall())

    def _staged_rows(self, key: TableKey, rows: Mapping[str, Row]) -> Staged:
        if not rows:
            return Staged(key, {}, {}, {}, 0)
        values = list(rows.values())
        shapes = shapes_of(values)
        bits = _bits(shapes)
        staged = self._fitted(key, {"id": list(rows), **columns_of(values, shapes)}, bits)
        staged.types[CHOSEN] = "bytea"
        staged.cells[CHOSEN] = _chosen(values, bits)
        return staged

    def _fitted(self, key: TableKey, columns: Mapping[str, Sequence[Scalar]], bits: Mapping[str, int | None]) -> Staged:
        staged = Staged(key, {}, {}, {}, len(columns["id"]))
        present = self._tables.columns[key]
        for column, values in columns.items():
            if column not in present:
                continue  # no value but null ever came for it
            column_type = self._tables.type_of(key, column)
            variant = self._tables.variant_of(key, column)
            cells = None if column_type is None else fitted(values, column_type)
            name = column_name(column)
            placed: dict[str, tuple[ColumnType | None, Sequence[Cell]]] = {}
            if variant is not None:
                typed, texts = split(values, column_type)
                placed = {name: (column_type, typed), variant: (ColumnType.TEXT, texts)}
            elif cells is not None:
                placed = {name: (column_type, cells)}
            else:
                self.misfits[key, column] = values
            for place, (kind, content) in placed.items():
                staged.types[place] = _COPIED_AS[kind]
                staged.cells[place] = content
                if column in bits:
                    staged.bits[place] = bits[column]
        return staged


def write_staged(connection: psycopg.Connection, tables: Tables, staged: Staged) -> None:
    """The rows are in their table. Errors: `Overtaken`; those of the server."""
    table, kind = tables.name(staged.key), staged.key.kind
    if staged.tombstones:
        ids, versions = list(staged.tombstones), list(staged.tombstones.values())
        connection.execute(delete_objects(table), [ids])
        times = [deleted_at(text) for text in versions]
        connection.execute(tables.tombstones(INSERT_TOMBSTONES), [*table, ids, versions, times])
    if not staged.count:
        return
    with connection.cursor() as cursor:
        cursor.execute(create_stage(table, kind))
        with cursor.copy(copy_rows(table, tuple(staged.cells))) as copy:
            copy.set_types(list(staged.types.values()))
            for row in zip(*staged.cells.values(), strict=True):
                copy.write_row(row)
        if kind is not TableKind.OBJECTS:
            cursor.execute(insert_staged(table, kind, tuple(staged.cells)))
            return
        written = 0
        if staged.updates:
            cursor.execute(update_staged(table, tuple(staged.bits.items())))
            written += cursor.rowcount
        if staged.updates < staged.count:
            cursor.execute(insert_staged(table, kind, ("id", *staged.bits, VERSIONS)))
            written += cursor.rowcount
        if written < staged.count:
            raise Overtaken
        if staged.revived:
            cursor.execute(tables.tombstones(DELETE_TOMBSTONES), [*table, staged.revived])


def _bits(shapes: Sequence[Shape]) -> dict[str, int | None]:
    """The bit of each column in `CHOSEN`; `None` for one that all rows have."""
    return {name: None if all(name in shape for shape in shapes) else bit for bit, name in enumerate(names_in(shapes))}


def _chosen(rows: Sequence[Row], bits: Mapping[str, int | None]) -> list[bytes | None]:
    """For each row, the bits of its columns; null when none is asked."""
    asked = {name: 1 << bit for name, bit in bits.items() if bit is not None}
    if not asked:
        return [None] * len(rows)
    size = len(bits) // 8 + 1
    return [sum(mask for name, mask in asked.items() if name in row).to_bytes(size, "little") for row in rows]
