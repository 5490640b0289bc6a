"""Which request gets which answer."""

import uuid

import pytest
from prometheus_client import REGISTRY

from tests.ingest.receiving import (
    ADDRESS,
    SOURCE,
    TOKEN,
    MemorySender,
    connected,
    post,
    publish,
    receiving,
    registry_of,
    request,
    source,
    withdraw,
)


@pytest.mark.parametrize(
    "sent",
    [
        post(f"/?b={TOKEN}"),
        post(f"/v1/webhooks/{TOKEN}"),
        post("/", b"{}", f"X-Segment-Source-Function-Token: {TOKEN}"),
        post("/", b"{}", f"x-segment-source-function-token: {TOKEN}"),
    ],
)
async def test_token_is_accepted_in_each_of_its_places(sent: bytes) -> None:
    sender = MemorySender()

    async with receiving(sender) as receiver, connected(receiver) as client:
        answer = await client.ask(sent)

    assert answer.status == 202
    request_id = answer.json["request_id"]
    assert uuid.UUID(request_id).version == 7
    assert [dict(record.headers)["request-id"] for record in sender.records] == [request_id.encode()]


@pytest.mark.parametrize(
    ("sent", "error"),
    [
        (post("/"), "token_missing"),
        (post("/?b="), "token_missing"),
        (post("/v1/webhooks/"), "token_missing"),
        (post("/?b=nobody-knows"), "token_unknown"),
        (post("/v1/webhooks/nobody-knows"), "token_unknown"),
        (post("/", b"{}", "X-Segment-Source-Function-Token: nobody-knows"), "token_unknown"),
    ],
)
async def test_without_a_token_that_opens_a_source_the_answer_is_401(sent: bytes, error: str) -> None:
    sender = MemorySender()

    async with receiving(sender) as receiver, connected(receiver) as client:
        answer = await client.ask(sent)

    assert (answer.status, answer.error) == (401, error)
    assert b"nobody-knows" not in answer.body
    assert sender.records == []


@pytest.mark.parametrize("method", ["POST", "GET"])
async def test_unknown_path_is_404_whatever_the_method(method: str) -> None:
    async with receiving(MemorySender()) as receiver, connected(receiver) as client:
        answer = await client.ask(request(method, f"/v2/{TOKEN}"))

    assert (answer.status, answer.error) == (404, "path_unknown")
    assert TOKEN.encode() not in answer.body


@pytest.mark.parametrize("method", ["GET", "PUT", "DELETE", "OPTIONS"])
@pytest.mark.parametrize("target", [ADDRESS, f"/v1/webhooks/{TOKEN}", "/"])
async def test_other_methods_are_405_and_told_what_is_allowed(method: str, target: str) -> None:
    async with receiving(MemorySender()) as receiver, connected(receiver) as client:
        answer = await client.ask(request(method, target))

    assert (answer.status, answer.error, answer.headers["allow"]) == (405, "method_not_allowed", "POST")
    assert method in answer.json["message"]


async def test_get_of_a_target_that_was_posted_to_before_is_405() -> None:
    async with receiving(MemorySender()) as receiver, connected(receiver) as client:
        await client.ask(post(ADDRESS))
        answer = await client.ask(request("GET", ADDRESS))

    assert answer.status == 405


async def test_head_is_405_without_a_body() -> None:
    async with receiving(MemorySender()) as receiver, connected(receiver) as client:
        await client.send(request("HEAD", ADDRESS))
        answer = await client.answer(to_head=True)
        after = await client.ask(post())

    assert answer.status == 405
    assert after.status == 202


@pytest.mark.parametrize("encoding", ["gzip", "deflate", "br", "zstd", "GZIP", "identity, gzip"])
async def test_encoded_body_is_415(encoding: str) -> None:
    sender = MemorySender()

    async with receiving(sender) as receiver, connected(receiver) as client:
        answer = await client.ask(post(ADDRESS, b"\x1f\x8b not even gzip", f"Content-Encoding: {encoding}"))

    assert (answer.status, answer.error) == (415, "encoding_not_accepted")
    assert encoding in answer.json["message"]
    assert sender.records == []


async def test_identity_is_no_encoding() -> None:
    async with receiving(MemorySender()) as receiver, connected(receiver) as client:
        answer = await client.ask(post(ADDRESS, b"{}", "Content-Encoding: Identity"))

    assert answer.status == 202


async def test_source_published_withdrawn_and_given_another_token_counts_at_once() -> None:
    registry = registry_of(source(token="old"))

    async with receiving(MemorySender(), registry) as receiver, connected(receiver) as client:
        before = [(await client.ask(post(f"/?b={token}"))).status for token in ("old", "new")]
        publish(registry, source(token="new"))
        rotated = [(await client.ask(post(f"/?b={token}"))).status for token in ("old", "new")]
        withdraw(registry, SOURCE)
        withdrawn = [(await client.ask(post(f"/?b={token}"))).status for token in ("old", "new")]

    assert before == [202, 401]
    assert rotated == [401, 202]
    assert withdrawn == [401, 401]


async def test_addresses_that_never_repeat_are_all_taken() -> None:
    """More of them than the receiver remembers."""
    sender = MemorySender()

    async with receiving(sender) as receiver, connected(receiver) as client:
        for number in range(1_100):
            assert (await client.ask(post(f"{ADDRESS}&n={number}"))).status == 202

    assert len(sender.records) == 1_100


async def test_answers_and_stored_bytes_are_counted_by_source() -> None:
    def counted(name: str, **labels: str) -> float:
        return REGISTRY.get_sample_value(name, labels) or 0.0

    before_unknown = counted("hookmill_ingest_requests_total", source="unknown", status="401")

    async with (
        receiving(MemorySender(), registry_of(source("counted"))) as receiver,
        connected(receiver) as client,
    ):
        await client.ask(post(ADDRESS, b"12345"))
        await client.ask(post(ADDRESS, b"123"))
        await client.ask(post(ADDRESS, b"123", "Content-Encoding: gzip"))
        await client.ask(post("/?b=nobody-knows"))

    assert counted("hookmill_ingest_requests_total", source="counted", status="202") == 2
    assert counted("hookmill_ingest_requests_total", source="counted", status="415") == 1
    assert counted("hookmill_ingest_body_bytes_total", source="counted") == 8
    assert counted("hookmill_ingest_requests_total", source="unknown", status="401") == before_unknown + 1
    assert counted("hookmill_ingest_inflight_bytes") == 0
