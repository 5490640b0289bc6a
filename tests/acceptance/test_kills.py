"""10,000 webhooks while every stage is killed once in the middle: what was answered 202 has its row and its event."""

import asyncio
import json
import random
import sqlite3
from collections import defaultdict
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import aiohttp
import msgspec
import pytest

from console.tokens import TokenFile
from hookmill.config import load_config
from hookmill.headers import MESSAGE_ID, REQUEST_ID, text_header
from hookmill.log import open_log
from hookmill.topics import Topic
from tests.processes import Process, free_port, run_hookmill, started, wait_until

WEBHOOKS = 10_000
CONNECTIONS = 16
KILL_AT = {"ingest": 2_500, "process": 5_000, "sink": 7_500}

FUNCTION = """
async function onRequest(request) {
  const body = request.json()
  Segment.track({ event: 'Counted', userId: `u-${body.n % 100}`, properties: { n: body.n, pad: body.pad } })
  Segment.set({ collection: 'counters', id: String(body.n), properties: { n: body.n } })
}
"""


def make_project(folder: Path) -> None:
    source = folder / "sources" / "count"
    source.mkdir(parents=True)
    # Nothing here moves a webhook that ran out of time on a busy machine back from where it waits.
    (source / "source.toml").write_text('function = "function.js"\ntimeout_ms = 10000\n')
    (source / "function.js").write_text(FUNCTION)
    (folder / "sinks.toml").write_text('[warehouse]\nkind = "sqlite"\npath = "warehouse.db"\n')


class Load:
    """Posts every webhook until it is answered 202, as a provider that retries would."""

    def __init__(self, url: str, seed: int) -> None:
        self._url = url
        self._random = random.Random(seed)
        self.accepted: dict[int, list[str]] = defaultdict(list)

    async def run(self, on_progress: dict[int, Callable[[], None]]) -> None:
        waiting = list(range(WEBHOOKS))
        connector = aiohttp.TCPConnector(limit=CONNECTIONS)
        async with aiohttp.ClientSession(connector=connector, timeout=aiohttp.ClientTimeout(total=20)) as session:

            async def worker() -> None:
                while waiting:
                    n = waiting.pop()
                    await self._post_until_accepted(session, n)
                    act = on_progress.pop(len(self.accepted), None)
                    if act is not None:
                        await asyncio.to_thread(act)

            async with asyncio.timeout(240), asyncio.TaskGroup() as tasks:
                for _ in range(CONNECTIONS):
                    tasks.create_task(worker())

    async def _post_until_accepted(self, session: aiohttp.ClientSession, n: int) -> None:
        body = json.dumps({"n": n, "pad": "x" * self._random.randint(1_000, 2_000)}).encode()
        while True:
            try:
                async with session.post(self._url, data=body) as answer:
                    if answer.status == 202:
                        self.accepted[n].append((await answer.json())["request_id"])
                        return
                    assert answer.status == 503, await answer.text()
            except (aiohttp.ClientError, TimeoutError):
                pass
            await asyncio.sleep(0.1)


async def run_with_kills(folder: Path, environment: dict[str, str], seed: int) -> Load:
    """The load through three processes, each killed and started again once; at the end all is in the warehouse."""
    port = free_port()
    processes = {
        "ingest": Process(["ingest", "--port", str(port)], folder / "ingest", environment),
        "process": Process(["process"], folder / "process", environment),
        "sink": Process(["sink"], folder / "sink", environment),
    }

    def kill_and_restart(name: str) -> Callable[[], None]:
        def act() -> None:
            processes[name].kill()
            processes[name].start()

        return act

    token = TokenFile(folder).get("count")
    load = Load(f"http://127.0.0.1:{port}/v1/webhooks/{token}", seed)
    with started(*processes.values()):
        await load.run({count: kill_and_restart(name) for name, count in KILL_AT.items()})
        warehouse = folder / "data" / "warehouse.db"
        await asyncio.to_thread(
            wait_until, lambda: missing_rows(warehouse, load) == 0, 90, "every accepted webhook has its row and event"
        )
        for process in processes.values():
            process.stop()
    return load


def missing_rows(warehouse: Path, load: Load) -> int:
    """Accepted webhooks without object row, plus those without event row."""
    if not warehouse.exists():
        return 2 * len(load.accepted)
    with closing(sqlite3.connect(f"file:{warehouse}?mode=ro", uri=True, timeout=10)) as connection:
        try:
            rows = {n for (n,) in connection.execute("SELECT n FROM count__counters")}
            events = {n for (n,) in connection.execute("SELECT n FROM count__counted")}
        except sqlite3.OperationalError:
            return 2 * len(load.accepted)
    return len(load.accepted.keys() - rows) + len(load.accepted.keys() - events)


async def message_ids_by_request(environment: dict[str, str]) -> dict[str, set[str]]:
    """Every message id on the events topic, repeats of the same work included."""
    overrides: dict[str, object] = {"data_dir": environment["HOOKMILL_DATA_DIR"]}
    overrides["kafka"] = {"bootstrap_servers": environment.get("HOOKMILL_KAFKA__BOOTSTRAP_SERVERS")}
    overrides["topics"] = {"prefix": environment["HOOKMILL_TOPICS__PREFIX"]}
    config = load_config(overrides)
    found: dict[str, set[str]] = defaultdict(set)
    async with open_log(config).reader([config.topics.names.full(Topic.EVENTS)], group=None) as reader:
        missing = sum((await reader.end_positions()).values())
        while missing > 0:
            for span in await reader.poll(5):
                missing -= len(span.records)
                for record in span.records:
                    message_id = text_header(record.headers, MESSAGE_ID)
                    assert message_id == msgspec.json.decode(record.value or b"")["messageId"]
                    found[text_header(record.headers, REQUEST_ID)].add(message_id)
    return found


@pytest.fixture(params=["embedded", pytest.param("kafka", marks=pytest.mark.kafka)])
def environment(request: pytest.FixtureRequest, tmp_path: Path, seed: int) -> dict[str, str]:
    """The variables of all stages, per log."""
    common = {"HOOKMILL_DATA_DIR": str(tmp_path / "data"), "HOOKMILL_TOPICS__PREFIX": f"kills-{seed}."}
    if request.param == "embedded":
        return common
    return {**common, "HOOKMILL_KAFKA__BOOTSTRAP_SERVERS": request.getfixturevalue("kafka_bootstrap")}


@pytest.mark.kills
@pytest.mark.timeout(400)
async def test_nothing_accepted_is_missing_after_a_kill_of_every_stage(
    tmp_path: Path, environment: dict[str, str], seed: int
) -> None:
    make_project(tmp_path)
    for command in (["topics", "ensure"], ["apply", str(tmp_path)]):
        code, output = await asyncio.to_thread(run_hookmill, *command, env=environment)
        assert code == 0, output

    load = await run_with_kills(tmp_path, environment, seed)

    assert len(load.accepted) == WEBHOOKS
    ids = await message_ids_by_request(environment)
    accepted_requests = {request_id for ids in load.accepted.values() for request_id in ids}
    assert accepted_requests <= ids.keys()
    assert {len(found) for found in ids.values()} == {1}
    with closing(sqlite3.connect(tmp_path / "data" / "warehouse.db")) as connection:
        (event_rows,) = connection.execute("SELECT count(*) FROM count__counted").fetchone()
        (object_rows,) = connection.execute("SELECT count(*) FROM count__counters").fetchone()
    # A request whose 202 was lost in the kill was sent again under a new id: its first copy is an event of its own.
    assert event_rows == len(ids) >= WEBHOOKS
    assert object_rows == WEBHOOKS
