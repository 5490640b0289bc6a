"""An installation for tests: a log with its topics, and the environment that makes `hookmill` use it."""

import uuid
from dataclasses import dataclass
from pathlib import Path

from hookmill.config import Config, load_config
from hookmill.log import Log, open_log
from hookmill.records import NewRecord, Record
from hookmill.topics import Topic, TopicNames
from redelivery.scan import Scan


@dataclass(frozen=True)
class Installation:
    """`environment` holds the variables for commands."""

    config: Config
    environment: dict[str, str]

    @property
    def log(self) -> Log:
        return open_log(self.config)

    @property
    def names(self) -> TopicNames:
        return self.config.topics.names

    async def send(self, topic: Topic, *records: NewRecord) -> None:
        async with self.log.sender() as sender:
            await sender.send(self.names.full(topic), records)

    async def records(self, topic: Topic) -> list[Record]:
        """Everything on the topic, by partition and offset."""
        found: list[Record] = []
        async with Scan(self.log, [self.names.full(topic)]) as scan:
            async for span in scan.spans(dict.fromkeys(scan.ends, 0), scan.ends):
                found += span.records
        return sorted(found, key=lambda record: (record.partition, record.offset))


async def install(
    folder: Path, bootstrap_servers: str | None, replication_factor: int = 1, partitions: int = 4
) -> Installation:
    """The folder and the topics exist, on Kafka under names of their own."""
    folder.mkdir(parents=True, exist_ok=True)
    prefix = f"t{uuid.uuid4().hex[:8]}."
    topics = {"prefix": prefix, "partitions": partitions}
    kafka = {"bootstrap_servers": bootstrap_servers, "replication_factor": replication_factor}
    config = load_config({"data_dir": folder, "kafka": kafka, "topics": topics})
    environment = {
        "HOOKMILL_DATA_DIR": str(folder),
        "HOOKMILL_TOPICS__PREFIX": prefix,
        "HOOKMILL_TOPICS__PARTITIONS": str(partitions),
    }
    if bootstrap_servers:
        environment["HOOKMILL_KAFKA__BOOTSTRAP_SERVERS"] = bootstrap_servers
    installation = Installation(config, environment)
    await installation.log.ensure_topics(installation.names.specs())
    return installation
