"""The inbox merged into the files of the tables."""

from collections.abc import Mapping, Sequence
from contextlib import closing
from pathlib import Path
from typing import Final

import duckdb
import msgspec

from sinks.contract import Message, SinkUnavailable
from sinks.rows import Layout
from sinks.rules import Rules
from sinks.schema import TableKey, TableKind
from sinks.warehouses.parquet import inbox
from sinks.warehouses.parquet.parts import folder_of, key_of, layouts, part_of, table_of
from sinks.warehouses.parquet.store import Listed, Store
from sinks.warehouses.parquet.workspace import Workspace, reason_of

CHUNK_BYTES: Final = 16_777_216
"""Of the inbox, merged in one go: 16 MiB of JSON are some hundred MiB of Python values."""

_ATTEMPTS: Final = 5
"""Of one chunk, when others merge at the same time."""

Columns = Mapping[TableKey, frozenset[str]]


class _Overtaken(Exception):
    """Somebody else replaced a file since it was read."""


def merge_inbox(store: Store, rules: Rules) -> Columns:
    """What was in the inbox is in the files, unless another merge is at work. Columns of the files that were looked at.

    Errors: `SinkUnavailable`; what is in the inbox stays there.
    """
    seen: dict[TableKey, frozenset[str]] = {}
    with store.exclusive() as is_alone:
        if is_alone:
            for keys in _chunks(store):
                seen |= _merge_chunk(store, keys, rules)
    return seen


def _chunks(store: Store) -> list[list[str]]:
    chunks: list[list[str]] = []
    room = 0
    for key, size_bytes in store.list(inbox.FOLDER):
        if size_bytes > room:
            chunks.append([])
            room = CHUNK_BYTES
        chunks[-1].append(key)
        room -= size_bytes
    return chunks


def _merge_chunk(store: Store, keys: Sequence[str], rules: Rules) -> Columns:
    for _ in range(_ATTEMPTS):
        batches = [batch for batch in (_batch(store, key) for key in keys) if batch is not None]
        try:
            columns = _merge(store, layouts(batches, rules)) if batches else {}
        except _Overtaken:
            continue
        store.delete(keys)
        return columns
    raise SinkUnavailable(f"Parquet warehouse {store}: others replace the same files all the time.")


def _batch(store: Store, key: str) -> list[Message] | None:
    content = store.read(key)
    try:
        return None if content is None else inbox.unpack(content)
    except msgspec.DecodeError as error:
        raise SinkUnavailable(
            f"Parquet warehouse {store}: {key} is damaged, or no batch of this warehouse: move it away ({error})."
        ) from error


def _merge(store: Store, found: Sequence[Layout]) -> Columns:
    try:
        with store.scratch() as scratch, closing(Workspace(scratch)) as workspace:
            return _Merge(store, workspace, scratch).run(found)
    except duckdb.Error as error:
        raise SinkUnavailable(f"Parquet warehouse {store}: the files cannot be merged: {reason_of(error)}.") from error


class _Merge:
    def __init__(self, store: Store, workspace: Workspace, scratch: Path) -> None:
        self._store = store
        self._workspace = workspace
        self._scratch = scratch
        self._versions: dict[TableKey, str | None] = {}

    def run(self, found: Sequence[Layout]) -> Columns:
        """The rows are in the files. Errors: `_Overtaken`."""
        for layout in found:
            for table in [*layout.events, *layout.objects, *self._older(layout)]:
                if table not in self._versions:
                    self._load(table)
            self._workspace.write(layout)
        for number, (table, version) in enumerate(self._versions.items()):
            file = self._workspace.export(table, number)
            if not self._store.replace(key_of(table), file, version):
                raise _Overtaken
            file.unlink(missing_ok=True)
        return self._workspace.columns()

    def _load(self, table: TableKey) -> None:
        fetched = self._store.fetch(key_of(table), self._scratch)
        self._versions[table] = None if fetched is None else fetched.version
        if fetched is not None:
            self._adopt(table, key_of(table), fetched.file)
            return
        others = self._store.list(folder_of(table)) if table.kind is TableKind.EVENTS else []
        if others and (newest := self._store.fetch(others[-1].key, self._scratch)) is not None:
            self._adopt(table, others[-1].key, newest.file, empty=True)  # a column has one type in all files

    def _adopt(self, table: TableKey, key: str, file: Path, *, empty: bool = False) -> None:
        try:
            self._workspace.adopt(table, file, empty=empty)
        except duckdb.Error as error:
            raise SinkUnavailable(
                f"Parquet warehouse {self._store}: the files cannot be merged: {key} cannot be read, or is no file of "
                f"this warehouse: restore it, or move it away ({reason_of(error)})."
            ) from error

    def _older(self, layout: Layout) -> list[TableKey]:
        """Where older versions of events may be that a recompute made: any event table of the source, same hours."""
        hours = {(table.schema, part_of(table)) for table in layout.events if table.schema in layout.recomputed}
        listed = [table_of(found.key) for schema in {schema for schema, _ in hours} for found in self._files(schema)]
        return [table for table in listed if table is not None and (table.schema, part_of(table)) in hours]

    def _files(self, schema: str) -> list[Listed]:
        return self._store.list(f"{schema}/{TableKind.EVENTS}/")
