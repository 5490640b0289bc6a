"""Ordered sources through the function stage: order per key, parking, repair, and what goes on beside it."""

import asyncio
import contextlib
import itertools
import time
from collections import defaultdict
from collections.abc import Callable, Sequence
from pathlib import Path

import msgspec
import pytest

from hookmill import codec
from hookmill.config import Config
from hookmill.ids import ordering_key
from hookmill.lifecycle import running
from hookmill.records import NewRecord
from hookmill.registry import publish
from hookmill.topics import Topic
from processors.runtimes.contract import Code, Invocation, Outcome, Status
from processors.service import FunctionStage
from redelivery.letters import Letter, read_letter
from redelivery.mover import Mover
from redelivery.redrive import drop, redrive
from tests.processors.parts import SHOP, SHOP_CODE, ScriptedPool, failed, ok, webhook_headers
from tests.redelivery.bookkeeping import account
from tests.redelivery.installation import Installation, install

DEADLINE_S = 60.0
DELAYS_S = (0.2, 1.0, 3.0, 10.0, 10.0)
"""The later ones leave time for a repair."""
ORDERED = msgspec.structs.replace(SHOP, order_by="/key", retries=1)
PARKING = msgspec.structs.replace(ORDERED, on_failure="park")


@pytest.fixture(params=["sqlite", pytest.param("kafka", marks=pytest.mark.kafka)])
def installation(request: pytest.FixtureRequest, tmp_path: Path) -> Installation:
    servers = request.getfixturevalue("kafka_bootstrap") if request.param == "kafka" else None
    return asyncio.run(install(tmp_path, servers))


def impatient(config: Config) -> Config:
    return config.model_copy(update={"retry": config.retry.model_copy(update={"delays_s": DELAYS_S})})


class Shop:
    """A function that notes what it was run on, and fails on what `broken` names: keys, or webhooks as `key-number`."""

    def __init__(self) -> None:
        self.broken: set[str] = set()
        self.poison = ""
        """The webhook on which the stage itself fails."""
        self.ran: list[str] = []
        self.pool = ScriptedPool(self.run)

    def run(self, code: Code, invocation: Invocation) -> Outcome:
        body = msgspec.json.decode(invocation.body)
        name = f"{body['key']}-{body['number']}"
        self.ran.append(name)
        if name == self.poison:
            raise RuntimeError("a bug")
        if self.broken & {body["key"], name}:
            return failed(Status.ERROR)
        return ok([{"type": "track", "event": name, "userId": body["key"]}])


def webhook(key: str, number: int, source: str = "shop") -> NewRecord:
    return NewRecord(
        codec.encode({"key": key, "number": number}),
        ordering_key(source, key),
        webhook_headers(source, f"{key}-{number}"),
    )


class Pipeline:
    """The stage with a function in the test's hands, and a mover."""

    def __init__(self, installation: Installation, shop: Shop) -> None:
        self.installation = installation
        self.shop = shop
        config = impatient(installation.config)
        self._config = config

    def services(self, stages: int = 1) -> list[FunctionStage | Mover]:
        mover = Mover(self._config.retry, self.installation.log, self.installation.names)
        return [mover, *(FunctionStage(self._config, lambda processors: self.shop.pool) for _ in range(stages))]

    async def receive(self, *webhooks: NewRecord) -> None:
        await self.installation.send(Topic.WEBHOOKS, *webhooks)

    async def delivered(self) -> dict[str, list[int]]:
        """The numbers of events by key, in the order of their first appearance."""
        found: defaultdict[str, list[int]] = defaultdict(list)
        for record in await self.installation.records(Topic.EVENTS):
            key, _, number = msgspec.json.decode(record.value or b"")["event"].rpartition("-")
            if int(number) not in found[key]:
                found[key].append(int(number))
        return dict(found)

    async def until(self, condition: Callable[[dict[str, list[int]]], bool]) -> dict[str, list[int]]:
        """What is delivered, as soon as the condition holds for it."""
        delivered: dict[str, list[int]] = {}
        try:
            async with asyncio.timeout(DEADLINE_S):
                while not condition(delivered := await self.delivered()):
                    await asyncio.sleep(0.1)
        except TimeoutError:
            raise AssertionError(f"delivered within {DEADLINE_S:g} s: {delivered}") from None
        return delivered

    async def until_books(self, counts: dict[str, int]) -> None:
        """The books come to say so, and nothing is missing."""
        found = await account(self.installation)
        deadline_s = time.monotonic() + DEADLINE_S
        while (found.counts, found.missing) != (counts, {}):
            assert time.monotonic() < deadline_s, (found.counts, found.missing)
            await asyncio.sleep(0.2)
            found = await account(self.installation)

    async def letters(self, count: int) -> list[Letter]:
        """The dead letters that are not settled, as soon as there are so many."""
        async with asyncio.timeout(DEADLINE_S):
            while True:
                found = [read_letter(record) for record in await self.installation.records(Topic.DEAD_LETTERS)]
                settled = {each.id for each in found if not isinstance(each, Letter)}
                letters = [each for each in found if isinstance(each, Letter) and each.id not in settled]
                if len(letters) >= count:
                    return letters
                await asyncio.sleep(0.1)


