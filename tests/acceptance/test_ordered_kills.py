"""Two processes run an ordered source and are killed again and again: order of every key, repair, and the books."""

import asyncio
import contextlib
import random
import time
from collections import defaultdict
from collections.abc import AsyncIterator, Mapping
from pathlib import Path

import msgspec
import pytest

from hookmill import codec
from hookmill.headers import DELIVERY_COUNT, FORMAT, HTTP, RECEIVED_AT, REQUEST_ID, SOURCE
from hookmill.ids import ordering_key
from hookmill.records import NewRecord, Record
from hookmill.registry import Function, Source, function_version, publish
from hookmill.topics import Topic
from redelivery.letters import Letter, read_letter
from redelivery.redrive import redrive
from tests.processes import Process
from tests.redelivery.bookkeeping import Account, account
from tests.redelivery.installation import Installation, install

KEYS = 12
DEADLINE_S = 90.0
DELAYS = "0.3,0.3,0.3,0.3,0.3"

BROKEN = """
import segment

async def on_request(request, settings):
    body = request.json()
    if body["breaks"]:
        raise ValueError("broken")
    segment.track(event=f"{body['key']}-{body['number']}", user_id=body["key"])
"""
REPAIRED = BROKEN.replace('if body["breaks"]', "if False")


def deployed(code: str, on_failure: str) -> tuple[Function, Source]:
    version = function_version("function.py", code)
    options = {"timeout_ms": 10_000, "retries": 1, "order_by": "/key", "on_failure": on_failure}
    source = Source("shop", "Shop", (), version, **options)  # type: ignore[arg-type]
    return Function("shop", version, "python", "function.py", code), source


class Trial:
    """Webhooks of some keys, of which every third key has one that breaks the function."""

    def __init__(self, installation: Installation, folder: Path, seed: int) -> None:
        self.installation = installation
        self.random = random.Random(seed)
        self.sent: dict[str, int] = dict.fromkeys((f"k{number}" for number in range(KEYS)), 0)
        self.breaks: dict[str, int] = {}
        environment = {**installation.environment, "HOOKMILL_RETRY__DELAYS_S": DELAYS}
        self.workers = [Process(["process"], folder / f"process-{number}", environment) for number in range(2)]
        self.mover = Process(["mover"], folder / "mover", environment)

    async def deploy(self, code: str, on_failure: str) -> None:
        names = self.installation.names
        await publish(self.installation.log, names.full(Topic.REGISTRY), deployed(code, on_failure))

    async def send(self, count: int) -> None:
        """`count` webhooks, each the next of a key chosen at random."""
        records = []
        for _ in range(count):
            key = self.random.choice(list(self.sent))
            number = self.sent[key]
            self.sent[key] += 1
            breaks = key in ("k0", "k3", "k6", "k9") and number == 5
            if breaks:
                self.breaks[key] = number
            records.append(webhook(key, number, breaks=breaks))
        await self.installation.send(Topic.WEBHOOKS, *records)

    async def send_and_kill(self, kills: int) -> None:
        """Webhooks come all the time; one process after another is killed and started again."""
        is_over = asyncio.Event()  # not cancelled: nobody would know what of the last send arrived
        async with asyncio.TaskGroup() as group:
            group.create_task(self._send_until(is_over))
            for number in range(kills):
                await asyncio.sleep(self.random.uniform(0.5, 2.5))
                victim = self.workers[number % len(self.workers)]
                victim.kill()
                await asyncio.to_thread(victim.start)
            is_over.set()
        while min(self.sent.values()) < 8:  # on a busy machine few were sent, perhaps none that breaks the function
            await self.send(10)

    async def _send_until(self, is_over: asyncio.Event) -> None:
        while not is_over.is_set():
            await self.send(10)
            await asyncio.sleep(0.1)

    @contextlib.asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        processes = [*self.workers, self.mover]
        try:
            await asyncio.gather(*(asyncio.to_thread(process.start) for process in processes))
            yield
        finally:
            for process in processes:
                process.kill()

    async def settled(self, *, waiting: int) -> Account:
        """The books, once all is delivered but what breaks the function and, so many, what waits behind it."""
        deadline_s = time.monotonic() + DEADLINE_S
        while True:
            found = await account(self.installation)
            counts = {state: found.counts.get(state, 0) for state in ("in_flight", "missing", "waiting", "dead")}
            if counts == {"in_flight": 0, "missing": 0, "waiting": waiting, "dead": len(self.breaks)}:
                return found
            assert time.monotonic() < deadline_s, (found.counts, waiting, found.missing)
            await asyncio.sleep(0.5)

    @property
    def behind_broken(self) -> int:
        """How many webhooks come after one of their key that breaks the function."""
        return sum(self.sent[key] - number - 1 for key, number in self.breaks.items())

    async def letters(self) -> list[Letter]:
        found = [read_letter(record) for record in await self.installation.records(Topic.DEAD_LETTERS)]
        return [letter for letter in found if isinstance(letter, Letter)]

    async def delivered(self) -> Mapping[str, list[int]]:
        """The numbers of events by key, in the order of their first appearance."""
        found: defaultdict[str, dict[int, None]] = defaultdict(dict)
        for record in await self.installation.records(Topic.EVENTS):
            key, number = name_of(record)
            found[key].setdefault(number)
        return {key: list(numbers) for key, numbers in found.items()}


