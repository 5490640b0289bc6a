"""The ClickHouse warehouse as a sink: a batch is a handful of inserts, in a thread of its own."""

import contextlib
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import islice
from types import TracebackType
from typing import Final, Self

from clickhouse_connect.driver.client import Client
from clickhouse_connect.driver.exceptions import ClickHouseError

from hookmill.blocking import BlockingThread
from sinks.contract import Message, SinkUnavailable
from sinks.rows import lay_out
from sinks.rules import DEFAULT, Rules
from sinks.schema import TableKind
from sinks.warehouses.clickhouse.failures import failure_of, is_outdated
from sinks.warehouses.clickhouse.rights import what_is_missing
from sinks.warehouses.clickhouse.staging import Insert, Stager
from sinks.warehouses.clickhouse.statements import older
from sinks.warehouses.clickhouse.tables import Tables

_ATTEMPTS: Final = 8
"""Of one batch: some to bring the tables up to it, in steps, and some for others that change them too."""

_IDS_PER_STATEMENT: Final = 1_000
"""Ids of one statement about recomputed events; a statement may have 256 KiB (`max_query_size`)."""


class ClickHouseWarehouse:
    """A `Sink` on one database; see the package for how rules become tables.

    Any number of sinks, also of several processes, may share a database: all they do is insert and add columns. An
    insert is all or nothing within its table, a batch of several tables is not; written again it leaves the same.
    """

    def __init__(self, connect: Callable[[], Client], place: str, rules: Rules = DEFAULT) -> None:
        self._connect = connect
        self._place = place
        self._rules = rules
        self._thread = BlockingThread("clickhouse")
        self._client: Client | None = None
        self._tables: Tables | None = None

    async def __aenter__(self) -> Self:
        try:
            await self._thread.run(self._open)
        except BaseException:
            await self.__aexit__(None, None, None)
            raise
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._thread.run(self._close)
        self._thread.end()

    async def check(self) -> Sequence[str]:
        """See `Checkable`: rights, and a table written and dropped."""
        try:
            return await self._thread.run(self._check)
        finally:
            await self.__aexit__(None, None, None)

    async def write(self, batch: Sequence[Message]) -> None:
        """Tables and columns first, then the rows; each request has a deadline of its own (`connection`). Connects
        again after a failure."""
        await self._thread.run(self._write, batch)

    def _open(self) -> None:
        with self._named_failures():
            self._client = self._connect()
            self._tables = Tables(self._client)
            self._tables.load()

    def _check(self) -> Sequence[str]:
        with self._named_failures():
            self._client = self._connect()
            return what_is_missing(self._client)

    def _close(self) -> None:
        if self._client is not None:
            self._client.close()
            self._client = None

    def _write(self, batch: Sequence[Message]) -> None:
        if self._client is None:
            self._open()
        with self._named_failures():
            assert self._tables is not None
            for _ in range(_ATTEMPTS):
                try:
                    if self._is_written(batch):
                        return
                except ClickHouseError as error:
                    if not is_outdated(error):
                        raise
                    self._tables.load()
        raise SinkUnavailable(
            f"ClickHouse warehouse {self._place}: its tables do not become what the batch needs: somebody "
            "changes them, or a column of theirs is in the way."
        )

    def _is_written(self, batch: Sequence[Message]) -> bool:
        """Whether the tables could take the batch; otherwise they are nearer to it now."""
        assert self._tables is not None
        layout = lay_out(batch, self._tables.columns, self._rules)
        if layout.changes:
            self._tables.carry_out(layout.changes)
            return False
        stager = Stager(self._tables, time.time_ns() // 1_000)
        inserts = [stager.events(key, rows) for key, rows in layout.events.items()]
        inserts += [stager.objects(key, writes) for key, writes in layout.objects.items()]
        if stager.needs:
            self._tables.extend(stager.needs)
            return False
        for schema, generations in layout.recomputed.items():
            self._delete_older(schema, generations)
        for insert in inserts:
            self._insert(insert)
        return True

    def _insert(self, insert: Insert) -> None:
        assert self._client is not None
        self._client.insert(
            insert.table,
            list(insert.columns.values()),
            column_names=list(insert.columns),
            column_type_names=[insert.types[name] for name in insert.columns],
            column_oriented=True,
        )

    def _delete_older(self, schema: str, generations: Mapping[str, int]) -> None:
        """In every event table of the schema: the new version of a function may call the event otherwise."""
        assert self._client is not None
        assert self._tables is not None
        for key in self._tables.columns:
            if key.schema != schema or key.kind is not TableKind.EVENTS:
                continue
            table = self._tables.name(key)
            for ids, generation in _by_generation(generations):
                parameters = {"ids": ids, "generation": generation}
                if self._client.query(f"{older(table, 'SELECT 1')} LIMIT 1", parameters=parameters).result_rows:
                    self._client.command(older(table, "DELETE"), parameters=parameters)

    @contextlib.contextmanager
    def _named_failures(self) -> Iterator[None]:
        """ClickHouse's errors as the worker's; the client is closed then, and opened anew by the next batch."""
        try:
            yield
        except ClickHouseError as error:
            self._close()
            failure = failure_of(error, self._place)
            if failure is None:
                raise
            raise failure from error


def _by_generation(generations: Mapping[str, int]) -> Iterator[tuple[tuple[str, ...], int]]:
    """Ids of one generation, as many as one statement takes."""
    for generation in sorted(set(generations.values())):
        rest = (event_id for event_id, its in generations.items() if its == generation)
        while ids := tuple(islice(rest, _IDS_PER_STATEMENT)):
            yield ids, generation
