"""Messages on a topic of one's own."""

import asyncio
import uuid
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from hookmill.config import KafkaConfig
from hookmill.errors import ConfigError
from hookmill.log.contract import Log
from hookmill.log.kafka import KafkaLog
from hookmill.log.sqlite import SqliteLog
from hookmill.records import Record
from hookmill.registry import Sink as SinkDefinition
from hookmill.topics import TopicNames, TopicSpec
from sinks.contract import Message, RecordRejected, Sink
from sinks.open import check_sink, open_sink
from sinks.options import Surroundings
from sinks.streams.kafka import TopicStream
from tests.sinks.messages import RECEIVED_AT, deletion, event, write

PAID = event("m1", event="Paid", userId="u1")
DEAL = write("d1", 1, {"title": "A"})


def sink_of(log: Log, topic: str, **options: Any) -> Sink:
    definition = SinkDefinition("out", "kafka", events=True, objects=True, options={"topic": topic, **options})
    return open_sink(definition, Surroundings(Path(), log, TopicNames(partitions=1)))


async def written(log: Log, topic: str, batch: Sequence[Message], **options: Any) -> list[Record]:
    """The records that the topic has when the batch is written."""
    async with sink_of(log, topic, **options) as sink:
        await sink.write(batch)
    found: list[Record] = []
    async with asyncio.timeout(60.0), log.reader([topic], group=None) as reader:
        while len(found) < len(batch):
            for span in await reader.poll(1.0):
                found += span.records
    return found


@pytest.fixture(params=["sqlite", pytest.param("kafka", marks=pytest.mark.kafka)])
def log(request: pytest.FixtureRequest, tmp_path: Path) -> Log:
    if request.param == "kafka":
        return KafkaLog(KafkaConfig(bootstrap_servers=request.getfixturevalue("kafka_bootstrap")))
    return SqliteLog(tmp_path / "log")


@pytest.fixture
def topic() -> str:
    return f"mine.{uuid.uuid4().hex}"


async def test_messages_are_records_in_their_order(log: Log, topic: str) -> None:
    nobody = event("m2", event="Paid")

    records = await written(log, topic, [PAID, DEAL, nobody])

    assert [(record.value, record.key, record.headers) for record in records] == [
        (PAID.raw, b"u1", _headers(b"m1")),
        (DEAL.raw, b"pipedrive/deals/d1", _headers(b"m-deals-d1-1")),
        (nobody.raw, None, _headers(b"m2")),
    ]


def _headers(message_id: bytes) -> tuple[tuple[str, bytes], ...]:
    return (("source", b"pipedrive"), ("message-id", message_id), ("content-type", b"application/json"))


async def test_cloudevents_are_told_by_headers(log: Log, topic: str) -> None:
    records = await written(log, topic, [PAID, DEAL, deletion("d1", 2)], cloudevents=True)

    told = [{name: value for name, value in record.headers if name.startswith("ce_")} for record in records]
    assert told == [
        {
            "ce_specversion": b"1.0",
            "ce_id": b"m1",
            "ce_source": b"/sources/pipedrive",
            "ce_type": b"hookmill.track",
            "ce_time": b"2026-11-23T09:59:00.000Z",
        },
        {
            "ce_specversion": b"1.0",
            "ce_id": b"m-deals-d1-1",
            "ce_source": b"/sources/pipedrive",
            "ce_type": b"hookmill.object",
            "ce_time": RECEIVED_AT.encode(),
        },
        {
            "ce_specversion": b"1.0",
            "ce_id": b"m-deals-d1-2",
            "ce_source": b"/sources/pipedrive",
            "ce_type": b"hookmill.object.delete",
            "ce_time": RECEIVED_AT.encode(),
        },
    ]


async def test_a_message_larger_than_the_topic_takes_is_rejected_alone(log: Log, topic: str) -> None:
    batch = [event(f"m{n}", text="x" * (2_000 if n == 3 else 10)) for n in range(7)]
    async with TopicStream(log, TopicSpec(topic, 1, 60_000, max_record_bytes=1_000), is_cloudevents=False) as sink:
        with pytest.raises(RecordRejected) as caught:
            await sink.write(batch)

    assert list(caught.value.rejected) == [3]
    assert f"topic {topic} does not take it" in caught.value.rejected[3]


async def test_the_pipeline_cannot_be_fed_with_what_it_made(log: Log) -> None:
    with pytest.raises(ConfigError, match=r"topic hookmill\.webhooks is one of the pipeline's own"):
        sink_of(log, "hookmill.webhooks")


@pytest.mark.parametrize("topic", ["", "..", "with space", "x" * 250])
def test_a_topic_that_cannot_be_is_refused(topic: str) -> None:
    with pytest.raises(ConfigError, match="topic may have letters"):
        check_sink(SinkDefinition("out", "kafka", events=True, objects=True, options={"topic": topic}))
