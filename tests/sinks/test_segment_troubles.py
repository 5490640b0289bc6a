"""Many messages to a Segment that holds to its documents, in good days and in bad ones."""

import asyncio
import contextlib
import random
from collections import Counter
from collections.abc import AsyncIterator, Sequence
from typing import Any

import msgspec
import pytest
from aiohttp import web

from sinks.contract import Event, Message, SinkUnavailable, SourcedObject
from sinks.streams.endpoint import Endpoint
from sinks.streams.segment import Segment
from tests.sinks.destination import Destination, Request
from tests.sinks.messages import event, write
from tests.sinks.segment_server import CALLS, WRITE_KEY, SegmentServer

BATCH = 500
TIMEOUT_S = 8.0
LATE = 2
"""Answers in all that come after the deadline: each costs it."""

MESSAGES = [pytest.param(2_000, id="2,000"), pytest.param(100_000, id="100,000", marks=pytest.mark.nightly)]
pytestmark = pytest.mark.timeout(900)


@pytest.fixture
def chance(seed: int) -> random.Random:
    return random.Random(seed)


@pytest.fixture
async def destination(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Destination]:
    monkeypatch.setenv("SEGMENT_WRITE_KEY", WRITE_KEY)
    async with Destination() as destination:
        yield destination


class Troubles:
    """Of a hundred answers five are 500, five 429 and five a reset, and a few come too late; half of the time the body
    was taken before."""

    def __init__(self, server: SegmentServer, chance: random.Random) -> None:
        self._server = server
        self._chance = chance
        self.uncertain: Counter[str] = Counter()
        """How often each message was taken without an answer that says so."""
        self.count: Counter[str] = Counter()

    async def answer(self, request: Request) -> web.Response | None:
        draw = self._chance.randrange(100)
        if draw >= 15 and not (draw == 15 and self.count["late"] < LATE):
            return await self._server.answer(request)
        if self._chance.random() < 0.5:
            await self._server.answer(request)
            self.uncertain.update(names_in(request))
        return await self._fail(draw)

    async def _fail(self, draw: int) -> web.Response | None:
        match draw:
            case 0 | 1 | 2 | 3 | 4:
                self.count["500"] += 1
                return web.Response(status=500)
            case 5 | 6 | 7 | 8 | 9:
                self.count["429"] += 1
                return web.Response(status=429, headers={"Retry-After": "3"})
            case 15:
                self.count["late"] += 1
                await asyncio.sleep(TIMEOUT_S + 1)
            case _:
                self.count["reset"] += 1
        return None


def names_in(request: Request) -> list[str]:
    """Ids of the events, or collection and id of the objects."""
    body: dict[str, Any] = msgspec.json.decode(request.body)
    if "batch" in body:
        return [item["messageId"] for item in body["batch"]]
    return [f"{body['collection']}/{item['id']}" for item in body["objects"]]


def some_messages(count: int, chance: random.Random) -> list[Message]:
    """Half of them events of every type, half of them objects, with values of every type, in any order."""
    messages: list[Message] = [some_event(number, chance) for number in range(count // 2)]
    messages += [
        write(f"d{number}", number, some_properties(chance), collection=chance.choice(("deals", "Won-Deals")))
        for number in range(count // 2)
    ]
    chance.shuffle(messages)
    return messages


def some_event(number: int, chance: random.Random) -> Event:
    kind = chance.choice(CALLS)
    fields: dict[str, Any] = {"userId": chance.choice((f"u{number}", number, number + 0.5)), "context": {"ip": "::1"}}
    match kind:
        case "track":
            fields |= {"event": chance.choice(("Paid", "Übung 🎉")), "properties": some_properties(chance)}
        case "page" | "screen":
            fields |= {"name": "Home", "properties": some_properties(chance)}
        case "group":
            fields |= {"groupId": number, "traits": some_properties(chance)}
        case "identify":
            fields |= {"traits": some_properties(chance)}
        case _:
            fields |= {"previousId": f"p{number}"}
    return event(f"m{number}", type=kind, **fields)


def some_properties(chance: random.Random) -> dict[str, Any]:
    values = (chance.randrange(2**40), chance.random(), None, True, [1, {"a": "b"}], {"deep": {"er": "é"}}, "x" * 900)
    return {"always": "there", **{name: chance.choice(values) for name in chance.sample("abcdefgh", 4)}}


async def deliver(destination: Destination, messages: Sequence[Message]) -> None:
    """As the worker does it: a batch is written again until it is taken. Nothing may be rejected."""

    def endpoint(path: str) -> Endpoint:
        return Endpoint(destination.url(path), allow_private=True, timeout_s=TIMEOUT_S)

    async with Segment(endpoint("/v1/batch"), endpoint("/v1/set"), "SEGMENT_WRITE_KEY") as sink:
        for start in range(0, len(messages), BATCH):
            batch = messages[start : start + BATCH]
            for _ in range(1_000):
                with contextlib.suppress(SinkUnavailable):
                    await sink.write(batch)
                    break
            else:
                pytest.fail("a batch was not taken in 1,000 attempts")


def assert_all_there(server: SegmentServer, messages: Sequence[Message]) -> None:
    objects = [message for message in messages if isinstance(message, SourcedObject)]
    assert server.dropped == []
    assert {item["messageId"] for item in server.events} == {
        message.message_id for message in messages if isinstance(message, Event)
    }
    assert {object_id for _, object_id in server.objects} == {message.write.id for message in objects}
    assert {collection for collection, _ in server.objects} == {"deals", "won_deals"}


@pytest.mark.parametrize("count", MESSAGES)
async def test_a_server_that_holds_to_the_documents_refuses_nothing(
    destination: Destination, chance: random.Random, count: int
) -> None:
    server = SegmentServer()
    answered: Counter[int] = Counter()

    async def answer(request: Request) -> web.Response:
        response = await server.answer(request)
        answered[response.status] += 1
        return response

    destination.answer = answer
    messages = some_messages(count, chance)

    await deliver(destination, messages)

    assert_all_there(server, messages)
    assert answered.keys() == {200}
    assert len(server.events) == count // 2


@pytest.mark.parametrize("count", MESSAGES)
async def test_a_server_with_troubles_gets_everything_and_twice_only_what_it_took_without_saying_so(
    destination: Destination, chance: random.Random, count: int
) -> None:
    server = SegmentServer()
    troubles = Troubles(server, chance)
    destination.answer = troubles.answer
    messages = some_messages(count, chance)

    await deliver(destination, messages)

    print(f"{len(destination.requests)} requests, troubles {dict(troubles.count)}")
    assert_all_there(server, messages)
    assert min(troubles.count[kind] for kind in ("500", "429", "reset")) > 0
    times = Counter(item["messageId"] for item in server.events)
    doubled = {name: number - 1 for name, number in times.items() if number > 1}
    print(f"{len(doubled)} of {len(times)} events came more than once")
    assert all(number <= troubles.uncertain[name] for name, number in doubled.items())
