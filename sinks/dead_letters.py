"""The dead letter that a record of this stage becomes."""

from dataclasses import dataclass
from typing import Final

from hookmill import headers
from hookmill.records import NewRecord, Record

_MAX_ERROR_BYTES: Final = 1_024
"""DESIGN section 4: the message is cut to 1 KiB."""


@dataclass(frozen=True)
class Refusal:
    """Why a record ends here: the class of the error, and its text."""

    error_class: str
    text: str


def dead_letter(record: Record, stage: str, refusal: Refusal, now_ms: int) -> NewRecord:
    """The record with its bytes, key and headers unchanged, and in further headers what happened.

    `stage` says who gets it back: `events:<sink>` or `objects:<sink>`. Where a record has failed before, the time of
    the first failure stays.
    """
    now = b"%d" % now_ms
    changes = {
        headers.STAGE: stage.encode(),
        headers.ERROR_CLASS: refusal.error_class.encode(),
        headers.ERROR: refusal.text.encode("utf-8", "replace")[:_MAX_ERROR_BYTES].decode("utf-8", "ignore").encode(),
        headers.FIRST_FAILED_AT: headers.header(record.headers, headers.FIRST_FAILED_AT) or now,
        headers.LAST_FAILED_AT: now,
    }
    value = record.value
    if value is None and record.key is None:
        value = b""  # the log takes no record without either
    return NewRecord(value=value, key=record.key, headers=headers.with_headers(record.headers, changes))
