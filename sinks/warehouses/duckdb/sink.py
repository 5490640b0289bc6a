"""The DuckDB warehouse as a sink: one transaction per batch, in a thread of its own."""

import asyncio
import contextlib
import os
import threading
import time
from collections import defaultdict
from collections.abc import Iterator, Sequence
from pathlib import Path
from types import TracebackType
from typing import Final, Self

import duckdb

from hookmill.blocking import BlockingThread
from hookmill.errors import ConfigError
from sinks.contract import Message, SinkUnavailable
from sinks.rows import lay_out
from sinks.rules import DEFAULT, Rules
from sinks.warehouses.duckdb.connection import connect
from sinks.warehouses.duckdb.failures import failure_of, is_lock
from sinks.warehouses.duckdb.staging import Writer
from sinks.warehouses.duckdb.statements import TRIAL
from sinks.warehouses.duckdb.tables import Tables
from sinks.warehouses.stand_in import file_or_stand_in

_IDLE_S: Final = 1.0
"""Without a batch for so long, the file is closed, so that other programs may open it."""

_PATIENCE_S: Final = 2 * _IDLE_S
"""How long a check waits for a file that another process has open: a worker that gets no batch closes it by then."""
_POLL_S: Final = 0.05


class _Turn:
    """Whose turn it is to write a file, among the sinks of this process: DuckDB locks it against others only."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.last: DuckdbWarehouse | None = None
        self.holders: set[DuckdbWarehouse] = set()
        self.inode: int | None = None
        """Of the file that the holders have open: as long as one does, DuckDB opens that one again, wherever it is."""


_turns: Final[defaultdict[Path, _Turn]] = defaultdict(_Turn)


class DuckdbWarehouse:
    """A `Sink` on one DuckDB file; see the package for how rules become tables.

    The file is open while batches come, and closed a second after the last one. Whoever has it open then, even for
    reading, holds up the next batch, and nobody else can open it while it is open here.
    """

    def __init__(self, file: Path, rules: Rules = DEFAULT) -> None:
        self._file = file
        self._rules = rules
        self._thread = BlockingThread(f"duckdb {file.name}")
        self._connection: duckdb.DuckDBPyConnection | None = None
        self._tables: Tables | None = None
        self._closing: asyncio.TimerHandle | None = None

    async def __aenter__(self) -> Self:
        try:
            await self._thread.run(self._open)
        except BaseException:
            self._thread.end()
            raise
        self._close_when_idle()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._closing is not None:
            self._closing.cancel()
        await self._thread.run(self._close)
        self._thread.end()

    async def check(self) -> Sequence[str]:
        """See `Checkable`: a table was written and dropped, so that a full disk is noticed. Errors say the rest."""
        try:
            await self._thread.run(self._try)
        finally:
            self._thread.end()
        return ()

    async def write(self, batch: Sequence[Message]) -> None:
        """One transaction: schema, events, objects. The file is opened for it if it is not open."""
        if self._closing is not None:
            self._closing.cancel()
        try:
            await self._thread.run(self._write, batch)
        finally:
            self._close_when_idle()

    def _close_when_idle(self) -> None:
        self._closing = asyncio.get_running_loop().call_later(_IDLE_S, self._thread.start, self._close)

    def _open(self) -> None:
        turn = _turns[self._file]
        with turn.lock, self._named_failures():
            if not turn.holders:
                self._make()
                turn.inode = _inode(self._file)
            elif self._was_moved():
                raise SinkUnavailable(
                    f"DuckDB warehouse {self._file}: it was moved away; a new one is made when no sink has it open."
                )
            self._connection = connect(self._file)
            turn.holders.add(self)
            self._tables = Tables(self._connection)
            self._tables.load()

    def _make(self) -> None:
        """The file is there, as a whole: DuckDB cannot open what it began on a full disk, or before it was killed."""
        with file_or_stand_in(self._file) as file:
            if file != self._file:
                connect(file).close()
                with contextlib.suppress(OSError):  # another process was faster, or there are no links: made in place
                    os.link(file, self._file)

    def _try(self) -> None:
        with file_or_stand_in(self._file) as file, _turns[self._file].lock, self._named_failures():
            self._connection = _connect_patiently(file)
            for statement in TRIAL:
                self._connection.execute(statement)
            self._close()

    def _close(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None
        _turns[self._file].holders.discard(self)

    def _write(self, batch: Sequence[Message]) -> None:
        try:
            if self._connection is None or self._was_moved():
                self._close()
                self._open()
            with _turns[self._file].lock:
                self._write_rows(batch, _turns[self._file])
        except ConfigError as error:  # it was right when the sink was entered, and may be again
            raise SinkUnavailable(str(error)) from error

    def _was_moved(self) -> bool:
        """The path leads elsewhere than to the open file, which then nobody would find again."""
        return _inode(self._file) != _turns[self._file].inode

    def _write_rows(self, batch: Sequence[Message], turn: _Turn) -> None:
        assert self._connection is not None
        assert self._tables is not None
        if turn.last is not self:
            with self._named_failures():
                self._tables.load()
            turn.last = self
        layout = lay_out(batch, self._tables.columns, self._rules)
        with self._named_failures():
            self._connection.begin()
            Writer(self._connection, self._tables).write(layout)
            self._connection.commit()

    @contextlib.contextmanager
    def _named_failures(self) -> Iterator[None]:
        """DuckDB's errors as the worker's; the file is closed then, which also rolls back."""
        try:
            yield
        except BaseException as error:
            self._close()
            failure = failure_of(error, self._file) if isinstance(error, duckdb.Error) else None
            if failure is None:
                raise
            raise failure from error


def _inode(file: Path) -> int | None:
    """`None` for a file that is not there."""
    with contextlib.suppress(FileNotFoundError):
        return file.stat().st_ino
    return None


def _connect_patiently(file: Path) -> duckdb.DuckDBPyConnection:
    """Errors: `duckdb.Error`, also when another process has the file open all the time."""
    deadline = time.monotonic() + _PATIENCE_S
    while True:
        try:
            return connect(file)
        except duckdb.IOException as error:
            if not is_lock(error) or time.monotonic() >= deadline:
                raise
        time.sleep(_POLL_S)
