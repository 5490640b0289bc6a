"""Replays: webhooks of a range copied to the topic for replays, beside whoever reads them live."""

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from typing import Final, NamedTuple

import msgspec

from hookmill.errors import ConfigError
from hookmill.log.contract import Log
from hookmill.records import Record, TopicPartition
from hookmill.topics import Topic, TopicNames
from redelivery.replay_journal import Journals, Progress, State
from redelivery.replay_plan import ReplayPlan
from redelivery.scan import CLOCK_SKEW_MS, Scan

_AT_ONCE: Final = 500
"""Webhooks per send: a crash repeats at most so many, with the ids they had."""


class Bounds(NamedTuple):
    """The part of `webhooks` that a range of time lies in: offsets by partition."""

    starts: Mapping[int, int]
    ends: Mapping[int, int]


class Preview(NamedTuple):
    """What a plan takes: `read` is how many webhooks were looked at for that, in `seconds`."""

    webhooks: int
    body_bytes: int
    read: int
    seconds: float


async def find_bounds(log: Log, topic: str, from_ms: int, to_ms: int) -> Bounds:
    """Where webhooks received from `from_ms` to before `to_ms` are, those of other times around them included."""
    async with Scan(log, [topic]) as scan:
        starts = await scan.starts_at(from_ms - CLOCK_SKEW_MS)
        ends = await scan.starts_at(to_ms + CLOCK_SKEW_MS)
        return Bounds(
            {place.partition: start for place, start in starts.items()},
            {place.partition: min(end, scan.ends[place]) for place, end in ends.items()},
        )


async def preview(log: Log, plan: ReplayPlan, looked: Callable[[int], None] = lambda count: None) -> Preview:
    """Everything that the plan takes was counted; `looked` is called with counts of webhooks as that goes on."""
    began = time.monotonic()
    webhooks = body_bytes = read = 0
    async for records in _spans(log, plan, plan.starts):
        taken = [record for record in records if plan.takes(record)]
        webhooks += len(taken)
        body_bytes += sum(len(record.value or b"") for record in taken)
        read += len(records)
        looked(len(records))
    return Preview(webhooks, body_bytes, read, time.monotonic() - began)


async def taken_webhooks(log: Log, plan: ReplayPlan) -> AsyncIterator[Sequence[Record]]:
    """The webhooks that the plan takes, some at a time; never none of them."""
    async for records in _spans(log, plan, plan.starts):
        if taken := [record for record in records if plan.takes(record)]:
            yield taken


async def run(
    log: Log, names: TopicNames, journals: Journals, progress: Progress, sent: Callable[[int], None]
) -> Progress:
    """What is left of the replay is durable on its topic, or somebody cancelled it; the journal says so.

    The journal follows every batch that is durable. Ended in between, by whatever, the replay repeats at most one batch
    when it is resumed, with the same ids. `sent` is called with the counts of batches.
    """
    plan = progress.plan
    pace = _Pace(plan.per_second)
    async with log.sender() as sender:
        async for records in _spans(log, plan, progress.positions):
            taken = [record for record in records if plan.takes(record)]
            for batch in _batches(taken, plan.per_second):
                if journals.is_cancelled(plan.id):
                    return _saved(journals, progress, State.CANCELLED)
                await pace.wait(len(batch))
                await sender.send(names.full(Topic.WEBHOOKS_REPLAY), [plan.replayed(record) for record in batch])
                progress = _advanced(progress, batch[-1], len(batch))
                journals.save(progress)
                sent(len(batch))
            progress = _advanced(progress, records[-1], 0)
    return _saved(journals, progress, State.DONE)


class _Pace:
    """Lets so many pass in a second, evenly; all of them for 0."""

    def __init__(self, per_second: float) -> None:
        self._per_second = per_second
        self._free_at = time.monotonic()

    async def wait(self, count: int) -> None:
        """`count` may pass now."""
        if self._per_second:
            now = time.monotonic()
            self._free_at = max(self._free_at, now)
            delay = self._free_at - now
            self._free_at += count / self._per_second
            await asyncio.sleep(delay)


def _batches(records: Sequence[Record], per_second: float) -> list[Sequence[Record]]:
    """At most a second's worth each, so that the pace is even."""
    size = min(_AT_ONCE, max(1, int(per_second))) if per_second else _AT_ONCE
    return [records[start : start + size] for start in range(0, len(records), size)]


async def _spans(log: Log, plan: ReplayPlan, starts: Mapping[int, int]) -> AsyncIterator[Sequence[Record]]:
    """The records between, span by span; the last of a partition may reach beyond its end.

    Errors: `ConfigError` when the topic is not the one of which the plan was made.
    """

    def places(offsets: Mapping[int, int]) -> dict[TopicPartition, int]:
        return {TopicPartition(plan.topic, partition): offset for partition, offset in offsets.items()}

    async with Scan(log, [plan.topic]) as scan:
        if any(end > scan.ends.get(place, 0) for place, end in places(plan.ends).items()):
            raise ConfigError(
                f"{plan.topic} ends before what replay {plan.id} is to read: it was created anew. Start another replay."
            )
        async for span in scan.spans(places(starts), places(plan.ends)):
            yield span.records


def _advanced(progress: Progress, last: Record, count: int) -> Progress:
    positions = {**progress.positions, last.partition: last.offset + 1}
    return msgspec.structs.replace(progress, positions=positions, sent=progress.sent + count)


def _saved(journals: Journals, progress: Progress, state: State) -> Progress:
    progress = msgspec.structs.replace(progress, state=state)
    journals.save(progress)
    return progress
