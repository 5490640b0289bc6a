"""Where a record goes after its wait."""

from typing import Final

import msgspec

from hookmill import headers
from hookmill.records import NewRecord, Record
from hookmill.topics import Topic
from redelivery.stages import topic_of_stage

UNKNOWN_STAGE: Final = b"UnknownStage"
TOO_LARGE: Final = b"RecordTooLarge"

_MAX_STAGE_CHARACTERS: Final = 100
"""How much of a stage that does not exist is shown. Ours."""


def moved(record: Record, now_ms: int) -> tuple[Topic, NewRecord]:
    """The record for the topic of its stage, without the wait that is over; its bytes, key and other headers unchanged.

    A record whose stage is missing or unknown becomes a dead letter that says so. Sinks are not looked up: one that is
    gone for a while finds its records on the topic.
    """
    stage = headers.text_header(record.headers, headers.STAGE)
    topic = topic_of_stage(stage)
    copy = record.sent_on(headers.without_headers(record.headers, {headers.NOT_BEFORE}))
    if topic is None:
        text = f"No stage {stage[:_MAX_STAGE_CHARACTERS]!r} takes records back."
        return Topic.DEAD_LETTERS, letter(copy, UNKNOWN_STAGE, text, now_ms)
    return topic, copy


def letter(copy: NewRecord, error_class: bytes, text: str, now_ms: int) -> NewRecord:
    """The copy as a dead letter, with why it is one."""
    now = b"%d" % now_ms
    changes = {
        headers.ERROR_CLASS: error_class,
        headers.ERROR: headers.error_text(text),
        headers.FIRST_FAILED_AT: headers.header(copy.headers, headers.FIRST_FAILED_AT) or now,
        headers.LAST_FAILED_AT: now,
    }
    return msgspec.structs.replace(copy, headers=headers.with_headers(copy.headers, changes))
