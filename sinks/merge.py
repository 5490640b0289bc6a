"""The merge of object writes into one row: per column, the write with the greatest version wins. Pure.

However often and in whatever order the writes of an object come, its row ends the same. For that a row carries, beside
its columns, the version that each of them was written with: text of the form `[[version,[column,...]],...]`. A null is
a value like any other: it clears the column, and a late, older value does not bring it back.

A write that deletes the object is in that text as a version without columns: nothing up to there counts any more. While
nothing newer is known the object has no row, and the text is its tombstone, which the warehouse keeps elsewhere.
"""

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Final, NamedTuple

import msgspec

from sinks.flatten import Row, Scalar

Version = tuple[int, int, int, int, int]
"""As in `hookmill.codec.ObjectWrite`."""


class ObjectRow(NamedTuple):
    """One write to an object: the columns it sets, `id` not among them; `None` when it deletes the object."""

    version: Version
    columns: Row | None


class Merged(NamedTuple):
    """What to write: these columns of the row and no others, and the new text of versions.

    `columns` is `None` when there must be no row: then the text is the tombstone. It is empty when only the text
    changes.
    """

    columns: Row | None
    versions: str


_Groups = list[tuple[Version, list[str]]]
_decoder: Final = msgspec.json.Decoder(_Groups)
_encode: Final = msgspec.json.Encoder().encode


def merge(stored: str | None, writes: Sequence[ObjectRow]) -> Merged | None:
    """The outcome of `writes`, in order of arrival, over the row or tombstone with the versions `stored`, if any.

    Of two writes with one version the later arrival wins: they are repetitions of each other. `None` when what is
    stored is ahead of all of them.
    """
    groups: _Groups = [] if stored is None else _decoder.decode(stored)
    if len(writes) == 1:
        version, columns = writes[0]
        if columns is not None and _is_replaced(groups, version, columns):
            return Merged(columns, _encode(((version, tuple(columns)),)).decode())
    return _MergedRow(groups).outcome(writes)


def deleted_at(tombstone: str) -> datetime:
    """When the webhook came that deleted the object, from its text of versions."""
    ((version, _),) = _decoder.decode(tombstone)
    return datetime.fromtimestamp(version[0] / 1_000_000, UTC)


def _is_replaced(groups: _Groups, version: Version, columns: Row) -> bool:
    """The write is newer than the row and sets all of its columns: the usual case, so it has a short way."""
    if not groups:
        return True
    if len(groups) > 1:
        return False
    known, present = groups[0]
    return version >= known and present == list(columns)


class _MergedRow:
    """An object on its way from what is stored to the outcome of some writes."""

    def __init__(self, groups: _Groups) -> None:
        self._versions = {column: version for version, columns in groups for column in columns}
        self._deleted = max((version for version, columns in groups if not columns), default=None)
        self._won: dict[str, Scalar] = {}

    def outcome(self, writes: Sequence[ObjectRow]) -> Merged | None:
        before = self._deleted
        for version, columns in writes:
            if self._deleted is not None and version <= self._deleted:
                continue
            if columns is None:
                self._delete(version)
            else:
                self._set(version, columns)
        if not self._won and self._deleted == before:
            return None
        return Merged(self._won if self._versions else None, self._text())

    def _delete(self, version: Version) -> None:
        self._deleted = version
        for column, known in list(self._versions.items()):
            if known <= version:
                del self._versions[column]
                self._won[column] = None

    def _set(self, version: Version, columns: Row) -> None:
        for column, value in columns.items():
            known = self._versions.get(column)
            if known is None or version >= known:
                self._versions[column] = version
                self._won[column] = value

    def _text(self) -> str:
        groups: dict[Version, list[str]] = {}
        if self._deleted is not None:
            groups[self._deleted] = []
        for column, version in self._versions.items():
            groups.setdefault(version, []).append(column)
        return _encode(list(groups.items())).decode()
