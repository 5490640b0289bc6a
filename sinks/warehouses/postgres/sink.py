"""The PostgreSQL warehouse as a sink: one transaction per batch, in a thread of its own."""

import asyncio
import contextlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from hashlib import sha256
from types import TracebackType
from typing import Final, Self, TypeVar

import psycopg

from hookmill.blocking import BlockingThread
from hookmill.errors import ConfigError
from sinks.contract import Message, RecordRejected, SinkUnavailable, SourcedObject
from sinks.rows import lay_out
from sinks.rules import DEFAULT, Rules
from sinks.schema import GENERATION_COLUMN, TableKind
from sinks.values import as_text
from sinks.warehouses.postgres.connection import LOCK_TIMEOUT_S, STATEMENT_TIMEOUT_S, Address, connect, cut
from sinks.warehouses.postgres.failures import failure_of, is_refusal, reason_of
from sinks.warehouses.postgres.rights import what_is_missing
from sinks.warehouses.postgres.staging import Overtaken, Stager, write_staged
from sinks.warehouses.postgres.statements import delete_older
from sinks.warehouses.postgres.tables import OWN_SCHEMA, Misfits, Tables

T = TypeVar("T")

_ATTEMPTS: Final = 8
"""Of one batch: two to bring the schema up to it, and some for other workers that are faster."""

_MAX_CHANGES: Final = 50
"""Of the schema in one transaction: a batch may need a thousand tables, and a slow server must come on with them."""

_MAX_REFUSED: Final = 100
"""Messages refused in one go. The worker comes again with the rest; all of a batch would take longer than it has."""

_SHARED: Final = "pg_advisory_xact_lock_shared"
_EXCLUSIVE: Final = "pg_advisory_xact_lock"

_DEADLINE_S: Final = 2 * (STATEMENT_TIMEOUT_S + LOCK_TIMEOUT_S)
"""For one batch. The server ends statements itself; this is for one that has stopped answering."""


class _SchemaShort(Exception):
    """The batch needs tables, columns or types that are not there."""

    def __init__(self, misfits: Misfits) -> None:
        self.misfits = misfits


