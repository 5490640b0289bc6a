"""Row 32: the topic of webhooks is deleted and created anew, or gets more partitions; no id is ever made twice."""

import asyncio
import json
import time
from pathlib import Path

import pytest

from hookmill import headers
from hookmill.lifecycle import Service, running
from hookmill.records import NewRecord
from hookmill.registry import publish
from hookmill.topics import Topic
from processors.inputs import GROUP, WEBHOOK_TOPICS
from processors.runtimes.contract import Code, Invocation, Outcome
from processors.service import FunctionStage
from sinks.warehouses.sqlite import SqliteWarehouse
from tests.faults.outlets import outlet
from tests.faults.topics import add_partitions, recreate
from tests.faults.trials import trials
from tests.processors.parts import SHOP, SHOP_CODE, ScriptedPool, ok, webhook_headers
from tests.redelivery.installation import Installation, install
from tests.redelivery.pipeline import passed
from tests.sinks.database import query

ROUND = 400
OBJECTS = 50
BEGIN_MS = time.time_ns() // 1_000_000 - 3_600_000


def webhook(number: int) -> NewRecord:
    """Received a millisecond after the one before. Every other is a foreign producer's, without an id or a time."""
    taken_out = {"request_id": "", "received_at": None} if number % 2 else {"request_id": f"r-{number}"}
    at_ms = BEGIN_MS + number
    said = webhook_headers("shop", **{"received_at": b"%d" % (at_ms * 1_000), **taken_out})  # type: ignore[arg-type]
    return NewRecord(b"%d" % number, headers=said, timestamp_ms=at_ms)


def run(code: Code, invocation: Invocation) -> Outcome:
    number = json.loads(invocation.body)
    paid = {"type": "track", "event": "Paid", "userId": "u", "properties": {"n": number}}
    return ok([paid], [{"collection": "things", "id": number % OBJECTS, "properties": {"n": number}}])


def stages(installation: Installation, folder: Path) -> list[Service]:
    """Function stage and warehouse."""
    stage = FunctionStage(installation.config, lambda _: ScriptedPool(run))
    return [stage, outlet(installation, "warehouse", SqliteWarehouse(folder / "w.db"))]


async def through(installation: Installation) -> None:
    """Everything that was sent is in the warehouse."""
    await passed(installation, GROUP, *WEBHOOK_TOPICS)
    await passed(installation, "sinks.warehouse", Topic.EVENTS, Topic.OBJECTS)


async def assert_all_there(installation: Installation, folder: Path, sent: int, what: str) -> None:
    """Each webhook has its row, and each object what the latest webhook says."""
    rows, numbers = query(folder / "w.db", "SELECT count(*), count(DISTINCT n) FROM shop__paid")[0]
    objects = dict(query(folder / "w.db", "SELECT id, n FROM shop__things"))
    stale = [number for number in range(sent - OBJECTS, sent) if objects[str(number % OBJECTS)] != number]
    ids = {headers.header(event.headers, headers.MESSAGE_ID) for event in await installation.records(Topic.EVENTS)}
    print(
        f"row 32, {what}: {sent:,} webhooks, {len(ids):,} ids, {sent - numbers} taken for repetitions, "
        f"{rows - numbers} doubled, {len(stale)} of {OBJECTS} objects stale"
    )
    assert (rows, numbers, len(ids), stale) == (sent, sent, sent, [])


@trials("count", short=1, full=10, deadline_s=1_200)
async def test_a_topic_that_is_created_anew_brings_nothing_that_counts_as_a_repetition(
    tmp_path: Path, engine: str | None, count: int
) -> None:
    installation = await install(tmp_path / "data", engine)
    await publish(installation.log, installation.names.full(Topic.REGISTRY), [SHOP_CODE, SHOP])

    for number in range(1 + count):
        if number:
            await recreate(installation, Topic.WEBHOOKS)
        await installation.send(Topic.WEBHOOKS, *map(webhook, range(number * ROUND, (number + 1) * ROUND)))
        async with running(stages(installation, tmp_path)):
            await through(installation)

    await assert_all_there(installation, tmp_path, (1 + count) * ROUND, f"created anew {count} times")


@pytest.mark.kafka
@trials("count", short=1, full=10, deadline_s=1_200)
async def test_stages_that_run_meanwhile_read_the_new_topic(tmp_path: Path, kafka_bootstrap: str, count: int) -> None:
    installation = await install(tmp_path / "data", kafka_bootstrap)
    await publish(installation.log, installation.names.full(Topic.REGISTRY), [SHOP_CODE, SHOP])

    async with running(stages(installation, tmp_path)):
        for number in range(1 + count):
            if number:
                await recreate(installation, Topic.WEBHOOKS)
            await installation.send(Topic.WEBHOOKS, *map(webhook, range(number * ROUND, (number + 1) * ROUND)))
            await asyncio.wait_for(through(installation), 90)

    await assert_all_there(installation, tmp_path, (1 + count) * ROUND, f"created anew {count} times beside the stages")


@pytest.mark.kafka
@trials("count", short=1, full=4, deadline_s=1_200)
async def test_partitions_that_are_added_are_read(tmp_path: Path, kafka_bootstrap: str, count: int) -> None:
    installation = await install(tmp_path / "data", kafka_bootstrap)
    await publish(installation.log, installation.names.full(Topic.REGISTRY), [SHOP_CODE, SHOP])

    async with running(stages(installation, tmp_path)):
        for number in range(1 + count):
            if number:
                await add_partitions(installation, Topic.WEBHOOKS, 4 + 2 * number)
            await installation.send(Topic.WEBHOOKS, *map(webhook, range(number * ROUND, (number + 1) * ROUND)))
            await asyncio.wait_for(through(installation), 90)

    await assert_all_there(installation, tmp_path, (1 + count) * ROUND, f"{2 * count} partitions more")
