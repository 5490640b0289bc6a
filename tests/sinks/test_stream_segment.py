"""To Segment: a server that holds to the documents."""

import random
from collections.abc import AsyncIterator, Callable, Sequence
from typing import Any

import pytest
from aiohttp import web

from sinks.contract import Message, RecordRejected, Sink, SinkUnavailable
from sinks.streams.endpoint import Endpoint
from sinks.streams.segment import Segment
from tests.sinks.destination import Destination, Request
from tests.sinks.messages import deletion, event, write
from tests.sinks.segment_server import WRITE_KEY, SegmentServer

SEED = 20_261_124


class Segments:
    """The server, and a sink that calls it."""

    def __init__(self, destination: Destination) -> None:
        self.destination = destination
        self.server = SegmentServer()
        destination.answer = self.server.answer

    def sink(self) -> Segment:
        def endpoint(path: str) -> Endpoint:
            return Endpoint(self.destination.url(path), allow_private=True, timeout_s=5.0)

        return Segment(endpoint("/v1/batch"), endpoint("/v1/set"), "SEGMENT_WRITE_KEY")

    async def write(self, *batches: Sequence[Message]) -> None:
        async with self.sink() as sink:
            for batch in batches:
                await sink.write(batch)


@pytest.fixture
async def segment(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Segments]:
    monkeypatch.setenv("SEGMENT_WRITE_KEY", WRITE_KEY)
    async with Destination() as destination:
        yield Segments(destination)


async def test_events_arrive_as_the_function_made_them(segment: Segments) -> None:
    sent = event("m1", event="Paid", userId="u1", properties={"amount": 5}, context={"ip": "1.2.3.4"})

    await segment.write([sent])

    expected = {name: value for name, value in sent.message.items() if name != "receivedAt"}
    assert segment.server.events == [expected]


@pytest.mark.parametrize(("given", "expected"), [(7, "7"), (0, "0"), (7.0, "7"), (1.5, "1.5"), (2**70, str(2**70))])
async def test_ids_that_are_numbers_become_text(segment: Segments, given: float, expected: str) -> None:
    await segment.write([event("m1", event="Paid", userId=given)])

    assert [item["userId"] for item in segment.server.events] == [expected]


@pytest.mark.parametrize(
    ("fields", "reason"),
    [
        ({}, "it has neither userId nor anonymousId"),
        ({"userId": "", "anonymousId": None}, "it has neither userId nor anonymousId"),
        ({"userId": True}, "userId must be text"),
        ({"userId": {"id": 1}}, "userId must be text"),
        ({"userId": "u", "event": ""}, "event must be text that is not empty"),
        ({"userId": "u", "event": 5}, "event must be text that is not empty"),
        ({"userId": "u", "properties": []}, "properties must be an object"),
        ({"userId": "u", "type": "identify", "traits": "x"}, "traits must be an object"),
        ({"userId": "u", "type": "group"}, "a group call needs a groupId"),
        ({"userId": "u", "type": "page", "name": 5}, "name must be text that is not empty"),
        ({"userId": "u", "type": "delete"}, "its type is none of Segment's calls"),
        ({"userId": "u", "properties": {"text": "x" * 32_768}}, "exceed Segment's limit of 32768 bytes for an event"),
    ],
)
async def test_what_segment_would_drop_in_silence_is_rejected_aloud(
    segment: Segments, fields: dict[str, Any], reason: str
) -> None:
    with pytest.raises(RecordRejected) as caught:
        await segment.write([event("m0", event="Paid", userId="u"), event("m1", **{"event": "Paid", **fields})])

    assert list(caught.value.rejected) == [1]
    assert reason in caught.value.rejected[1]
    assert segment.destination.requests == []


async def test_a_track_call_without_an_event_is_rejected(segment: Segments) -> None:
    with pytest.raises(RecordRejected, match="a track call needs an event"):
        await segment.write([event("m1", userId="u")])


async def test_a_deletion_is_rejected_because_segment_has_none(segment: Segments) -> None:
    with pytest.raises(RecordRejected) as caught:
        await segment.write([write("d1", 1, {"a": 1}), deletion("d1", 2), write("d1", 3, {"b": 3})])

    assert caught.value.rejected == {1: "Segment cannot delete objects"}


async def test_objects_are_set_flat_ten_at_a_time_by_collection(segment: Segments) -> None:
    deals = [write(f"d{n:02}", n, {"Owner": {"firstName": "A"}, "tags": [1, "b"], "won": True}) for n in range(25)]
    orders = [write("o1", 1, {"total": 1.5, "note": None}, collection="Checkout-Orders")]

    await segment.write([*deals[:12], *orders, *deals[12:]])

    assert segment.server.objects == {
        ("checkout_orders", "o1"): {"total": 1.5},
        **{("deals", f"d{n:02}"): {"owner_first_name": "A", "tags": '[1,"b"]', "won": True} for n in range(25)},
    }
    assert sorted(segment.server.set_sizes) == [1, 5, 10, 10]


