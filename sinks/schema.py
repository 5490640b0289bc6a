"""The schema that a batch needs, as a plan of changes over the schema that is there. Pure; a warehouse carries it out.

A column is made when its first value that is not null comes (SEGMENT-SPEC W47), with the type of that value (W52).
Later values of another type never stop the pipeline: what a warehouse does with them is its own rule.
"""

import re
from collections import Counter
from collections.abc import Mapping, Set
from dataclasses import dataclass
from enum import StrEnum
from typing import Final, NamedTuple

from sinks.flatten import Row, Scalar

MAX_COLUMNS: Final = 1_000
"""Of one table: half of what SQLite takes (SQLITE_MAX_COLUMN), less than PostgreSQL's 1,600."""

GENERATION_COLUMN: Final = "_generation"
"""Of event tables, once a recompute wrote to them: the generation of the row, null for 0."""

OBJECT_ID_COLUMN: Final = "_object_id"
"""Of histories: the object that the write is about. No property can have it."""

MAX_TABLES: Final = 1_000
"""Of one source. A function that makes table names of ids would fill any warehouse (W57)."""

_TIMESTAMP: Final = re.compile(r"\d{4}-\d\d-\d\d(?:[T ]\d\d:\d\d(?::\d\d(?:\.\d{1,9})?)?(?:Z|[+-]\d\d:?\d\d)?)?")


class TableKind(StrEnum):
    """How rows of a table come to be."""

    EVENTS = "events"
    """Inserted once, by message id."""
    OBJECTS = "objects"
    """Merged by id, each column by the version of its write."""
    HISTORY = "history"
    """The writes to the objects of the table of the same name, inserted once: see `sinks.history`."""


class TableKey(NamedTuple):
    """A table as the rules name it; a warehouse may have to call it otherwise (W37)."""

    schema: str
    name: str
    kind: TableKind


class ColumnType(StrEnum):
    """Types of columns (W51). Lists are TEXT that holds JSON (W46)."""

    INTEGER = "integer"
    REAL = "real"
    BOOLEAN = "boolean"
    TIMESTAMP = "timestamp"
    TEXT = "text"


@dataclass(frozen=True)
class CreateTable:
    """The table with its key `id`, and these columns besides."""

    key: TableKey
    columns: Mapping[str, ColumnType]


@dataclass(frozen=True)
class AddColumns:
    """A table that is there gets these columns."""

    key: TableKey
    columns: Mapping[str, ColumnType]


Change = CreateTable | AddColumns


class SchemaLimit(Exception):
    """A row would make the schema larger than it may be; the text says which limit."""


def infer_type(value: Scalar) -> ColumnType:
    """The type that a column gets from its first value; ISO 8601 dates and times are timestamps (W52)."""
    match value:
        case bool():
            return ColumnType.BOOLEAN
        case int():
            return ColumnType.INTEGER
        case float():
            return ColumnType.REAL
        case str() if _TIMESTAMP.fullmatch(value):
            return ColumnType.TIMESTAMP
        case _:
            return ColumnType.TEXT


def _type_for(column: str, value: Scalar) -> ColumnType:
    """The type that the column gets from its first value; ids are text, whatever they look like."""
    return ColumnType.TEXT if column == OBJECT_ID_COLUMN else infer_type(value)


class SchemaPlan:
    """What must change so that every admitted row fits. `present` are the tables that are there, with their columns."""

    def __init__(self, present: Mapping[TableKey, Set[str]]) -> None:
        self._present = present
        self._known: dict[TableKey, set[str]] = {key: set(columns) for key, columns in present.items()}
        self._needed: dict[TableKey, dict[str, ColumnType]] = {}
        self._tables = Counter(key.schema for key in present)

    def admit(self, key: TableKey, row: Row) -> None:
        """The row has its table and columns, after the changes. Errors: `SchemaLimit`; then nothing was added."""
        known = self._known.get(key)
        if known is not None and row.keys() <= known:
            return
        new = {column: _type_for(column, value) for column, value in row.items() if value is not None}
        if known is None:
            if self._tables[key.schema] >= MAX_TABLES:
                raise SchemaLimit(
                    f"table {key.name} would be one more than the {MAX_TABLES:,} that a source may have: "
                    "keep values, such as ids, out of the names of events and collections"
                )
        else:
            new = {column: kind for column, kind in new.items() if column not in known}
        if len(known or ()) + len(new) > MAX_COLUMNS:
            raise SchemaLimit(
                f"table {key.name} would have more than {MAX_COLUMNS:,} columns: "
                "keep values, such as ids, out of the names of properties"
            )
        if known is None:
            self._tables[key.schema] += 1
        self._known.setdefault(key, {"id"}).update(new)
        self._needed.setdefault(key, {}).update(new)

    def changes(self) -> tuple[Change, ...]:
        """The plan so far; columns in the order in which they came up."""
        return tuple(
            AddColumns(key, columns) if key in self._present else CreateTable(key, columns)
            for key, columns in self._needed.items()
            if columns or key not in self._present
        )
