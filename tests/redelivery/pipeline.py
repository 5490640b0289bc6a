"""A function stage and SQLite warehouses that run, for tests of replays: deployed versions, webhooks, rows."""

import asyncio
import json
import sqlite3
import time
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager, closing
from dataclasses import dataclass
from pathlib import Path

import msgspec

from hookmill.codec import HttpRequest, encode
from hookmill.config import ProcessorsConfig, RetryConfig
from hookmill.lifecycle import running
from hookmill.records import NewRecord, TopicPartition
from hookmill.registry import Function, Sink, Source, publish
from hookmill.topics import Topic
from processors.inputs import GROUP, WEBHOOK_TOPICS
from processors.runtimes.contract import Code, Invocation, Outcome, Status
from processors.service import FunctionStage
from redelivery.replay import find_bounds, preview, run
from redelivery.replay_journal import Journals, Progress, State
from redelivery.replay_plan import Mode, ReplayPlan
from redelivery.scan import Scan
from sinks.warehouses.sqlite import SqliteWarehouse
from sinks.worker import SinkWorker
from tests.processors.parts import ScriptedPool, ok
from tests.redelivery.installation import Installation, install

BEGIN_MS = time.time_ns() // 1_000_000 - 3_600_000
OLD = Function("shop", "old", "python", "function.py", "...")
NEW = Function("shop", "new", "python", "function.py", "...")
SHOP = Source("shop", "Shop", (), "old", retries=0)
WAREHOUSE = Sink("warehouse", "sqlite", events=True, objects=True)
FRESH = Sink("fresh", "sqlite", events=True, objects=True, options={"path": "fresh.db"})
DELAYS_S = (0.1, 0.2, 0.3, 0.4, 0.5)
STANDSTILL_S = 180.0
"""What is on its way takes as long as it takes; what commits nothing for so long hangs."""
Rows = dict[str, list[tuple[object, ...]]]


def webhook(number: int) -> NewRecord:
    """Each is received a millisecond after the one before."""
    said = {
        "format": b"1",
        "request-id": b"r%d" % number,
        "source": b"shop",
        "received-at": b"%d" % ((BEGIN_MS + number) * 1_000),
        "http": encode(HttpRequest("POST", "https://in.example/", [])),
        "delivery-count": b"1",
    }
    return NewRecord(b'{"n": %d}' % number, headers=tuple(said.items()), timestamp_ms=BEGIN_MS + number)


def old_function(number: int) -> Outcome:
    order = {"collection": "orders", "id": number % 500, "properties": {"total": number}}
    return ok([{"type": "track", "event": "Order Paid", "userId": "u", "properties": {"total": number}}], [order])


def new_function(number: int) -> Outcome:
    """Some of the old events under another name, with other properties; events, properties and users besides."""
    name = "Order Paid" if number % 2 else "Order Refunded"
    paid = {"type": "track", "event": name, "userId": "u", "properties": {"sum": number * 2}}
    user = {"type": "identify", "userId": f"u{number % 300}", "traits": {"last": number}}
    order = {"collection": "orders", "id": number % 500, "properties": {"total": number * 2, "currency": "EUR"}}
    return ok([paid, user], [order])


def narrow_function(number: int) -> Outcome:
    """Makes less than the old one: of every third webhook nothing, of the others no object."""
    if number % 3 == 0:
        return Outcome(Status.DROPPED, 1.0)
    return ok([{"type": "track", "event": "Seen", "userId": "u"}])


FUNCTIONS = {"old": old_function, "new": new_function, "narrow": narrow_function}


def script(code: Code, invocation: Invocation) -> Outcome:
    number = json.loads(invocation.body)["n"]
    return msgspec.structs.replace(FUNCTIONS[code.version](number), duration_ms=0.1)


def file_of(sink: Sink) -> str:
    return str(sink.options.get("path", "warehouse.db"))


