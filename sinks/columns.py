"""Rows turned into columns, for warehouses that take a batch that way. Pure."""

from collections.abc import Mapping, Sequence
from itertools import chain

from sinks.flatten import Row, Scalar
from sinks.merge import ObjectRow
from sinks.values import as_text

Shape = tuple[str, ...]
"""The columns of a row, in its order."""


def shapes_of(rows: Sequence[Row]) -> Sequence[Shape]:
    """Each of the rows' shapes once."""
    return list(dict.fromkeys(map(tuple, rows)))


def names_in(shapes: Sequence[Shape]) -> Sequence[str]:
    """Each column of the shapes once."""
    return list(dict.fromkeys(chain.from_iterable(shapes)))


def columns_of(rows: Sequence[Row], shapes: Sequence[Shape]) -> dict[str, Sequence[Scalar]]:
    """Values by column; null where a row has none. `shapes` are those of the rows."""
    if len(shapes) == 1:  # the usual case: all rows have the same columns, in the same order
        return dict(zip(shapes[0], zip(*(row.values() for row in rows), strict=True), strict=True))
    return {name: [row.get(name) for row in rows] for name in names_in(shapes)}


def by_stored_id(writes: Mapping[str, list[ObjectRow]]) -> dict[str, list[ObjectRow]]:
    """Writes by the id that a text column stores; two ids that differ in what it cannot hold (NUL) are one row."""
    if "\x00" not in "".join(writes):
        return dict(writes)
    stored: dict[str, list[ObjectRow]] = {}
    for object_id, writes_of_object in writes.items():
        # A list of its own: those of the caller stay as they are.
        stored.setdefault(as_text(object_id), []).extend(writes_of_object)
    return stored
