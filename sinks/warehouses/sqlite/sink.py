"""The SQLite warehouse as a sink: one transaction per batch, in a thread of its own."""

import contextlib
import os
import sqlite3
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from types import TracebackType
from typing import Final, Self

from hookmill.blocking import BlockingThread
from sinks.contract import Message, SinkUnavailable
from sinks.flatten import Row, Scalar
from sinks.rows import lay_out
from sinks.rules import DEFAULT, Rules
from sinks.schema import GENERATION_COLUMN, TableKind
from sinks.warehouses.sqlite.failures import BUSY_TIMEOUT_S, failure_of
from sinks.warehouses.sqlite.objects import write_objects
from sinks.warehouses.sqlite.statements import TRIAL, delete_older, insert_event
from sinks.warehouses.sqlite.tables import Tables
from sinks.warehouses.sqlite.values import fitted
from sinks.warehouses.stand_in import file_or_stand_in

_ROOM_BYTES: Final = 1_048_576
"""What opening needs at least: SQLite maps a new index of its write-ahead log into memory, 32 KiB, and on a full ext4
the first touch of it ends the process with SIGBUS (seen with SQLite 3.40)."""

_PRAGMAS: Final = (
    "PRAGMA journal_mode = WAL",  # readers see the last batch while the next one is written
    "PRAGMA synchronous = FULL",  # in WAL mode anything less may lose the last commits in a power cut
    "PRAGMA wal_autocheckpoint = 4000",  # 16 MiB of pages: about one checkpoint per ten full batches
    "PRAGMA cache_size = -65536",  # 64 MiB
)


class SqliteWarehouse:
    """A `Sink` on one SQLite file; see the package for how rules become tables.

    Several sinks, also of several processes, may share a file: a transaction begins by taking the file's write lock,
    and everything that the batch depends on is read within it.
    """

    def __init__(self, file: Path, rules: Rules = DEFAULT) -> None:
        self._file = file
        self._rules = rules
        self._thread = BlockingThread(f"sqlite {file.name}")
        self._connection: sqlite3.Connection | None = None
        self._tables: Tables | None = None
        self._inode = 0

    async def __aenter__(self) -> Self:
        try:
            await self._thread.run(self._open)
        except BaseException:
            await self._close_all()
            raise
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._close_all()

    async def check(self) -> Sequence[str]:
        """See `Checkable`: a table was made and dropped, each durably, so that a full disk is noticed. Errors say the
        rest."""
        try:
            await self._thread.run(self._try)
        finally:
            await self._close_all()
        return ()

    async def write(self, batch: Sequence[Message]) -> None:
        """One transaction: schema, events, objects. The file is opened again when it was moved or had failed."""
        await self._thread.run(self._write, batch)

    async def _close_all(self) -> None:
        await self._thread.run(self._close)
        self._thread.end()

    def _open(self) -> None:
        self._require_room()
        with self._named_failures():
            self._connection = connection = _connect(self._file)
            for pragma in _PRAGMAS:
                connection.execute(pragma)
            with self._transaction(connection):
                self._tables = Tables(connection)
                self._tables.refresh()
            self._inode = self._file.stat().st_ino

    def _try(self) -> None:
        self._require_room()
        with file_or_stand_in(self._file) as file, self._named_failures():
            self._connection = _connect(file)
            for statement in TRIAL:
                self._connection.execute(statement)
            self._close()

    def _close(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def _write(self, batch: Sequence[Message]) -> None:
        if self._connection is None or self._was_moved():
            self._close()
            self._open()
        with self._named_failures():
            assert self._connection is not None
            with self._transaction(self._connection):
                self._write_rows(self._connection, batch)

    def _write_rows(self, connection: sqlite3.Connection, batch: Sequence[Message]) -> None:
        assert self._tables is not None
        self._tables.refresh()
        layout = lay_out(batch, self._tables.columns, self._rules)
        self._tables.carry_out(layout.changes)
        for schema, generations in layout.recomputed.items():
            self._delete_older(connection, schema, generations)
        for key, rows in layout.events.items():
            for columns, values in _by_columns(rows):
                cells = fitted(columns, values, self._tables.texts(key))
                connection.executemany(insert_event(self._tables.name(key), columns), cells)
        for key, writes in layout.objects.items():
            write_objects(connection, self._tables, key, writes)

    def _delete_older(self, connection: sqlite3.Connection, schema: str, generations: dict[str, int]) -> None:
        """In every event table of the schema: the new version of a function may call the event otherwise."""
        assert self._tables is not None
        for key, columns in self._tables.columns.items():
            if key.schema == schema and key.kind is TableKind.EVENTS:
                statement = delete_older(self._tables.name(key), GENERATION_COLUMN in columns)
                connection.executemany(statement, generations.items())

    def _require_room(self) -> None:
        with contextlib.suppress(OSError):  # a folder that is not there is told by SQLite
            disk = os.statvfs(self._file.parent)
            if disk.f_bavail * disk.f_frsize < _ROOM_BYTES:
                raise SinkUnavailable(f"SQLite warehouse {self._file}: its disk is full: free some space.")

    def _was_moved(self) -> bool:
        """The path leads elsewhere than to the open file, which then nobody would find again."""
        try:
            return self._file.stat().st_ino != self._inode
        except FileNotFoundError:
            return True

    @contextlib.contextmanager
    def _transaction(self, connection: sqlite3.Connection) -> Iterator[None]:
        connection.execute("BEGIN IMMEDIATE")
        try:
            yield
            connection.execute("COMMIT")
        except BaseException:
            if self._tables is not None:
                self._tables.forget()
            if connection.in_transaction:  # some errors have rolled back already
                connection.execute("ROLLBACK")
            raise

    @contextlib.contextmanager
    def _named_failures(self) -> Iterator[None]:
        """SQLite's errors as the worker's; the file is closed then, because a failed connection may stay so."""
        try:
            yield
        except sqlite3.Error as error:
            self._close()
            failure = failure_of(error, self._file)
            if failure is None:
                raise
            raise failure from error


def _connect(file: Path) -> sqlite3.Connection:
    """A connection that commits each statement. Errors: `sqlite3.Error`."""
    return sqlite3.connect(
        file, timeout=BUSY_TIMEOUT_S, isolation_level=None, check_same_thread=False, cached_statements=256
    )


def _by_columns(rows: Iterable[Row]) -> Iterator[tuple[tuple[str, ...], list[tuple[Scalar, ...]]]]:
    """Rows that one statement can write, with their columns."""
    groups: dict[tuple[str, ...], list[tuple[Scalar, ...]]] = {}
    for row in rows:
        groups.setdefault(tuple(row), []).append(tuple(row.values()))
    return iter(groups.items())
