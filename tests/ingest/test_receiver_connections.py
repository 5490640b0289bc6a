"""What a connection survives, and that no byte of one request is taken for another."""

import asyncio
import contextlib
import itertools
import logging
import os
import random
import subprocess
import sys
from collections.abc import Sequence

import pytest
import uvloop

from hookmill.errors import LogFull, LogUnavailable, RecordTooLarge
from hookmill.records import NewRecord
from tests.ingest.receiving import (
    ADDRESS,
    TOKEN,
    Client,
    FailingSender,
    HoldingSender,
    MemorySender,
    chunked_post,
    connected,
    post,
    receiving,
    request,
)

SMUGGLED = post(ADDRESS, b"smuggled")


async def test_connection_is_kept_after_each_answer_that_read_the_body() -> None:
    sender = FailingSender(LogUnavailable("away"))
    requests = [
        post("/elsewhere"),
        request("GET", ADDRESS),
        post("/"),
        post("/?b=nobody-knows"),
        post(ADDRESS, b"{}", "Content-Encoding: gzip"),
        post(ADDRESS),
    ]

    async with receiving(sender) as receiver, connected(receiver) as client:
        statuses = [(await client.ask(sent)).status for sent in requests]
        sender.error = None
        statuses += [(await client.ask(post(ADDRESS))).status for _ in range(2)]

    assert statuses == [404, 405, 401, 401, 415, 503, 202, 202]


@pytest.mark.parametrize("padding_bytes", [0, 50_000])
async def test_requests_in_one_packet_are_answered_in_order(padding_bytes: int) -> None:
    """More of them than aiohttp queues, and together more than it buffers: reading pauses and goes on."""
    sender = MemorySender()
    bodies = [b"%d" % number + b"x" * padding_bytes for number in range(100)]

    async with receiving(sender) as receiver, connected(receiver) as client:
        await client.send(b"".join(post(ADDRESS, body) for body in bodies) + post("/?b=nobody-knows"))
        answers = [await client.answer() for _ in range(101)]

    assert [answer.status for answer in answers] == [202] * 100 + [401]
    assert [record.value for record in sender.records] == bodies
    stored_ids = [dict(record.headers)["request-id"].decode() for record in sender.records]
    assert stored_ids == [answer.json["request_id"] for answer in answers[:100]]


@pytest.mark.parametrize("target", ["/?b=nobody-knows", "/elsewhere", "/"])
async def test_body_of_a_refused_request_is_never_the_next_request(target: str) -> None:
    sender = MemorySender()

    async with receiving(sender) as receiver, connected(receiver) as client:
        refused = await client.ask(request("POST", target, f"Content-Length: {len(SMUGGLED)}"))
        await client.send(SMUGGLED)
        after = await client.ask(post(ADDRESS, b"honest"))

    assert refused.status in (401, 404)
    assert after.status == 202
    assert [record.value for record in sender.records] == [b"honest"]


async def test_body_beyond_the_limit_is_never_the_next_request() -> None:
    sender = MemorySender()

    async with receiving(sender, max_body_bytes=10) as receiver, connected(receiver) as client:
        refused = await client.ask(request("POST", ADDRESS, f"Content-Length: {len(SMUGGLED)}") + SMUGGLED + SMUGGLED)
        rest = await client.rest()

    assert (refused.status, refused.headers["connection"]) == (413, "close")
    assert rest == b""
    assert sender.records == []