def webhook(key: str, number: int, *, breaks: bool) -> NewRecord:
    http = codec.HttpRequest("POST", "https://in.example/", [("content-type", "application/json")])
    said = {
        FORMAT: b"1",
        REQUEST_ID: f"{key}-{number}".encode(),
        SOURCE: b"shop",
        RECEIVED_AT: b"%d" % (time.time_ns() // 1_000),
        DELIVERY_COUNT: b"1",
        HTTP: codec.encode(http),
    }
    body = codec.encode({"key": key, "number": number, "breaks": breaks})
    return NewRecord(body, ordering_key("shop", key), tuple(said.items()))


def name_of(event: Record) -> tuple[str, int]:
    key, _, number = msgspec.json.decode(event.value or b"")["event"].partition("-")
    return key, int(number)


@pytest.fixture(params=["sqlite", pytest.param("kafka", marks=pytest.mark.kafka)])
def trial(request: pytest.FixtureRequest, tmp_path: Path, seed: int) -> Trial:
    servers = request.getfixturevalue("kafka_bootstrap") if request.param == "kafka" else None
    return Trial(asyncio.run(install(tmp_path / "data", servers)), tmp_path, seed)


LONG = [pytest.mark.nightly, pytest.mark.timeout(900)]


@pytest.mark.timeout(300)
@pytest.mark.parametrize("kills", [pytest.param(2, marks=pytest.mark.kills), pytest.param(30, marks=LONG)])
async def test_killed_processes_lose_nothing_and_keep_the_order_of_keys_that_park(trial: Trial, kills: int) -> None:
    await trial.deploy(BROKEN, "park")
    async with trial.running():
        await trial.send_and_kill(kills)
        await trial.settled(waiting=trial.behind_broken)
        held = await trial.delivered()
        await trial.deploy(REPAIRED, "park")
        await redrive(trial.installation.log, trial.installation.names, await trial.letters(), lambda count: None)
        trial.breaks.clear()
        await trial.send(40)
        after = await trial.settled(waiting=0)

    total = sum(trial.sent.values())
    assert {key: numbers for key, numbers in held.items() if key in ("k0", "k3", "k6", "k9")} == {
        key: list(range(5)) for key in ("k0", "k3", "k6", "k9")
    }
    assert after.counts["delivered"] == total
    assert await trial.delivered() == {key: list(range(count)) for key, count in trial.sent.items()}


@pytest.mark.parametrize("kills", [pytest.param(15, marks=LONG)])
async def test_killed_processes_keep_the_order_of_what_does_not_fail(trial: Trial, kills: int) -> None:
    await trial.deploy(BROKEN, "pass")
    async with trial.running():
        await trial.send_and_kill(kills)
        found = await trial.settled(waiting=0)

    expected = {
        key: [number for number in range(count) if number != trial.breaks.get(key)] for key, count in trial.sent.items()
    }
    assert found.counts["delivered"] == sum(map(len, expected.values()))
    assert await trial.delivered() == expected
