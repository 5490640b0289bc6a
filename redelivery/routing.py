"""Where a record goes after its wait."""

from typing import Final

from hookmill import headers
from hookmill.records import NewRecord, Record
from hookmill.topics import Topic
from redelivery.stages import topic_of_stage

UNKNOWN_STAGE: Final = b"UnknownStage"

_MAX_STAGE_CHARACTERS: Final = 100
"""How much of a stage that does not exist is shown. Ours."""


def moved(record: Record, now_ms: int) -> tuple[Topic, NewRecord]:
    """The record for the topic of its stage, without the wait that is over; its bytes, key and other headers unchanged.

    A record whose stage is missing or unknown becomes a dead letter that says so. Sinks are not looked up: one that is
    gone for a while finds its records on the topic.
    """
    stage = headers.text_header(record.headers, headers.STAGE)
    topic = topic_of_stage(stage)
    kept = headers.without_headers(record.headers, {headers.NOT_BEFORE})
    if topic is None:
        topic = Topic.DEAD_LETTERS
        now = b"%d" % now_ms
        changes = {
            headers.ERROR_CLASS: UNKNOWN_STAGE,
            headers.ERROR: f"No stage {stage[:_MAX_STAGE_CHARACTERS]!r} takes records back.".encode(),
            headers.FIRST_FAILED_AT: headers.header(record.headers, headers.FIRST_FAILED_AT) or now,
            headers.LAST_FAILED_AT: now,
        }
        kept = headers.with_headers(kept, changes)
    return topic, record.sent_on(kept)
