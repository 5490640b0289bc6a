"""How much, how fast, and in what shape a body may come."""

import asyncio

import pytest
from prometheus_client import REGISTRY

from tests.ingest.receiving import (
    ADDRESS,
    SOURCE,
    Client,
    HoldingSender,
    MemorySender,
    chunked_post,
    connected,
    post,
    receiving,
    registry_of,
    request,
    source,
)

LIMIT = 2_097_152


@pytest.mark.parametrize("size", [0, 1, 70_000, LIMIT])
async def test_body_up_to_the_limit_is_stored_exactly(size: int) -> None:
    sender = MemorySender()
    body = bytes(range(256)) * (size // 256 + 1)
    body = body[:size]

    async with receiving(sender) as receiver, connected(receiver) as client:
        answers = [await client.ask(post(ADDRESS, body)), await client.ask(chunked_post(ADDRESS, *_cut(body, 100_000)))]

    assert [answer.status for answer in answers] == [202, 202]
    assert [record.value == body for record in sender.records] == [True, True]


async def test_declared_body_of_one_byte_more_is_413_before_it_is_sent() -> None:
    sender = MemorySender()

    async with receiving(sender) as receiver, connected(receiver) as client:
        answer = await client.ask(request("POST", ADDRESS, f"Content-Length: {LIMIT + 1}"))

    assert (answer.status, answer.error) == (413, "body_too_large")
    assert answer.json["message"] == (
        f'A body of 2,097,153 bytes exceeds the limit of 2,097,152 bytes for source "{SOURCE}".'
    )
    assert sender.records == []


async def test_chunked_body_of_one_byte_more_is_413() -> None:
    sender = MemorySender()

    async with receiving(sender) as receiver, connected(receiver) as client:
        answer = await client.ask(chunked_post(ADDRESS, *_cut(b"x" * (LIMIT + 1), 100_000)))

    assert (answer.status, answer.error) == (413, "body_too_large")
    assert sender.records == []


async def test_chunked_body_without_end_is_413_at_the_limit() -> None:
    async with receiving(MemorySender()) as receiver, connected(receiver) as client:
        await client.send(request("POST", ADDRESS, "Transfer-Encoding: chunked"))
        endless = asyncio.create_task(_send_without_end(client))
        answer = await client.answer()
        endless.cancel()
        await asyncio.gather(endless, return_exceptions=True)

    assert (answer.status, answer.error) == (413, "body_too_large")


@pytest.mark.parametrize(("size", "status"), [(10, 202), (11, 413)])
async def test_source_may_narrow_the_limit(size: int, status: int) -> None:
    registry = registry_of(source(max_body_bytes=10))

    async with receiving(MemorySender(), registry) as receiver, connected(receiver) as client:
        declared = await client.ask(post(ADDRESS, b"x" * size))
    async with receiving(MemorySender(), registry) as receiver, connected(receiver) as client:
        chunked = await client.ask(chunked_post(ADDRESS, b"x" * size))

    assert (declared.status, chunked.status) == (status, status)


async def test_source_cannot_widen_the_limit_of_the_receiver() -> None:
    registry = registry_of(source(max_body_bytes=1_000))

    async with receiving(MemorySender(), registry, max_body_bytes=10) as receiver, connected(receiver) as client:
        answer = await client.ask(post(ADDRESS, b"x" * 11))

    assert answer.status == 413
    assert "limit of 10 bytes" in answer.json["message"]


@pytest.mark.parametrize(
    "beginning",
    [
        request("POST", ADDRESS, "Content-Length: 100") + b"x" * 40,
        request("POST", ADDRESS, "Transfer-Encoding: chunked") + b"28\r\n" + b"x" * 40 + b"\r\n",
    ],
)
async def test_body_that_stops_arriving_is_408(beginning: bytes) -> None:
    sender = MemorySender()

    async with receiving(sender, body_timeout_s=0.1) as receiver, connected(receiver) as client:
        answer = await client.ask(beginning)

    assert (answer.status, answer.error, answer.headers["connection"]) == (408, "body_too_slow", "close")
    assert "40 bytes" in answer.json["message"]
    assert sender.records == []


async def test_connection_ends_soon_after_an_answer_to_half_a_body() -> None:
    async with receiving(MemorySender(), body_timeout_s=0.1) as receiver, connected(receiver) as client:
        await client.ask(request("POST", ADDRESS, "Content-Length: 100"))
        rest = await client.rest()

    assert rest == b""


async def test_body_may_come_in_pieces_after_the_head() -> None:
    sender = MemorySender()

    async with receiving(sender) as receiver, connected(receiver) as client:
        for piece in (request("POST", ADDRESS, "Content-Length: 6"), b"abc", b"def"):
            await client.send(piece)
            await asyncio.sleep(0)
        answer = await client.answer()

    assert answer.status == 202
    assert [record.value for record in sender.records] == [b"abcdef"]


async def test_sender_that_expects_100_continue_gets_it_before_the_body() -> None:
    async with receiving(MemorySender()) as receiver, connected(receiver) as client:
        interim = await client.ask(request("POST", ADDRESS, "Content-Length: 2", "Expect: 100-continue"))
        final = await client.ask(b"{}")
        after = await client.ask(post())

    assert (interim.status, final.status, after.status) == (100, 202, 202)


async def test_sender_that_expects_100_continue_for_too_much_is_refused_instead() -> None:
    async with receiving(MemorySender()) as receiver, connected(receiver) as client:
        head = request("POST", ADDRESS, f"Content-Length: {LIMIT + 1}", "Expect: 100-continue")
        answer = await client.ask(head)

    assert answer.status == 413


async def test_other_expectation_is_417() -> None:
    async with receiving(MemorySender()) as receiver, connected(receiver) as client:
        answer = await client.ask(request("POST", ADDRESS, "Content-Length: 2", "Expect: the-moon"))

    assert (answer.status, answer.error) == (417, "expectation_unknown")


@pytest.mark.parametrize(
    "second",
    [
        post(ADDRESS, b"x" * 41),
        request("POST", ADDRESS, "Content-Length: 41"),
        chunked_post(ADDRESS, b"x" * 20, b"x" * 21),
        request("POST", ADDRESS, "Transfer-Encoding: chunked") + b"29\r\n" + b"x" * 41 + b"\r\n",
    ],
)
async def test_body_over_the_cap_on_bytes_held_is_503_with_retry_after(second: bytes) -> None:
    sender = HoldingSender()

    async with receiving(sender, max_inflight_bytes=100) as receiver, connected(receiver) as first:
        await first.send(post(ADDRESS, b"x" * 60))
        await sender.asked.wait()
        async with connected(receiver) as other:
            refused = await other.ask(second)
        held = REGISTRY.get_sample_value("hookmill_ingest_inflight_bytes")
        sender.release.set()
        stored = await first.answer()
        async with connected(receiver) as again:
            after = await again.ask(post(ADDRESS, b"x" * 100))

    assert (refused.status, refused.error, refused.headers["retry-after"]) == (503, "overloaded", "1")
    assert held == 60
    assert (stored.status, after.status) == (202, 202)


@pytest.mark.parametrize("beginning", ["Content-Length: 100", "Transfer-Encoding: chunked"])
async def test_bytes_of_a_body_that_never_ends_are_given_back(beginning: str) -> None:
    async with receiving(MemorySender(), max_inflight_bytes=100, body_timeout_s=0.1) as receiver:
        async with connected(receiver) as client:
            slow = await client.ask(request("POST", ADDRESS, beginning) + b"10\r\n")
        async with connected(receiver) as client:
            after = await client.ask(post(ADDRESS, b"x" * 100))

    assert (slow.status, after.status) == (408, 202)


def _cut(body: bytes, size: int) -> list[bytes]:
    return [body[start : start + size] for start in range(0, len(body), size)]


async def _send_without_end(client: Client) -> None:
    chunk = b"10000\r\n" + b"x" * 65_536 + b"\r\n"
    while True:
        await client.send(chunk)
