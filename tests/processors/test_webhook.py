"""What a record of the `webhooks` topics says."""

import pytest

from processors.failure import Failure, Reason
from processors.runtimes.contract import Invocation
from processors.webhook import Origin, read_invocation, read_webhook
from tests.processors.parts import NAMES, RECEIVED_AT_US, webhook_record


def test_a_redelivered_record_keeps_the_origin_of_the_webhook() -> None:
    webhook = read_webhook(webhook_record(50, origin=b"hookmill.webhooks:3:12"))

    assert webhook.origin == Origin("hookmill.webhooks", 3, 12)


@pytest.mark.parametrize("forged", [b"", b"12", b"a:b:c", b":1:2", b"t:-1:2", b"t:1:" + b"9" * 19, "t:1:²".encode()])
def test_a_malformed_origin_counts_as_none(forged: bytes) -> None:
    webhook = read_webhook(webhook_record(50, origin=forged))

    assert webhook.origin == Origin("hookmill.webhooks", 2, 50)


def test_without_a_request_id_its_place_and_time_identify_the_webhook() -> None:
    """A topic that is created anew has the same places again."""
    webhook = read_webhook(webhook_record(50, request_id=""))

    assert webhook.request_id == "hookmill.webhooks:2:50:1700000000500"


@pytest.mark.parametrize("forged", [None, b"yesterday", b"-1", b"999999999999999999"])
def test_without_a_usable_time_of_receipt_the_time_of_the_record_counts(forged: bytes | None) -> None:
    webhook = read_webhook(webhook_record(received_at=forged))

    assert webhook.received_at_us == 1_700_000_000_500_000
    assert webhook.received_at == "2023-11-14T22:13:20.500Z"


def test_a_webhook_runs_with_its_exact_bytes() -> None:
    webhook = read_webhook(webhook_record(value=b"\x00\xff"))

    invocation = read_invocation(webhook)

    assert webhook.received_at_us == RECEIVED_AT_US
    assert invocation == Invocation(
        "shop-0", "POST", "https://in.example/v1/webhooks", [("content-type", "application/json")], b"\x00\xff"
    )


@pytest.mark.parametrize("value", [b"", None])
def test_a_webhook_without_body_runs_with_an_empty_one(value: bytes | None) -> None:
    invocation = read_invocation(read_webhook(webhook_record(value=value)))

    assert isinstance(invocation, Invocation)
    assert invocation.body == b""


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"format": None}, Reason.UNKNOWN_FORMAT),
        ({"format": b"2"}, Reason.UNKNOWN_FORMAT),
        ({"http": None}, Reason.MALFORMED_HTTP),
        ({"http": b"{"}, Reason.MALFORMED_HTTP),
        ({"http": b"\xff\xfe"}, Reason.MALFORMED_HTTP),
        ({"http": b'{"method":"POST","url":"/","headers":[["a"]]}'}, Reason.MALFORMED_HTTP),
    ],
)
def test_a_record_that_is_no_webhook_says_why(changes: dict[str, bytes | None], reason: Reason) -> None:
    failure = read_invocation(read_webhook(webhook_record(**changes)))  # type: ignore[arg-type]

    assert isinstance(failure, Failure)
    assert failure.reason is reason
    assert NAMES.prefix not in failure.error.message