@pytest.fixture
async def pipeline(installation: Installation) -> Pipeline:
    return Pipeline(installation, Shop())


async def deploy(installation: Installation, source: object) -> None:
    await publish(installation.log, installation.names.full(Topic.REGISTRY), [SHOP_CODE, source])  # type: ignore[list-item]


async def test_webhooks_of_a_key_run_in_the_order_of_receipt(pipeline: Pipeline) -> None:
    await deploy(pipeline.installation, ORDERED)
    keys = [f"k{number}" for number in range(7)]
    for start in range(0, 300, 100):
        await pipeline.receive(*(webhook(key, number) for number in range(start, start + 100) for key in keys))

    async with running(pipeline.services()):
        delivered = await pipeline.until(lambda found: sum(map(len, found.values())) == 2_100)

    assert delivered == {key: list(range(300)) for key in keys}
    assert ran_in_order(pipeline.shop.ran)


async def test_a_failed_webhook_is_overtaken_by_default(pipeline: Pipeline) -> None:
    await deploy(pipeline.installation, ORDERED)
    pipeline.shop.broken = {"a-1"}
    await pipeline.receive(*(webhook("a", number) for number in range(4)))

    async with running(pipeline.services()):
        await pipeline.until(lambda found: found.get("a") == [0, 2, 3])
        [letter] = await pipeline.letters(1)

    assert letter.request_id == "a-1"
    assert pipeline.shop.ran.count("a-1") == 2


async def test_behind_a_failed_webhook_its_key_waits_and_all_others_flow(pipeline: Pipeline) -> None:
    await deploy(pipeline.installation, PARKING)
    pipeline.shop.broken = {"a-1"}
    await pipeline.receive(*(webhook(key, number) for number in range(4) for key in ("a", "b", "c")))

    async with running(pipeline.services()):
        await pipeline.letters(1)
        await pipeline.receive(*(webhook(key, number) for number in range(4, 6) for key in ("a", "b", "c")))
        delivered = await pipeline.until(lambda found: len(found.get("b", [])) == len(found.get("c", [])) == 6)
        await pipeline.until_books({"received": 18, "delivered": 13, "dead": 1, "waiting": 4})

    assert delivered == {"a": [0], "b": [*range(6)], "c": [*range(6)]}


@pytest.mark.parametrize("how", ["repaired in time", "redriven", "dropped", "not parking any more"])
async def test_after_repair_a_key_drains_in_order(pipeline: Pipeline, how: str) -> None:
    installation = pipeline.installation
    source = msgspec.structs.replace(PARKING, retries=5) if how == "repaired in time" else PARKING
    await deploy(installation, source)
    pipeline.shop.broken = {"a-1"}
    await pipeline.receive(*(webhook("a", number) for number in range(30)))

    async with running(pipeline.services()):
        if how == "repaired in time":
            async with asyncio.timeout(DEADLINE_S):
                while pipeline.shop.ran.count("a-1") < 2:
                    await asyncio.sleep(0.05)
        else:
            letters = await pipeline.letters(1)
        assert await pipeline.delivered() == {"a": [0]}
        pipeline.shop.broken = set()
        match how:
            case "redriven":
                await redrive(installation.log, installation.names, letters, lambda count: None)
            case "dropped":
                await drop(installation.log, installation.names, letters, lambda count: None)
            case "not parking any more":
                await deploy(installation, ORDERED)
        is_given_up = how in ("dropped", "not parking any more")
        expected = [number for number in range(30) if number != 1 or not is_given_up]
        await pipeline.until(lambda found: len(found["a"]) == len(expected))
        await pipeline.receive(webhook("a", 30))
        delivered = await pipeline.until(lambda found: found["a"][-1] == 30)
        given_up = {"dropped": "dropped", "not parking any more": "dead"}.get(how)
        books = {"received": 31, "delivered": len(expected) + 1}
        await pipeline.until_books(books | ({given_up: 1} if given_up else {}))

    assert delivered == {"a": [*expected, 30]}


