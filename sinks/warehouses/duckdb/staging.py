"""A batch on its way into the tables of one DuckDB database, as Arrow tables that its statements read."""

from collections.abc import Iterable, Iterator, Mapping, Sequence, Set
from contextlib import contextmanager
from typing import Any, Final

import duckdb
import pyarrow as pa

from sinks.columns import by_stored_id, columns_of, shapes_of
from sinks.flatten import Row, Scalar
from sinks.merge import Merged, ObjectRow, deleted_at, merge
from sinks.rows import Layout
from sinks.schema import GENERATION_COLUMN, ColumnType, TableKey, TableKind
from sinks.values import Cell, as_text, fitted, split
from sinks.warehouses.duckdb.statements import (
    DELETE_TOMBSTONES,
    INSERT_TOMBSTONES,
    STAGE,
    VERSIONS,
    delete_objects,
    delete_older,
    insert_events,
    mark_of,
    merge_objects,
    select_versions,
)
from sinks.warehouses.duckdb.tables import Tables

_TYPES: Final = {
    ColumnType.INTEGER: pa.int64(),
    ColumnType.REAL: pa.float64(),
    ColumnType.BOOLEAN: pa.bool_(),
    ColumnType.TIMESTAMP: pa.timestamp("us", "UTC"),
    ColumnType.TEXT: pa.string(),
}


class Writer:
    """Writes batches through `connection`, within a transaction that is not its own."""

    def __init__(self, connection: duckdb.DuckDBPyConnection, tables: Tables) -> None:
        self._connection = connection
        self._tables = tables

    def write(self, layout: Layout) -> None:
        """Every row is in its table; tables and columns are made and widened as needed."""
        self._tables.carry_out(layout.changes)
        for schema, generations in layout.recomputed.items():
            self._delete_older(schema, generations)
        for key, rows in layout.events.items():
            self._insert(key, rows)
        for key, writes in layout.objects.items():
            self._merge(key, writes)

    def _delete_older(self, schema: str, generations: Mapping[str, int]) -> None:
        """In every event table of the schema: the new version of a function may call the event otherwise."""
        ids = _texts(map(as_text, generations))
        with self._staged({"id": ids, "generation": pa.array(list(generations.values()), pa.int64())}):
            for key, columns in self._tables.columns.items():
                if key.schema == schema and key.kind is TableKind.EVENTS:
                    self._connection.execute(delete_older(self._tables.name(key), GENERATION_COLUMN in columns))

    def _insert(self, key: TableKey, rows: Sequence[Row]) -> None:
        first: dict[str, Row] = {}
        for row in rows:
            first.setdefault(as_text(row["id"]), row)
        arrays, _ = self._arrays(key, list(first.values()))
        with self._staged(arrays):
            self._connection.execute(insert_events(self._tables.name(key), list(arrays)))

    def _merge(self, key: TableKey, writes: Mapping[str, list[ObjectRow]]) -> None:
        by_id = by_stored_id(writes)
        stored, deleted = self._stored(key, by_id)
        merged: dict[str, Merged] = {}
        for object_id, writes_of_object in by_id.items():
            outcome = merge(stored.get(object_id), writes_of_object)
            if outcome is not None:
                merged[object_id] = outcome
        rows = {object_id: outcome.columns for object_id, outcome in merged.items() if outcome.columns is not None}
        if rows:
            self._upsert(key, rows, [merged[object_id].versions for object_id in rows])
        tombstones = {object_id: merged[object_id].versions for object_id in merged if object_id not in rows}
        self._bury(key, tombstones, revived=deleted & rows.keys())

    def _stored(self, key: TableKey, ids: Iterable[str]) -> tuple[dict[str, str], set[str]]:
        """Versions by id, and which of them are of objects that were deleted."""
        table = self._tables.name(key)
        with self._staged({"id": _texts(ids)}):
            found = self._connection.execute(select_versions(table), table.place).fetchall()
        return {row[0]: row[1] for row in found}, {row[0] for row in found if row[2]}

    def _upsert(self, key: TableKey, rows: Mapping[str, Row], versions: Iterable[str]) -> None:
        arrays, marks = self._arrays(key, list(rows.values()))
        arrays[VERSIONS] = _texts(versions)
        staged = {"id": _texts(rows), **arrays}
        staged |= {mark_of(name): pa.array(mark, pa.bool_()) for name, mark in marks.items()}
        with self._staged(staged):
            self._connection.execute(merge_objects(self._tables.name(key), list(arrays), marks))

    def _bury(self, key: TableKey, tombstones: Mapping[str, str], revived: Set[str]) -> None:
        """Objects that were deleted have a tombstone and no row, those that came back the other way round."""
        table = self._tables.name(key)
        if tombstones or revived:
            with self._staged({"id": _texts([*tombstones, *revived])}):
                self._connection.execute(DELETE_TOMBSTONES, table.place)
        if tombstones:
            times = pa.array([deleted_at(text) for text in tombstones.values()], pa.timestamp("us", "UTC"))
            with self._staged({"id": _texts(tombstones), VERSIONS: _texts(tombstones.values()), "deleted_at": times}):
                self._connection.execute(delete_objects(table))
                self._connection.execute(INSERT_TOMBSTONES, table.place)

    def _arrays(self, key: TableKey, rows: Sequence[Row]) -> tuple[dict[str, Any], dict[str, list[bool]]]:
        """The columns that the rows set, and for each that not all of them set, which do."""
        arrays: dict[str, Any] = {}
        marks: dict[str, list[bool]] = {}
        for column, values in columns_of(rows, shapes_of(rows)).items():
            if column not in self._tables.columns_of(key):
                continue  # no value but null ever came for it
            placed = self._placed(key, column, values)
            arrays |= placed
            mark = [column in row for row in rows]
            if not all(mark):
                marks |= dict.fromkeys(placed, mark)
        return arrays, marks

    def _placed(self, key: TableKey, column: str, values: Sequence[Scalar]) -> dict[str, Any]:
        """The values in their column, or those that do not fit in its variant; the column is made to fit if need be."""
        column_type = self._tables.type_of(key, column)
        cells = None if column_type is None else fitted(values, column_type)
        variant = self._tables.variant_of(key, column)
        if cells is None and variant is None:
            self._tables.make_fit(key, column, values)
            return self._placed(key, column, values)
        if variant is None:
            return {column: _array(cells, column_type)}
        typed, texts = split(values, column_type)
        placed = {variant: _array(texts, ColumnType.TEXT)}
        return placed if column_type is None else {column: _array(typed, column_type), **placed}

    @contextmanager
    def _staged(self, arrays: Mapping[str, Any]) -> Iterator[None]:
        self._connection.register(STAGE, pa.table(dict(arrays)))
        try:
            yield
        finally:
            self._connection.unregister(STAGE)


def _texts(values: Iterable[str]) -> Any:
    return pa.array(list(values), pa.string())


def _array(cells: Sequence[Cell] | None, column_type: ColumnType | None) -> Any:
    return pa.array(cells, _TYPES[column_type or ColumnType.TEXT])
