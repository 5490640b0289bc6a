"""Group commit: the records of all requests of one loop turn go to the log as one batch."""

import asyncio
from collections.abc import Callable, Iterator
from typing import Final, Protocol

from hookmill.errors import LogError, LogFull, RecordTooLarge
from hookmill.log import RecordSender
from hookmill.records import NewRecord
from hookmill.telemetry import get_logger
from ingest import refusals
from ingest.metrics import store_seconds
from ingest.refusals import Refused

log = get_logger(__name__)
_QUIET_TURNS: Final = 4
"""Turns of the loop without a new record: aiohttp takes three from the socket to the handler, a fourth shows that
nobody came after."""

_MAX_GATHER_S: Final = 0.002
"""Under a stream of requests that never pauses: about what an fsync takes, so nobody waits twice as long for it."""


class Waiter(Protocol):
    """Who waits for a record to be durable: a future, or whatever is told as one is."""

    def done(self) -> bool:
        """Nobody waits any more."""

    def set_result(self, result: None, /) -> None:
        """The record is durable."""

    def set_exception(self, error: Refused, /) -> None:
        """It is not, or not known to be."""


class _Batch:
    """Records with whoever waits for them, and the loop time by which the log must have them."""

    __slots__ = ("deadline", "records", "waiters")

    def __init__(self, deadline: float) -> None:
        self.deadline = deadline
        self.records: list[NewRecord] = []
        self.waiters: list[Waiter] = []

    def singles(self) -> Iterator["_Batch"]:
        """A batch per record, with the same deadline."""
        for record, waiter in zip(self.records, self.waiters, strict=True):
            single = _Batch(self.deadline)
            single.records.append(record)
            single.waiters.append(waiter)
            yield single


class GroupCommit:
    """Stores records in batches. Between `start` and `stop`, `store` may be called by any number of tasks.

    One batch is at the log at a time, and the next one gathers meanwhile. Two at a time were tried with a thread that
    commits to SQLite, 64 connections: batches of 20 records instead of 32, more CPU per record, no more records a
    second. The deadline of a batch starts with its first record, so the time spent behind another batch counts.
    """

    def __init__(self, sender: RecordSender, topic: str, timeout_s: float) -> None:
        self._sender = sender
        self._topic = topic
        self._timeout_s = timeout_s
        self._open: _Batch | None = None
        self._has_opened = asyncio.Event()
        self._worker: asyncio.Task[None] | None = None
        self._is_failing = False
        self._has_ended = False

    def start(self) -> None:
        """Records are taken."""
        self._loop = asyncio.get_running_loop()
        self._worker = asyncio.create_task(self._work(), name="group-commit")

    async def wait(self) -> None:
        """Raises what broke the storing: an error that is none of the log's."""
        assert self._worker is not None
        await asyncio.shield(self._worker)

    async def stop(self) -> None:
        """Nothing is sent any more; whoever still waits hears that the outcome is unknown."""
        assert self._worker is not None
        self._worker.cancel()
        await asyncio.gather(self._worker, return_exceptions=True)

    def store(self, record: NewRecord, waiter: Waiter) -> None:
        """The waiter hears when the record is durable. Errors, of the call or told to it: `Refused` with 413 or 503."""
        if self._has_ended:
            raise refusals.outcome_unknown()
        batch = self._open
        if batch is None:
            batch = self._open = _Batch(self._loop.time() + self._timeout_s)
            self._has_opened.set()
        batch.records.append(record)
        batch.waiters.append(waiter)

    async def _work(self) -> None:
        try:
            while True:
                await self._has_opened.wait()
                self._has_opened.clear()
                assert self._open is not None
                await self._gather(self._open)
                batch, self._open = self._open, None
                await self._store(batch)
        finally:
            self._has_ended = True
            if self._open is not None:
                _refuse(self._open, refusals.outcome_unknown)
                self._open = None

    async def _gather(self, batch: _Batch) -> None:
        """Everyone who is already on the way is in the batch.

        Without it the requests that come while the log is busy and those that its answer sets off stay two groups for
        ever, each with a commit of its own: 64 connections made batches of 32 at about 38 us of CPU per record on the
        embedded log, with it of 64 at about 30.
        """
        gathered_until = self._loop.time() + _MAX_GATHER_S
        quiet_turns = 0
        while quiet_turns < _QUIET_TURNS and self._loop.time() < gathered_until:
            before = len(batch.records)
            await asyncio.sleep(0)
            quiet_turns = quiet_turns + 1 if len(batch.records) == before else 0

    async def _store(self, batch: _Batch) -> None:
        started_at = self._loop.time()
        try:
            async with asyncio.timeout_at(batch.deadline):
                await self._sender.send(self._topic, batch.records)
        except RecordTooLarge:
            if len(batch.records) == 1:
                _refuse(batch, refusals.record_too_large)
            else:
                await asyncio.gather(*(self._store(single) for single in batch.singles()))
        except (LogError, TimeoutError) as error:
            _refuse(batch, refusals.log_full if isinstance(error, LogFull) else refusals.outcome_unknown)
            self._note_failure(len(batch.records), error)
        except BaseException:
            _refuse(batch, refusals.outcome_unknown)
            raise
        else:
            for waiter in batch.waiters:
                if not waiter.done():
                    waiter.set_result(None)
            self._note_success()
        finally:
            store_seconds.observe(self._loop.time() - started_at)

    def _note_failure(self, records: int, error: Exception) -> None:
        """One line per outage: a log that is away fails thousands of batches, the metrics count them."""
        if not self._is_failing:
            self._is_failing = True
            log.error("log.refuses", topic=self._topic, records=records, error=str(error) or "no answer in time")

    def _note_success(self) -> None:
        if self._is_failing:
            self._is_failing = False
            log.warning("log.takes_again", topic=self._topic)


def _refuse(batch: _Batch, refusal: Callable[[], Refused]) -> None:
    for waiter in batch.waiters:
        if not waiter.done():
            waiter.set_exception(refusal())
