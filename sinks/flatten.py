"""Nested properties as the columns of one row (SEGMENT-SPEC W45, W46)."""

from collections.abc import Callable, Iterable
from typing import Final

import msgspec

from hookmill.codec import JsonValue
from sinks.naming import NameCache, event_column, identifier, name_part, object_column

Scalar = str | int | float | bool | None
Row = dict[str, Scalar]
"""Values by column."""

_parts: Final = NameCache(name_part)
_encode: Final = msgspec.json.Encoder().encode

_PLAIN: Final = frozenset((str, float, bool, type(None)))
"""Types that are cells as they are; asked first because this is the innermost loop of every warehouse."""

_MAX_INTEGER: Final = 2**63 - 1
"""The largest that warehouses store as an integer (SQLite, PostgreSQL `bigint`)."""


_MAX_SHAPES: Final = 1_024
_MAX_SHAPE_CHARACTERS: Final = 2_048
"""Larger ones are not remembered: with the count it bounds what hostile names can fill."""

_Shape = tuple[tuple[str, str, str], ...]
"""Name, path in snake case and column of each property, in byte order of the names."""


class Columns:
    """Columns of properties, by a naming rule from paths in snake case. A source sends objects of few shapes for ever,
    so the columns of whole objects are remembered."""

    def __init__(self, rule: Callable[[str], str]) -> None:
        self._columns = NameCache(rule)
        self._shapes: dict[tuple[str, ...], _Shape] = {}

    def of(self, properties: Iterable[str], prefix: str) -> _Shape:
        """The columns of an object with these properties, `prefix` before each path."""
        names = (prefix, *properties)
        return self._shapes.get(names) or self._learn(names)

    def _learn(self, names: tuple[str, ...]) -> _Shape:
        prefix, *properties = names
        paths = [(name, prefix + _parts[name]) for name in sorted(properties)]
        shape = tuple((name, path, self._columns[path]) for name, path in paths)
        if len(self._shapes) < _MAX_SHAPES and sum(map(len, names)) <= _MAX_SHAPE_CHARACTERS:
            self._shapes[names] = shape
        return shape


EVENT_COLUMNS: Final = Columns(event_column)
OBJECT_COLUMNS: Final = Columns(object_column)
CONTEXT_COLUMNS: Final = Columns(identifier)


def flatten(properties: dict[str, JsonValue], columns: Columns, row: Row, prefix: str = "") -> None:
    """`row` has a column for every leaf of `properties`.

    Levels are joined by one underscore. Keys are visited in byte order, and of two that give the same column the later
    one wins (W45). An empty object gives nothing; null gives a null. `prefix` ends with an underscore or is empty.

    Errors: `RecursionError` for properties nested too deep.
    """
    for name, path, column in columns.of(properties, prefix):
        value = properties[name]
        kind = type(value)
        if kind in _PLAIN:
            row[column] = value
        elif kind is dict:
            flatten(value, columns, row, path + "_")
        else:
            row[column] = scalar(value)


def scalar(value: JsonValue) -> Scalar:
    """The value as one cell: a list (or object) as compact JSON text, an integer beyond 64 bits as its digits."""
    kind = type(value)
    if kind is list or kind is dict:
        return _encode(value).decode()
    if kind is int and not -_MAX_INTEGER <= value <= _MAX_INTEGER:
        return str(value)
    return value  # type: ignore[no-any-return]  # JSON has no other kinds


def as_text(value: Scalar) -> str:
    """The value in a column of text: `true`, `7`, `1.5`; text as it is."""
    match value:
        case str():
            return value
        case bool():
            return "true" if value else "false"
        case float():
            return repr(value).removesuffix(".0")
        case _:
            return str(value)
