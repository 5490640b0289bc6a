"""The life of an aiokafka consumer: how it is set up, whether it still lives, and an end that never hangs."""

from collections.abc import Collection

from aiokafka import AIOKafkaConsumer
from aiokafka import TopicPartition as NativePartition
from aiokafka.coordinator.assignors.roundrobin import RoundRobinPartitionAssignor

from hookmill.log.kafka.cluster import CLOSE_S, Cluster, finished_within
from hookmill.log.kafka.topics import BATCH_HEADROOM_BYTES
from hookmill.topics import DAY_MS, MAX_RECORD_BYTES

_SESSION_TIMEOUT_MS = 12_000
_HEARTBEAT_MS = 1_000
"""A member hears of a new balance with its next heartbeat, so every hand-over takes up to so long."""
_REBALANCE_TIMEOUT_MS = 30_000
"""The 20 s that `RebalanceListener.revoked` may take, and time to come back."""
_REQUEST_TIMEOUT_MS = 40_000
"""Longer than a rebalance: joining a group is one request that is answered at its end."""
_METADATA_AGE_MS = 15_000
"""So long a reader may not know of added partitions, or of a topic that was created anew; the 5 minutes of aiokafka
are a long time for webhooks that wait."""
_MAX_FETCH_BYTES = 16_777_216
_LONGEST_FETCH_MS = 100
"""How long a broker may look for new records before it answers that there are none. aiokafka has one such request per
broker under way: a partition whose records were consumed meanwhile is asked for again only after it. With the half
second of its default, live events waited four times as long beside a replay; idle, this costs 0.04 of a processor."""
_FORCED_CLOSE_S = 1.0


def new_consumer(cluster: Cluster, group: str | None) -> AIOKafkaConsumer:
    """A consumer that is not started, subscribed to nothing.

    It commits only when told, and reports every position that it cannot read from instead of moving by itself
    (aiokafka moves silently): the reader decides and says how much was lost.
    """
    return AIOKafkaConsumer(
        **cluster.options(),
        group_id=group,
        enable_auto_commit=False,
        auto_offset_reset="none",
        # Of aiokafka's assignors the sticky one can leave a group stuck (its issue 1176).
        partition_assignment_strategy=(RoundRobinPartitionAssignor,),
        session_timeout_ms=_SESSION_TIMEOUT_MS,
        heartbeat_interval_ms=_HEARTBEAT_MS,
        rebalance_timeout_ms=_REBALANCE_TIMEOUT_MS,
        # A reader that holds, because a database is away, keeps its partitions; progress is watched elsewhere.
        max_poll_interval_ms=DAY_MS,
        request_timeout_ms=_REQUEST_TIMEOUT_MS,
        metadata_max_age_ms=_METADATA_AGE_MS,
        max_partition_fetch_bytes=MAX_RECORD_BYTES + BATCH_HEADROOM_BYTES,
        fetch_max_bytes=_MAX_FETCH_BYTES,
        fetch_max_wait_ms=_LONGEST_FETCH_MS,
    )


def is_dead(consumer: AIOKafkaConsumer) -> bool:
    """Whether a background task of the consumer has ended, after which it returns nothing for ever.

    aiokafka 0.14 reports the end of its coordination, but not of its fetcher.
    """
    coordination = getattr(consumer._coordinator, "_coordination_task", None)
    return consumer._fetcher.error_future.done() or (coordination is not None and coordination.done())


def has_lost_membership(consumer: AIOKafkaConsumer) -> bool:
    """Whether the group went on without this member, so that its partitions may already be another's.

    aiokafka 0.14 calls `on_partitions_revoked` for those too and shows the difference nowhere else.
    """
    return bool(consumer._coordinator.generation <= 0)


async def committed_positions(
    consumer: AIOKafkaConsumer, partitions: Collection[NativePartition]
) -> dict[NativePartition, int]:
    """The group's committed position of those partitions that have one; in one request, where aiokafka offers many."""
    answer = await consumer._coordinator.fetch_committed_offsets(list(partitions))
    return {partition: position.offset for partition, position in answer.items()}


async def close_consumer(consumer: AIOKafkaConsumer) -> None:
    """The consumer has left its group and no task of it is left, whatever the brokers do."""
    if await finished_within(CLOSE_S, consumer.stop()):
        return
    # stop() waits for the brokers, at most for a whole rebalance. Cancelling it ended the coordination only; whatever
    # else goes on living would keep the membership, and with it the partitions.
    coordinator = consumer._coordinator
    steps = [consumer._fetcher.close, consumer._client.close]
    if consumer._group_id is not None:
        steps = [
            coordinator._stop_heartbeat_task,
            coordinator._stop_commit_offsets_refresh_task,
            coordinator._maybe_leave_group,
            *steps,
        ]
    for step in steps:
        await finished_within(_FORCED_CLOSE_S, step())
