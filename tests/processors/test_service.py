"""The function stage in a running loop, on the embedded log."""

import asyncio
import json
import logging
import signal
from collections.abc import Sequence
from pathlib import Path

import pytest

from hookmill.errors import TopicMissing
from hookmill.headers import CRASHES, ERROR_CLASS, ORIGIN, REQUEST_ID, SOURCE, text_header
from hookmill.topics import Topic
from processors.app import app as module_app
from processors.runtimes.contract import Code, Invocation, Outcome, Status
from processors.service import FunctionStage
from tests.processors.embedded import DEADLINE_S, EmbeddedLog
from tests.processors.parts import SHOP, SHOP_CODE, SLOW, SLOW_CODE, Script, ScriptedPool, ok

TRACK = {"type": "track", "event": "a", "userId": "u"}


def stage_of(embedded: EmbeddedLog, script: Script) -> FunctionStage:
    return FunctionStage(embedded.config, lambda config: ScriptedPool(script))


@pytest.fixture
async def embedded(tmp_path: Path) -> EmbeddedLog:
    prepared = EmbeddedLog(tmp_path)
    await prepared.prepare(SHOP_CODE, SHOP)
    return prepared


async def test_webhooks_become_events_and_are_committed(embedded: EmbeddedLog) -> None:
    await embedded.receive("shop", [b"1"] * 10)
    stage = stage_of(embedded, lambda code, invocation: ok([TRACK]))

    await stage.start()
    early = await embedded.read(Topic.EVENTS, 10)
    await embedded.receive("shop", [b"2"] * 10)
    events = await embedded.read(Topic.EVENTS, 20)
    await stage.stop()

    assert (len(early), len(events)) == (10, 20)
    assert await embedded.uncommitted() == 0


async def test_an_unexpected_error_ends_the_service_and_its_webhooks_come_again(embedded: EmbeddedLog) -> None:
    def script(code: Code, invocation: Invocation) -> Outcome:
        raise RuntimeError("bug")

    await embedded.receive("shop", [b"1"] * 3)
    stage = stage_of(embedded, script)

    await stage.start()
    with pytest.raises(ExceptionGroup) as raised:
        async with asyncio.timeout(DEADLINE_S):
            await stage.wait()
    await stage.stop()

    assert raised.value.subgroup(RuntimeError) is not None
    assert await embedded.uncommitted() == 3


async def test_a_webhook_that_ends_the_service_three_times_is_a_dead_letter_and_those_beside_it_are_delivered(
    embedded: EmbeddedLog,
) -> None:
    def script(code: Code, invocation: Invocation) -> Outcome:
        if invocation.body == b"poison":
            raise RuntimeError("bug")
        return ok([TRACK])

    await embedded.receive("shop", [b"1", b"poison", b"2"])
    crashes = 0
    async with asyncio.timeout(DEADLINE_S):
        while not await embedded.records(Topic.DEAD_LETTERS):
            stage = stage_of(embedded, script)
            await stage.start()
            with pytest.raises(ExceptionGroup):
                await stage.wait()
            await stage.stop()
            crashes += 1

    [letter] = await embedded.records(Topic.DEAD_LETTERS)
    events = await embedded.records(Topic.EVENTS)
    reports = [json.loads(record.value or b"") for record in await embedded.records(Topic.INVOCATIONS)]
    assert crashes == 3
    assert letter.value == b"poison"
    assert text_header(letter.headers, ERROR_CLASS) == "pipeline-crash"
    assert {text_header(event.headers, REQUEST_ID) for event in events} == {"shop-0", "shop-2"}
    assert {report["requestId"]: report["next"] for report in reports} == {
        "shop-0": "delivered",
        "shop-1": "dead",
        "shop-2": "delivered",
    }
    assert await embedded.uncommitted() == 0


async def test_a_stop_while_no_runner_can_be_had_is_quick_and_leaves_the_webhooks(embedded: EmbeddedLog) -> None:
    asked = asyncio.Event()

    def script(code: Code, invocation: Invocation) -> Outcome:
        asked.set()
        return Outcome(Status.INFRA, 0.0)

    await embedded.receive("shop", [b"1"] * 3)
    stage = stage_of(embedded, script)
    await stage.start()
    async with asyncio.timeout(DEADLINE_S):
        await asked.wait()

    async with asyncio.timeout(15):  # a drain may take 20 s
        await stage.stop()

    assert await embedded.uncommitted() == 3


