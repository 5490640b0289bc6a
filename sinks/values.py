"""Values as cells of typed columns: what fits which type, and what it is as text. Pure."""

import re
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Final

from sinks import flatten
from sinks.flatten import Scalar
from sinks.schema import ColumnType

Cell = Scalar | datetime

_EXACT: Final = 2**53
"""Integers up to here are exact as double precision."""

_NONE: Final = type(None)
_TIMESTAMP: Final = re.compile(r"\d{4}-\d\d-\d\d(?:[T ]\d\d:\d\d(?::\d\d(?:\.\d{1,9})?)?(?:Z|[+-]\d\d:?\d\d)?)?")

WIDER: Final = {
    ColumnType.INTEGER: (ColumnType.REAL, ColumnType.TEXT),
    ColumnType.REAL: (ColumnType.TEXT,),
    ColumnType.BOOLEAN: (ColumnType.TEXT,),
}
"""What a column may become, the narrowest first. Times are not widened: their text would change."""


def fitted(values: Sequence[Scalar], column_type: ColumnType) -> Sequence[Cell] | None:
    """The values as cells of that type; `None` when one of them does not fit without loss. Null always fits."""
    kinds = set(map(type, values))
    kinds.discard(_NONE)
    match column_type:
        case ColumnType.INTEGER:
            return values if kinds <= {int} else None
        case ColumnType.BOOLEAN:
            return values if kinds <= {bool} else None
        case ColumnType.REAL:
            return _as_reals(values, kinds)
        case ColumnType.TIMESTAMP:
            return _as_instants(values) if kinds <= {str} else None
        case ColumnType.TEXT:
            if kinds <= {str} and "\x00" not in "".join(filter(None, values)):  # type: ignore[arg-type]
                return values
            return [None if value is None else as_text(value) for value in values]


def split(values: Sequence[Scalar], column_type: ColumnType | None) -> tuple[list[Cell], list[Cell]]:
    """Cells of that type, and beside them as text what does not fit; one of the two is null."""
    typed: list[Cell] = []
    texts: list[Cell] = []
    for value in values:
        cell = None if column_type is None else fitted((value,), column_type)
        typed.append(None if cell is None else cell[0])
        texts.append(as_text(value) if cell is None and value is not None else None)
    return typed, texts


def wider_type(values: Sequence[Scalar], column_type: ColumnType) -> ColumnType | None:
    """The narrowest type that holds the values and those of the type; `None` where there is none."""
    return next((wider for wider in WIDER.get(column_type, ()) if fitted(values, wider) is not None), None)


def as_text(value: Scalar) -> str:
    """The value as PostgreSQL would write it; text as it is, but for NUL, which it cannot hold."""
    return flatten.as_text(value).replace("\x00", "\u2400")


def _as_reals(values: Sequence[Scalar], kinds: set[type]) -> Sequence[Cell] | None:
    if kinds <= {float}:
        return values
    if not kinds <= {float, int}:
        return None
    if any(type(value) is int and not -_EXACT <= value <= _EXACT for value in values):
        return None
    return [None if value is None else float(value) for value in values]


def _as_instants(values: Sequence[Scalar]) -> Sequence[Cell] | None:
    try:
        return [None if value is None else _instant(value) for value in values]  # type: ignore[arg-type]
    except ValueError:
        return None


def _instant(text: str) -> datetime:
    if not _TIMESTAMP.fullmatch(text):
        raise ValueError
    instant = datetime.fromisoformat(text)
    return instant.replace(tzinfo=UTC) if instant.tzinfo is None else instant
