"""What the function stage makes of a webhook that a replay asked for."""

import asyncio
from collections.abc import Sequence

import msgspec
import pytest

from hookmill import headers
from hookmill.codec import decode_object
from hookmill.ids import message_id
from hookmill.records import Record, Span, TopicPartition
from hookmill.topics import Topic
from processors.feeder import Feeder
from processors.processor import RecordProcessor
from processors.runtimes.contract import Code, Invocation, Outcome, Status
from tests.processors.parts import (
    NAMES,
    RECEIVED_AT_US,
    SHOP,
    SHOP_CODE,
    KeepingSender,
    ScriptedPool,
    failed,
    ok,
    registry_of,
    span_of,
    webhook_record,
)
from tests.processors.test_feeder import ScriptedReader

OLD_CODE = msgspec.structs.replace(SHOP_CODE, version="v0")
REPLAYED = {"replay_id": b"replay-1", "origin": b"hookmill.webhooks:3:70"}


def version_of(code: Code, invocation: Invocation) -> Outcome:
    """One event and one object that tell which version ran."""
    event = {"type": "track", "event": code.version, "userId": "u"}
    return ok([event], [{"collection": "versions", "id": 1, "properties": {"version": code.version}}])


async def process(*records: Record, script: object = version_of, pool: ScriptedPool | None = None) -> KeepingSender:
    sender = KeepingSender()
    pool = pool or ScriptedPool(script)  # type: ignore[arg-type]
    registry = registry_of(SHOP_CODE, OLD_CODE, SHOP)
    await RecordProcessor(registry, pool, sender, NAMES, now_s=lambda: 1_800_000_000.0).process(span_of(*records))
    return sender


def run_versions(sender: KeepingSender) -> Sequence[str]:
    return [report.function_version for report in sender.reports()]


async def test_the_version_that_a_replay_names_runs_and_live_webhooks_run_the_deployed_one() -> None:
    sender = await process(
        webhook_record(0),
        webhook_record(1, replay_version=b"v0", **REPLAYED),
        webhook_record(2, **REPLAYED),
        webhook_record(3, replay_version=b"v0"),
    )

    versions = {report.request_id: report.function_version for report in sender.reports()}
    assert versions == {"shop-0": "v1", "shop-1": "v0", "shop-2": "v1", "shop-3": "v1"}


async def test_a_version_that_nobody_knows_makes_a_dead_letter_that_names_it() -> None:
    sender = await process(webhook_record(1, replay_version=b"v7", **REPLAYED))

    (letter,) = sender.of(Topic.DEAD_LETTERS)
    assert headers.text_header(letter.headers, headers.ERROR_CLASS) == "NoFunction"
    assert "version 'v7'" in headers.text_header(letter.headers, headers.ERROR)
    assert sender.of(Topic.EVENTS) == []


@pytest.mark.parametrize(
    ("header", "generation"), [(b"-1", -1), (b"1795521600000", 1_795_521_600_000), (b"-2", 0), (b"x", 0), (None, 0)]
)
async def test_outputs_of_a_replay_have_the_ids_they_had_and_its_generation(
    header: bytes | None, generation: int
) -> None:
    sender = await process(webhook_record(1, generation=header, **REPLAYED))

    (event,) = sender.of(Topic.EVENTS)
    (written,) = sender.of(Topic.OBJECTS)
    write = decode_object(written.value or b"")
    assert write.version == (RECEIVED_AT_US, 3, 70, generation, 0)
    assert write.message_id == message_id("shop", "shop-1", "object", 0)
    assert headers.text_header(event.headers, headers.MESSAGE_ID) == message_id("shop", "shop-1", "event", 0)
    assert headers.generation(event.headers) == generation
    (report,) = sender.of(Topic.INVOCATIONS)
    assert headers.text_header(report.headers, headers.REPLAY_ID) == "replay-1"


async def test_what_is_for_one_sink_goes_to_that_sink_alone() -> None:
    sender = await process(webhook_record(1, replay_to=b"fresh", **REPLAYED), webhook_record(2))

    (event,) = sender.of(Topic.EVENTS_REDELIVERY)
    (write,) = sender.of(Topic.OBJECTS_REDELIVERY)
    assert headers.text_header(event.headers, headers.STAGE) == "events:fresh"
    assert headers.text_header(write.headers, headers.STAGE) == "objects:fresh"
    for topic in (Topic.EVENTS, Topic.OBJECTS):
        (record,) = sender.of(topic)
        assert headers.text_header(record.headers, headers.REQUEST_ID) == "shop-2"


async def test_a_failed_webhook_waits_as_part_of_its_replay() -> None:
    asked = {**REPLAYED, "replay_version": b"v0", "generation": b"7", "replay_to": b"fresh"}

    sender = await process(webhook_record(1, **asked), script=lambda code, invocation: failed(Status.ERROR))

    (waiting,) = sender.of(Topic.DELAY_5S)
    found = dict(waiting.headers)
    assert found.items() >= {name.replace("_", "-"): value for name, value in asked.items()}.items()


async def test_a_replay_is_handed_out_in_parts_and_keeps_no_live_webhook_waiting() -> None:
    live, replay = TopicPartition("webhooks", 0), TopicPartition("webhooks.replay", 0)
    readers: list[ScriptedReader] = []
    feeder = Feeder(
        lambda listener: readers.append(ScriptedReader(listener)) or readers[0],  # type: ignore[func-returns-value]
        max_spans=1,  # so that nothing is read while one waits that counts
        commit_interval_s=0.01,
        when_idle=["webhooks.replay"],
    )
    await feeder.assigned([live, replay])
    reader = readers[0]
    reader.script = [[span_at(replay, 0, 60), span_at(live, 0)]]
    running = asyncio.create_task(feeder.run())
    taken: list[Span] = []

    async def work_on_next() -> None:
        taken.append(span := await feeder.next_span())
        assert feeder.begin(span)
        feeder.finish(span)
        feeder.end(span)

    try:
        async with asyncio.timeout(30):
            await work_on_next()
            await work_on_next()
            reader.script = [[span_at(live, 1)]]
            while reader.script:
                await asyncio.sleep(0.001)
            was_paused = replay in reader.paused
            for _ in range(3):
                await work_on_next()
    finally:
        running.cancel()
        await asyncio.wait([running])

    assert [(span.partition.topic, span.records[0].offset, len(span.records)) for span in taken] == [
        ("webhooks", 0, 1),
        ("webhooks.replay", 0, 25),
        ("webhooks", 1, 1),
        ("webhooks.replay", 25, 25),
        ("webhooks.replay", 50, 10),
    ]
    assert (was_paused, replay in reader.paused) == (True, False)


def span_at(place: TopicPartition, offset: int, count: int = 1) -> Span:
    records = (Record(*place, number, 0, None, b"", ()) for number in range(offset, offset + count))
    return Span(place, tuple(records))
