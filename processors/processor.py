"""The record processor: a span of webhooks in, everything that comes of it durable on the log. No Faust, no Kafka."""

import asyncio
import contextlib
import itertools
import math
import time
from collections.abc import Callable, Sequence
from typing import Final, NamedTuple

from hookmill.log.contract import MAX_SPAN_RECORDS, RecordSender
from hookmill.parked import Why
from hookmill.records import NewRecord, Record, Span
from hookmill.registry import Registry
from hookmill.retry import DELAYS_S
from hookmill.topics import Topic, TopicNames
from processors.crashes import crash_failure, first_step, tried_again
from processors.deferral import brought_back
from processors.deployed import Deployed, Deployments
from processors.execution import Execution
from processors.failure import Failure
from processors.hold import Abandoned, Hold
from processors.ordered import IsWanted, Ordered, turn_key, until_turn
from processors.parked import Parked
from processors.parked import brought_back as brought_back_from_parking
from processors.runtimes.contract import RunnerPool
from processors.shares import fitting
from processors.together import together
from processors.turns import End, Turn, Turns
from processors.webhook import Webhook, read_webhook

MAX_SOURCES_AT_ONCE: Final = 32
"""Sources of one span in work at once: more than runners work at once by default, so a few slow ones leave room."""

_IN_TURN: Final = (Topic.WEBHOOKS, Topic.WEBHOOKS_REPLAY, Topic.WEBHOOKS_PARKED)
"""Topics whose spans wait for those before them; on the slow lane they go one by one anyway."""


class _Part(NamedTuple):
    """Webhooks of a span for one version of one source's function, either all with ordering keys or none."""

    source: str
    version: str
    webhooks: Sequence[Webhook]
    is_ordered: bool
    turn: Turn | None

    @property
    def newest_us(self) -> int:
        return max(webhook.received_at_us for webhook in self.webhooks)


