"""The function stage on an embedded log in a temporary folder: a log with topics, a deployed source, webhooks."""

import asyncio
from collections.abc import Callable, Sequence
from pathlib import Path

from hookmill.config import Config, load_config
from hookmill.log import open_log
from hookmill.log.contract import Log
from hookmill.records import NewRecord, Record
from hookmill.registry import Entity, publish
from hookmill.topics import Topic
from processors.inputs import GROUP, WEBHOOK_TOPICS
from tests.processors.parts import webhook_headers

DEADLINE_S = 60.0


class EmbeddedLog:
    """What is around the stage: the receiver's side and the sinks' side of the log."""

    def __init__(self, folder: Path, drain_timeout_s: float = 20.0) -> None:
        self.data_dir = folder
        self.config: Config = load_config({"data_dir": folder, "processors": {"drain_timeout_s": drain_timeout_s}})
        self.names = self.config.topics.names
        self.log: Log = open_log(self.config)

    async def prepare(self, *entities: Entity) -> None:
        """All topics exist and the entities are published."""
        await self.log.ensure_topics(self.names.specs())
        await publish(self.log, self.names.full(Topic.REGISTRY), entities)

    def topic(self, topic: Topic) -> str:
        """Its full name."""
        return self.names.full(topic)

    async def receive(self, source: str, bodies: Sequence[bytes], first: int = 0) -> None:
        """Webhooks are stored, with request ids `<source>-<index>` from `first` on."""
        records = [
            NewRecord(value=body, headers=webhook_headers(source, f"{source}-{index}"))
            for index, body in enumerate(bodies, first)
        ]
        async with self.log.sender() as sender:
            await sender.send(self.names.full(Topic.WEBHOOKS), records)

    async def read(
        self, topic: Topic, count: int, identity: Callable[[Record], object] = lambda record: record
    ) -> list[Record]:
        """The first records of the topic, as soon as there are `count` different ones."""
        records: list[Record] = []
        async with asyncio.timeout(DEADLINE_S), self.log.reader([self.names.full(topic)], group=None) as reader:
            while len({identity(record) for record in records}) < count:
                for span in await reader.poll(0.2):
                    records += span.records
        return records

    async def records(self, topic: Topic) -> list[Record]:
        """What is on the topic now."""
        async with asyncio.timeout(DEADLINE_S), self.log.reader([self.topic(topic)], group=None) as reader:
            count = sum((await reader.end_positions()).values())
        return await self.read(topic, count)

    async def uncommitted(self) -> int:
        """Webhooks that the stage's group would get again; the stage must not be running."""
        topics = [self.names.full(topic) for topic in WEBHOOK_TOPICS]
        async with (
            asyncio.timeout(DEADLINE_S),
            self.log.reader(topics, group=self.names.group(GROUP)) as reader,
        ):
            while len(reader.assignment()) < len(topics) * self.names.partitions:
                await reader.poll(0.05)
            return sum((await reader.lag()).values())
