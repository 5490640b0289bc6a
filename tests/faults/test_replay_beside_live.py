"""Row 30: a repair replay while live webhooks come in; no new rows, and the live ones hardly wait."""

import asyncio
import json
import time
from pathlib import Path

import pytest

from hookmill.lifecycle import running
from hookmill.records import NewRecord
from hookmill.registry import Function, Source, function_version, publish
from hookmill.topics import Topic
from processors.inputs import GROUP, WEBHOOK_TOPICS
from sinks.warehouses.sqlite import SqliteWarehouse
from tests.faults.outlets import Timed, outlet, percentile
from tests.faults.trials import trials
from tests.processes import Process, run_hookmill, started
from tests.processors.parts import webhook_headers
from tests.redelivery.installation import Installation, install
from tests.redelivery.pipeline import passed
from tests.sinks.database import query

pytestmark = pytest.mark.quiet

CODE = """
async def on_request(request, settings):
    body = request.json()
    segment.track(event='Paid', user_id='u', properties=body)
"""
VERSION = function_version("function.py", CODE)
RATE = 50
ALONE_S = 10.0
REPLAY = ("replay", "--source", "shop", "--from", "1d", "--to", "now", "--yes")
REPLAY_S = 3_600.0
QUIET = {"HOOKMILL_LOGGING__LEVEL": "warning"}
SLOWER = 2.0
NOISE_S = 0.3
"""What the 99th percentile differs by from run to run on a machine with other work."""


class Live:
    """Live webhooks, `RATE` a second, until told to stop."""

    def __init__(self, installation: Installation) -> None:
        self.sent = 0
        self._installation = installation

    async def flow(self, is_over: asyncio.Event) -> None:
        began_s, step = time.monotonic(), 0
        topic = self._installation.names.full(Topic.WEBHOOKS)
        # One sender for all: on Kafka the time it takes to open one would count.
        async with self._installation.log.sender() as sender:
            while not is_over.is_set():
                await sender.send(topic, [webhook("live", self.sent + place) for place in range(RATE // 10)])
                self.sent += RATE // 10
                step += 1
                await asyncio.sleep(max(0.0, began_s + step / 10 - time.monotonic()))


def webhook(source: str, number: int) -> NewRecord:
    """Tells when it was sent."""
    now_s = time.time()
    said = webhook_headers(source, f"{source}-{number}", received_at=b"%d" % round(now_s * 1e6))
    return NewRecord(json.dumps({"n": number, "sentAt": now_s}).encode(), headers=said)


@trials("webhooks", short=10_000, full=1_000_000, deadline_s=7_200)
async def test_a_repair_beside_live_webhooks_adds_nothing_and_hardly_delays_them(
    memory_path: Path, engine: str | None, webhooks: int
) -> None:
    installation = await install(memory_path / "data", engine)
    await prepare(installation, webhooks)
    live, warehouse = Live(installation), Timed(SqliteWarehouse(memory_path / "w.db"), "live")
    process = Process(["process"], memory_path / "process", {**installation.environment, **QUIET})

    with started(process):
        async with running([outlet(installation, "warehouse", warehouse)]):
            await through(installation)
            alone_s, beside_s, seconds = await flow_alone_and_beside(installation, live, warehouse)
        await asyncio.to_thread(process.stop)

    rows = query(memory_path / "w.db", "SELECT count(*), count(DISTINCT n) FROM shop__paid")[0]
    live_rows = query(memory_path / "w.db", "SELECT count(*), count(DISTINCT n) FROM live__paid")[0]
    p99_s = percentile(alone_s, 0.99), percentile(beside_s, 0.99)
    print(
        f"row 30: repair of {webhooks:,} webhooks in {seconds:.0f} s, {rows[0] - webhooks} new rows; p99 of "
        f"{live.sent:,} live ones {p99_s[0] * 1e3:.0f} ms alone, {p99_s[1] * 1e3:.0f} ms beside it"
    )
    assert rows == (webhooks, webhooks)
    assert live_rows == (live.sent, live.sent)
    assert p99_s[1] < SLOWER * p99_s[0] + NOISE_S


async def prepare(installation: Installation, webhooks: int) -> None:
    """The webhooks that will be replayed are stored."""
    for name in ("shop", "live"):
        entities = [Function(name, VERSION, "python", "function.py", CODE), Source(name, name, (), VERSION)]
        await publish(installation.log, installation.names.full(Topic.REGISTRY), entities)
    for first in range(0, webhooks, 1_000):
        await installation.send(Topic.WEBHOOKS, *(webhook("shop", n) for n in range(first, first + 1_000)))


async def flow_alone_and_beside(
    installation: Installation, live: Live, warehouse: Timed
) -> tuple[list[float], list[float], float]:
    """What live webhooks took without the replay and with it, and how long that took."""
    is_over = asyncio.Event()
    flowing = asyncio.create_task(live.flow(is_over))
    try:
        await asyncio.sleep(ALONE_S / 5)
        warehouse.taken()
        await asyncio.sleep(ALONE_S)
        alone_s, began = warehouse.taken(), time.monotonic()
        code, output = await asyncio.to_thread(run_hookmill, *REPLAY, env=installation.environment, deadline_s=REPLAY_S)
        assert code == 0, output
        await passed(installation, GROUP, Topic.WEBHOOKS_REPLAY)
        beside_s, seconds = warehouse.taken(), time.monotonic() - began
    finally:
        is_over.set()
        await flowing
    await through(installation)
    return alone_s, beside_s, seconds


async def through(installation: Installation) -> None:
    """Everything that was sent is in the warehouse."""
    await passed(installation, GROUP, *WEBHOOK_TOPICS)
    await passed(installation, "sinks.warehouse", Topic.EVENTS)
