"""Streams that post, behind a worker on the embedded log."""

import asyncio
from pathlib import Path

import pytest
from aiohttp import web

from hookmill.config import SinksConfig
from hookmill.lifecycle import running
from hookmill.log.sqlite import SqliteLog
from hookmill.registry import Only
from hookmill.registry import Sink as SinkDefinition
from hookmill.topics import Topic, TopicNames
from sinks.open import open_sink
from sinks.options import Surroundings
from sinks.worker import SinkWorker
from tests.sinks.destination import Destination, Request
from tests.sinks.messages import event, event_record, object_record, write
from tests.sinks.segment_server import WRITE_KEY, SegmentServer

DEADLINE_S = 60.0
CONFIG = SinksConfig(batch_timeout_s=0.02, batch_records=100)
NAMES = TopicNames(partitions=1)


async def test_from_the_log_to_segment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Filtered, rejected, held for a moment and delivered: every event ends once at Segment or in the dead letters."""
    monkeypatch.setenv("SEGMENT_WRITE_KEY", WRITE_KEY)
    log = SqliteLog(tmp_path / "log")
    await log.ensure_topics(NAMES.specs())
    events = [event(f"m{n}", event="Paid", userId="u") for n in range(250)]
    nobody, unwanted = event("nobody", event="Paid"), event("other", event="Opened", userId="u")
    async with log.sender() as sender:
        await sender.send(NAMES.full(Topic.EVENTS), [event_record(sent) for sent in [*events, nobody, unwanted]])
        await sender.send(NAMES.full(Topic.OBJECTS), [object_record(write("d1", 1, {"a": 1}))])
    server = SegmentServer()

    async def away_at_first(request: Request) -> web.Response:
        return web.Response(status=503) if len(destination.requests) == 1 else await server.answer(request)

    async with Destination() as destination:
        destination.answer = away_at_first
        definition = SinkDefinition(
            "crm",
            "segment",
            events=True,
            objects=True,
            options={
                "write_key_env": "SEGMENT_WRITE_KEY",
                "url": destination.url(""),
                "objects_url": destination.url("/"),
            },
            only=Only(events=("Paid",)),
        )
        sink = open_sink(definition, Surroundings(tmp_path, log, NAMES, allow_private=True))
        worker = SinkWorker(CONFIG, definition, log, NAMES, sink)
        async with running([worker]), asyncio.timeout(DEADLINE_S):
            while not (lag := await worker.lag()) or any(lag.values()):
                await asyncio.sleep(0.01)

    assert sorted(item["messageId"] for item in server.events) == sorted(f"m{n}" for n in range(250))
    assert server.objects == {("deals", "d1"): {"a": 1}}
    async with log.reader([NAMES.full(Topic.DEAD_LETTERS)], group=None) as reader:
        (span,) = await reader.poll(5.0)
    assert [record.value for record in span.records] == [nobody.raw]
    assert dict(span.records[0].headers)["error"] == b"it has neither userId nor anonymousId"
