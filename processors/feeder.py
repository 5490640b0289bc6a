"""The feeder: spans from the reader to whoever works on them, and positions back once they are finished."""

import asyncio
import itertools
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Final

from hookmill.errors import CommitRefused, LogError
from hookmill.log.contract import RebalanceListener, RecordReader
from hookmill.records import Record, Span, TopicPartition
from hookmill.telemetry import get_logger
from processors import metrics
from processors.tracker import OffsetTracker

log = get_logger(__name__)

REVOKE_WAIT_S: Final = 15.0
"""Of the 20 s that the log gives for a revocation; the rest is for the commit."""

_POLL_S: Final = 0.5
_KEEP_ALIVE_S: Final = 5.0
"""A reader that nobody polls looks dead to its group, so a full feeder polls with everything paused."""
_RETRY_S: Final = 1.0
_LAG_S: Final = 3.0
_IDLE_RECORDS: Final = 25
"""Of a part that is handed out because nothing else waits: what comes a moment later waits until it is done."""

PartSize = Callable[[Sequence[Record]], int]
"""How many of these records, from the first on, are to be handed out at once; at least one."""


class Feeder:
    """Reads ahead as far as `max_spans` allows, hands spans out, commits the finished prefix of each partition.

    For each span of `next_span`: `begin` says whether working on it makes sense; if so, `finish` when all its effects
    are durable, and `end` in any case. A span that ended unfinished holds its partition's position until it is
    delivered again. Spans of some topics are handed out in parts, of each partition one after the other; such a
    partition is read no further meanwhile, whatever it takes, and keeps nothing else from being read: of the topics
    `when_idle` while no span of another topic waits, of the topics `one_by_one` by `next_slow_span`, so many records at
    once as is said for them then. Memory held is up to `max_spans`, one span of each partition of these topics, and one
    poll, 1 MiB or one larger record each.
    """

    def __init__(
        self,
        open_reader: Callable[[RebalanceListener], RecordReader],
        *,
        max_spans: int,
        commit_interval_s: float,
        when_idle: Collection[str] = (),
        one_by_one: Mapping[str, PartSize] | None = None,
    ) -> None:
        self.reader = open_reader(self)
        """To be entered and left by whoever made the feeder."""
        self._max_spans = max_spans
        self._commit_interval_s = commit_interval_s
        self._tracker = OffsetTracker()
        self._when_idle = frozenset(when_idle)
        self._waiting: asyncio.PriorityQueue[tuple[bool, int, Span]] = asyncio.PriorityQueue()
        self._order = itertools.count()
        self._one_by_one = one_by_one or {}
        self._part_sizes: Mapping[str, PartSize] = {
            **dict.fromkeys(when_idle, lambda records: _IDLE_RECORDS),
            **self._one_by_one,
        }
        """By topic whose spans are handed out in parts."""
        self._parts: dict[TopicPartition, tuple[Span, tuple[Record, ...]]] = {}
        """By paused partition: the part that is handed out, and the records that follow it."""
        self._slow_ready: asyncio.Queue[Span] = asyncio.Queue()
        self._held = 0
        self._started: dict[int, Span] = {}
        self._leaving: set[TopicPartition] = set()
        self._is_draining = False
        self._changed = asyncio.Event()

    async def run(self) -> None:
        """Reads and commits until cancelled. An error of the log is waited out; any other ends it."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self._read())
            group.create_task(self._commit_regularly())
            group.create_task(self._watch_lag())

    async def next_span(self) -> Span:
        """The next span to work on, as soon as there is one."""
        _, _, span = await self._waiting.get()
        return span

    async def next_slow_span(self) -> Span:
        """As `next_span`, of the topics that go one by one."""
        return await self._slow_ready.get()

    def begin(self, span: Span) -> bool:
        """Whether to work on the span. If not, it comes again, here or elsewhere, and nothing more is to be said."""
        if not self.is_wanted(span):
            self._release(span)
            return False
        self._started[id(span)] = span
        return True

    def is_wanted(self, span: Span) -> bool:
        """Whether finishing the span would count and there is still time for it."""
        return not self._is_draining and span.partition not in self._leaving and self._tracker.is_pending(span)

    def finish(self, span: Span) -> None:
        """Everything that comes of the span is durable."""
        self._tracker.finished(span)

    def end(self, span: Span) -> None:
        """Nobody works on the span any more."""
        self._started.pop(id(span), None)
        self._release(span)

    async def assigned(self, partitions: Collection[TopicPartition]) -> None:
        """See `RebalanceListener`. What was read of `partitions` when they were lost without notice does not count."""
        self._forget(partitions)
        self._tracker.assigned(partitions)
        log.info("partitions.assigned", partitions=_names(partitions))

    async def revoked(self, partitions: Collection[TopicPartition]) -> None:
        """See `RebalanceListener`. What has begun of `partitions` is finished and committed; the rest is left."""
        leaving = set(partitions)
        self._leaving |= leaving
        try:
            # After a drain there is nothing left to wait for: what is in work still has had its time.
            wait_s = 0.0 if self._is_draining else REVOKE_WAIT_S
            if not await self._until_idle(wait_s, leaving):
                log.warning("partitions.revoked_in_work", partitions=_names(partitions), waited_s=wait_s)
            await self.commit()
        finally:
            self._forget(leaving)
            self._leaving -= leaving
        log.info("partitions.revoked", partitions=_names(partitions))

    def begin_no_more(self) -> None:
        """No span begins from now on; those that have begun go on."""
        self._is_draining = True

    async def drain(self, timeout_s: float) -> bool:
        """No span begins any more; true when those that had begun ended in time. Finished ones are committed."""
        self.begin_no_more()
        is_idle = await self._until_idle(timeout_s)
        await self.commit()
        return is_idle

    async def commit(self) -> None:
        """The finished prefixes are committed, or will be with the next call, or are another reader's business."""
        positions = self._tracker.committable()
        if not positions:
            return
        try:
            await self.reader.commit(positions)
        except CommitRefused as refused:
            log.warning("commit.refused", partitions=_names(refused.partitions))
            self._forget(refused.partitions)
        except LogError as error:
            log.warning("commit.failed", error=str(error))
        else:
            self._tracker.committed(positions)

    async def _read(self) -> None:
        while True:
            has_room = await self._until_room()
            if not has_room:
                self.reader.pause(self.reader.assignment())
            try:
                spans = await self.reader.poll(_POLL_S if has_room else 0.0)
            except LogError as error:
                log.warning("read.failed", error=str(error))
                await asyncio.sleep(_RETRY_S)
                continue
            finally:
                if not has_room:
                    self.reader.resume(self.reader.assignment() - self._parts.keys())
            for span in spans:
                if span.partition.topic in self._part_sizes:
                    if self._hand_out_part(span.partition, span.records):
                        self.reader.pause([span.partition])
                elif self._tracker.delivered(span):
                    self._held += 1
                    self._hand_out(span)

    def _hand_out_part(self, partition: TopicPartition, records: tuple[Record, ...]) -> bool:
        """The first of the records are handed out. False: there are none, or they do not count."""
        if not records:
            return False
        count = self._part_sizes[partition.topic](records)
        part = Span(partition, records[:count])
        if not self._tracker.delivered(part):
            return False
        self._parts[partition] = part, records[count:]
        self._hand_out(part)
        return True

    def _hand_out(self, span: Span) -> None:
        if span.partition.topic in self._one_by_one:
            self._slow_ready.put_nowait(span)
        else:
            self._waiting.put_nowait((span.partition.topic in self._when_idle, next(self._order), span))

    async def _commit_regularly(self) -> None:
        while True:
            await asyncio.sleep(self._commit_interval_s)
            await self.commit()

    async def _watch_lag(self) -> None:
        while True:
            try:
                lag = await self.reader.lag()
            except LogError as error:
                log.warning("lag.unknown", error=str(error))
            else:
                for partition, records in lag.items():
                    metrics.set_lag(partition, records)
            await asyncio.sleep(_LAG_S)

    async def _until_room(self) -> bool:
        return await self._until(lambda: self._held < self._max_spans, _KEEP_ALIVE_S)

    async def _until_idle(self, timeout_s: float, partitions: Collection[TopicPartition] | None = None) -> bool:
        def is_idle() -> bool:
            return not any(partitions is None or span.partition in partitions for span in self._started.values())

        return await self._until(is_idle, timeout_s)

    async def _until(self, is_true: Callable[[], bool], timeout_s: float) -> bool:
        try:
            async with asyncio.timeout(timeout_s):
                while not is_true():
                    self._changed.clear()
                    await self._changed.wait()
        except TimeoutError:
            return is_true()
        return True

    def _release(self, span: Span) -> None:
        if span.partition.topic in self._part_sizes:
            self._hand_out_after(span)
        else:
            self._held -= 1
        self._changed.set()

    def _hand_out_after(self, span: Span) -> None:
        part, rest = self._parts.get(span.partition, (None, ()))
        # A partition that went and came back has other spans.
        if part is not span:
            return
        del self._parts[span.partition]
        if not self._hand_out_part(span.partition, rest):
            self.reader.resume([span.partition])

    def _forget(self, partitions: Collection[TopicPartition]) -> None:
        self._tracker.revoked(partitions)
        for partition in partitions:
            self._parts.pop(partition, None)
            metrics.forget_lag(partition)


def _names(partitions: Collection[TopicPartition]) -> list[str]:
    by_topic: dict[str, list[str]] = {}
    for topic, partition in sorted(partitions):
        by_topic.setdefault(topic, []).append(str(partition))
    return [f"{topic}:{','.join(numbers)}" for topic, numbers in by_topic.items()]