class PostgresWarehouse:
    """A `Sink` on one database; see the package for how rules become tables.

    Several sinks, also of several processes, may share a database. A batch is written with the schema locked for
    changes by others of us (a shared advisory lock), a change is made with it locked for everybody (an exclusive one).
    Rows are not locked while they are merged: an update holds only where the row still has the versions that were read,
    and a batch that finds one changed is written again. That a row which is not there stays so, cannot be told this
    way, so a batch that deletes objects is written with nobody else writing. `ON CONFLICT (id)` is silent about the key
    alone: a row that two of us insert at once can violate another unique index (of a history, of the user's), so a row
    is only refused for that when nobody else writes.
    """

    def __init__(self, address: Address, rules: Rules = DEFAULT) -> None:
        self._address = address
        self._rules = rules
        self._lock_key = _lock_key(address.schema or OWN_SCHEMA)
        self._thread = BlockingThread("postgres")
        self._connection: psycopg.Connection | None = None
        self._tables: Tables | None = None

    async def __aenter__(self) -> Self:
        try:
            await self._in_thread(self._open)
        except BaseException:
            await self.__aexit__(None, None, None)
            raise
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._in_thread(self._close)
        self._thread.end()

    async def check(self) -> Sequence[str]:
        """See `Checkable`: rights, and a table written in a transaction that is taken back."""
        try:
            return await self._in_thread(self._check)
        finally:
            await self.__aexit__(None, None, None)

    async def write(self, batch: Sequence[Message]) -> None:
        """One transaction: events, objects; schema changes before it in their own. Connects again after a failure."""
        await self._in_thread(lambda: self._write(batch))

    async def _in_thread(self, work: Callable[[], T]) -> T:
        """The work is done, or its connection is cut: no thread waits for a server that says nothing."""
        try:
            async with asyncio.timeout(_DEADLINE_S):
                return await self._thread.run(work)
        except (TimeoutError, asyncio.CancelledError) as error:
            if self._connection is not None:
                cut(self._connection)
            if isinstance(error, TimeoutError):
                raise SinkUnavailable(
                    f"PostgreSQL warehouse {self._address}: it has not answered for {_DEADLINE_S} s."
                ) from None
            raise

    def _open(self) -> None:
        with self._named_failures():
            self._connection = connect(self._address)
            self._tables = Tables(self._connection, self._address.schema)
            with self._transaction(_EXCLUSIVE):
                self._tables.ensure_catalog()

    def _check(self) -> Sequence[str]:
        with self._named_failures():
            self._connection = connect(self._address)
            schema = self._address.schema
            return what_is_missing(self._connection, schema or OWN_SCHEMA, is_only_schema=schema is not None)

    def _close(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def _write(self, batch: Sequence[Message]) -> None:
        if self._connection is None:
            try:
                self._open()
            except ConfigError as error:  # it was right when the sink was entered, and may be again
                raise SinkUnavailable(str(error)) from error
        with self._named_failures():
            try:
                self._write_all(batch)
            except psycopg.Error as error:
                refused: dict[int, str] = {}
                if is_refusal(error):
                    self._find_refused(batch, 0, refused)
                if not refused:
                    raise
                raise RecordRejected(refused) from None

    def _write_all(self, batch: Sequence[Message], *, keep: bool = True) -> None:
        lock = _EXCLUSIVE if any(map(_deletes, batch)) else _SHARED
        for _ in range(_ATTEMPTS):
            try:
                with self._transaction(lock, keep=keep):
                    self._write_rows(batch)
                return
            except _SchemaShort as short:
                self._change_schema(batch, short.misfits)
            except (Overtaken, psycopg.errors.DeadlockDetected, psycopg.errors.SerializationFailure):
                lock = _EXCLUSIVE  # nobody of us is faster then
            except psycopg.errors.UniqueViolation:
                if lock == _EXCLUSIVE:
                    raise
                lock = _EXCLUSIVE
        raise SinkUnavailable(f"PostgreSQL warehouse {self._address}: others change the same rows all the time.")

    def _write_rows(self, batch: Sequence[Message]) -> None:
        assert self._connection is not None
        assert self._tables is not None
        self._tables.refresh()
        layout = lay_out(batch, self._tables.columns, self._rules)
        if layout.changes:
            raise _SchemaShort({})
        stager = Stager(self._connection, self._tables)
        staged = [stager.events(key, rows) for key, rows in layout.events.items()]
        merged = [stager.objects(key, writes) for key, writes in layout.objects.items()]
        if stager.misfits:
            raise _SchemaShort(stager.misfits)
        for schema, generations in layout.recomputed.items():
            self._delete_older(schema, generations)
        for rows in sorted(filter(None, [*staged, *merged]), key=lambda rows: rows.key):  # one order for all workers
            write_staged(self._connection, self._tables, rows)

    def _delete_older(self, schema: str, generations: Mapping[str, int]) -> None:
        """In every event table of the schema: the new version of a function may call the event otherwise."""
        assert self._connection is not None
        assert self._tables is not None
        parameters = [[as_text(event_id) for event_id in generations], list(generations.values())]
        for key, columns in sorted(self._tables.columns.items()):
            if key.schema == schema and key.kind is TableKind.EVENTS:
                statement = delete_older(self._tables.name(key), GENERATION_COLUMN in columns)
                self._connection.execute(statement, parameters)

    def _change_schema(self, batch: Sequence[Message], misfits: Misfits) -> None:
        assert self._tables is not None
        is_done = False
        while not is_done:
            with self._transaction(_EXCLUSIVE):
                self._tables.refresh()
                changes = lay_out(batch, self._tables.columns, self._rules).changes
                self._tables.carry_out(changes[:_MAX_CHANGES])
                self._tables.widen(misfits)
            is_done = len(changes) <= _MAX_CHANGES
        self._tables.forget()

    def _find_refused(self, batch: Sequence[Message], first: int, found: dict[int, str]) -> None:
        """`found` has messages that PostgreSQL does not take, by index, found by halves; nothing is written."""
        if len(found) >= _MAX_REFUSED:
            return
        try:
            self._write_all(batch, keep=False)
        except psycopg.Error as error:
            if not is_refusal(error):
                raise
            if len(batch) == 1:
                found[first] = reason_of(error)
                return
            half = len(batch) // 2
            self._find_refused(batch[:half], first, found)
            self._find_refused(batch[half:], first + half, found)

    @contextlib.contextmanager
    def _transaction(self, lock: str, *, keep: bool = True) -> Iterator[None]:
        assert self._connection is not None
        assert self._tables is not None
        try:
            with self._connection.transaction(force_rollback=not keep):
                self._connection.execute(f"SELECT {lock}(%s)", [self._lock_key])
                yield
        except BaseException:
            self._tables.forget()
            raise
        if not keep:
            self._tables.forget()

    @contextlib.contextmanager
    def _named_failures(self) -> Iterator[None]:
        """PostgreSQL's errors as the worker's; the connection is closed then, because a failed one may stay so."""
        try:
            yield
        except psycopg.Error as error:
            self._close()
            failure = failure_of(error, str(self._address))
            if failure is None:
                raise
            raise failure from error


def _deletes(message: Message) -> bool:
    return isinstance(message, SourcedObject) and message.write.deleted


def _lock_key(schema: str) -> int:
    """The advisory lock of the warehouse in `schema`: 64 bits, within its database."""
    return int.from_bytes(sha256(f"hookmill {schema}".encode()).digest()[:8], signed=True)
