"""Topics of a Kafka cluster: what exists, with which settings, and creating what is missing."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Collection, Mapping, Sequence
from dataclasses import dataclass

from aiokafka import TopicPartition as NativePartition
from aiokafka.admin import AIOKafkaAdminClient, NewTopic, RecordsToDelete
from aiokafka.admin.config_resource import ConfigResource, ConfigResourceType
from aiokafka.errors import NoError, TopicAlreadyExistsError, for_code

from hookmill.errors import ConfigError, LogUnavailable, TopicMissing
from hookmill.log.kafka.cluster import CLOSE_S, Cluster, finished_within
from hookmill.records import TopicPartition
from hookmill.topics import KEPT, TopicSpec

BATCH_HEADROOM_BYTES = 4_096
"""What a batch of one record has over the bytes of its record, at most: 61 of the batch header, under 40 of the
record's own lengths, 6 per header for more than 600 headers (Kafka protocol, record batch format v2)."""

_CLEANUP = "cleanup.policy"
_RETENTION = "retention.ms"
_RETENTION_BYTES = "retention.bytes"
_MAX_BATCH = "max.message.bytes"
_COMPARED = (_CLEANUP, _RETENTION, _RETENTION_BYTES, _MAX_BATCH)
_METADATA_PAUSE_S = 0.05


@dataclass(frozen=True)
class TopicFacts:
    """A topic as it is on the cluster."""

    partitions: int
    has_leaders: bool
    """Every partition can be written to."""


async def partitions_of(cluster: Cluster, topics: Collection[str]) -> Mapping[str, int]:
    """The number of partitions of each topic.

    Errors: `TopicMissing`.
    """
    async with _admin(cluster) as admin:
        facts = await _facts(admin)
    for topic in topics:
        if topic not in facts:
            raise missing(cluster, topic)
    return {topic: facts[topic].partitions for topic in topics}


async def max_batch_bytes(cluster: Cluster, topic: str) -> int | None:
    """The size up to which `topic` takes a batch of records; `None` when we may not know (DescribeConfigs is a right).

    Errors: `TopicMissing`.
    """
    async with _admin(cluster) as admin:
        if topic not in await _facts(admin):
            raise missing(cluster, topic)
        settings = await _settings(admin, [topic])
    value = settings.get(topic, {}).get(_MAX_BATCH)
    return int(value) if value else None


async def ensure_topics(cluster: Cluster, specs: Sequence[TopicSpec]) -> Sequence[str]:
    """See `Log.ensure_topics`."""
    async with _admin(cluster) as admin:
        before = await _facts(admin)
        created = await _create(admin, cluster, [spec for spec in specs if spec.name not in before])
        facts = await _until_known(admin, [spec.name for spec in specs])
        found = [spec for spec in specs if spec.name not in created]
        settings = await _settings(admin, [spec.name for spec in found])
    report = [f'Created topic "{spec.name}" with {spec.partitions} partitions.' for spec in specs if spec not in found]
    for spec in found:
        report += _differences(spec, facts[spec.name], settings.get(spec.name, {}))
    return report


async def committed_positions(cluster: Cluster, group: str, topics: Collection[str]) -> dict[TopicPartition, int]:
    """See `Log.committed`."""
    async with _admin(cluster) as admin:
        offsets = await admin.list_consumer_group_offsets(group)
    return {
        TopicPartition(place.topic, place.partition): found.offset
        for place, found in offsets.items()
        if place.topic in topics and found.offset >= 0
    }


async def forget(cluster: Cluster, positions: Mapping[TopicPartition, int]) -> None:
    """See `Log.forget`."""
    records = {NativePartition(*place): RecordsToDelete(position) for place, position in positions.items()}
    async with _admin(cluster) as admin:
        facts = await _facts(admin)
        for place in positions:
            if place.topic not in facts:
                raise missing(cluster, place.topic)
        await admin.delete_records(records)


async def wait_for_coordinator(cluster: Cluster, group: str) -> None:
    """The cluster answers and has somebody to coordinate `group`.

    Errors: `LogUnavailable` when not yet.
    """
    async with _admin(cluster) as admin:
        await admin.find_coordinator(group)


