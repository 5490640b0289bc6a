"""Which requests are one webhook: those for which the provider tells the same delivery id."""

import itertools
from uuid import UUID

import msgspec
from prometheus_client import REGISTRY

from hookmill.config import IngestConfig
from hookmill.headers import int_header
from hookmill.records import NewRecord
from ingest.receiver import Receiver
from tests.ingest.receiving import (
    ADDRESS,
    SOURCE,
    TOPIC,
    MemorySender,
    chunked_post,
    connected,
    post,
    registry_of,
    source,
)

UUID_OF_TIME = 7
UUID_OF_CONTENT = 8


async def stored(delivery_id: str | None, *requests: bytes) -> list[NewRecord]:
    """The records of these requests, received at 1, 2, 3 and so on, and answered with the ids that they have."""
    sender = MemorySender()
    seconds = itertools.count(1_000_000, 1_000_000)
    registry = registry_of(msgspec.structs.replace(source(), delivery_id=delivery_id))
    receiver = Receiver(IngestConfig(port=0), registry, sender, TOPIC, now_us=lambda: next(seconds))
    await receiver.start()
    try:
        async with connected(receiver) as client:
            answers = [await client.ask(sent) for sent in requests]
    finally:
        await receiver.stop()
    assert [answer.json["request_id"] for answer in answers] == list(map(request_id, sender.records))
    return sender.records


def request_id(record: NewRecord) -> str:
    return dict(record.headers)["request-id"].decode()


def received_at_s(record: NewRecord) -> float:
    return int_header(record.headers, "received-at", 0) / 1_000_000


def without_id() -> float:
    return REGISTRY.get_sample_value("hookmill_ingest_without_delivery_id_total", {"source": SOURCE}) or 0.0


async def test_a_repeated_delivery_is_stored_again_with_the_id_and_the_instant_of_the_first() -> None:
    one, other = (post(ADDRESS, b"{}", f"X-GitHub-Delivery: {number}") for number in (1, 2))

    first, second, repeated = await stored("header:x-github-delivery", one, other, one)

    assert request_id(first) == request_id(repeated) != request_id(second)
    assert UUID(request_id(first)).version == UUID_OF_CONTENT
    assert [received_at_s(record) for record in (first, second, repeated)] == [1, 2, 1]


async def test_the_id_may_be_in_the_body_or_in_the_query_however_the_body_is_sent() -> None:
    body = b'{"event": {"id": 17}}'

    in_body = await stored("/event/id", post(ADDRESS, body), chunked_post(ADDRESS, body[:5], body[5:]))
    in_query = await stored("query:id", post(f"{ADDRESS}&id=17", b"1"), post(f"{ADDRESS}&id=17", b"2"))

    assert len({request_id(record) for record in (*in_body, *in_query)}) == 1


async def test_a_webhook_without_the_id_is_one_of_its_own_and_counted() -> None:
    before = without_id()

    records = await stored("/id", post(ADDRESS, b"{}"), post(ADDRESS, b"not JSON"), post(ADDRESS, b'{"id": ""}'))

    assert len({request_id(record) for record in records}) == 3
    assert {UUID(request_id(record)).version for record in records} == {UUID_OF_TIME}
    assert without_id() == before + 3


async def test_without_the_option_equal_requests_are_different_webhooks() -> None:
    one = post(ADDRESS, b"{}", "webhook-id: 1")

    first, second = await stored(None, one, one)

    assert request_id(first) != request_id(second)
    assert [received_at_s(first), received_at_s(second)] == [1, 2]