async def test_writes_to_one_object_are_merged_by_version(segment: Segments) -> None:
    await segment.write(
        [write("d1", 3, {"a": 3}), write("d1", 1, {"a": 1, "b": 1}), write("d1", 2, {"a": 2, "c": 2, "b": None})]
    )

    assert segment.server.objects == {("deals", "d1"): {"a": 3, "c": 2}}
    assert segment.server.set_sizes == [1]


@pytest.mark.parametrize(
    ("message", "reason"),
    [
        (write("d1", 1, {}), "it has no property with a value"),
        (write("d1", 1, {"a": None}), "it has no property with a value"),
        (write("x" * 101, 1, {"a": 1}), "its id must have 1 to 100 characters"),
        (write("d1", 1, {"a": 1}, collection="deals2"), "letters and underscores only"),
        (write("d1", 1, {"a": "x" * 32_768}), "the value of a exceeds the limit"),
    ],
)
async def test_an_object_that_segment_does_not_take_is_rejected(
    segment: Segments, message: Message, reason: str
) -> None:
    with pytest.raises(RecordRejected) as caught:
        await segment.write([write("d0", 1, {"a": 1}), message])

    assert list(caught.value.rejected) == [1]
    assert reason in caught.value.rejected[1]


async def test_many_events_stay_within_the_limits_of_a_request(segment: Segments) -> None:
    large = [event(f"L{n}", event="Paid", userId="u", properties={"text": "x" * 32_000}) for n in range(40)]
    small = [event(f"s{n}", event="Paid", userId="u") for n in range(6_000)]

    await segment.write([*large, *small])

    assert segment.server.dropped == []
    assert len(segment.server.events) == 6_040
    assert max(segment.server.batch_sizes) <= 2_500
    assert max(len(request.body) for request in segment.destination.requests) <= 500_000


async def test_the_one_event_that_is_refused_is_found_and_the_others_arrive_once(segment: Segments) -> None:
    async def refuse_a_word(request: Request) -> web.Response:
        if b"poison" in request.body:
            return web.json_response({"code": "malformed"}, status=400)
        return await segment.server.answer(request)

    segment.destination.answer = refuse_a_word
    batch = [event(f"m{n}", event="poison" if n == 37 else "Paid", userId="u") for n in range(100)]

    await written(segment.sink, batch, rejected={37: "127.0.0.1 answered 400"})

    assert sorted(item["messageId"] for item in segment.server.events) == sorted(f"m{n}" for n in range(100) if n != 37)


async def written(open_sink: Callable[[], Sink], batch: Sequence[Message], rejected: dict[int, str]) -> None:
    async with open_sink() as sink:
        with pytest.raises(RecordRejected) as caught:
            await sink.write(batch)
        assert caught.value.rejected == rejected
        await sink.write([message for index, message in enumerate(batch) if index not in rejected])


async def test_a_wrong_write_key_turns_nothing_into_dead_letters(
    segment: Segments, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SEGMENT_WRITE_KEY", "another-key")

    with pytest.raises(SinkUnavailable, match="answered 401") as caught:
        await segment.write([event("m1", event="Paid", userId="u")])

    assert "another-key" not in str(caught.value)


async def test_a_host_with_troubles_gets_every_message_all_the_same(segment: Segments) -> None:
    """One answer in three is an error, after or before the body was taken: nothing is missing, `messageId` tells."""
    chance = random.Random(SEED)

    async def sometimes(request: Request) -> web.Response:
        match chance.randrange(9):
            case 0:
                return web.Response(status=500)
            case 1:
                return web.Response(status=429, headers={"Retry-After": "1"})
            case 2:
                await segment.server.answer(request)
                return web.Response(status=502)
            case _:
                return await segment.server.answer(request)

    segment.destination.answer = sometimes
    messages: list[Message] = [event(f"m{n}", event="Paid", userId="u", properties={"n": n}) for n in range(2_000)]
    messages += [write(f"d{n}", n, {"n": n}) for n in range(500)]
    chance.shuffle(messages)

    async with segment.sink() as sink:
        for start in range(0, len(messages), 250):
            await until_taken(sink, messages[start : start + 250])

    assert {item["messageId"] for item in segment.server.events} == {f"m{n}" for n in range(2_000)}
    assert segment.server.dropped == []
    assert segment.server.objects == {("deals", f"d{n}"): {"n": n} for n in range(500)}


async def until_taken(sink: Sink, batch: Sequence[Message]) -> None:
    for _ in range(100):
        try:
            await sink.write(batch)
            return
        except SinkUnavailable:
            continue
    pytest.fail("a batch was not taken in 100 attempts")
