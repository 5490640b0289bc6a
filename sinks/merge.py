"""The merge of object writes into one row: per column, the write with the greatest version wins. Pure.

However often and in whatever order the writes of an object come, its row ends the same. For that a row carries, beside
its columns, the version that each of them was written with: text of the form `[[version,[column,...]],...]`. A null is
a value like any other: it clears the column, and a late, older value does not bring it back.
"""

from collections.abc import Sequence
from typing import Final, NamedTuple

import msgspec

from sinks.flatten import Row, Scalar

Version = tuple[int, int, int, int, int]
"""As in `hookmill.codec.ObjectWrite`."""


class ObjectRow(NamedTuple):
    """One write to an object: the columns it sets, `id` not among them."""

    version: Version
    columns: Row


class Merged(NamedTuple):
    """What to write to the row: these columns and no others, and the new text of versions."""

    columns: Row
    versions: str


_Groups = list[tuple[Version, list[str]]]
_decoder: Final = msgspec.json.Decoder(_Groups)
_encode: Final = msgspec.json.Encoder().encode


def merge(stored: str | None, writes: Sequence[ObjectRow]) -> Merged | None:
    """The outcome of `writes`, in order of arrival, over a row with the versions `stored` (`None`: no row yet).

    Of two writes with one version the later arrival wins: they are repetitions of each other. `None` when the row is
    ahead of all of them.
    """
    groups: _Groups = [] if stored is None else _decoder.decode(stored)
    if len(writes) == 1 and _is_replaced(groups, writes[0]):
        version, columns = writes[0]
        return Merged(columns, _encode(((version, tuple(columns)),)).decode())
    versions = {column: version for version, columns in groups for column in columns}
    won: Row = {}
    for version, columns in writes:
        _apply(version, columns, versions, won)
    return Merged(won, _text(versions)) if won else None


def _is_replaced(groups: _Groups, write: ObjectRow) -> bool:
    """The write is newer than the row and sets all of its columns: the usual case, so it has a short way."""
    if not groups:
        return True
    if len(groups) > 1:
        return False
    version, columns = groups[0]
    return write.version >= version and columns == list(write.columns)


def _apply(version: Version, columns: Row, versions: dict[str, Version], won: dict[str, Scalar]) -> None:
    for column, value in columns.items():
        known = versions.get(column)
        if known is None or version >= known:
            versions[column] = version
            won[column] = value


def _text(versions: dict[str, Version]) -> str:
    groups: dict[Version, list[str]] = {}
    for column, version in versions.items():
        groups.setdefault(version, []).append(column)
    return _encode(list(groups.items())).decode()
