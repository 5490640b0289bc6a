"""A sink that is paused: it reads nothing and writes nothing, and goes on where it stopped."""

import asyncio
from collections.abc import Sequence
from pathlib import Path

import pytest
from prometheus_client import REGISTRY

from hookmill.errors import ConfigError
from hookmill.lifecycle import running
from hookmill.log.sqlite import SqliteLog
from hookmill.registry import Sink as SinkDefinition
from hookmill.topics import Topic
from sinks.contract import Message, Sink, SinkUnavailable
from sinks.warehouses.sqlite import SqliteWarehouse
from sinks.worker import SinkWorker
from tests.sinks.database import rows, tables
from tests.sinks.messages import object_record, write
from tests.sinks.test_worker import CONFIG, DEADLINE_S, NAMES, TOPICS, Scripted, drained

NAME = "paused"


@pytest.fixture
async def log(tmp_path: Path) -> SqliteLog:
    log = SqliteLog(tmp_path / "log")
    await log.ensure_topics([spec for spec in NAMES.specs() if spec.name in TOPICS])
    return log


def worker_on(log: SqliteLog, sink: Sink, paused: set[str], name: str = NAME) -> SinkWorker:
    definition = SinkDefinition(name=name, kind="sqlite", events=False, objects=True)
    return SinkWorker(CONFIG, definition, log, NAMES, sink, paused)


async def send(log: SqliteLog, first: int, behind: int) -> None:
    async with log.sender() as sender:
        records = [object_record(write(str(n), n, {"value": n})) for n in range(first, behind)]
        await sender.send(NAMES.full(Topic.OBJECTS), records)


async def seen_as_paused(*, is_paused: bool = True) -> None:
    async with asyncio.timeout(DEADLINE_S):
        while REGISTRY.get_sample_value("hookmill_sinks_paused", {"sink": NAME}) != is_paused:
            await asyncio.sleep(0.01)


async def read_by_another(log: SqliteLog, folder: Path) -> None:
    """Another sink has everything: a sink that reads would have had the time for it."""
    async with running([other := worker_on(log, SqliteWarehouse(folder / "other.db"), set(), "other")]):
        await drained(other)


async def test_a_paused_sink_reads_nothing_until_it_is_resumed(log: SqliteLog, tmp_path: Path) -> None:
    paused: set[str] = set()
    file = tmp_path / "w.db"
    await send(log, 0, 10)

    async with running([worker := worker_on(log, SqliteWarehouse(file), paused)]):
        await drained(worker)
        paused.add(NAME)
        await seen_as_paused()
        await send(log, 10, 100)
        await read_by_another(log, tmp_path)
        kept, lag = len(rows(file, "pipedrive__deals")), sum((await worker.lag()).values())
        paused.clear()
        await drained(worker)
        await seen_as_paused(is_paused=False)

    assert (kept, lag) == (10, 90)
    assert len(rows(file, "pipedrive__deals")) == 100


async def test_a_paused_sink_stays_so_in_the_next_process_and_ends_when_it_is_told(
    log: SqliteLog, tmp_path: Path
) -> None:
    await send(log, 0, 10)

    async with running([worker := worker_on(log, SqliteWarehouse(tmp_path / "w.db"), {NAME})]):
        await seen_as_paused()
        await read_by_another(log, tmp_path)
        lag = sum((await worker.lag()).values())

    assert lag == 10
    await seen_as_paused(is_paused=False)  # a worker that is gone is not paused
    assert not (tmp_path / "w.db").exists()
    async with running([worker := worker_on(log, SqliteWarehouse(tmp_path / "w.db"), set())]):
        await drained(worker)
    assert tables(tmp_path / "w.db") == {"pipedrive__deals"}


async def test_a_paused_sink_leaves_a_destination_alone_that_is_away(log: SqliteLog, tmp_path: Path) -> None:
    paused: set[str] = set()
    attempts: list[int] = []
    is_away = True

    async def away(batch: Sequence[Message]) -> None:
        attempts.append(len(batch))
        if is_away:
            raise SinkUnavailable("Nobody is there.")

    await send(log, 0, 10)
    sink = Scripted(SqliteWarehouse(tmp_path / "w.db"), away)

    async with running([worker := worker_on(log, sink, paused)]):
        async with asyncio.timeout(DEADLINE_S):
            while not attempts:
                await asyncio.sleep(0.01)
        paused.add(NAME)
        await seen_as_paused()
        before = len(attempts)
        await read_by_another(log, tmp_path)
        after = len(attempts)
        is_away = False
        paused.clear()
        await drained(worker)

    assert after == before
    assert len(rows(tmp_path / "w.db", "pipedrive__deals")) == 10


async def test_a_sink_that_cannot_be_opened_stops_nobody_while_it_is_paused(log: SqliteLog, tmp_path: Path) -> None:
    class Broken(Scripted):
        async def __aenter__(self) -> "Broken":
            raise ConfigError("It is of another kind.")

    async def nothing(batch: Sequence[Message]) -> None: ...

    sink = Broken(SqliteWarehouse(tmp_path / "w.db"), nothing)

    async with running([worker_on(log, sink, {NAME})]):
        await seen_as_paused()

    with pytest.raises(ConfigError):
        await worker_on(log, sink, set()).start()