@dataclass
class Pipeline:
    """A function stage and sinks that run."""

    installation: Installation
    folder: Path
    sinks: Sequence[Sink]
    source: Source = SHOP

    async def deploy(self, version: str) -> None:
        """Webhooks run with it from now on."""
        source = msgspec.structs.replace(self.source, function_version=version)
        functions = [msgspec.structs.replace(OLD, version=known) for known in FUNCTIONS]
        topic = self.installation.names.full(Topic.REGISTRY)
        await publish(self.installation.log, topic, [*functions, source, *self.sinks])

    async def drain(self) -> None:
        """Everything that is on the topics is in the sinks."""
        await passed(self.installation, GROUP, *WEBHOOK_TOPICS)
        topics = (Topic.EVENTS, Topic.OBJECTS, Topic.EVENTS_REDELIVERY, Topic.OBJECTS_REDELIVERY)
        for sink in self.sinks:
            await passed(self.installation, f"sinks.{sink.name}", *topics)

    async def replay(self, mode: Mode, **changes: object) -> Progress:
        """All webhooks go again, and what comes of that is in the sinks."""
        log, names = self.installation.log, self.installation.names
        topic = names.full(Topic.WEBHOOKS)
        now_ms = time.time_ns() // 1_000_000
        bounds = await find_bounds(log, topic, 0, now_ms)
        plan = ReplayPlan(
            id=f"replay-{now_ms}",
            created_at_ms=now_ms,
            source="shop",
            from_ms=0,
            to_ms=now_ms,
            where=(),
            mode=mode,
            function_version="",
            to_sink="",
            per_second=0,
            topic=topic,
            log=log.description,
            starts=bounds.starts,
            ends=bounds.ends,
        )
        plan = msgspec.structs.replace(plan, **changes)
        counted = await preview(log, plan)
        journals = Journals(self.folder)
        progress = await run(log, names, journals, Progress(plan, counted.webhooks, 0, plan.starts), lambda count: None)
        assert (progress.state, progress.sent) == (State.DONE, counted.webhooks)
        await self.drain()
        return progress

    def rows(self, sink: Sink = WAREHOUSE) -> Rows:
        """Of every table, columns of our own left out."""
        file = self.installation.config.data_dir / file_of(sink)
        with closing(sqlite3.connect(f"file:{file}?mode=ro", uri=True)) as database:
            tables = [name for (name,) in database.execute("SELECT name FROM sqlite_master WHERE type = 'table'")]
            return {name: _rows(database, name) for name in tables if not name.startswith("_")}

    def bytes(self) -> Rows:
        """Of every table, everything."""
        file = self.installation.config.data_dir / "warehouse.db"
        with closing(sqlite3.connect(f"file:{file}?mode=ro", uri=True)) as database:
            tables = [name for (name,) in database.execute("SELECT name FROM sqlite_master WHERE type = 'table'")]
            return {name: sorted(database.execute(f'SELECT * FROM "{name}"'), key=repr) for name in tables}


async def passed(installation: Installation, role: str, *topics: Topic) -> None:
    """The group has committed what is on the topics now. Fails when it commits nothing for minutes."""
    full = [installation.names.full(topic) for topic in topics]
    before: Mapping[TopicPartition, int] = {}
    heard = time.monotonic()
    while True:
        async with Scan(installation.log, full) as scan:
            ends = {place: end for place, end in scan.ends.items() if end}
        committed = await installation.log.committed(installation.names.group(role), full)
        if all(committed.get(place, 0) >= end for place, end in ends.items()):
            return
        if committed != before:
            before, heard = committed, time.monotonic()
        assert time.monotonic() - heard < STANDSTILL_S, f"{role} stands still at {committed} of {ends}"
        await asyncio.sleep(0.1)


def _rows(database: sqlite3.Connection, table: str) -> list[tuple[object, ...]]:
    """The rows as pairs of column and value, without nulls: columns may come in any order."""
    found = database.execute(f'SELECT * FROM "{table}"')
    names = [column[0] for column in found.description]
    return sorted(
        tuple(
            sorted(
                (name, value) for name, value in zip(names, row, strict=True) if name[0] != "_" and value is not None
            )
        )
        for row in found
    )


@asynccontextmanager
async def pipeline(
    folder: Path,
    count: int,
    version: str = "old",
    sinks: Sequence[Sink] = (WAREHOUSE,),
    bootstrap_servers: str | None = None,
    source: Source = SHOP,
) -> AsyncIterator[Pipeline]:
    """With `count` webhooks that have passed through the version; on the embedded log unless Kafka is named."""
    installation = await install(folder / "data", bootstrap_servers)
    config, names = installation.config, installation.names
    changes = {"processors": ProcessorsConfig(commit_interval_s=0.1), "retry": RetryConfig(delays_s=DELAYS_S)}
    config = config.model_copy(update=changes)
    opened = Pipeline(installation, folder / "journals", sinks, source)
    await opened.deploy(version)
    workers = [
        SinkWorker(config.sinks, sink, installation.log, names, SqliteWarehouse(config.data_dir / file_of(sink)))
        for sink in sinks
    ]
    stage = FunctionStage(config, lambda processors: ScriptedPool(script))
    async with running([stage, *workers]):
        for start in range(0, count, 1_000):
            some = [webhook(number) for number in range(start, min(count, start + 1_000))]
            await installation.send(Topic.WEBHOOKS, *some)
        await opened.drain()
        yield opened
