"""Reading from a real Kafka: what differs from a log on the same machine."""

import asyncio
import uuid
from collections.abc import AsyncIterator, Collection

import pytest
from aiokafka import TopicPartition as NativePartition
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.admin.records_to_delete import RecordsToDelete
from structlog.testing import capture_logs

from hookmill.config import KafkaConfig
from hookmill.errors import CommitRefused
from hookmill.log.kafka import KafkaLog
from hookmill.log.kafka.reader import KafkaReader
from hookmill.records import NewRecord, Record, TopicPartition
from hookmill.topics import DAY_MS, TopicSpec
from tests.kafka_admin import configure_topic, kafka_admin

pytestmark = pytest.mark.kafka

DEADLINE_S = 40.0


@pytest.fixture
def log(kafka_bootstrap: str) -> KafkaLog:
    return KafkaLog(KafkaConfig(bootstrap_servers=kafka_bootstrap))


@pytest.fixture
async def topic(log: KafkaLog) -> str:
    """A topic of one partition."""
    name = f"t.{uuid.uuid4().hex}"
    await log.ensure_topics([TopicSpec(name, 1, DAY_MS)])
    return name


@pytest.fixture
async def admin(kafka_bootstrap: str) -> AsyncIterator[AIOKafkaAdminClient]:
    async with kafka_admin(kafka_bootstrap) as client:
        yield client


async def test_a_position_that_retention_removed_is_an_error_with_its_size(
    log: KafkaLog, topic: str, admin: AIOKafkaAdminClient
) -> None:
    place = TopicPartition(topic, 0)
    await _send(log, topic, 10)
    async with log.reader([topic], group=topic) as reader:
        await _read(reader, 10)
        await reader.commit({place: 2})
    await admin.delete_records({NativePartition(topic, 0): RecordsToDelete(before_offset=7)})

    with capture_logs() as lines:
        async with log.reader([topic], group=topic) as reader:
            records = await _read(reader, 3)

    assert [record.offset for record in records] == [7, 8, 9]
    assert [(line["event"], line["log_level"], line["position"], line["records"]) for line in lines] == [
        ("log.records_missed", "error", 2, 5)
    ]


async def test_gaps_that_compaction_leaves_are_no_loss(log: KafkaLog, kafka_bootstrap: str) -> None:
    name = f"t.{uuid.uuid4().hex}"
    eager = {
        "cleanup.policy": "compact",
        "segment.bytes": "1048576",
        "segment.ms": "100",
        "min.cleanable.dirty.ratio": "0.01",
        "max.compaction.lag.ms": "100",
    }
    await log.ensure_topics([TopicSpec(name, 1, None)])
    await configure_topic(kafka_bootstrap, name, eager)
    async with log.sender() as sender, asyncio.timeout(DEADLINE_S):
        while True:  # compaction takes closed segments; a later record closes the one before
            await sender.send(name, [NewRecord(b"old", key=b"k"), NewRecord(b"new", key=b"k")])
            records = await _read_to_end(log, name)
            if records[0].offset > 0:
                break

    with capture_logs() as lines:
        records = await _read_to_end(log, name)

    assert records[0].offset > 0
    assert records[-1].value == b"new"
    assert lines == []


async def test_what_a_listener_raises_comes_out_of_poll(log: KafkaLog, topic: str) -> None:
    class Broken:
        async def revoked(self, partitions: Collection[TopicPartition]) -> None:
            """Nothing to finish."""

        async def assigned(self, partitions: Collection[TopicPartition]) -> None:
            raise ZeroDivisionError("of the listener")

    async with log.reader([topic], group=topic, listener=Broken()) as reader:
        with pytest.raises(ZeroDivisionError, match="of the listener"):
            await _read(reader, 1)


async def test_a_reader_whose_consumer_died_goes_on_where_it_was(log: KafkaLog, topic: str) -> None:
    await _send(log, topic, 5)
    async with log.reader([topic], group=None) as alone, log.reader([topic], group=topic) as member:
        await _read(alone, 5)
        await _read(member, 5)
        await member.commit({TopicPartition(topic, 0): 5})
        for reader in (alone, member):
            assert reader._consumer is not None
            reader._consumer._fetcher.error_future.cancel()  # as an error of its background task would end it
        await _send(log, topic, 3)

        assert [record.offset for record in await _read(alone, 3)] == [5, 6, 7]
        assert [record.offset for record in await _read(member, 3)] == [5, 6, 7]


async def test_a_commit_of_what_the_group_took_away_is_refused(log: KafkaLog) -> None:
    name = f"t.{uuid.uuid4().hex}"
    await log.ensure_topics([TopicSpec(name, 2, DAY_MS)])
    async with log.reader([name], group=name) as first:
        await _until_owned(first, 2)
        async with log.reader([name], group=name) as second:
            await _until_owned(second, 1, first)
            (taken,) = second.assignment()

            with pytest.raises(CommitRefused) as refusal:
                await first.commit({taken: 0})

            assert refusal.value.partitions == {taken}


async def test_leaving_gives_the_partitions_to_the_next_reader_at_once(
    log: KafkaLog, topic: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("hookmill.log.kafka.consumer._SESSION_TIMEOUT_MS", 2_000 * round(DEADLINE_S))
    async with log.reader([topic], group=topic) as first:
        await _until_owned(first, 1)

    async with log.reader([topic], group=topic) as second:
        await _until_owned(second, 1)  # within its deadline: the session of the first would have lasted twice as long


async def _send(log: KafkaLog, topic: str, count: int) -> None:
    async with log.sender() as sender:
        await sender.send(topic, [NewRecord(b"%d" % index) for index in range(count)])


async def _read(reader: KafkaReader, count: int) -> list[Record]:
    """The next `count` records of the reader, and that it owns something."""
    records: list[Record] = []
    async with asyncio.timeout(DEADLINE_S):
        while len(records) < count or not reader.assignment():
            for span in await reader.poll(0.5):
                records += span.records
    return records


async def _read_to_end(log: KafkaLog, topic: str) -> list[Record]:
    records: list[Record] = []
    async with log.reader([topic], group=None) as reader:
        (end,) = (await reader.end_positions()).values()
        while not records or records[-1].offset < end - 1:
            for span in await reader.poll(1):
                records += span.records
    return records


async def _until_owned(reader: KafkaReader, count: int, *others: KafkaReader) -> None:
    async with asyncio.timeout(DEADLINE_S):
        while len(reader.assignment()) != count:
            await asyncio.gather(*(one.poll(0.1) for one in (reader, *others)))
