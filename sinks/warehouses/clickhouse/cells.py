"""Values as cells of columns, each in the one of a column's places that can hold it; versions as comparable bytes."""

import struct
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Final

from sinks.flatten import Scalar
from sinks.merge import Version
from sinks.schema import ColumnType
from sinks.values import Cell, as_text, fitted

_VERSION: Final = struct.Struct(">QIQQIQ")
_VERSION_BITS: Final = (64, 32, 64, 64, 32)
VERSION_BYTES: Final = _VERSION.size
_LAST_ARRIVAL: Final = 2**64 - 1

NEVER: Final = bytes(VERSION_BYTES)
"""Before every version."""

_EARLIEST: Final = datetime(1900, 1, 1, tzinfo=UTC)
_LATEST: Final = datetime(2300, 1, 1, tzinfo=UTC)
"""What `DateTime64` holds (ClickHouse manual)."""

Places = Sequence[ColumnType]
"""The types of the places of one column, the one that it was made with first."""


def packed(version: Version, arrival: int = _LAST_ARRIVAL) -> bytes:
    """The version as bytes that compare as it does; of equal ones the later arrival is greater.

    The generation of a repair is -1, and the index may be -1: before the first call of an invocation. A number that no
    record has, because it is negative or too large, is taken for the nearest that one may have.
    """
    at, partition, offset, generation, index = version
    parts = (at, partition, offset, generation + 1, index + 1)
    try:
        return _VERSION.pack(*parts, arrival)
    except struct.error:
        bounded = (min(max(part, 0), 2**bits - 1) for part, bits in zip(parts, _VERSION_BITS, strict=True))
        return _VERSION.pack(*bounded, arrival)


def shown_type(places: Places) -> ColumnType:
    """The type of the column in the view: wide enough for all places, but for those beside times."""
    if places[0] is ColumnType.TIMESTAMP:
        return ColumnType.TIMESTAMP
    return next((wide for wide in (ColumnType.TEXT, ColumnType.REAL) if wide in places), places[0])


def distributed(values: Sequence[Scalar], places: Places) -> Mapping[ColumnType, Sequence[Cell]] | None:
    """Cells by place, null where the value is at another; `None` when some value fits none, or not what is shown."""
    if len(places) == 1:
        cells = _fitted(values, places[0])
        return None if cells is None else {places[0]: cells}
    shown = shown_type(places)
    found: dict[ColumnType, list[Cell]] = {place: [None] * len(values) for place in places}
    for index, value in enumerate(values):
        if value is None:
            continue
        place = _place_of(value, places)
        if place is None or (shown is ColumnType.REAL and _fitted((value,), shown) is None):
            return None
        (found[place][index],) = _fitted((value,), place) or (None,)
    return found


def missing_place(values: Sequence[Scalar], places: Places) -> ColumnType:
    """The narrowest type of a place that the column needs beside its others for these values."""
    if tuple(places) == (ColumnType.INTEGER,) and _fitted(values, ColumnType.REAL) is not None:
        return ColumnType.REAL
    return ColumnType.TEXT


def versioned(cells: Iterable[Cell], versions: Iterable[bytes | None]) -> list[tuple[bytes, Cell]]:
    """Pairs of version and cell; where there is no version, one that every other is after."""
    return [
        (NEVER, None) if version is None else (version, cell) for version, cell in zip(versions, cells, strict=True)
    ]


def _place_of(value: Scalar, places: Places) -> ColumnType | None:
    return next((place for place in places if _fitted((value,), place) is not None), None)


def _fitted(values: Sequence[Scalar], place: ColumnType) -> Sequence[Cell] | None:
    if place is ColumnType.TEXT:  # unlike others, ClickHouse holds NUL
        if set(map(type, values)) <= {str, type(None)}:
            return values
        return [value if value is None or isinstance(value, str) else as_text(value) for value in values]
    cells = fitted(values, place)
    if cells is not None and place is ColumnType.TIMESTAMP:
        is_held = all(not isinstance(cell, datetime) or _EARLIEST <= cell < _LATEST for cell in cells)
        return cells if is_held else None
    return cells
