"""Which webhooks have an ordering key: those that tell the value by which their source is ordered."""

import msgspec
import pytest
from prometheus_client import REGISTRY

from hookmill.config import IngestConfig
from hookmill.records import NewRecord
from ingest.receiver import Receiver
from tests.ingest.receiving import ADDRESS, SOURCE, TOPIC, MemorySender, connected, post, registry_of, source


async def stored(order_by: str | None, *requests: bytes) -> list[NewRecord]:
    """The records of these requests."""
    sender = MemorySender()
    registry = registry_of(msgspec.structs.replace(source(), order_by=order_by))
    receiver = Receiver(IngestConfig(port=0), registry, sender, TOPIC)
    await receiver.start()
    try:
        async with connected(receiver) as client:
            for request in requests:
                await client.ask(request)
    finally:
        await receiver.stop()
    return sender.records


def without_key() -> float:
    return REGISTRY.get_sample_value("hookmill_ingest_without_ordering_key_total", {"source": SOURCE}) or 0.0


@pytest.mark.parametrize(
    ("order_by", "request_of"),
    [
        ("/order/id", lambda value: post(ADDRESS, b'{"order": {"id": "%s"}}' % value)),
        ("header:X-Order", lambda value: post(ADDRESS, b"{}", f"x-order: {value.decode()}")),
        ("query:order", lambda value: post(f"{ADDRESS}&order={value.decode()}", b"{}")),
    ],
)
async def test_webhooks_with_one_value_have_one_key_and_others_another(order_by: str, request_of: object) -> None:
    assert callable(request_of)

    one, same, other = await stored(order_by, request_of(b"7"), request_of(b"7"), request_of(b"8"))

    assert one.key == same.key == f"{SOURCE}\0".encode() + b"7"
    assert other.key == f"{SOURCE}\0".encode() + b"8"


async def test_a_webhook_without_the_value_is_spread_and_counted() -> None:
    before = without_key()

    records = await stored(
        "/order/id", post(ADDRESS, b"{}"), post(ADDRESS, b"not JSON"), post(ADDRESS, b'{"order": 1}')
    )

    assert [record.key for record in records] == [None, None, None]
    assert without_key() == before + 3


async def test_a_source_that_is_not_ordered_has_no_keys() -> None:
    before = without_key()

    [record] = await stored(None, post(ADDRESS, b'{"order": {"id": "7"}}'))

    assert record.key is None
    assert without_key() == before


async def test_a_value_of_any_length_makes_a_key_of_its_own_that_is_short() -> None:
    long, longer = (b'{"id": "%s"}' % (b"x" * length) for length in (100_000, 100_001))

    first, second, again = await stored("/id", post(ADDRESS, long), post(ADDRESS, longer), post(ADDRESS, long))

    assert first.key == again.key != second.key
    assert len(first.key or b"") < 256
