"""What a failed webhook becomes: one more delivery after a wait, or a dead letter."""

from typing import Final, NamedTuple

from hookmill import headers
from hookmill.records import NewRecord
from hookmill.registry import Function
from hookmill.retry import Delay, RetryPolicy
from hookmill.topics import Topic
from processors.failure import Failure
from processors.webhook import Webhook

STAGE: Final = b"function"

_MAX_CLASS_BYTES: Final = 100
"""Ours: names of error classes come from user code."""


class Failed(NamedTuple):
    """Where the webhook goes, and after how many seconds it is tried again; `None` if it is not."""

    topic: Topic
    record: NewRecord
    retry_in_s: float | None


def failed(webhook: Webhook, function: Function | None, failure: Failure, policy: RetryPolicy, now_ms: int) -> Failed:
    """The webhook after a delivery that failed at `now_ms`: its bytes and key unchanged, the reason in headers.

    The count of deliveries is that of the delivery to come on a delay topic, and of those made on the dead letters.
    """
    hop = policy.next_hop(failure.kind, webhook.delivery_count, now_ms)
    changes = _what_failed(webhook, function, failure, now_ms)
    if not isinstance(hop, Delay):
        return Failed(Topic.DEAD_LETTERS, _changed(webhook, changes), None)
    changes[headers.DELIVERY_COUNT] = b"%d" % hop.delivery_count
    changes[headers.NOT_BEFORE] = b"%d" % hop.not_before_ms
    return Failed(hop.topic, _changed(webhook, changes), (hop.not_before_ms - now_ms) / 1_000)


def _what_failed(webhook: Webhook, function: Function | None, failure: Failure, now_ms: int) -> dict[str, bytes]:
    """Origin, request id and instant are told where a foreign producer gave none, so that another delivery makes the
    same ids and versions."""
    now = b"%d" % now_ms
    changes = {
        headers.STAGE: STAGE,
        headers.DELIVERY_COUNT: b"%d" % webhook.delivery_count,
        headers.REQUEST_ID: webhook.request_id.encode(),
        headers.ORIGIN: str(webhook.origin).encode(),
        headers.RECEIVED_AT: b"%d" % webhook.received_at_us,
        headers.ERROR_CLASS: headers.cut_text(failure.error.kind, _MAX_CLASS_BYTES),
        headers.ERROR: headers.error_text(failure.error.message),
        headers.FIRST_FAILED_AT: headers.header(webhook.record.headers, headers.FIRST_FAILED_AT) or now,
        headers.LAST_FAILED_AT: now,
    }
    if function is not None:
        changes[headers.FUNCTION] = function.file_name.encode()
        changes[headers.FUNCTION_VERSION] = function.version.encode()
    return changes


def _changed(webhook: Webhook, changes: dict[str, bytes]) -> NewRecord:
    return webhook.record.sent_on(headers.with_headers(webhook.record.headers, changes))
