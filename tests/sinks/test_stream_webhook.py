"""Webhooks out, to a real server."""

import asyncio
import base64
import hashlib
import hmac
import json
import socket
import time
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from typing import Any

import pytest
from aiohttp import web

from hookmill.errors import ConfigError
from sinks.contract import RecordRejected, SinkUnavailable
from sinks.streams.endpoint import Endpoint
from sinks.streams.webhook import WebhookOptions, WebhookOut, signature, signing_key
from tests.sinks.destination import Destination, Request, accept, answering
from tests.sinks.messages import RECEIVED_AT, deletion, event, write

KEY = bytes(range(32))
SECRET = "whsec_" + base64.b64encode(KEY).decode()
PAID = event("m1", event="Paid", properties={"amount": 5})
DEAL = write("d1", 1, {"title": "A"})
GONE = deletion("d2", 2)


@pytest.fixture
async def destination(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Destination]:
    monkeypatch.setenv("WEBHOOK_SECRET", SECRET)
    async with Destination() as server:
        yield server


def sink_to(url: str, **options: Any) -> AbstractAsyncContextManager[WebhookOut]:
    return WebhookOut(Endpoint(url, **{"allow_private": True, **options}), "WEBHOOK_SECRET")


async def test_every_message_is_a_post(destination: Destination) -> None:
    async with sink_to(destination.url("/in?from=us")) as sink:
        await sink.write([PAID, DEAL, GONE])

    bodies = sorted((json.loads(request.body) for request in destination.requests), key=lambda body: body["type"])
    assert bodies == [
        {"type": "event.track", "timestamp": RECEIVED_AT, "source": "pipedrive", "data": json.loads(PAID.raw)},
        {"type": "object.delete", "timestamp": RECEIVED_AT, "source": "pipedrive", "data": json.loads(GONE.raw)},
        {"type": "object.set", "timestamp": RECEIVED_AT, "source": "pipedrive", "data": json.loads(DEAL.raw)},
    ]
    assert {request.path for request in destination.requests} == {"/in"}


async def test_a_post_is_signed_as_standard_webhooks_says(destination: Destination) -> None:
    async with sink_to(destination.url()) as sink:
        await sink.write([PAID])

    (request,) = destination.requests
    sent_at = request.headers["Webhook-Timestamp"]
    signed = f"m1.{sent_at}.".encode() + request.body
    expected = base64.b64encode(hmac.new(KEY, signed, hashlib.sha256).digest()).decode()
    assert request.headers["Webhook-Signature"] == f"v1,{expected}"
    assert request.headers["Webhook-Id"] == request.headers["Idempotency-Key"] == "m1"
    assert request.headers["Content-Type"] == "application/json"
    assert abs(int(sent_at) - time.time()) < 60


def test_the_signature_is_the_one_of_the_published_example() -> None:
    key = signing_key("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", "X")

    signed = signature(key, "msg_p5jXN8AQM9LWM0D4loKWxJek", 1614265330, b'{"test": 2432232314}')

    assert signed == "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="


async def test_a_message_that_is_refused_is_rejected_and_the_others_arrive_once(destination: Destination) -> None:
    async def refuse_the_second(request: Request) -> web.Response:
        return web.Response(status=422 if request.headers["Webhook-Id"] == "m2" else 204)

    destination.answer = refuse_the_second
    batch = [event(f"m{number}") for number in range(5)]
    async with sink_to(destination.url()) as sink:
        with pytest.raises(RecordRejected) as caught:
            await sink.write(batch)
        await sink.write([message for index, message in enumerate(batch) if index not in caught.value.rejected])

    assert caught.value.rejected == {2: "127.0.0.1 answered 422"}
    assert sorted(request.headers["Webhook-Id"] for request in destination.requests) == ["m0", "m1", "m2", "m3", "m4"]


@pytest.mark.parametrize("status", [301, 401, 403, 404, 408, 410, 425, 429, 500, 503])
async def test_what_is_no_fault_of_the_message_is_waited_for(destination: Destination, status: int) -> None:
    destination.answer = answering(status, Location="/elsewhere")
    async with sink_to(destination.url()) as sink:
        with pytest.raises(SinkUnavailable, match=f"answered {status}"):
            await sink.write([PAID])
        destination.answer = accept
        await sink.write([PAID])

    assert [request.path for request in destination.requests] == ["/", "/"]


async def test_a_message_of_which_the_destination_fails_makes_way_for_others(destination: Destination) -> None:
    async def fail_of_one(request: Request) -> web.Response:
        return web.Response(status=500 if request.headers["Webhook-Id"] == "m1" else 200)

    destination.answer = fail_of_one
    batch = [event(f"m{number}") for number in range(3)]
    async with sink_to(destination.url()) as sink:
        for _ in range(4):
            with pytest.raises(SinkUnavailable):
                await sink.write(batch)
        with pytest.raises(RecordRejected) as caught:
            await sink.write(batch)
        await sink.write([batch[0], batch[2]])

    assert caught.value.rejected == {1: "127.0.0.1 answered 500."}
    assert caught.value.retriable == {1}
    ids = [request.headers["Webhook-Id"] for request in destination.requests]
    assert sorted(ids) == ["m0"] + ["m1"] * 5 + ["m2"]


