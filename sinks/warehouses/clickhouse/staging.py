"""Rows of a batch on their way: as columns that the tables have, and what the tables lack for them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import count
from typing import Final, NamedTuple

from sinks.columns import columns_of, shapes_of
from sinks.flatten import Row, Scalar
from sinks.merge import ObjectRow
from sinks.schema import GENERATION_COLUMN, ColumnType, TableKey
from sinks.values import Cell
from sinks.warehouses.clickhouse.cells import NEVER, distributed, missing_place, packed, versioned
from sinks.warehouses.clickhouse.statements import DELETED, VERSION_TYPE, WRITTEN, stored_type
from sinks.warehouses.clickhouse.tables import Tables

_PLAIN: Final = {"id": "String", GENERATION_COLUMN: "UInt64", WRITTEN: VERSION_TYPE, DELETED: VERSION_TYPE}


class Insert(NamedTuple):
    """Columns of one length for one table, and their types."""

    table: str
    columns: dict[str, Sequence[object]]
    types: dict[str, str]


@dataclass
class _Write:
    """One write to an object, with its version as it is stored."""

    object_id: str
    version: bytes
    columns: Row | None


class Stager:
    """Makes the rows of a batch ready, table by table. `arrival` orders batches, and `needs` is what tables lack."""

    def __init__(self, tables: Tables, arrival: int) -> None:
        self._tables = tables
        self._arrivals = count(arrival)
        self.needs: dict[tuple[TableKey, str], ColumnType | None] = {}

    def events(self, key: TableKey, rows: Sequence[Row]) -> Insert:
        """Rows of which the one of the highest generation counts, for each id."""
        insert = Insert(self._tables.name(key), {}, {})
        for name, values in columns_of(rows, shapes_of(rows)).items():
            if name in _PLAIN:
                insert.columns[name] = [value or 0 for value in values] if name == GENERATION_COLUMN else values
                insert.types[name] = _PLAIN[name]
                continue
            for place, cells in self._distributed(key, name, values).items():
                self._put(insert, key, name, place, cells)
        return insert

    def objects(self, key: TableKey, writes: Mapping[str, Sequence[ObjectRow]]) -> Insert:
        """A row for each write; the engine merges them with each other and with what is there."""
        staged = [
            _Write(
                object_id, packed(version, next(self._arrivals)) if columns is not None else packed(version), columns
            )
            for object_id, writes_of_object in writes.items()
            for version, columns in writes_of_object
        ]
        insert = Insert(self._tables.name(key), {}, dict.fromkeys((WRITTEN, DELETED), VERSION_TYPE) | {"id": "String"})
        insert.columns["id"] = [write.object_id for write in staged]
        insert.columns[WRITTEN] = [NEVER if write.columns is None else write.version for write in staged]
        insert.columns[DELETED] = [write.version if write.columns is None else NEVER for write in staged]
        rows = [write.columns or {} for write in staged]
        for name, values in columns_of(rows, shapes_of(rows)).items():
            versions = [write.version if write.columns and name in write.columns else None for write in staged]
            self._put_property(insert, key, name, values, versions)
        return insert

    def _put_property(
        self, insert: Insert, key: TableKey, name: str, values: Sequence[Scalar], versions: Sequence[bytes | None]
    ) -> None:
        """Each value with its version is at its place, each null at the first."""
        column = self._tables.column(key, name)
        if not column.places:
            self._put_cleared(insert, key, name, versions)
            return
        for index, (place, cells) in enumerate(self._distributed(key, name, values).items()):
            is_here = [
                version if cell is not None or (index == 0 and value is None) else None
                for version, cell, value in zip(versions, cells, values, strict=True)
            ]
            self._put(insert, key, name, place, versioned(cells, is_here))

    def _put_cleared(self, insert: Insert, key: TableKey, name: str, versions: Sequence[bytes | None]) -> None:
        """Nothing but null ever came for the property; an older value that comes late must not bring it to life."""
        cleared = self._tables.column(key, name).cleared
        if cleared is not None:
            insert.columns[cleared] = [version or NEVER for version in versions]
            insert.types[cleared] = VERSION_TYPE
        elif self._tables.has_room(key):
            self.needs[key, name] = None

    def _distributed(self, key: TableKey, name: str, values: Sequence[Scalar]) -> Mapping[ColumnType, Sequence[Cell]]:
        places = tuple(self._tables.column(key, name).places)
        if not places:
            return {}  # no value but null ever came for it
        cells = distributed(values, places)
        if cells is None:
            self.needs[key, name] = missing_place(values, places)
        return cells or {}

    def _put(self, insert: Insert, key: TableKey, name: str, place: ColumnType, cells: Sequence[object]) -> None:
        stored = self._tables.column(key, name).places[place]
        insert.columns[stored] = cells
        insert.types[stored] = stored_type(key.kind, place)
