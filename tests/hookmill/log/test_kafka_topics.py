"""Topics on a real Kafka."""

import asyncio
import uuid

import pytest

from hookmill.config import KafkaConfig
from hookmill.errors import ConfigError, TopicMissing
from hookmill.log.kafka import KafkaLog
from hookmill.topics import DAY_MS, TopicSpec

pytestmark = pytest.mark.kafka


@pytest.fixture
def log(kafka_bootstrap: str) -> KafkaLog:
    return KafkaLog(KafkaConfig(bootstrap_servers=kafka_bootstrap))


@pytest.fixture
def name() -> str:
    return f"t.{uuid.uuid4().hex}"


async def test_topics_are_created_once_however_many_try_at_the_same_time(log: KafkaLog, name: str) -> None:
    specs = [TopicSpec(f"{name}.a", 3, DAY_MS), TopicSpec(f"{name}.b", 1, None)]

    reports = await asyncio.gather(*(log.ensure_topics(specs) for _ in range(6)))

    assert sorted(sentence for report in reports for sentence in report) == [
        f'Created topic "{name}.a" with 3 partitions.',
        f'Created topic "{name}.b" with 1 partitions.',
    ]


async def test_a_topic_can_be_used_as_soon_as_it_is_ensured(log: KafkaLog, name: str) -> None:
    await log.ensure_topics([TopicSpec(name, 5, DAY_MS)])

    async with log.reader([name], group=None) as reader:
        assert {place.partition for place in reader.assignment()} == {0, 1, 2, 3, 4}


async def test_differences_of_an_existing_topic_are_reported_and_left(log: KafkaLog, name: str) -> None:
    await log.ensure_topics([TopicSpec(name, 2, DAY_MS)])
    other = TopicSpec(name, 4, None, max_record_bytes=1_000)

    expected = [
        f'Topic "{name}" has 2 partitions instead of 4.',
        # 3,670,016 and 1,000 bytes with the headroom of 4,096
        f'Topic "{name}" has max.message.bytes 3674112 instead of 5096.',
        f'Topic "{name}" has cleanup.policy delete instead of compact.',
    ]
    assert await log.ensure_topics([other]) == expected
    assert await log.ensure_topics([other]) == expected


async def test_a_cluster_that_cannot_hold_the_replicas_is_a_matter_of_configuration(
    kafka_bootstrap: str, name: str
) -> None:
    log = KafkaLog(KafkaConfig(bootstrap_servers=kafka_bootstrap, replication_factor=3))

    with pytest.raises(ConfigError, match=f'refused to create topic "{name}".*replication factor'):
        await log.ensure_topics([TopicSpec(name, 1, DAY_MS)])


async def test_a_reader_of_a_missing_topic_is_told_which_and_creates_none(log: KafkaLog, name: str) -> None:
    for group in (None, name):
        with pytest.raises(TopicMissing, match=name):
            async with log.reader([name], group=group):
                pass
