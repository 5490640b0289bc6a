"""Replays through function stage and SQLite warehouse (matrix rows 30, 31 and 49)."""

import asyncio
import random
import sqlite3
import time
from collections import Counter
from contextlib import closing
from pathlib import Path

import pytest

from hookmill import headers
from hookmill.errors import ConfigError
from hookmill.lifecycle import running
from hookmill.records import NewRecord
from hookmill.registry import publish
from hookmill.topics import Topic
from processors.runtimes.contract import Code, Invocation, Outcome, Status
from processors.service import FunctionStage
from redelivery.replay_journal import Journals, State
from redelivery.replay_plan import Mode
from tests.processes import HOOKMILL, clean_environment
from tests.processors.parts import ScriptedPool, failed
from tests.redelivery.installation import install
from tests.redelivery.pipeline import BEGIN_MS, FRESH, FUNCTIONS, OLD, SHOP, WAREHOUSE, Pipeline, pipeline, webhook

COUNTS = pytest.mark.parametrize("count", [2_000, pytest.param(100_000, marks=pytest.mark.nightly)])


@pytest.mark.timeout(900)
@COUNTS
async def test_a_repair_changes_nothing_that_is_there(tmp_path: Path, count: int) -> None:
    async with pipeline(tmp_path, count) as live:
        before = live.bytes()
        began = time.monotonic()
        await live.replay(Mode.REPAIR)
        print(f"repair of {count:,} webhooks: {time.monotonic() - began:.1f} s")
        await live.deploy("new")
        await live.replay(Mode.REPAIR, function_version="old")

        assert live.bytes() == before
        assert len(before["shop__tracks"]) == count


async def test_a_replay_that_was_planned_for_a_topic_before_it_was_created_anew_is_refused(tmp_path: Path) -> None:
    async with pipeline(tmp_path, 10) as live:
        with pytest.raises(ConfigError, match=r"it was created anew\. Start another replay\."):
            await live.replay(Mode.REPAIR, starts={0: 0}, ends={0: 1_000})

        assert await live.installation.records(Topic.WEBHOOKS_REPLAY) == []


@pytest.mark.timeout(900)
async def test_a_repair_brings_back_what_a_sink_has_lost_and_nothing_else(tmp_path: Path) -> None:
    async with pipeline(tmp_path, 1_000) as live:
        before = live.rows()
        with closing(sqlite3.connect(live.installation.config.data_dir / "warehouse.db", isolation_level=None)) as file:
            file.execute("DELETE FROM shop__tracks WHERE random() % 3 = 0")
            file.execute("DELETE FROM shop__orders WHERE random() % 3 = 0")
            assert file.execute("SELECT count(*) FROM shop__tracks").fetchone()[0] < 1_000

        await live.replay(Mode.REPAIR)

        assert live.rows() == before


@pytest.mark.timeout(900)
@COUNTS
async def test_a_recompute_gives_what_a_fresh_run_of_the_new_version_gives(tmp_path: Path, count: int) -> None:
    async with pipeline(tmp_path / "fresh", count, "new") as fresh:
        wanted = fresh.rows()

    async with pipeline(tmp_path / "live", count) as live:
        assert live.rows() != wanted
        began = time.monotonic()
        await live.replay(Mode.RECOMPUTE, function_version="new")
        print(f"recompute of {count:,} webhooks: {time.monotonic() - began:.1f} s")
        recomputed = live.rows()
        await live.replay(Mode.RECOMPUTE, function_version="new")

        assert recomputed == wanted
        assert live.rows() == wanted
        assert len(wanted["shop__order_paid"]) == count // 2


@pytest.mark.timeout(900)
async def test_a_new_version_that_makes_less_is_computed_into_a_sink_that_is_empty(tmp_path: Path) -> None:
    async with pipeline(tmp_path / "fresh", 500, "narrow") as fresh:
        wanted = fresh.rows()

    async with pipeline(tmp_path / "live", 500, sinks=(WAREHOUSE, FRESH)) as live:
        before = live.rows(WAREHOUSE)
        (live.installation.config.data_dir / "fresh.db").unlink()
        await live.replay(Mode.RECOMPUTE, function_version="narrow", to_sink="fresh")

        assert live.rows(FRESH) == wanted
        assert live.rows(WAREHOUSE) == before


@pytest.mark.timeout(900)
async def test_a_recompute_never_wins_over_a_later_webhook(tmp_path: Path) -> None:
    async with pipeline(tmp_path, 1_000) as live:
        await live.installation.send(Topic.WEBHOOKS, webhook(1_007))
        await live.drain()
        await live.replay(Mode.RECOMPUTE, function_version="new", to_ms=BEGIN_MS + 1_000)

        totals = {dict(row)["id"]: dict(row)["total"] for row in live.rows()["shop__orders"]}
        assert totals["7"] == 1_007
        assert totals["8"] == 1_016