class RecordProcessor:
    """Runs functions on spans and sends what they made. Any number of `process` calls may be under way."""

    def __init__(
        self,
        registry: Registry,
        pool: RunnerPool,
        sender: RecordSender,
        names: TopicNames,
        *,
        parked: Parked | None = None,
        delays_s: tuple[float, ...] = DELAYS_S,
        hold: Hold | None = None,
        now_s: Callable[[], float] = time.time,
    ) -> None:
        self._parked = parked or Parked(names)
        self._execution = Execution(registry, pool, sender, names, self._parked, delays_s, hold, now_s)
        self.hold = self._execution.hold
        self.shares = self._execution.shares
        self._registry = registry
        self._deployments = Deployments(registry, now_s)
        self._ordered = Ordered(self._execution)
        self._turns = Turns()
        self._topics = {names.full(topic): topic for topic in Topic}
        self._expected: dict[int, Sequence[_Part]] = {}

    def expect(self, span: Span) -> None:
        """`process` or `leave` will be called with the span: its turns come after those of spans expected before."""
        self._expected[id(span)] = self._parts(span)

    def leave(self, span: Span) -> None:
        """The expected span is not processed."""
        for part in self._expected.pop(id(span), ()):
            if part.turn is not None:
                self._turns.end(part.turn, End.LEFT)

    async def process(self, span: Span, is_wanted: IsWanted = lambda: True) -> None:
        """Every record of the span is settled and what came of it is durable: messages, reports, itself to be delivered
        again or as a dead letter.

        Sources run concurrently, the webhooks of one source as the pool likes, but for those with one ordering key:
        they run in order, also over spans that were expected. What exceeds the share of a source, or finds no runner,
        is moved to the slow lane, or parked where it has a key, and so settled here. Spans of the slow lane know no
        shares and wait for runners; while the log does not take records, all wait. What was sent twice then carries
        the same ids.

        Errors, always within an `ExceptionGroup`: `Abandoned` when a hold ended because the stage stops, or when what
        is before a webhook of its key comes again; anything else is a bug: `set_aside` is due. The span must not be
        acknowledged after any of them.
        """
        topic = self._topic(span)
        parts = self._expected.pop(id(span), None) or self._parts(span)
        slots = asyncio.Semaphore(MAX_SOURCES_AT_ONCE)
        await together(self._settle_in_turn(part, topic, slots, is_wanted) for part in parts)

    async def set_aside(self, span: Span, bug: BaseException) -> None:
        """After a bug in `process`: each record of the span is durable for another try by itself, or as a dead letter.

        One that others of its key must not pass is parked for that. Errors: `Abandoned`; of the log, and then nothing
        is known of the span.
        """
        again: dict[Topic, list[NewRecord]] = {Topic.WEBHOOKS_REDELIVERY: [], Topic.WEBHOOKS_PARKED: []}
        for webhook in self._webhooks(span):
            record = tried_again(webhook)
            spot = self._parked.spot_of(webhook) if self._topic(span) is Topic.WEBHOOKS else None
            if record is None:
                await self._execution.settle(webhook.source, crash_failure(bug), [webhook])
            elif spot is None or not self._may_be_ordered(webhook.source):
                again[Topic.WEBHOOKS_REDELIVERY].append(record)
            elif not self._parked.has(spot):
                again[Topic.WEBHOOKS_PARKED].append(self._parked.park(webhook, spot, Why.QUEUED, record.headers))
        await self._execution.insist(again)

    async def process_parked(self, span: Span, keys: Sequence[bytes], is_wanted: IsWanted) -> bool:
        """As `process`, of parked webhooks of one source with the keys of their entries. False: there is no runner.

        After a bug the webhooks in work are parked for another try, or dead letters.
        """
        (part,) = self._expected.pop(id(span))
        assert part.turn is not None
        how = End.FAILED
        try:
            await until_turn(part.turn, is_wanted)
            deployed = await self._deployments.find(part.source, part.version, part.newest_us)
            with self._on_slow_lane(deployed, part.webhooks[0], only_if_slow=True):
                count = first_step(part.webhooks)  # the others are handed out again
                has_runner = await self._settle_parked(part.source, deployed, part.webhooks[:count], keys[:count])
            how = End.DONE
        finally:
            self._turns.end(part.turn, how)
        return has_runner

    async def _settle_parked(
        self, source: str, deployed: Deployed | Failure, webhooks: Sequence[Webhook], keys: Sequence[bytes]
    ) -> bool:
        try:
            return await self._ordered.settle_parked(source, deployed, webhooks, keys)
        except Abandoned:
            raise
        except Exception as bug:
            await self._ordered.set_aside(source, webhooks, keys, bug)
            raise ExceptionGroup("parked webhooks", [bug]) from None

    async def send_parked(self, records: Sequence[NewRecord]) -> None:
        """The records are durable on the topic of parked webhooks. Errors: `Abandoned`."""
        await self._execution.insist({Topic.WEBHOOKS_PARKED: records})

    def parked_at_once(self, source_id: str) -> int:
        """How many parked webhooks of the source to take at once: about a second of its function's time."""
        return fitting(itertools.repeat(self._expected_s(source_id), MAX_SPAN_RECORDS))

    def slow_at_once(self, records: Sequence[Record]) -> int:
        """How many of these records of the slow lane to take at once: about a second of their functions' time."""
        webhooks = (read_webhook(brought_back(record)) for record in records)
        return fitting(self._expected_s(webhook.source, _version_of(webhook)) for webhook in webhooks)

    def _expected_s(self, source_id: str, version: str = "") -> float:
        """What a webhook of the source will cost; endless when nobody knows."""
        source = self._registry.sources.get(source_id)
        return math.inf if source is None else self.shares.of(source_id, version or source.function_version).expected_s

    def _parts(self, span: Span) -> Sequence[_Part]:
        found: dict[tuple[str, str, bool], list[Webhook]] = {}
        for webhook in self._webhooks(span):
            version = _version_of(webhook)
            is_ordered = webhook.record.key is not None and self._may_be_ordered(webhook.source)
            found.setdefault((webhook.source, version, is_ordered), []).append(webhook)
        topic = self._topic(span)
        return [self._part(topic, *names, webhooks) for names, webhooks in found.items()]

    def _webhooks(self, span: Span) -> list[Webhook]:
        topic = self._topic(span)
        return [read_webhook(_original(topic, record)) for record in span.records]

    def _topic(self, span: Span) -> Topic:
        return self._topics.get(span.partition.topic, Topic.WEBHOOKS)

    def _part(self, topic: Topic, source: str, version: str, is_ordered: bool, webhooks: Sequence[Webhook]) -> _Part:
        turn = None
        if topic is Topic.WEBHOOKS_PARKED or (is_ordered and topic in _IN_TURN):
            turn = self._turns.reserve({turn_key(webhook) for webhook in webhooks})
        return _Part(source, version, webhooks, is_ordered, turn)

    def _may_be_ordered(self, source_id: str) -> bool:
        """A source that is not known yet may turn out to be."""
        source = self._registry.sources.get(source_id)
        return source is None or source.order_by is not None

    async def _settle_in_turn(self, part: _Part, topic: Topic, slots: asyncio.Semaphore, is_wanted: IsWanted) -> None:
        if part.turn is None:
            async with slots:
                await self._settle(part, topic)
            return
        how = End.FAILED
        try:
            if topic is Topic.WEBHOOKS:
                await self._settle_ordered(part, part.turn, is_wanted)
            else:
                await until_turn(part.turn, is_wanted)
                await self._settle(part, topic)
            how = End.DONE
        finally:
            self._turns.end(part.turn, how)

    async def _settle_ordered(self, part: _Part, turn: Turn, is_wanted: IsWanted) -> None:
        deployed = await self._deployments.find(part.source, part.version, part.newest_us)
        if part.source in self._registry.sources and self._may_be_ordered(part.source):
            await self._ordered.settle(part.source, deployed, part.webhooks, turn, is_wanted)
        else:
            await self._settle_share(part, deployed)

    async def _settle(self, part: _Part, topic: Topic) -> None:
        if topic is Topic.WEBHOOKS_REDELIVERY and part.is_ordered and part.source in self._registry.sources:
            left = await self._ordered.give_back(part.webhooks)
            if not left:
                return
            part = part._replace(webhooks=left)
        if topic is Topic.WEBHOOKS_SLOW:
            await self._settle_all(part)
        else:
            await self._settle_share(part, await self._deployments.find(part.source, part.version, part.newest_us))

    async def _settle_share(self, part: _Part, deployed: Deployed | Failure) -> None:
        """On the main lane: what the source's share allows runs, the rest is moved to the slow lane."""
        if isinstance(deployed, Failure):
            await self._execution.settle(part.source, deployed, part.webhooks)
            return
        share = self.shares.of(part.source, deployed.function.version)
        share.arrived(len(part.webhooks))
        webhooks = part.webhooks
        waiting: list[Webhook] = []
        spent_s = 0.0
        while webhooks and (count := await self._execution.take(deployed, len(webhooks), spent_s)):
            try:
                ran = await self._execution.settle(part.source, deployed, webhooks[:count])
            finally:
                share.give_back(count)
            spent_s += ran.spent_s
            waiting += ran.waiting
            webhooks = webhooks[count:]
        await self._execution.defer(part.source, [*waiting, *webhooks])

    async def _settle_all(self, part: _Part) -> None:
        """On the slow lane: everything runs, whatever it takes."""
        webhooks, attempt = part.webhooks, 0
        while webhooks:
            deployed = await self._deployments.find(part.source, part.version, part.newest_us)
            with self._on_slow_lane(deployed, webhooks[0]):
                waiting = (await self._execution.settle(part.source, deployed, webhooks)).waiting
            if len(waiting) < len(webhooks):
                attempt = 0  # there are runners again: a few have tried them
            else:
                await self.hold.wait(attempt, f"no runner for source {part.source!r}")
                attempt += 1
            webhooks = waiting

    def _on_slow_lane(
        self, deployed: Deployed | Failure, first: Webhook, *, only_if_slow: bool = False
    ) -> contextlib.AbstractContextManager[None]:
        if isinstance(deployed, Failure):
            return contextlib.nullcontext()
        share = self.shares.of(deployed.source.id, deployed.function.version)
        if only_if_slow and not share.is_slow:
            return contextlib.nullcontext()  # what waited behind a failed one says nothing of the function's pace
        return share.on_slow_lane(lambda: self._execution.now_s() - first.record.timestamp_ms / 1_000)


def _version_of(webhook: Webhook) -> str:
    """Of the function, as a replay asks for it; empty for the one that is deployed."""
    return "" if webhook.replay is None else webhook.replay.function_version


def _original(topic: Topic, record: Record) -> Record:
    match topic:
        case Topic.WEBHOOKS_SLOW:
            return brought_back(record)
        case Topic.WEBHOOKS_PARKED:
            return brought_back_from_parking(record)
        case _:
            return record
