"""The log on Kafka, by aiokafka; the only package that knows of it."""

import asyncio
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

from hookmill.config import KafkaConfig
from hookmill.errors import LogUnavailable
from hookmill.log.contract import RebalanceListener
from hookmill.log.kafka.cluster import Cluster
from hookmill.log.kafka.reader import KafkaReader
from hookmill.log.kafka.sender import KafkaSender
from hookmill.log.kafka.topics import committed_positions, ensure_topics, forget, wait_for_coordinator
from hookmill.records import TopicPartition
from hookmill.topics import TopicSpec

_READY_PAUSE_S = 0.1


class KafkaLog:
    """`Log` on a Kafka cluster. `members`: a folder by which processes of one machine know of each other's end."""

    def __init__(self, config: KafkaConfig, members: Path | None = None) -> None:
        self._cluster = Cluster(config)
        self._members = members

    @property
    def description(self) -> str:
        """See `Log.description`."""
        return str(self._cluster)

    async def ensure_topics(self, specs: Sequence[TopicSpec]) -> Sequence[str]:
        """See `Log.ensure_topics`.

        Errors: `LogUnavailable`; `ConfigError` when the cluster refuses, as for a replication factor above its brokers.
        """
        return await ensure_topics(self._cluster, specs)

    async def committed(self, group: str, topics: Sequence[str]) -> Mapping[TopicPartition, int]:
        """See `Log.committed`."""
        return await committed_positions(self._cluster, group, topics)

    async def forget(self, positions: Mapping[TopicPartition, int]) -> None:
        """See `Log.forget`."""
        await forget(self._cluster, positions)

    def sender(self) -> KafkaSender:
        """See `Log.sender`."""
        return KafkaSender(self._cluster)

    def reader(
        self,
        topics: Sequence[str],
        *,
        group: str | None,
        listener: RebalanceListener | None = None,
        from_end: bool = False,
    ) -> KafkaReader:
        """See `Log.reader`."""
        return KafkaReader(
            self._cluster, topics, group=group, listener=listener, from_end=from_end, members=self._members
        )


async def wait_until_ready(config: KafkaConfig, timeout_s: float) -> None:
    """The cluster answers and coordinates groups; an open port is neither.

    Errors: `LogUnavailable` after `timeout_s`.
    """
    ends_at = time.monotonic() + timeout_s
    cluster = Cluster(config)
    while True:
        try:
            return await wait_for_coordinator(cluster, "hookmill.ready")
        except LogUnavailable:
            if time.monotonic() >= ends_at:
                raise
            await asyncio.sleep(_READY_PAUSE_S)
