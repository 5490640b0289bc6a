"""Row 28: sink worker and PostgreSQL are killed in the middle of transactions; no row is missing, none is doubled."""

import asyncio
import random
import time
from collections import Counter, defaultdict
from pathlib import Path

from hookmill.registry import Sink, publish
from hookmill.topics import Topic
from tests.faults.trials import trials
from tests.postgres_server import PASSWORD, PASSWORD_ENV, Database, PostgresServer
from tests.processes import Process, started
from tests.redelivery.installation import Installation, install
from tests.sinks.messages import event, event_record, object_record, write

ROUND = 2_000
"""Events and object writes that come before each kill: a few batches."""
OBJECTS = 700
BATCH = 500
DEADLINE_S = 60.0
_IN_TRANSACTION = """
SELECT 1 FROM pg_stat_activity
WHERE application_name = 'hookmill' AND xact_start IS NOT NULL AND state IN ('active', 'idle in transaction')
"""


@trials("count", short=5, full=100, deadline_s=3_600)
async def test_rows_are_those_of_the_messages_whatever_is_killed(
    tmp_path: Path, engine: str | None, seed: int, count: int
) -> None:
    chance, kills = random.Random(seed), Counter[str]()
    installation = await install(tmp_path / "data", engine)
    server = PostgresServer()
    try:
        await asyncio.to_thread(server.start)
        database = server.empty_database()
        await publish_sink(installation, database)
        worker = Process(["sink"], tmp_path / "sink", environment_of(installation))
        with started(worker):
            for number in range(count):
                await send_round(installation, number)
                await in_transaction(database)
                await asyncio.sleep(chance.uniform(0, 0.02))
                victim = chance.choice(["the worker", "PostgreSQL", "both"])
                kills[victim] += 1
                await asyncio.to_thread(kill, victim, worker, server)
            await written(database, count * ROUND)
            code, _ = await asyncio.to_thread(worker.stop)
        assert code == 0
        events = {number for (number,) in database.query("SELECT n FROM pipedrive.paid")}
        (rows,) = database.query("SELECT count(*) FROM pipedrive.paid")[0]
        different = different_objects(database, count * ROUND)
    finally:
        server.stop()

    missing = set(range(count * ROUND)) - events
    doubled = rows - len(events)
    print(
        f"row 28: {count} kills ({', '.join(f'{name} {times}' for name, times in kills.items())}), {rows:,} events, "
        f"{len(missing)} missing, {doubled} doubled, {len(different)} of {OBJECTS} objects differ"
    )
    assert (missing, doubled, different) == (set(), 0, {})
    assert await installation.records(Topic.DEAD_LETTERS) == []


async def publish_sink(installation: Installation, database: Database) -> None:
    options = {"password_env": PASSWORD_ENV, **database.address().parameters}
    options["port"] = int(options["port"])  # type: ignore[arg-type]
    sink = Sink("warehouse", "postgres", events=True, objects=True, options=options)  # type: ignore[arg-type]
    await publish(installation.log, installation.names.full(Topic.REGISTRY), [sink])


def environment_of(installation: Installation) -> dict[str, str]:
    return {
        **installation.environment,
        PASSWORD_ENV: PASSWORD,
        "HOOKMILL_SINKS__BATCH_RECORDS": str(BATCH),
        "HOOKMILL_LOGGING__LEVEL": "warning",
    }


async def send_round(installation: Installation, number: int) -> None:
    numbers = range(number * ROUND, (number + 1) * ROUND)
    await installation.send(
        Topic.EVENTS, *(event_record(event(f"m{n}", event="Paid", properties={"n": n})) for n in numbers)
    )
    await installation.send(
        Topic.OBJECTS, *(object_record(write(f"d{n % OBJECTS}", n, properties(n))) for n in numbers)
    )


def properties(number: int) -> dict[str, int]:
    return {"n": number, f"p{number % 3}": number}


async def in_transaction(database: Database) -> None:
    """The worker has a transaction open."""
    deadline = time.monotonic() + DEADLINE_S
    with database.server.connect(database.name) as connection:
        while not connection.execute(_IN_TRANSACTION).fetchone():
            assert time.monotonic() < deadline, "the worker writes nothing"
            await asyncio.sleep(0.001)


def kill(victim: str, worker: Process, server: PostgresServer) -> None:
    if victim != "PostgreSQL":
        worker.kill()
    if victim != "the worker":
        server.kill()
        server.start()
    if victim != "PostgreSQL":
        worker.start()


async def written(database: Database, events: int) -> None:
    """Everything is there, or nothing more comes."""
    seen, deadline = None, time.monotonic() + DEADLINE_S
    while time.monotonic() < deadline:
        if {"pipedrive.paid", "pipedrive.deals"} <= database.tables():
            (rows,) = database.query("SELECT count(*) FROM pipedrive.paid")[0]
            different = different_objects(database, events)
            if rows >= events and not different:
                return
            if (rows, different) != seen:
                seen, deadline = (rows, different), time.monotonic() + DEADLINE_S
        await asyncio.sleep(0.2)


def different_objects(database: Database, writes: int) -> dict[str, dict[str, int]]:
    """Of the objects that are not as the writes in their order make them, what is there."""
    expected: dict[str, dict[str, int]] = defaultdict(dict)
    for number in range(writes):
        expected[f"d{number % OBJECTS}"].update(properties(number))
    found = {
        name: {column: value for column, value in row.items() if column not in {"id", "received_at"}}
        for name, row in database.rows("pipedrive", "deals").items()
    }
    return {name: found.get(name, {}) for name in expected if found.get(name) != expected[name]}