@pytest.mark.timeout(900)
async def test_webhooks_that_fail_in_a_replay_are_dead_letters_and_their_rows_stay(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with pipeline(tmp_path, 100) as live:
        before = live.rows()
        monkeypatch.setitem(FUNCTIONS, "new", lambda number: failed(Status.ERROR))
        await live.replay(Mode.RECOMPUTE, function_version="new")

        assert live.rows() == before
        assert len(await live.installation.records(Topic.DEAD_LETTERS)) == 100


@pytest.mark.timeout(900)
@pytest.mark.parametrize(
    ("count", "per_second"),
    [pytest.param(1_400, 200, marks=pytest.mark.kills), pytest.param(100_000, 2_000, marks=pytest.mark.nightly)],
)
async def test_a_recompute_that_is_killed_and_resumed_gives_what_a_fresh_run_gives(
    tmp_path: Path, count: int, per_second: int
) -> None:
    seed = time.time_ns()
    print(f"seed {seed}")
    chance = random.Random(seed)
    async with pipeline(tmp_path / "fresh", count, "new") as fresh:
        wanted = fresh.rows()

    async with pipeline(tmp_path / "live", count) as live:
        chosen = ["--source", "shop", "--from", "1d", "--to", "now", "--mode", "recompute", "--function-version", "new"]
        journals = Journals(live.installation.config.data_dir / "replays")
        await killed_at(live, journals, chance.randrange(2 * per_second), *chosen, "--rate", str(per_second), "--yes")
        (first,) = journals.all()
        second = chance.randrange(first.sent, count * 5 // 7)
        await killed_at(live, journals, second, "--resume", first.plan.id)
        print(f"recompute of {count:,} webhooks, killed after {first.sent:,} and {journals.all()[0].sent:,}")
        assert await (await replaying(live, "--resume", first.plan.id)).wait() == 0
        await live.drain()

        assert live.rows() == wanted


async def killed_at(live: Pipeline, journals: Journals, sent: int, *arguments: str) -> None:
    """The command has sent more than so many, and is gone a moment later: it sends once a second."""
    process = await replaying(live, *arguments)
    async with asyncio.timeout(60):
        while not any(progress.sent > sent for progress in journals.all()):
            await asyncio.sleep(0.01)
    process.kill()
    await process.wait()
    assert journals.all()[0].state is State.UNFINISHED


async def replaying(live: Pipeline, *arguments: str) -> asyncio.subprocess.Process:
    return await asyncio.create_subprocess_exec(
        HOOKMILL,
        "replay",
        *arguments,
        env=clean_environment(live.installation.environment),
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.DEVNULL,
    )


@pytest.mark.timeout(900)
async def test_the_same_webhooks_give_the_same_bytes_and_ids_again(tmp_path: Path) -> None:
    """Matrix row 49."""
    async with pipeline(tmp_path, 500, "new") as live:
        await live.replay(Mode.REPAIR)
        await live.replay(Mode.REPAIR)

        for topic, in_live in ((Topic.EVENTS, 1_000), (Topic.OBJECTS, 500)):
            records = await live.installation.records(topic)
            made = Counter(
                (headers.text_header(record.headers, headers.MESSAGE_ID), record.key, record.value)
                for record in records
                if headers.generation(record.headers)
            )
            assert (len(records), len(made), set(made.values())) == (3 * in_live, in_live, {2})


@pytest.mark.timeout(900)
async def test_live_webhooks_run_before_a_replay_that_was_there_first(tmp_path: Path) -> None:
    ran: list[str] = []

    def note(code: Code, invocation: Invocation) -> Outcome:
        ran.append(invocation.request_id)
        return Outcome(Status.DROPPED, 0.01)

    installation = await install(tmp_path / "data", None)
    await publish(installation.log, installation.names.full(Topic.REGISTRY), [OLD, SHOP])
    for start in range(0, 20_000, 1_000):
        some = [webhook(number) for number in range(start, start + 1_000)]
        asked = {headers.REPLAY_ID: b"replay-1", headers.GENERATION: b"-1"}
        await installation.send(
            Topic.WEBHOOKS_REPLAY,
            *(NewRecord(each.value, headers=headers.with_headers(each.headers, asked)) for each in some),
        )
    await installation.send(Topic.WEBHOOKS, *(webhook(number) for number in range(20_000, 20_100)))

    async with running([FunctionStage(installation.config, lambda processors: ScriptedPool(note))]):
        async with asyncio.timeout(300):
            while len(ran) < 20_100:
                await asyncio.sleep(0.05)

    last_live = max(place for place, request_id in enumerate(ran) if int(request_id[1:]) >= 20_000)
    print(f"{last_live - 99:,} of 20,000 replayed webhooks ran before the last live one")
    assert last_live < 10_000
