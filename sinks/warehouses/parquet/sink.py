"""The Parquet warehouse as a sink: each batch is a file of the inbox, which is merged every now and then."""

import asyncio
import contextlib
import time
from collections.abc import Sequence
from types import TracebackType
from typing import Final, Self

from hookmill.blocking import BlockingThread
from hookmill.telemetry import get_logger
from sinks.contract import Message, SinkUnavailable
from sinks.rows import lay_out
from sinks.rules import DEFAULT, Rules
from sinks.schema import TableKey
from sinks.warehouses.parquet import inbox
from sinks.warehouses.parquet.merging import CHUNK_BYTES, merge_inbox
from sinks.warehouses.parquet.parts import ruled, table_of
from sinks.warehouses.parquet.store import Store

logger = get_logger(__name__)

_MERGE_SHARE: Final = 10
"""The pause after a merge is so many times as long as the merge: large tables are merged less often."""


class ParquetWarehouse:
    """A `Sink` on a store; see the package for its files.

    Several sinks, also of several processes, may share a store. The inbox is merged `merge_every_s` after the last time
    at the earliest, when it has grown large, and at the end.
    """

    def __init__(self, store: Store, merge_every_s: float, rules: Rules = DEFAULT) -> None:
        self._store = store
        self._rules = rules
        self._merge_every_s = merge_every_s
        self._thread = BlockingThread("parquet")
        self._columns: dict[TableKey, set[str]] = {}
        self._is_open = False
        self._last = b""
        self._inbox_bytes = 0
        self._due = 0.0
        self._merging: asyncio.Task[None] | None = None

    async def __aenter__(self) -> Self:
        try:
            await self._thread.run(self._open)
        except BaseException:
            self._thread.end()
            raise
        if self._merge_every_s:
            self._merging = asyncio.create_task(self._merge_at_times(), name=f"merge {self._store}")
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._merging is not None:
            self._merging.cancel()
            await asyncio.gather(self._merging, return_exceptions=True)
        try:
            await self._thread.run(self._merge)
        except SinkUnavailable as failure:
            logger.warning("sink.merge_failed", sink=str(self._store), error=str(failure))
        finally:
            self._thread.end()

    async def check(self) -> Sequence[str]:
        """See `Checkable`: a file was written, read and deleted."""
        try:
            return await self._thread.run(self._store.what_is_missing)
        finally:
            self._thread.end()

    async def write(self, batch: Sequence[Message]) -> None:
        """The batch is a file of the inbox; it is merged too if it is time."""
        await self._thread.run(self._write, batch)

    async def _merge_at_times(self) -> None:
        """Also when no batch comes, and what others have left."""
        while True:
            await asyncio.sleep(max(self._due - time.monotonic(), self._merge_every_s / 10))
            with contextlib.suppress(SinkUnavailable):  # told by the next write, or by the next merge that works
                await self._thread.run(self._merge_if_due)

    def _open(self) -> None:
        self._store.open()
        tables = (table_of(listed.key) for listed in self._store.list(""))
        self._columns = {ruled(table): {"id"} for table in tables if table is not None}
        self._due = time.monotonic() + self._merge_every_s

    def _write(self, batch: Sequence[Message]) -> None:
        layout = lay_out(batch, self._columns, self._rules)
        content = inbox.pack(batch)
        if content != self._last:  # else it is there already: only the merge failed
            self._store.put(inbox.new_key(), content)
            self._last = content
            self._inbox_bytes += len(content)
        for change in layout.changes:
            self._columns.setdefault(change.key, {"id"}).update(change.columns)
        self._merge_if_due()
        self._last = b""

    def _merge_if_due(self) -> None:
        if time.monotonic() >= self._due or self._inbox_bytes >= CHUNK_BYTES:
            self._merge()

    def _merge(self) -> None:
        began = time.monotonic()
        for table, columns in merge_inbox(self._store, self._rules).items():
            self._columns.setdefault(ruled(table), {"id"}).update(columns)
        self._inbox_bytes = 0
        ended = time.monotonic()
        self._due = ended + max(self._merge_every_s, _MERGE_SHARE * (ended - began)) * bool(self._merge_every_s)