@pytest.mark.parametrize(
    "sent",
    [
        request("POST", ADDRESS, "Content-Length: 5", "Transfer-Encoding: chunked") + b"0\r\n\r\n" + SMUGGLED,
        request("POST", ADDRESS, "Content-Length: 5", "Content-Length: 6") + b"12345" + SMUGGLED,
        request("POST", ADDRESS, "Transfer-Encoding: gzip, identity") + b"0\r\n\r\n" + SMUGGLED,
        request("POST", ADDRESS, "Content-Length: +5") + b"12345" + SMUGGLED,
        request("POST", ADDRESS, "X-Broken : 1") + SMUGGLED,
        request("POST", ADDRESS + "&x=\udcff") + SMUGGLED,
        request("POST", ADDRESS + "&x=é") + SMUGGLED,
        b"POST " + ADDRESS.encode() + b" HTTP/1.1\nHost: x\n broken\n\n" + SMUGGLED,
        b"not http at all " + TOKEN.encode() + b"\r\n\r\n" + SMUGGLED,
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" * 20,
        request("POST", ADDRESS, "X-Long: " + "x" * 9_000) + SMUGGLED,
        request("POST", ADDRESS, *(f"X-{number}: 1" for number in range(200))) + SMUGGLED,
    ],
)
async def test_broken_http_is_400_without_a_word_of_what_was_sent(
    sent: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    sender = MemorySender()
    caplog.set_level(logging.DEBUG)

    async with receiving(sender) as receiver, connected(receiver) as client:
        answer = await client.ask(sent)
        rest = await client.rest()

    assert (answer.status, answer.error) == (400, "http_malformed")
    assert rest == b""
    assert sender.records == []
    told = answer.body.decode() + caplog.text
    assert TOKEN not in told
    assert "Traceback" not in told


async def test_broken_chunk_after_a_good_head_is_400_and_ends_the_connection() -> None:
    sender = MemorySender()

    async with receiving(sender) as receiver, connected(receiver) as client:
        await client.send(request("POST", ADDRESS, "Transfer-Encoding: chunked") + b"5\r\nhello\r\n")
        answer = await client.ask(b"no size\r\n" + SMUGGLED)
        rest = await client.rest()

    assert answer.status == 400
    assert rest == b""
    assert sender.records == []


async def test_request_to_upgrade_is_stored_like_any_other() -> None:
    sender = MemorySender()
    upgrade = post(ADDRESS, b"body", "Connection: Upgrade", "Upgrade: websocket")

    async with receiving(sender) as receiver, connected(receiver) as client:
        answer = await client.ask(upgrade)
        after = await client.ask(post(ADDRESS, b"next"))

    assert (answer.status, after.status) == (202, 202)
    assert [record.value for record in sender.records] == [b"body", b"next"]


async def test_sender_that_asks_to_close_is_answered_and_closed() -> None:
    async with receiving(MemorySender()) as receiver, connected(receiver) as client:
        answer = await client.ask(post(ADDRESS, b"{}", "Connection: close"))
        rest = await client.rest()

    assert (answer.status, answer.headers["connection"], rest) == (202, "close", b"")
    assert list(answer.json) == ["request_id"]


async def test_http_1_0_is_understood() -> None:
    sender = MemorySender()

    async with receiving(sender) as receiver, connected(receiver) as client:
        answer = await client.ask(f"POST {ADDRESS} HTTP/1.0\r\nContent-Length: 2\r\n\r\n{{}}".encode())
        rest = await client.rest()

    assert (answer.status, rest) == (202, b"")
    assert len(sender.records) == 1


async def test_chunked_requests_follow_each_other_on_one_connection() -> None:
    sender = MemorySender()

    async with receiving(sender) as receiver, connected(receiver) as client:
        answers = [await client.ask(chunked_post(ADDRESS, b"a", b"b" * number)) for number in (1, 70_000, 2)]

    assert [answer.status for answer in answers] == [202, 202, 202]
    assert [len(record.value or b"") for record in sender.records] == [2, 70_001, 3]


def test_receiver_works_on_the_loop_that_the_command_runs_it_on() -> None:
    async def requests_in_one_packet() -> list[int]:
        async with receiving(MemorySender()) as receiver, connected(receiver) as client:
            await client.send(post(ADDRESS, b"x" * 300_000) + chunked_post(ADDRESS, b"a", b"b") + post("/"))
            return [(await client.answer()).status for _ in range(3)]

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        assert runner.run(requests_in_one_packet()) == [202, 202, 401]


class HesitantSender(MemorySender):
    """Takes a random number of turns of the loop for each batch."""

    def __init__(self, chance: random.Random) -> None:
        super().__init__()
        self._chance = chance

    async def send(self, topic: str, records: Sequence[NewRecord]) -> None:
        for _ in range(self._chance.choice((0, 0, 1, 2, 5))):
            await asyncio.sleep(0)
        await super().send(topic, records)


def test_each_answer_is_that_of_its_request_however_they_come(seed: int) -> None:
    """Whole, in pieces, several at once, refused ones between them, the next right after an answer, on uvloop."""
    chance = random.Random(seed)
    sender = HesitantSender(chance)
    accepted: list[tuple[bytes | None, str]] = []

    def some_request(body: bytes) -> tuple[bytes, bytes]:
        """And the body that is to be stored of it."""
        whole, chunked, refused = post(ADDRESS, body), chunked_post(ADDRESS, body), post("/?b=nobody-knows")
        return chance.choice([(whole, body), (whole, body), (chunked, body), (refused, b"")])

    async def talk(client: Client, name: int) -> None:
        for turn in range(100):
            sent = [
                some_request(b"%d %d %d" % (name, turn, number)) for number in range(chance.choice((1, 1, 2, 5, 10)))
            ]
            data = b"".join(request for request, _ in sent)
            cuts = sorted(chance.randrange(len(data)) for _ in range(chance.choice((0, 1, len(sent)))))
            for start, end in itertools.pairwise([0, *cuts, len(data)]):
                await client.send(data[start:end])
                for _ in range(chance.randrange(4)):
                    await asyncio.sleep(0)
            for _, body in sent:
                answer = await client.answer()
                assert answer.status == (202 if body else 401)
                if body:
                    accepted.append((body, answer.json["request_id"]))

    async def talk_at_once() -> None:
        async with receiving(sender) as receiver, contextlib.AsyncExitStack() as stack:
            clients = [await stack.enter_async_context(connected(receiver)) for _ in range(8)]
            await asyncio.gather(*(talk(client, name) for name, client in enumerate(clients)))

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(talk_at_once())

    stored = [(record.value, dict(record.headers)["request-id"].decode()) for record in sender.records]
    assert sorted(stored) == sorted(accepted)


def test_without_the_parser_in_c_the_receiver_does_not_start() -> None:
    script = (
        "from hookmill.errors import ConfigError\n"
        "from ingest.connections import require_c_parser\n"
        "try:\n    require_c_parser()\n"
        "except ConfigError as error:\n    print(error)\n"
    )
    environment = {**os.environ, "AIOHTTP_NO_EXTENSIONS": "1"}

    done = subprocess.run([sys.executable, "-c", script], env=environment, capture_output=True, text=True, timeout=120)

    assert "AIOHTTP_NO_EXTENSIONS" in done.stdout, done.stderr


async def test_request_that_follows_one_in_work_waits_its_turn() -> None:
    """The first is taken whole; what comes after it on the connection must not overtake its answer."""
    sender = HoldingSender()

    async with receiving(sender) as receiver, connected(receiver) as client:
        await client.ask(post("/elsewhere"))  # the connection is up
        await client.send(post(ADDRESS, b"first"))
        async with asyncio.timeout(40):
            await sender.asked.wait()
        await client.send(post("/?b=nobody-knows") + post(ADDRESS, b"second"))
        await asyncio.sleep(0.05)
        sender.release.set()
        answers = [await client.answer() for _ in range(3)]
        after = await client.ask(post(ADDRESS, b"third"))

    assert [answer.status for answer in [*answers, after]] == [202, 401, 202, 202]
    assert [record.value for record in sender.records] == [b"first", b"second", b"third"]


async def test_request_in_pieces_is_stored_and_answered_like_one_that_comes_whole() -> None:
    sender = MemorySender()
    sent = post(ADDRESS + "&x=%20y", b'{"a": "\xc3\xa9"}', "X-Name: \xe9", "Content-Type: application/json")

    async with receiving(sender) as receiver, connected(receiver) as client:
        await client.ask(post("/elsewhere"))  # the connection is up
        whole = await client.ask(sent)
        in_pieces = []
        for cut in (1, 20, len(sent) - 14, len(sent) - 1):
            await client.send(sent[:cut])
            await asyncio.sleep(0.02)
            in_pieces.append(await client.ask(sent[cut:]))
        whole_again = await client.ask(sent)

    assert [answer.status for answer in [whole, *in_pieces, whole_again]] == [202] * 6
    told = {(record.value, dict(record.headers)["http"]) for record in sender.records}
    assert len(told) == 1
    assert len({dict(record.headers)["request-id"] for record in sender.records}) == 6


async def test_sender_that_left_before_its_answer_costs_the_others_nothing() -> None:
    sender = HoldingSender()

    async with receiving(sender) as receiver:
        async with connected(receiver) as leaving:
            await leaving.ask(post("/elsewhere"))
            await leaving.send(post(ADDRESS, b"left"))
            async with asyncio.timeout(40):
                await sender.asked.wait()
        async with connected(receiver) as staying:
            await staying.ask(post("/elsewhere"))
            await staying.send(post(ADDRESS, b"stayed"))
            await asyncio.sleep(0.05)
            sender.release.set()
            answer = await staying.answer()
        assert receiver.requests_in_work == 0

    assert answer.status == 202
    assert [record.value for record in sender.records] == [b"left", b"stayed"]


async def test_answer_that_takes_longer_than_an_idle_connection_may_last_still_comes(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("ingest.connections._KEEPALIVE_S", 1.0)
    sender = HoldingSender()

    async with receiving(sender) as receiver, connected(receiver) as client:
        await client.ask(post("/elsewhere"))
        await client.send(post(ADDRESS, b"slow log"))
        await asyncio.sleep(2.0)
        sender.release.set()
        answer = await client.answer()
        rest = await client.rest()

    assert answer.status == 202
    assert rest == b"", "an idle connection is closed after its time"


@pytest.mark.parametrize("error", [LogUnavailable("away"), LogFull("full"), RecordTooLarge("large")])
async def test_refusal_by_the_log_reads_the_same_for_whole_requests_and_others(error: Exception) -> None:
    async with receiving(FailingSender(error)) as receiver, connected(receiver) as client:
        first = await client.ask(chunked_post(ADDRESS, b"{}"))
        whole = await client.ask(post(ADDRESS, b"{}"))

    assert (first.status, first.body) == (whole.status, whole.body)
    varying = {"date"}
    assert {k: v for k, v in first.headers.items() if k not in varying} == {
        k: v for k, v in whole.headers.items() if k not in varying
    }
