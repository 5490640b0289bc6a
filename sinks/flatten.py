"""Nested properties as the columns of one row (SEGMENT-SPEC W45, W46)."""

from typing import Final

import msgspec

from hookmill.codec import JsonValue
from sinks.naming import NameCache, event_column, identifier, name_part, object_column

Scalar = str | int | float | bool | None
Row = dict[str, Scalar]
"""Values by column."""

EVENT_COLUMNS: Final = NameCache(event_column)
OBJECT_COLUMNS: Final = NameCache(object_column)
CONTEXT_COLUMNS: Final = NameCache(identifier)
"""For `flatten`: from a path in snake case to its column."""

_parts: Final = NameCache(name_part)
_encode: Final = msgspec.json.Encoder().encode

_PLAIN: Final = frozenset((str, float, bool, type(None)))
"""Types that are cells as they are; asked first because this is the innermost loop of every warehouse."""

_MAX_INTEGER: Final = 2**63 - 1
"""The largest that warehouses store as an integer (SQLite, PostgreSQL `bigint`)."""


def flatten(properties: dict[str, JsonValue], columns: NameCache, row: Row, prefix: str = "") -> None:
    """`row` has a column for every leaf of `properties`.

    Levels are joined by one underscore. Keys are visited in byte order, and of two that give the same column the later
    one wins (W45). An empty object gives nothing; null gives a null. `prefix` ends with an underscore or is empty.

    Errors: `RecursionError` for properties nested too deep.
    """
    for key in sorted(properties):
        value = properties[key]
        path = prefix + _parts[key]
        kind = type(value)
        if kind in _PLAIN:
            row[columns[path]] = value
        elif kind is dict:
            flatten(value, columns, row, path + "_")
        else:
            row[columns[path]] = scalar(value)


def scalar(value: JsonValue) -> Scalar:
    """The value as one cell: a list (or object) as compact JSON text, an integer beyond 64 bits as its digits."""
    kind = type(value)
    if kind is list or kind is dict:
        return _encode(value).decode()
    if kind is int and not -_MAX_INTEGER <= value <= _MAX_INTEGER:
        return str(value)
    return value  # type: ignore[no-any-return]  # JSON has no other kinds
