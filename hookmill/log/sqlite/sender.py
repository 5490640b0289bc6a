"""The embedded engine's `RecordSender`."""

import asyncio
import contextlib
import time
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import Final, Self

from hookmill.errors import LogError, LogUnavailable
from hookmill.log.sqlite.arrivals import Arrivals
from hookmill.log.sqlite.housekeeping import keep_house
from hookmill.log.sqlite.placement import place
from hookmill.log.sqlite.write_lock import WAIT_S
from hookmill.log.sqlite.writer import TopicWriter
from hookmill.records import NewRecord
from hookmill.telemetry import get_logger
from hookmill.topics import TopicSpec

log = get_logger(__name__)

_SEND_TIMEOUT_S: Final = WAIT_S + 2
"""Over the wait for the lock, so that its clearer error comes first; a disk that hangs is told by this one."""


class SqliteSender:
    """One writer thread per topic sent to, opened at the first send; housekeeping of the folder beside them."""

    def __init__(self, folder: Path, arrivals: Arrivals, housekeeping_interval_s: float) -> None:
        self._folder = folder
        self._arrivals = arrivals
        self._housekeeping_interval_s = housekeeping_interval_s
        self._writers: dict[str, asyncio.Task[tuple[TopicWriter, TopicSpec]]] = {}
        self._housekeeper: asyncio.Task[None] | None = None
        self._keyless_turn = 0
        self._is_open = False
        self._leaving = asyncio.Event()

    async def send(self, topic: str, records: Sequence[NewRecord]) -> None:
        """See `RecordSender.send`."""
        if not self._is_open:
            raise LogUnavailable("The sender is closed.")
        if not records:
            return
        writer, spec = await self._writer_of(topic)
        # Keyless records spread by the call: one call stays in order and in one row.
        self._keyless_turn += 1
        pieces = place(records, spec, self._keyless_turn % spec.partitions, time.time_ns() // 1_000_000)
        outcome = writer.submit(pieces)
        # `wait` leaves the future alone when this call is cancelled; `wait_for` would cancel it.
        await asyncio.wait((outcome,), timeout=_SEND_TIMEOUT_S)
        if not outcome.done():
            raise LogUnavailable(f'Topic "{topic}" in {self._folder}: no answer of the disk in {_SEND_TIMEOUT_S:g} s.')
        error = outcome.result()
        if error is not None:
            raise error

    async def __aenter__(self) -> Self:
        self._is_open = True
        self._housekeeper = asyncio.create_task(self._keep_house(), name="log housekeeping")
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._is_open = False
        self._leaving.set()
        assert self._housekeeper is not None
        await self._housekeeper
        opened = await asyncio.gather(*self._writers.values(), return_exceptions=True)
        for entry in opened:
            if not isinstance(entry, BaseException):
                await entry[0].close()

    async def _writer_of(self, topic: str) -> tuple[TopicWriter, TopicSpec]:
        opening = self._writers.get(topic)
        if opening is None:
            opening = self._writers[topic] = asyncio.create_task(self._open(topic))
            opening.add_done_callback(partial(self._forget_failed, topic))
        elif opening.done():
            return opening.result()
        return await asyncio.shield(opening)

    async def _open(self, topic: str) -> tuple[TopicWriter, TopicSpec]:
        writer = TopicWriter(self._folder, topic, partial(self._arrivals.announce, topic))
        return writer, await writer.open()

    def _forget_failed(self, topic: str, opening: asyncio.Task[tuple[TopicWriter, TopicSpec]]) -> None:
        """The next send tries again: the topic may exist by then."""
        if opening.cancelled() or opening.exception() is not None:
            del self._writers[topic]

    async def _keep_house(self) -> None:
        while not self._leaving.is_set():
            try:
                await asyncio.to_thread(keep_house, self._folder, time.time_ns() // 1_000_000, self._leaving.is_set)
            except LogError as error:
                # Nothing is lost: what is too old stays longer. A full disk is told by the sends.
                log.warning("log.housekeeping_failed", folder=str(self._folder), error=str(error))
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(self._housekeeping_interval_s):
                    await self._leaving.wait()
