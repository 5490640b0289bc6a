"""What a record becomes that the sink does not have: a dead letter, or one that comes again."""

from dataclasses import dataclass

from hookmill import headers
from hookmill.errors import FailureKind
from hookmill.records import NewRecord, Record
from hookmill.retry import Delay, RetryPolicy
from hookmill.topics import Topic


@dataclass(frozen=True)
class Refusal:
    """Why a record ends here: the class of the error, its text, and whether for good (`FINAL`) or not (`RETRIABLE`)."""

    error_class: str
    text: str
    kind: FailureKind = FailureKind.FINAL


def set_aside(
    record: Record, stage: str, refusal: Refusal, policy: RetryPolicy, now_ms: int
) -> tuple[Topic, NewRecord]:
    """The record for a delay topic or the dead letters: its bytes, key and headers unchanged, and in further headers
    what happened.

    `stage` says who gets it back: `events:<sink>` or `objects:<sink>`. Where a record has failed before, the time of
    the first failure stays.
    """
    now = b"%d" % now_ms
    changes = {
        headers.STAGE: stage.encode(),
        headers.ERROR_CLASS: refusal.error_class.encode(),
        headers.ERROR: headers.error_text(refusal.text),
        headers.FIRST_FAILED_AT: headers.header(record.headers, headers.FIRST_FAILED_AT) or now,
        headers.LAST_FAILED_AT: now,
    }
    hop = policy.next_hop(refusal.kind, headers.delivery_count(record.headers), now_ms)
    topic = Topic.DEAD_LETTERS
    if isinstance(hop, Delay):
        topic = hop.topic
        changes[headers.DELIVERY_COUNT] = b"%d" % hop.delivery_count
        changes[headers.NOT_BEFORE] = b"%d" % hop.not_before_ms
    return topic, record.sent_on(headers.with_headers(record.headers, changes))