async def test_stages_that_come_and_go_share_the_work_and_lose_nothing(embedded: EmbeddedLog) -> None:
    stages = [stage_of(embedded, lambda code, invocation: ok([TRACK])) for _ in range(3)]
    batches = [f"{number}-".encode() * 40 for number in range(8)]

    await stages[0].start()
    await stages[1].start()
    for batch in batches[:4]:
        await embedded.receive("shop", [batch] * 50)
    await stages[0].stop()
    await stages[2].start()
    for batch in batches[4:]:
        await embedded.receive("shop", [batch] * 50)
    await stages[1].stop()
    await embedded.read(Topic.EVENTS, 400, lambda event: text_header(event.headers, ORIGIN))
    await stages[2].stop()

    assert await embedded.uncommitted() == 0


class HangingPool(ScriptedPool):
    """A pool in which the function of `slow` never ends."""

    def __init__(self, script: Script) -> None:
        super().__init__(script)
        self.is_hanging = asyncio.Event()

    async def run(self, code: Code, invocations: Sequence[Invocation]) -> Sequence[Outcome]:
        if code.source == "slow":
            self.is_hanging.set()
            await asyncio.Event().wait()
        return await super().run(code, invocations)


async def test_work_that_outlasts_the_drain_is_cancelled_and_left(tmp_path: Path) -> None:
    embedded = EmbeddedLog(tmp_path, drain_timeout_s=0.1)
    await embedded.prepare(SLOW_CODE, SLOW)
    await embedded.receive("slow", [b"1"])
    pool = HangingPool(lambda code, invocation: ok())
    stage = FunctionStage(embedded.config, lambda config: pool)
    await stage.start()
    async with asyncio.timeout(DEADLINE_S):
        await pool.is_hanging.wait()

    async with asyncio.timeout(DEADLINE_S):
        await stage.stop()

    assert await embedded.uncommitted() == 1


async def test_after_an_unexpected_error_the_work_of_others_has_its_time_and_no_more(tmp_path: Path) -> None:
    embedded = EmbeddedLog(tmp_path / "data", drain_timeout_s=0.5)

    def script(code: Code, invocation: Invocation) -> Outcome:
        raise RuntimeError("bug")

    await embedded.prepare(SHOP_CODE, SHOP, SLOW_CODE, SLOW)
    pool = HangingPool(script)
    stage = FunctionStage(embedded.config, lambda config: pool)
    await stage.start()
    async with asyncio.timeout(DEADLINE_S):
        await embedded.receive("slow", [b"1"])
        await pool.is_hanging.wait()
        await embedded.receive("shop", [b"1"])
        with pytest.raises(ExceptionGroup):
            await stage.wait()

    async with asyncio.timeout(DEADLINE_S):
        await stage.stop()

    [again] = await embedded.records(Topic.WEBHOOKS_REDELIVERY)
    assert (text_header(again.headers, SOURCE), text_header(again.headers, CRASHES)) == ("shop", "1")
    # That of the source that hangs, and the one above; its original too where it was behind the other.
    assert await embedded.uncommitted() in {2, 3}


async def test_a_log_without_topics_fails_the_start(tmp_path: Path) -> None:
    stage = stage_of(EmbeddedLog(tmp_path), lambda code, invocation: ok())

    with pytest.raises(TopicMissing):
        await stage.start()


async def test_the_stage_leaves_the_process_to_its_owner(
    embedded: EmbeddedLog, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    monkeypatch.chdir(elsewhere)
    handlers, level = list(logging.getLogger().handlers), logging.getLogger().level
    signals = [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM, signal.SIGUSR2)]
    tasks = asyncio.all_tasks()
    capfd.readouterr()
    stage = stage_of(embedded, lambda code, invocation: ok())

    await stage.start()
    during = [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM, signal.SIGUSR2)]
    await stage.stop()
    await asyncio.sleep(0)

    assert during == signals
    assert (logging.getLogger().handlers, logging.getLogger().level) == (handlers, level)
    assert "ƒaµS†" not in "".join(capfd.readouterr())
    assert list(elsewhere.iterdir()) == []
    assert asyncio.all_tasks() == tasks


def test_importing_the_app_reads_no_configuration() -> None:
    assert not hasattr(module_app, "config")
