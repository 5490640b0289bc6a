"""`hookmill replay --dry-run`: what a replay would change, webhook by webhook, with real runners."""

import asyncio
import json
import time
from pathlib import Path

import pytest

from hookmill.codec import HttpRequest, encode
from hookmill.ids import message_id
from hookmill.lifecycle import running
from hookmill.records import NewRecord
from hookmill.registry import Function, Source, publish
from hookmill.topics import Topic
from processors.runtimes.contract import Code, Invocation, Outcome
from processors.service import FunctionStage
from tests.contracts.reading import eventually
from tests.processes import run_hookmill
from tests.processors.parts import ScriptedPool, ok
from tests.redelivery.installation import Installation, install

NEW_CODE = """
async def on_request(request, settings):
    order = request.json()
    if order["n"] == 5:
        raise RuntimeError("no more")
    if order["n"] == 4:
        raise DropEvent("not wanted")
    segment.track(user_id="u", event="Order Paid", properties={"total": 2 if order["n"] == 1 else 1})
    if order["n"] == 2:
        segment.track(user_id="u", event="Order Shipped")
    if order["n"] != 3:
        segment.set(collection="orders", id=order["n"], properties={"total": 1})
"""
OLD = Function("shop", "0011", "python", "function.py", "...")
NEW = Function("shop", "0022", "python", "function.py", NEW_CODE)
SHOP = Source("shop", "Shop", (), "0011", timeout_ms=10_000)
COUNT = 7


def old_function(code: Code, invocation: Invocation) -> Outcome:
    number = json.loads(invocation.body)["n"]
    event = {"type": "track", "userId": "u", "event": "Order Paid", "properties": {"total": 1}}
    return ok([event], [{"collection": "orders", "id": number, "properties": {"total": 1}}])


def webhook(number: int) -> NewRecord:
    now_ms = time.time_ns() // 1_000_000
    said = {
        "format": b"1",
        "request-id": b"r%d" % number,
        "source": b"shop",
        "received-at": b"%d" % (now_ms * 1_000),
        "http": encode(HttpRequest("POST", "https://in.example/", [("content-type", "application/json")])),
    }
    return NewRecord(b'{"n": %d}' % number, headers=tuple(said.items()), partition=0)


@pytest.fixture
def delivered(tmp_path: Path) -> Installation:
    """Webhooks that have passed through the old version."""

    async def prepare() -> Installation:
        installation = await install(tmp_path / "data", None)
        await publish(installation.log, installation.names.full(Topic.REGISTRY), [OLD, NEW, SHOP])
        async with running([FunctionStage(installation.config, lambda processors: ScriptedPool(old_function))]):
            await installation.send(Topic.WEBHOOKS, *map(webhook, range(COUNT)))

            async def is_over() -> bool:
                return len(await installation.records(Topic.INVOCATIONS)) == COUNT

            await eventually(is_over, "every webhook has run")
        return installation

    return asyncio.run(prepare())


def rehearse(installation: Installation, *arguments: str) -> list[str]:
    chosen = ("--source", "shop", "--from", "1h", "--to", "now", "--function-version", "0022", "--dry-run")
    code, output = run_hookmill("replay", *chosen, *arguments, "--log-level", "error", env=installation.environment)
    assert code == 0, output
    return output.splitlines()


def test_what_appears_changes_and_vanishes_is_told_by_webhook_and_summed_up(delivered: Installation) -> None:
    lines = rehearse(delivered, "--mode", "recompute")

    def id_of(number: int, kind: str, index: int = 0) -> str:
        return message_id("shop", f"r{number}", kind, index)

    shown = [line.partition("  received")[0] for line in lines]
    assert shown == [
        "r1",
        f"  ~ event track Order Paid ({id_of(1, 'event')})",
        "      properties.total: 1 -> 2",
        "r2",
        f"  + event track Order Shipped ({id_of(2, 'event', 1)})",
        "r3",
        f"  - object orders 3 ({id_of(3, 'object')})",
        "r4",
        f"  - event track Order Paid ({id_of(4, 'event')})",
        f"  - object orders 4 ({id_of(4, 'object')})",
        "r5",
        "  ! RuntimeError: no more (line 5)",
        "7 webhooks with version 0022: 5 delivered, 1 dropped, 1 failed.",
        "Messages: 1 would appear, 1 change, 3 vanish, 8 stay as they are.",
        "What would vanish stays in sinks that have it. Nothing was sent.",
    ]


def test_a_rehearsal_sends_nothing(delivered: Installation) -> None:
    async def everything() -> dict[Topic, int]:
        return {topic: len(await delivered.records(topic)) for topic in Topic}

    before = asyncio.run(everything())

    lines = rehearse(delivered, "--where", "/n=1")

    assert lines[-1] == "A repair only does what appears. Nothing was sent."
    assert lines[-3:-1] == [
        "1 webhook with version 0022: 1 delivered, 0 dropped, 0 failed.",
        "Messages: 0 would appear, 1 change, 0 vanish, 1 stay as they are.",
    ]
    assert asyncio.run(everything()) == before
    assert not (delivered.config.data_dir / "replays").exists()