def missing(cluster: Cluster, topic: str) -> TopicMissing:
    """The error for a topic that is not there."""
    return TopicMissing(f'{cluster} has no topic "{topic}". `hookmill topics ensure` creates the topics.')


@contextlib.asynccontextmanager
async def _admin(cluster: Cluster) -> AsyncIterator[AIOKafkaAdminClient]:
    deadline_s = cluster.config.connect_timeout_s
    admin = AIOKafkaAdminClient(**cluster.options(), request_timeout_ms=int(deadline_s * 1_000))
    await cluster.open(admin.start, admin.close)
    try:
        async with cluster.within(deadline_s, "answer an administrative request"):
            yield admin
    finally:
        await finished_within(CLOSE_S, admin.close())


async def _facts(admin: AIOKafkaAdminClient) -> dict[str, TopicFacts]:
    """Every topic of the cluster. Not asked by name: that would create them where brokers do so on their own."""
    facts = {}
    for topic in await admin.describe_topics(None):
        if topic["error_code"] == 0:
            leaders = [partition["leader"] for partition in topic["partitions"]]
            facts[topic["topic"]] = TopicFacts(len(leaders), all(leader >= 0 for leader in leaders))
    return facts


async def _settings(admin: AIOKafkaAdminClient, topics: Sequence[str]) -> dict[str, dict[str, str]]:
    """The compared settings of those topics that we may see."""
    if not topics:
        return {}
    wanted = dict.fromkeys(_COMPARED, "")
    answers = await admin.describe_configs([ConfigResource(ConfigResourceType.TOPIC, name, wanted) for name in topics])
    settings = {}
    for answer in answers:
        for error_code, _, _, name, entries in answer.resources:
            if error_code == 0:
                settings[name] = {entry[0]: entry[1] for entry in entries}
    return settings


async def _create(admin: AIOKafkaAdminClient, cluster: Cluster, specs: Sequence[TopicSpec]) -> set[str]:
    """Names of the topics that this call created; those that somebody else created meanwhile are not among them."""
    if not specs:
        return set()
    replicas = cluster.config.replication_factor
    wanted = [NewTopic(spec.name, spec.partitions, replicas, topic_configs=_wanted(spec)) for spec in specs]
    answer = await admin.create_topics(wanted)
    created = set()
    for name, code, message in answer.topic_errors:
        error = for_code(code)
        if error is NoError:
            created.add(name)
        elif error.retriable:
            raise LogUnavailable(f'{cluster} did not create topic "{name}": {message or error.description}')
        elif error is not TopicAlreadyExistsError:
            raise ConfigError(f'{cluster} refused to create topic "{name}": {message or error.description}')
    return created


def _wanted(spec: TopicSpec) -> dict[str, str]:
    settings = {_MAX_BATCH: str(spec.max_record_bytes + BATCH_HEADROOM_BYTES)}
    if spec.retention_ms is None:
        settings[_CLEANUP] = "compact"
    else:
        settings[_CLEANUP] = "delete"
        settings[_RETENTION] = str(spec.retention_ms)
    if spec.retention_ms == KEPT:
        settings[_RETENTION_BYTES] = "-1"  # brokers may have a limit for all topics
    return settings


async def _until_known(admin: AIOKafkaAdminClient, names: Sequence[str]) -> dict[str, TopicFacts]:
    while True:
        facts = await _facts(admin)
        if all(name in facts and facts[name].has_leaders for name in names):
            return facts
        await asyncio.sleep(_METADATA_PAUSE_S)


def _differences(spec: TopicSpec, facts: TopicFacts, settings: Mapping[str, str]) -> list[str]:
    sentences = []
    if facts.partitions != spec.partitions:
        sentences.append(f'Topic "{spec.name}" has {facts.partitions} partitions instead of {spec.partitions}.')
    sentences += [
        f'Topic "{spec.name}" has {name} {settings[name]} instead of {value}.'
        for name, value in _wanted(spec).items()
        if name in settings and settings[name] != value
    ]
    return sentences
