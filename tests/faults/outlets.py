"""Sink workers beside each other on one log, and how long messages take to get through each."""

import asyncio
import time
from collections.abc import Sequence
from types import TracebackType
from typing import Self

from hookmill.config import SinksConfig
from hookmill.log.contract import RecordSender
from hookmill.registry import Sink as SinkDefinition
from hookmill.topics import Topic
from sinks.contract import Event, Message, Sink
from sinks.worker import SinkWorker
from tests.redelivery.installation import Installation
from tests.sinks.messages import event, event_record, object_record, write

OBJECTS = 500
PART = 500
DRAIN_S = 120.0


class Timed:
    """A sink that notes how long each event, of one source if named, took from its sending until it was written.

    `writes` are its batches: when each was written (monotonic, s), and its messages.
    """

    def __init__(self, real: Sink, source: str | None = None) -> None:
        self._real = real
        self._source = source
        self.took_s: list[float] = []
        self.writes: list[tuple[float, int]] = []

    async def __aenter__(self) -> Self:
        await self._real.__aenter__()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._real.__aexit__(kind, error, trace)

    async def write(self, batch: Sequence[Message]) -> None:
        await self._real.write(batch)
        self.writes.append((time.monotonic(), len(batch)))
        now_s = time.time()
        events = [message for message in batch if isinstance(message, Event)]
        self.took_s += [now_s - sent_at_s(event) for event in events if self._source in {None, event.source}]

    def taken(self) -> list[float]:
        """What was noted since the last call, in order of length."""
        taken, self.took_s = sorted(self.took_s), []
        return taken

    def rate(self, since_s: float, until_s: float) -> float:
        """Messages a second between the first and the last batch written in that time."""
        (began_s, _), *others = [(at_s, count) for at_s, count in self.writes if since_s <= at_s <= until_s]
        return sum(count for _, count in others) / (others[-1][0] - began_s)


class Traffic:
    """Sends events and object writes; `sent` counts each."""

    def __init__(self, installation: Installation) -> None:
        self.sent = 0
        self._installation = installation

    async def flow(self, seconds: float, *, rate: int) -> None:
        """So many events and as many object writes a second."""
        began_s, steps = time.monotonic(), round(seconds * 10)
        async with (
            self._installation.log.sender() as sender
        ):  # one for all: on Kafka to open one takes a part of a step
            for step in range(steps):
                await asyncio.sleep(max(0.0, began_s + step / 10 - time.monotonic()))
                await self._send(sender, rate // 10)

    async def burst(self, count: int) -> None:
        """So many events and as many object writes at once, on all partitions."""
        async with self._installation.log.sender() as sender:
            for begin in range(0, count, PART):  # what has no key goes to one partition, as long as it is one sending
                await self._send(sender, min(PART, count - begin))

    async def _send(self, sender: RecordSender, count: int) -> None:
        names = self._installation.names
        numbers = range(self.sent, self.sent + count)
        events = [event(f"m{n}", event="Paid", properties={"n": n, "sentAt": time.time()}) for n in numbers]
        await sender.send(names.full(Topic.EVENTS), [*map(event_record, events)])
        writes = [write(f"d{n % OBJECTS}", n, {"n": n, f"p{n % 3}": n}) for n in numbers]
        await sender.send(names.full(Topic.OBJECTS), [*map(object_record, writes)])
        self.sent += count

    def objects(self) -> dict[str, dict[str, int]]:
        """What the writes make in their order."""
        made: dict[str, dict[str, int]] = {}
        for n in range(self.sent):
            made.setdefault(f"d{n % OBJECTS}", {}).update({"n": n, f"p{n % 3}": n})
        return made


def outlet(installation: Installation, name: str, sink: Sink) -> SinkWorker:
    """A worker with a group of its own."""
    definition = SinkDefinition(name=name, kind="test", events=True, objects=True)
    config = SinksConfig(drain_timeout_s=5.0)
    return SinkWorker(config, definition, installation.log, installation.names, sink)


async def drained(worker: SinkWorker) -> float:
    """Everything sent is committed; seconds it took."""
    began = time.monotonic()
    async with asyncio.timeout(DRAIN_S):
        while (lag := await worker.lag()) is not None and (not lag or any(lag.values())):
            await asyncio.sleep(0.05)
    return time.monotonic() - began


async def counted_against(installation: Installation) -> int:
    """Records that some delivery was counted against: on a delay topic or among the dead letters."""
    topics = [topic for topic in Topic if topic.value.startswith("delay.")]
    return sum([len(await installation.records(topic)) for topic in (*topics, Topic.DEAD_LETTERS)])


def sent_at_s(message: Event) -> float:
    properties = message.message["properties"]
    assert isinstance(properties, dict)
    return float(properties["sentAt"])  # type: ignore[arg-type]


def percentile(ordered: Sequence[float], share: float) -> float:
    return ordered[int(share * (len(ordered) - 1))]
