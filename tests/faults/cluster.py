"""Three Kafka brokers on this machine, each of which a test may stop, kill or freeze."""

import asyncio
import os
import signal
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import TracebackType
from typing import Self

from aiokafka.admin import AIOKafkaAdminClient

from console.broker import LocalKafka, Seat, new_cluster_id
from tests.processes import free_port

NODES = (1, 2, 3)
REPLICAS = len(NODES)
_IN_SYNC_S = 60.0
_REPLICATED = {
    "default.replication.factor": "3",
    "min.insync.replicas": "2",
    "offsets.topic.replication.factor": "3",
    "transaction.state.log.replication.factor": "3",
    "transaction.state.log.min.isr": "2",
    "share.coordinator.state.topic.replication.factor": "3",
    "share.coordinator.state.topic.min.isr": "2",
    # A follower that was killed leaves the replicas in sync soon, so that two of three take records again.
    "replica.lag.time.max.ms": "5000",
}


class KafkaCluster:
    """A context manager. Topics have a copy on each broker; two must have a record before it is acknowledged."""

    def __init__(self, folder: Path, properties: Mapping[str, str] | None = None) -> None:
        cluster_id, controllers = new_cluster_id(), {node: free_port() for node in NODES}
        self.nodes = {
            node: LocalKafka(
                folder / f"broker-{node}",
                properties={**_REPLICATED, **(properties or {})},
                port=free_port(),
                max_heap_mb=384,
                seat=Seat(node, cluster_id, controllers),
            )
            for node in NODES
        }

    @property
    def bootstrap_servers(self) -> str:
        return ",".join(node.bootstrap_servers for node in self.nodes.values())

    def __enter__(self) -> Self:
        try:
            self.start_all()
        except BaseException:
            self.kill_all()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        # The last one would wait for a controller when the others are gone.
        self.kill_all()

    def start_all(self) -> None:
        """All run; those that were down have caught up."""
        self._each(lambda node: node.start())
        self.wait_until_in_sync()

    def kill_all(self) -> None:
        """All are gone at the same moment."""
        for node in self.nodes.values():
            if node.pid is not None:
                os.killpg(node.pid, signal.SIGKILL)
        self._each(lambda node: node.kill())

    def wait_until_in_sync(self) -> None:
        """Every partition has its three copies in sync: what a rolling restart waits for before the next broker."""
        asyncio.run(self._until_in_sync())

    def leader_of(self, topic: str, partition: int) -> int:
        """The node that leads the partition."""
        return asyncio.run(self._leader_of(topic, partition))

    def _each(self, act: Callable[[LocalKafka], None]) -> None:
        with ThreadPoolExecutor(REPLICAS) as threads:
            list(threads.map(act, self.nodes.values()))

    async def _until_in_sync(self) -> None:
        admin = await self._admin()
        try:
            async with asyncio.timeout(_IN_SYNC_S):
                while not all(
                    len(partition["isr"]) == REPLICAS
                    for topic in await admin.describe_topics(None)
                    for partition in topic["partitions"]
                ):
                    await asyncio.sleep(0.2)
        finally:
            await admin.close()

    async def _leader_of(self, topic: str, partition: int) -> int:
        admin = await self._admin()
        try:
            (found,) = await admin.describe_topics([topic])
        finally:
            await admin.close()
        return next(int(each["leader"]) for each in found["partitions"] if each["partition"] == partition)

    async def _admin(self) -> AIOKafkaAdminClient:
        admin = AIOKafkaAdminClient(bootstrap_servers=self.bootstrap_servers)
        await admin.start()
        return admin