async def test_order_survives_processes_that_come_and_go(pipeline: Pipeline) -> None:
    await deploy(pipeline.installation, PARKING)
    pipeline.shop.broken = {"a-3"}
    keys = ["a", *(f"k{number}" for number in range(8))]
    numbers = itertools.count()

    async def receive(rounds: int) -> None:
        for number in itertools.islice(numbers, rounds):
            await pipeline.receive(*(webhook(key, number) for key in keys))

    mover, first, second = pipeline.services(stages=2)
    async with contextlib.AsyncExitStack() as stack:
        await stack.enter_async_context(running([mover]))
        leaving = await stack.enter_async_context(contextlib.AsyncExitStack())
        await leaving.enter_async_context(running([first]))
        await receive(20)
        await stack.enter_async_context(running([second]))
        await receive(20)
        await pipeline.letters(1)
        await leaving.aclose()
        await receive(20)
        held = await pipeline.until(lambda found: sum(map(len, found.values())) == 8 * 60 + 3)
        pipeline.shop.broken = set()
        letters = await pipeline.letters(1)
        await redrive(pipeline.installation.log, pipeline.installation.names, letters, lambda count: None)
        delivered = await pipeline.until(lambda found: len(found["a"]) == 60)

    assert held["a"] == [0, 1, 2]
    assert delivered == {key: list(range(60)) for key in keys}


def ran_in_order(ran: Sequence[str]) -> bool:
    """Of each key, every webhook ran first after those before it."""
    last: dict[str, int] = {}
    for name in dict.fromkeys(ran):
        key, _, number = name.rpartition("-")
        if int(number) < last.get(key, -1):
            return False
        last[key] = int(number)
    return True


async def test_a_parked_webhook_on_which_the_stage_itself_fails_is_given_up(pipeline: Pipeline) -> None:
    """Those of its key before it are delivered; those behind it wait for the dead letter to be settled."""
    installation, shop = pipeline.installation, pipeline.shop
    await deploy(installation, PARKING)
    shop.broken = {"a-0"}
    await pipeline.receive(*(webhook("a", number) for number in range(4)))
    async with running(pipeline.services()):
        letters = await pipeline.letters(1)
        await pipeline.until_books({"received": 4, "dead": 1, "waiting": 3})
    shop.broken, shop.poison = set(), "a-2"
    await redrive(installation.log, installation.names, letters, lambda count: None)

    crashes = 0
    while [letter.error_class for letter in await pipeline.letters(0)] != ["pipeline-crash"]:
        mover, stage = pipeline.services()
        async with asyncio.timeout(DEADLINE_S), running([mover]):
            with pytest.raises(ExceptionGroup):
                async with running([stage]):
                    await stage.wait()
        crashes += 1

    assert crashes == 3
    assert await pipeline.delivered() == {"a": [0, 1]}
    await pipeline.until_books({"received": 4, "delivered": 2, "dead": 1, "waiting": 1})


async def test_a_webhook_on_which_the_stage_itself_fails_does_not_break_the_order_of_its_key(
    pipeline: Pipeline,
) -> None:
    """Three processes end with an error of ours; then it is a dead letter, and those behind it are in order."""
    await deploy(pipeline.installation, ORDERED)
    await pipeline.receive(*(webhook("a", number) for number in range(6)))

    pipeline.shop.poison = "a-2"
    for _ in range(3):
        _, stage = pipeline.services()
        with pytest.raises(ExceptionGroup):
            async with running([stage]), asyncio.timeout(DEADLINE_S):
                await stage.wait()
    async with running(pipeline.services()):
        delivered = await pipeline.until(lambda found: len(found.get("a", [])) == 5)
        await pipeline.until_books({"received": 6, "delivered": 5, "dead": 1})

    assert delivered == {"a": [0, 1, 3, 4, 5]}
