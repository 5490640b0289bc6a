"""The mover: the service that takes records off the delay topics when their wait is over."""

import asyncio
import contextlib
import time
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from typing import Final

from hookmill.config import RetryConfig
from hookmill.errors import CommitRefused, LogError, RecordTooLarge
from hookmill.log.contract import Log, RecordReader, RecordSender
from hookmill.records import NewRecord, TopicPartition
from hookmill.retry import DELAY_TOPICS
from hookmill.telemetry import get_logger
from hookmill.topics import Topic, TopicNames
from redelivery.clock import Clock, Now
from redelivery.metrics import MoverMetrics
from redelivery.routing import TOO_LARGE, letter, moved
from redelivery.waiting import Waiting

logger = get_logger(__name__)

GROUP: Final = "mover"

_POLL_S: Final = 0.5
"""How long a poll waits at most, and so how late a clock that was set, or a stop, is seen."""
_FIRST_PAUSE_S: Final = 0.1
_LONGEST_PAUSE_S: Final = 5.0
_LAG_INTERVAL_S: Final = 3.0
_DRAIN_S: Final = 4.0
_HANDOVER_S: Final = 15.0
"""How long a partition may be held back for the round in progress: the reader allows 20 s (RebalanceListener)."""


class Mover:
    """A service: each record of the delay topics is on its stage's topic soon after its `not-before`, never before.

    Nothing sleeps for a record. A partition is read until its head has to wait, then paused until the head is due; all
    others flow. Records count as moved when they are durable where they went; then their position is committed. A
    mover that dies in between moves some twice, which the ids of their outputs absorb. Memory held is one span per
    owned partition: 1 MiB or one larger record.
    """

    name: Final = "mover"

    def __init__(self, config: RetryConfig, log: Log, names: TopicNames, clock: Clock | None = None) -> None:
        self._log = log
        self._names = names
        self._clock = clock or Clock()
        self._delays_s = dict(zip(map(names.full, DELAY_TOPICS), config.delays_s, strict=True))
        self._metrics = MoverMetrics(self._delays_s)
        self._waiting: dict[TopicPartition, Waiting] = {}
        self._uncommitted: dict[TopicPartition, int] = {}
        self._stopping = asyncio.Event()
        self._between_rounds = asyncio.Event()
        self._between_rounds.set()
        self._stack = contextlib.AsyncExitStack()
        self._task: asyncio.Task[None] | None = None
        self._lag_due_s = 0.0

    async def start(self) -> None:
        """A member of the group of movers. Errors: `TopicMissing`, `LogUnavailable`."""
        async with contextlib.AsyncExitStack() as opening:
            self._sender: RecordSender = await opening.enter_async_context(self._log.sender())
            reader = self._log.reader(list(self._delays_s), group=self._names.group(GROUP), listener=self)
            self._reader: RecordReader = await opening.enter_async_context(reader)
            self._stack = opening.pop_all()
        self._task = asyncio.create_task(self._work(), name=self.name)

    async def wait(self) -> None:
        """Raises what ended the mover."""
        assert self._task is not None
        await asyncio.shield(self._task)

    async def stop(self) -> None:
        """The round in progress is done, or given up after 4 s; all is closed."""
        assert self._task is not None
        self._stopping.set()
        await asyncio.wait({self._task}, timeout=_DRAIN_S)
        if not self._task.done():
            logger.warning("mover.drain_abandoned", timeout_s=_DRAIN_S)
            self._task.cancel()
        await asyncio.gather(self._task, return_exceptions=True)  # `wait` has told what it raised
        await self._stack.aclose()

    async def assigned(self, partitions: Collection[TopicPartition]) -> None:
        """See `RebalanceListener`. What was read of them in an earlier time comes again."""
        self._forget(partitions)
        for place in partitions:
            self._waiting[place] = Waiting(self._delays_s[place.topic])

    async def revoked(self, partitions: Collection[TopicPartition]) -> None:
        """See `RebalanceListener`. The round in progress is waited for; what waits is left to the next reader."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_HANDOVER_S):
                await self._between_rounds.wait()
        self._forget(partitions)

    async def _work(self) -> None:
        pause_s = _FIRST_PAUSE_S
        while not self._stopping.is_set():
            try:
                await self._read()
                await self._finish_round()
                await self._report()
            except LogError as error:
                logger.warning("mover.log_unavailable", error=str(error), pause_s=pause_s)
                await self._pause(pause_s)
                pause_s = min(pause_s * 2, _LONGEST_PAUSE_S)
            else:
                pause_s = _FIRST_PAUSE_S

    async def _read(self) -> None:
        """Something came, or the next head is due, or `_POLL_S` is over. Whose head waits is paused."""
        now = self._clock.now()
        next_due_s = min((waiting.remaining_s(now) for waiting in self._waiting.values() if waiting), default=_POLL_S)
        for span in await self._reader.poll(min(max(next_due_s, 0.0), _POLL_S)):
            waiting = self._waiting.get(span.partition)
            if waiting is not None:
                waiting.add(span.records)
                self._reader.pause([span.partition])
        # A partition that was lost without notice is another mover's now: moving its records would double them.
        self._forget(self._waiting.keys() - self._reader.assignment())

    async def _finish_round(self) -> None:
        """What is due is durable where it belongs, and committed."""
        self._between_rounds.clear()
        try:
            await self._mark_ends()
            await self._move(self._clock.now())
            await self._commit()
        finally:
            self._between_rounds.set()
        self._reader.resume([place for place, waiting in self._waiting.items() if not waiting])

    async def _mark_ends(self) -> None:
        """For partitions whose head is further off than their topic waits (see `Waiting`): it is known since when."""
        now = self._clock.now()
        far = [(place, waiting) for place, waiting in self._waiting.items() if waiting.needs_mark(now)]
        if far:
            ends = await self._reader.end_positions()
            for place, waiting in far:
                # The answer took its time; later is safe, the records were there before.
                waiting.mark(self._clock.now(), ends.get(place, 0))
                logger.warning("mover.wait_too_long", topic=place.topic, partition=place.partition)

    async def _move(self, now: Now) -> None:
        due = [(place, waiting, waiting.due(now)) for place, waiting in self._waiting.items()]
        batches: dict[Topic, list[NewRecord]] = {}
        counts: Counter[tuple[str, Topic]] = Counter()
        for place, _, records in due:
            for record in records:
                topic, copy = moved(record, now.wall_ms)
                batches.setdefault(topic, []).append(copy)
                counts[place.topic, topic] += 1
        for topic, copies in batches.items():
            await self._send(topic, copies, now.wall_ms)
        for place, waiting, records in due:
            # A partition may have gone and come back if the log took long; then it is not the same waiting.
            if records and self._waiting.get(place) is waiting:
                waiting.moved(len(records))
                self._uncommitted[place] = records[-1].offset + 1
        for (from_topic, topic), count in counts.items():
            self._metrics.moved(from_topic, topic, count)
        if counts:
            logger.info("batch.moved", records=counts.total(), topics=len(batches))

    async def _send(self, topic: Topic, copies: Sequence[NewRecord], now_ms: int) -> None:
        """Each is durable on the topic, or on the dead letters if the topic takes no records of its size any more."""
        try:
            await self._sender.send(self._names.full(topic), copies)
        except RecordTooLarge as error:
            if len(copies) > 1:
                for copy in copies:
                    await self._send(topic, [copy], now_ms)
            elif topic is Topic.DEAD_LETTERS:
                raise  # there is no other place: held until somebody raises the limit
            else:
                logger.error("mover.record_too_large", error=str(error))
                await self._send(Topic.DEAD_LETTERS, [letter(copies[0], TOO_LARGE, str(error), now_ms)], now_ms)

    async def _commit(self) -> None:
        """Partitions that were given away are left to their new reader, the others committed with the next call."""
        if not self._uncommitted:
            return
        try:
            await self._reader.commit(self._uncommitted)
        except CommitRefused as refused:
            logger.warning("mover.commit_refused", error=str(refused))
            self._forget(refused.partitions)
        else:
            self._uncommitted.clear()

    def _forget(self, partitions: Collection[TopicPartition]) -> None:
        for place in partitions:
            self._waiting.pop(place, None)
            self._uncommitted.pop(place, None)

    async def _pause(self, seconds: float) -> None:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._stopping.wait()

    async def _report(self) -> None:
        self._metrics.set_overdue(self._overdue_s())
        now_s = time.monotonic()
        if now_s >= self._lag_due_s:
            self._lag_due_s = now_s + _LAG_INTERVAL_S
            self._metrics.set_lag(await self._reader.lag())

    def _overdue_s(self) -> Mapping[str, float]:
        now = self._clock.now()
        overdue_s: dict[str, float] = {}
        for place, waiting in self._waiting.items():
            if waiting:
                seconds = -waiting.remaining_s(now)
                overdue_s[place.topic] = max(seconds, overdue_s.get(place.topic, seconds))
        return overdue_s
