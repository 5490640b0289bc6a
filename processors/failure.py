"""Failed webhooks: why they failed, and the dead letter that each becomes."""

from dataclasses import dataclass
from enum import StrEnum
from typing import Final, Self

from hookmill import headers
from hookmill.codec import FunctionError
from hookmill.records import NewRecord, Record
from hookmill.registry import Function
from processors.runtimes.contract import Outcome, Status

STAGE: Final = b"function"

_MAX_ERROR_BYTES: Final = 1_024
"""DESIGN section 4: the message is cut to 1 KiB."""
_MAX_CLASS_BYTES: Final = 100
"""Ours: names of error classes come from user code."""


class Reason(StrEnum):
    """Why a webhook ended in the dead letters: a closed set, for metrics. Class and text are in the record."""

    ERROR = "error"
    REJECTED = "rejected"
    TIMEOUT = "timeout"
    MEMORY = "memory"
    CRASH = "crash"
    TOO_LARGE = "too_large"
    INVALID_OUTPUT = "invalid_output"
    UNKNOWN_SOURCE = "unknown_source"
    NO_FUNCTION = "no_function"
    UNKNOWN_FORMAT = "unknown_format"
    MALFORMED_HTTP = "malformed_http"


_CLASSES: Final = {
    Reason.ERROR: "Error",
    Reason.REJECTED: "Rejected",
    Reason.TIMEOUT: "Timeout",
    Reason.MEMORY: "OutOfMemory",
    Reason.CRASH: "Crash",
    Reason.TOO_LARGE: "OutputTooLarge",
    Reason.INVALID_OUTPUT: "InvalidOutput",
    Reason.UNKNOWN_SOURCE: "UnknownSource",
    Reason.NO_FUNCTION: "NoFunction",
    Reason.UNKNOWN_FORMAT: "UnknownFormat",
    Reason.MALFORMED_HTTP: "MalformedHttp",
}

_TEXTS: Final = {
    Status.ERROR: "The function failed and said nothing.",
    Status.REJECTED: "The function or its output was refused.",
    Status.TIMEOUT: "The function did not finish within its time limit.",
    Status.MEMORY: "The function exceeded its memory limit.",
    Status.CRASH: "The process that ran the function ended.",
    Status.TOO_LARGE: "The output of the function exceeds its limits.",
}


@dataclass(frozen=True)
class Failure:
    """Why one delivery of a webhook failed."""

    reason: Reason
    error: FunctionError

    @classmethod
    def of(cls, reason: Reason, message: str) -> Self:
        """A failure that we found, not the function."""
        return cls(reason, FunctionError(_CLASSES[reason], message))

    @classmethod
    def of_outcome(cls, outcome: Outcome) -> Self:
        """The failure that ended an invocation; `outcome` has one of the statuses that are failures."""
        reason = Reason(outcome.status.value)
        return cls(reason, outcome.error or FunctionError(_CLASSES[reason], _TEXTS[outcome.status]))

    @property
    def status(self) -> Status:
        """The status that the invocation report shows."""
        match self.reason:
            case Reason.ERROR | Reason.TIMEOUT | Reason.MEMORY | Reason.CRASH | Reason.TOO_LARGE:
                return Status(self.reason.value)
            case _:
                return Status.REJECTED


def dead_letter(
    record: Record, origin: str, request_id: str, function: Function | None, failure: Failure, now_ms: int
) -> NewRecord:
    """The record with its bytes and key unchanged and the reason in headers.

    Origin and request id are added where a foreign producer gave none, so that a redrive yields the same ids.
    """
    now = b"%d" % now_ms
    changes = {
        headers.STAGE: STAGE,
        headers.REQUEST_ID: request_id.encode(),
        headers.ORIGIN: origin.encode(),
        headers.ERROR_CLASS: _cut(failure.error.kind, _MAX_CLASS_BYTES),
        headers.ERROR: _cut(failure.error.message, _MAX_ERROR_BYTES),
        headers.FIRST_FAILED_AT: headers.header(record.headers, headers.FIRST_FAILED_AT) or now,
        headers.LAST_FAILED_AT: now,
    }
    if function is not None:
        changes[headers.FUNCTION] = function.file_name.encode()
        changes[headers.FUNCTION_VERSION] = function.version.encode()
    value = record.value
    if value is None and record.key is None:
        value = b""  # the log takes no record without either (see NewRecord)
    return NewRecord(value=value, key=record.key, headers=headers.with_headers(record.headers, changes))


def _cut(text: str, limit_bytes: int) -> bytes:
    """At most so many bytes, whole characters."""
    return text.encode()[:limit_bytes].decode("utf-8", "ignore").encode()
