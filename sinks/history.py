"""Writes to objects as rows of their history: one row per write, inserted once by its id and never changed. Pure.

Writes come late, twice and in any order, so what an object was after each of them is not stored. The id of a row sorts
as the version of its write does, and a view reads the rows in that order (`sinks.history_view`).
"""

from datetime import UTC, datetime, timedelta
from enum import StrEnum
from hashlib import sha256
from typing import Final

import msgspec

from hookmill.codec import ObjectWrite
from sinks.flatten import Row
from sinks.merge import Version
from sinks.schema import OBJECT_ID_COLUMN

VALID_FROM: Final = "valid_from"
VALID_TO: Final = "valid_to"
EFFECT: Final = "_effect"
CLEARED: Final = "_cleared"
"""Columns that the write sets to null, as a JSON list; null when there are none.

No property can have it, nor `_effect`: names in snake case begin with a letter or digit.
"""

_RENAMED: Final = {name: f"_{name}" for name in (VALID_FROM, VALID_TO)}
"""Properties that are called like a column of the view; otherwise they are called as in the table of the objects."""

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_HASH_DIGITS: Final = 16
_encode: Final = msgspec.json.Encoder().encode


class Effect(StrEnum):
    """What a write does to the state that the object had."""

    SET = "set"
    """Its columns are set, the others stay."""
    REPLACE = "replace"
    """Its columns are all that there is."""
    DELETE = "delete"
    """The object ends."""


def history_row(write: ObjectWrite, columns: Row, *, is_replaced: bool) -> Row:
    """The write as a row; `columns` are those that it sets in the table of the objects.

    `valid_from` is the time of receipt to the microsecond, as the version has it: so it never runs against the order of
    versions.
    """
    effect = Effect.REPLACE if is_replaced else Effect.SET
    row: Row = {
        "id": _row_id(write.version, write.id),
        OBJECT_ID_COLUMN: write.id,
        VALID_FROM: _instant(write.version[0]),
        EFFECT: (Effect.DELETE if write.deleted else effect).value,
    }
    cleared: list[str] = []
    for column, value in columns.items():
        name = _RENAMED.get(column, column)
        if value is None:
            cleared.append(name)
        else:
            row[name] = value
    if cleared:
        row[CLEARED] = _encode(cleared).decode()
    return row


def _row_id(version: Version, object_id: str) -> str:
    """Text that sorts as the version does, in every collation: digits of fixed width.

    The generation of a repair is -1. A function that does not do the same twice may give one version to writes of two
    objects, so the object is in the id too, behind what sorts.
    """
    at, partition, offset, generation, index = version
    own = sha256(object_id.encode("utf-8", "surrogatepass")).hexdigest()[:_HASH_DIGITS]
    return f"{at:020}-{partition:010}-{offset:020}-{generation + 1:020}-{index:010}-{own}"


def _instant(at_us: int) -> str:
    instant = _EPOCH + timedelta(microseconds=at_us)
    return f"{instant.replace(tzinfo=None).isoformat(timespec='microseconds')}Z"