@pytest.mark.parametrize("status", [429, 502, 503, 504])
async def test_a_destination_that_is_away_is_waited_for_without_end(destination: Destination, status: int) -> None:
    destination.answer = answering(status)
    async with sink_to(destination.url()) as sink:
        for _ in range(20):
            with pytest.raises(SinkUnavailable):
                await sink.write([PAID])


async def test_a_batch_that_comes_again_posts_only_what_is_missing(destination: Destination) -> None:
    async def fail_the_last(request: Request) -> web.Response:
        return web.Response(status=503 if request.headers["Webhook-Id"] == "m40" else 200)

    batch = [event(f"m{number}") for number in range(41)]
    destination.answer = fail_the_last
    async with sink_to(destination.url()) as sink:
        with pytest.raises(SinkUnavailable):
            await sink.write(batch)
        destination.answer = accept
        await sink.write(batch)

    ids = [request.headers["Webhook-Id"] for request in destination.requests]
    assert sorted(ids) == sorted([f"m{number}" for number in range(41)] + ["m40"])


async def test_an_equal_batch_after_one_that_went_through_is_posted_again(destination: Destination) -> None:
    async with sink_to(destination.url()) as sink:
        await sink.write([PAID])
        await sink.write([PAID])

    assert len(destination.requests) == 2


IN_FIVE_MINUTES = "in five minutes"
"""As a date, made when the test runs."""


@pytest.mark.parametrize(
    ("value", "least_s", "most_s"),
    [
        ("7", 7, 7),
        ("999999", 900, 900),
        ("soon", 0, 0),
        (IN_FIVE_MINUTES, 200, 301),
    ],
)
async def test_the_destination_says_how_long_to_wait(
    destination: Destination, value: str, least_s: float, most_s: float
) -> None:
    if value == IN_FIVE_MINUTES:
        value = format_datetime(datetime.now(UTC) + timedelta(minutes=5), usegmt=True)
    destination.answer = answering(429, Retry_After=value)
    async with sink_to(destination.url()) as sink:
        with pytest.raises(SinkUnavailable) as caught:
            await sink.write([PAID])

    assert least_s <= caught.value.retry_after_s <= most_s


async def test_a_destination_that_is_away_is_unavailable(destination: Destination) -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        async with sink_to(f"http://127.0.0.1:{unused.getsockname()[1]}/") as sink:
            with pytest.raises(SinkUnavailable, match="no connection could be made"):
                await sink.write([PAID])


async def test_a_destination_that_does_not_answer_is_unavailable(destination: Destination) -> None:
    async def answer_late(request: Request) -> web.Response:
        await late.wait()
        return web.Response()

    late = asyncio.Event()
    destination.answer = answer_late
    async with sink_to(destination.url(), timeout_s=0.05) as sink:
        with pytest.raises(SinkUnavailable, match="did not answer within 50 ms"):
            await sink.write([PAID])
    late.set()


async def test_private_addresses_need_leave(destination: Destination) -> None:
    async with sink_to(destination.url(), allow_private=False) as sink:
        with pytest.raises(SinkUnavailable, match="HOOKMILL_SINKS__ALLOW_PRIVATE_NETWORK"):
            await sink.write([PAID])

    assert destination.requests == []


async def test_a_message_larger_than_a_request_may_be_is_rejected(destination: Destination) -> None:
    async with sink_to(destination.url()) as sink:
        with pytest.raises(RecordRejected, match="1048576 bytes for a request"):
            await sink.write([write("d1", 1, {"text": "x" * 1_048_576})])


async def test_an_id_that_cannot_be_a_header_is_rejected(destination: Destination) -> None:
    async with sink_to(destination.url()) as sink:
        with pytest.raises(RecordRejected) as caught:
            await sink.write([PAID, event("m\r\nHost: evil")])

    assert list(caught.value.rejected) == [1]


async def test_what_a_recompute_made_is_another_webhook(destination: Destination) -> None:
    async with sink_to(destination.url()) as sink:
        await sink.write([type(PAID)(PAID.source, PAID.message_id, PAID.message, PAID.raw, generation=2)])

    assert destination.requests[0].headers["Webhook-Id"] == "m1-2"


async def test_a_secret_that_is_missing_is_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("WEBHOOK_SECRET", raising=False)

    with pytest.raises(SinkUnavailable, match="WEBHOOK_SECRET is empty"):
        await sink_to("https://example.com").__aenter__()


@pytest.mark.parametrize("text", ["whsec_c2hvcnQ=", "not base64 at all, but long enough for a key", "whsec_\xfc"])
async def test_a_secret_of_another_kind_is_refused_without_showing_it(
    monkeypatch: pytest.MonkeyPatch, text: str
) -> None:
    monkeypatch.setenv("WEBHOOK_SECRET", text)

    with pytest.raises(ConfigError, match="WEBHOOK_SECRET holds no secret") as caught:
        await sink_to("https://example.com").__aenter__()

    assert text not in str(caught.value)


@pytest.mark.parametrize("url", ["example.com", "ftp://example.com", "https://u:p@example.com", "https://"])
def test_a_url_that_cannot_be_called_is_refused(url: str) -> None:
    with pytest.raises(ConfigError, match="url: "):
        WebhookOptions(url, "WEBHOOK_SECRET").check()
