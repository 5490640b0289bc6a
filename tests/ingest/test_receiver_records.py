"""What of a request is in its record: everything but the credentials, to the byte."""

from pathlib import Path

import pytest

from hookmill.codec import HttpRequest, decode_http
from hookmill.config import IngestConfig
from hookmill.headers import int_header
from hookmill.log import Log
from hookmill.log.sqlite import SqliteLog
from hookmill.records import NewRecord, Record
from hookmill.topics import TopicNames
from ingest.receiver import Receiver
from tests.ingest.receiving import (
    ADDRESS,
    SOURCE,
    TOKEN,
    TOPIC,
    MemorySender,
    chunked_post,
    connected,
    post,
    receiving,
    registry_of,
    request,
    source,
)

BODY = b'{"deal":\x00\xff\xfe\r\n "\xe2\x82\xac"}  '


async def test_record_on_the_embedded_log_is_the_request_as_sent(tmp_path: Path) -> None:
    log = SqliteLog(tmp_path)
    await log.ensure_topics(TopicNames().specs())
    lines = ("User-Agent: Pipedrive", "X-Twice: 1", "x-TWICE: 2", "Content-Type: application/json", "X-Empty:")

    async with log.sender() as sender:
        config = IngestConfig(port=0)
        receiver = Receiver(config, registry_of(source()), sender, TOPIC, now_us=lambda: 1_700_000_000_123_456)
        await receiver.start()
        async with connected(receiver) as client:
            answer = await client.ask(post(f"/?x=%41+%20&b={TOKEN}&&y=1", BODY, *lines))
        await receiver.stop()
    record = await _only_record(log)

    assert answer.status == 202
    assert (record.key, record.value) == (None, BODY)
    assert dict(record.headers).keys() == {
        "format",
        "request-id",
        "source",
        "received-at",
        "delivery-count",
        "http",
    }
    headers = dict(record.headers)
    assert headers["format"] == b"1"
    assert headers["request-id"].decode() == answer.json["request_id"]
    assert headers["source"] == SOURCE.encode()
    assert int_header(record.headers, "received-at", 0) == 1_700_000_000_123_456
    assert headers["delivery-count"] == b"1"
    assert decode_http(headers["http"]) == HttpRequest(
        "POST",
        "http://hooks.example/?x=%41+%20&&y=1",
        [
            ("Host", "hooks.example"),
            ("Content-Length", str(len(BODY))),
            ("User-Agent", "Pipedrive"),
            ("X-Twice", "1"),
            ("x-TWICE", "2"),
            ("Content-Type", "application/json"),
            ("X-Empty", ""),
        ],
    )


async def test_largest_body_fits_on_the_embedded_log(tmp_path: Path) -> None:
    log = SqliteLog(tmp_path)
    await log.ensure_topics(TopicNames().specs())
    body = bytes(range(256)) * 8_192
    many_headers = [f"X-{number}: {'v' * 8_000}" for number in range(100)]

    async with log.sender() as sender, receiving(sender) as receiver, connected(receiver) as client:
        answer = await client.ask(post(ADDRESS, body, *many_headers))
    record = await _only_record(log)

    assert answer.status == 202
    assert record.value == body


async def test_credentials_and_hop_by_hop_headers_are_not_stored() -> None:
    secrets = (
        "Authorization: Bearer s3cret",
        "Proxy-Authorization: Basic s3cret",
        "Cookie: session=s3cret",
        f"x-segment-source-function-token: {TOKEN}",
    )
    hops = ("Connection: keep-alive, X-Hop", "Keep-Alive: timeout=5", "TE: trailers", "Trailer: X-T", "Upgrade: h2c")

    record = await _stored(post("/", b"{}", *secrets, *hops, "X-Kept: yes"))

    assert [name for name, _ in _http(record).headers] == ["Host", "Content-Length", "X-Kept"]
    everything = b"".join(value for _, value in record.headers)
    assert b"s3cret" not in everything
    assert TOKEN.encode() not in everything


@pytest.mark.parametrize(
    ("target", "url"),
    [
        (f"/?b={TOKEN}", "http://hooks.example/"),
        (f"/?b={TOKEN}&x=1", "http://hooks.example/?x=1"),
        (f"/v1/webhooks/{TOKEN}", "http://hooks.example/"),
        (f"/v1/webhooks/{TOKEN}?x=%2F", "http://hooks.example/?x=%2F"),
        (f"http://hooks.example/?b={TOKEN}&x=1", "http://hooks.example/?x=1"),
    ],
)
async def test_url_is_the_one_called_without_the_token(target: str, url: str) -> None:
    record = await _stored(post(target))

    assert _http(record).url == url


@pytest.mark.parametrize("public_url", ["https://in.example.com", "https://in.example.com/"])
async def test_public_url_replaces_scheme_and_host(public_url: str) -> None:
    record = await _stored(post(f"{ADDRESS}&x=1"), public_url=public_url)

    assert _http(record).url == "https://in.example.com/?x=1"


async def test_header_bytes_that_are_not_utf_8_are_replaced() -> None:
    record = await _stored(post(ADDRESS, b"{}", "X-Latin: caf\udce9", "X-Good: café"))

    assert _http(record).headers[-2:] == [("X-Latin", "caf\ufffd"), ("X-Good", "café")]


async def test_host_header_that_is_not_utf_8_is_replaced_too() -> None:
    record = await _stored(f"POST {ADDRESS} HTTP/1.1\r\nHost: h\xe9\r\nContent-Length: 0\r\n\r\n".encode("latin-1"))

    assert _http(record).url == "http://h\ufffd/"


async def test_without_a_host_header_the_url_has_the_address_of_the_receiver() -> None:
    sender = MemorySender()

    async with receiving(sender) as receiver, connected(receiver) as client:
        await client.ask(f"POST {ADDRESS}&x=1 HTTP/1.0\r\nContent-Length: 0\r\n\r\n".encode())

    assert _http(sender.records[0]).url == f"{receiver.url}/?x=1"


async def test_header_names_that_never_repeat_are_all_stored() -> None:
    """More of them than the receiver remembers."""
    sender = MemorySender()

    async with receiving(sender) as receiver, connected(receiver) as client:
        for number in range(1_100):
            await client.ask(post(ADDRESS, b"{}", f"X-Name-{number}: 1", "aUTHORIZATION: s3cret"))

    names = [_http(record).headers[-1][0] for record in sender.records]
    assert names == [f"X-Name-{number}" for number in range(1_100)]


async def test_chunks_and_trailers_leave_no_trace_in_the_body() -> None:
    framed = chunked_post(ADDRESS, b"ab", b"c").removesuffix(b"\r\n") + b"X-Trailer: 1\r\n\r\n"

    record = await _stored(framed)

    assert record.value == b"abc"
    assert [name for name, _ in _http(record).headers] == ["Host"]


async def test_request_without_content_length_has_an_empty_body() -> None:
    record = await _stored(request("POST", ADDRESS))

    assert record.value == b""


async def _stored(sent: bytes, public_url: str | None = None) -> NewRecord:
    sender = MemorySender()
    async with receiving(sender, public_url=public_url) as receiver, connected(receiver) as client:
        answer = await client.ask(sent)
    assert answer.status == 202, answer.body
    (record,) = sender.records
    return record


def _http(record: NewRecord | Record) -> HttpRequest:
    return decode_http(dict(record.headers)["http"])


async def _only_record(log: Log) -> Record:
    async with log.reader([TOPIC], group=None) as reader:
        spans = await reader.poll(5.0)
    (record,) = (record for span in spans for record in span.records)
    return record
